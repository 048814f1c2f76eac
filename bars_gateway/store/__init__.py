"""What the gateway remembers: one database, and each public method one transaction."""
