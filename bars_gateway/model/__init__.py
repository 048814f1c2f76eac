"""Values that flows and store trade in: no SQL, no I/O."""
