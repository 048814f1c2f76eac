"""
Receivers in figures: sixteen buckets, for a figure may not name anybody.

    system|value of a Receiver ─► SHA-256 ─► its first hexadecimal digit ─► 0 … f

A Receiver is in the same bucket on every machine and after every start, so a line in a graph goes
on. Several may share one: the page and `bars-gateway counterparties` say who is meant.
"""

import hashlib

BUCKETS = tuple("0123456789abcdef")


def bucket_of(receiver: str) -> str:
    """Return the bucket of that Receiver."""
    return hashlib.sha256(receiver.encode()).hexdigest()[0]
