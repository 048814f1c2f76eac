"""What the gateway remembers: one SQLite database behind a port of whole transactions."""
