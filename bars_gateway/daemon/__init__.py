"""The one process: its parts are made, started, given new keys and settings, and stopped."""
