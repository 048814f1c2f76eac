"""
Whether messages can be received, and whether they can be sent: what a balancer and a monitor ask.

    Conditions + what the store says ──readiness──► why nothing can be received
                                                    why something cannot be sent
                                                    what stands in the way of neither

The two are told apart, for a balancer that takes the gateway out of service because its token
is refused would turn away every Sender, too. Reasons hold names of providers and folders, and
nothing of a message.

Decisions: D-readiness.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bars_gateway.status.concerns import LYING_SECONDS, UNINSPECTED, Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What stands in the way; empty where nothing does."""

    of_receiving: Sequence[str]
    of_sending: Sequence[str]
    of_neither: Sequence[str] = ()  # what somebody may want to know all the same


def readiness(conditions: Conditions, store_trouble: str | None) -> Readiness:
    """Return what stands in the way of receiving and of sending."""
    both = list(_of_both(conditions, store_trouble))
    return Readiness(
        of_receiving=both,
        of_sending=[*both, *_of_sending(conditions)],
        of_neither=list(_of_neither(conditions)),
    )


def _of_both(conditions: Conditions, store_trouble: str | None) -> Iterator[str]:
    if conditions.stopping:
        yield "stopping"
    if store_trouble is not None:
        yield store_trouble
    if conditions.no_room is not None:
        yield conditions.no_room


def _of_sending(conditions: Conditions) -> Iterator[str]:
    if conditions.egress is not None:
        yield f"nothing gets out: {conditions.egress.reason}"
    for token in conditions.tokens:
        if token.failing_since:
            yield f"no access token for {token.provider}: {token.reason}"
    for kept_out in conditions.kept_out:
        yield f"the national proxy refuses {kept_out.provider}: {kept_out.reason}"
    for folder, reason in conditions.stalled.items():
        yield f"{folder} stands still: {reason}"
    for each in conditions.lying:
        if each.seconds >= LYING_SECONDS:
            yield f"{each.count} in {each.folder} not taken"


def _of_neither(conditions: Conditions) -> Iterator[str]:
    inspection = conditions.inspection
    if inspection is not None and inspection.waits_since is not None:
        yield f"{UNINSPECTED} since {inspection.waits_since:%Y-%m-%d %H:%M} UTC"
