"""
What a restart may not forget of our pace: what went out lately, and whom we back off from.

    claim ────────► in the claim's own transaction ─┐
    token, read ──► note, before it is sent ────────┴─► since: what the next start counts

    nothing comes back ──► began ─┐
    an answer comes ─────► ended ─┴─► known: since when, as the next start says on the page

A call is noted before it begins, and so counts even where we died over it: a restart gives us no
second quota. What no minute can hold any more is forgotten with the next one.

Those who do not answer are Receivers, providers that the proxy keeps out, and what we need
ourselves: the egress proxy of our own network, and the token service. Whether they answer by now
the next start finds out by itself; only since when is told from here. So it is with a provider that
was taken out of the settings while something of it was under way: nobody sends that, or tells it.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from bars_gateway.store.connection import Connection
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, reads, writes

_KEPT = timedelta(seconds=65)  # a call may begin a little after its note
EGRESS = "the egress proxy"
_OF_TOKENS = "the token service of "
_OF_SETTINGS = "the settings of "


class Calls(Noun):
    """When each provider asked anything of the platform."""

    @writes
    def note(self, connection: Connection, provider: str, now: datetime) -> None:
        """Note a call that is not a message."""
        note(connection, {provider: 1}, now)

    @reads
    def since(self, connection: Connection, since: datetime) -> dict[str, list[datetime]]:
        """Return when the calls since *since* began, by provider: a minute of them at most."""
        found: dict[str, list[datetime]] = defaultdict(list)
        for row in connection.rows("calls_since", since=text(since)):
            found[row["provider"]] += [instant(row["began_at"])] * row["n"]
        return found


def note(connection: Connection, counts: Mapping[str, int], now: datetime) -> None:
    """Note so many calls of each provider, and forget those that no minute holds any more."""
    connection.put("forget_calls", before=text(now - _KEPT))
    connection.put("note_calls", counts=json.dumps(list(counts.items())), now=text(now))


def forget(connection: Connection, provider: str, began_at: datetime) -> None:
    """Forget a call that was noted at that moment: it was not made after all."""
    connection.put("forget_call", provider=provider, began_at=text(began_at))


def token_service_of(provider: str) -> str:
    """Return the name of the token service, as it stands with *provider*."""
    return f"{_OF_TOKENS}{provider}"


def settings_of(provider: str) -> str:
    """Return the name of the settings of *provider*, where they are missing."""
    return f"{_OF_SETTINGS}{provider}"


def is_our_own(name: str) -> bool:
    """Tell whether *name* is of what we need ourselves: no name of a provider has a blank."""
    return name == EGRESS or name.startswith(_OF_TOKENS)


class Breaks(Noun):
    """Receivers that do not answer, and providers that the proxy keeps out."""

    @writes
    def began(self, connection: Connection, name: str, since: datetime) -> None:
        """Keep that nothing came from *name* since then, unless an earlier moment is kept."""
        connection.put("begin_break", whose=name, since=text(since))

    @writes
    def ended(self, connection: Connection, name: str) -> None:
        """Forget it: an answer came."""
        connection.put("end_break", whose=name)

    @reads
    def known(self, connection: Connection) -> dict[str, datetime]:
        """Return who had not answered, and since when."""
        return {row["name"]: instant(row["since"]) for row in connection.rows("breaks")}

    @writes
    def without_settings(
        self, connection: Connection, providers: Collection[str], now: datetime
    ) -> dict[str, datetime]:
        """Return who is none of *providers*, with something under way, and since which start."""
        names = {row["provider"] for row in connection.rows("under_way")}
        left = {settings_of(name): name for name in sorted(names.difference(providers))}
        known = {row["name"]: instant(row["since"]) for row in connection.rows("breaks")}
        for whose in known:
            if whose.startswith(_OF_SETTINGS) and whose not in left:
                connection.put("end_break", whose=whose)
        for whose in left:
            connection.put("begin_break", whose=whose, since=text(now))
        return {name: known.get(whose, now) for whose, name in left.items()}
