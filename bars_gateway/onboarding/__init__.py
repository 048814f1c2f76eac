"""From nothing to connected: keys, certificates, settings, letters, and what is still missing."""
