"""
Who may send at one moment, and when the next one may.

    tokens, budgets, looks ──at one moment──► Opening ─┬─► claim: what is due, for whom it is open
                                                       └─► sleep: until something is due or opens

Both ask the same Opening. Were it computed twice, a pause that ends in between would be seen by
neither, and a message that is due would sleep through the longest sleep that there is.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bars_gateway.outbound.proxy import Proxy
from bars_gateway.outbound.token import Tokens

LONGEST_SLEEP = 30.0  # seconds; a net beneath the bell and the timer
_SHORTEST_SLEEP = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What one look at the queue goes by."""

    at: datetime
    providers: Sequence[str]  # that have a token, or may ask for one, and a place in the budget
    not_for: Collection[str]  # Receivers and providers that a look is under way to
    next_at: datetime | None  # when one of the other providers may send

    def seconds_to_sleep(self, due: datetime | None, now: datetime) -> float:
        """Return how long to sleep, where nothing could be claimed and the next is *due* then."""
        seconds = [(at - now).total_seconds() for at in (due, self.next_at) if at is not None]
        return max(_SHORTEST_SLEEP, min((*seconds, LONGEST_SLEEP)))


def opening_at(
    now: datetime, tokens: Mapping[str, Tokens], proxy: Proxy, not_for: Collection[str]
) -> Opening:
    """Return for whom it is open *now*, each of them looked at once."""
    reopens = {name: _reopens_at(now, each, proxy, name) for name, each in tokens.items()}
    return Opening(
        at=now,
        providers=[name for name, at in reopens.items() if at is None and name not in not_for],
        not_for=tuple(not_for),
        next_at=min((at for at in reopens.values() if at is not None), default=None),
    )


def _reopens_at(now: datetime, tokens: Tokens, proxy: Proxy, name: str) -> datetime | None:
    """Return when that provider may send; None: now."""
    seconds = proxy.seconds_to_turn(name)
    turn = now + timedelta(seconds=seconds) if seconds > 0 else None
    return max((at for at in (tokens.closed_until, turn) if at is not None), default=None)
