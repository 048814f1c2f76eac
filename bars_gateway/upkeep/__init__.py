"""What time does: housekeeping, the clock, what expires, whether every loop moves."""
