"""What BaRS says, as functions and tables over values: no I/O, no clock, no settings."""
