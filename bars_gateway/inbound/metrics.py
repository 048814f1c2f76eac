"""
What the inbound side counts: answers by status, how long they took, callers not let in.

Labels come from closed sets (a status, a reason of ours), never from a request.
"""

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Histogram

# The standard wants nine answers of ten within 2.1 s and all within 5 s.
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.1, 4.5, 5.0, 10.0)


class InboundMetrics:
    """Counts since the start; answers also as metrics in *registry*."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.answered: Tally[int] = Tally()  # requests by HTTP status
        self.failures: Tally[str] = Tally()  # connections without a request, by reason
        self._requests = Counter(
            "bars_inbound_requests",
            "Requests answered, by HTTP status.",
            ["http_status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "bars_inbound_seconds",
            "From the header of a request to its answer, in seconds.",
            buckets=_SECONDS,
            registry=registry,
        )

    def note_answer(self, http_status: int, seconds: float) -> None:
        """Count one answered request."""
        self.answered[http_status] += 1
        self._requests.labels(http_status).inc()
        self._seconds.observe(seconds)

    def note_failure(self, reason: str) -> None:
        """Count one connection that brought no request, or had to wait for room."""
        self.failures[reason] += 1
