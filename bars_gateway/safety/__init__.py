"""The clinical safety of the gateway, as data: hazards, what controls them, and what is counted."""
