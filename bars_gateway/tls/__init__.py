"""Certificates: contexts, chains, those withdrawn, and those of who called lately."""
