"""
Since when those have not answered whom we back off from, so that a restart forgets none of it.

Receivers, providers that the proxy keeps out, and what we need ourselves: the egress proxy of our
own network, and the token service.

    a break begins ──► began ─┐
    an answer comes ──► ended ┴─► known: what the next start says on the page

Whether they answer by now the next start finds out by itself; only since when is told from here.
"""

from datetime import datetime

from bars_gateway.store.connection import Connection
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, reads, writes

EGRESS = "the egress proxy"
_OF_TOKENS = "the token service of "


def token_service_of(provider: str) -> str:
    """Return the name of the token service, as it stands with *provider*."""
    return f"{_OF_TOKENS}{provider}"


def is_our_own(name: str) -> bool:
    """Tell whether *name* is of what we need ourselves: no name of a provider has a blank."""
    return name == EGRESS or name.startswith(_OF_TOKENS)


class Breaks(Noun):
    """Receivers that do not answer, and providers that the proxy keeps out."""

    @writes
    def began(self, connection: Connection, name: str, since: datetime) -> None:
        """Keep that nothing came from *name* since then, unless an earlier moment is kept."""
        connection.run("begin_break", whose=name, since=text(since))

    @writes
    def ended(self, connection: Connection, name: str) -> None:
        """Forget it: an answer came."""
        connection.run("end_break", whose=name)

    @reads
    def known(self, connection: Connection) -> dict[str, datetime]:
        """Return who had not answered, and since when."""
        return {row["name"]: instant(row["since"]) for row in connection.rows("breaks")}
