"""
What is counted where it happens: attempts, answers, and how long the disk takes.

    a commit · an attempt · an answer of the EPR's ─► Measures ─► figures of `/metrics`

The store says what came to be, after it is on disk, and knows nothing of who counts it.
"""

from typing import Protocol

from bars_gateway.model.messages import Attempt


class Measures(Protocol):
    """Who counts."""

    def committed(self, seconds: float, flush_seconds: float) -> None:
        """Note a group of changes: how long it took in all, and its COMMIT alone."""

    def attempted(self, attempt: Attempt) -> None:
        """Note a POST."""

    def answered(self, seconds: float) -> None:
        """Note that the EPR has answered a question, so long after it was asked."""


class Unmeasured:
    """Counts nothing."""

    def committed(self, seconds: float, flush_seconds: float) -> None:
        """Do nothing."""

    def attempted(self, attempt: Attempt) -> None:
        """Do nothing."""

    def answered(self, seconds: float) -> None:
        """Do nothing."""
