"""Certificates: contexts, chains, revocation lists, and who has called recently."""
