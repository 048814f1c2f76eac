"""
What the gateway works with, so that the audit trail has each change of it: starts, settings, keys.

    at a start, a reload, a renewal ─► what is in force, by name ─► other than the last time?
                                                        └─► a line of the trail: which, never what

Of a setting, and of a user of the console, only that it changed is told: what is compared is made
of it with a key that stands in a file of this machine (`daemon.facts`). Of keys and certificates
the trail has the fingerprint, which is public.

Decisions: D-chain.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.store.connection import Connection
from bars_gateway.store.records import THE_GATEWAY, add_event
from bars_gateway.store.work import Noun, Shared, writes

_OF_A_NODE = " has "  # behind its name, where there are several
SETTING, KEY, CERTIFICATE, USER = "setting", "key", "certificate", "user"
_COMPARED_BY = ("compared by", "")  # whether the key of this machine is the one of last time
_UNKNOWN = {"unknown": "the key to compare them with is new"}
STARTED, STOPPED = "gateway.started", "gateway.stopped"


@frozen(kw_only=True)
class Facts:
    """What is in force: by kind and name, what tells it from another."""

    of: Mapping[tuple[str, str], str]
    compared_by: str  # tells the key by which settings are compared from another
    details: Mapping[tuple[str, str], Mapping[str, object]] = field(default_factory=dict)


class InForce(Noun):
    """What the gateway works with."""

    def __init__(self, shared: Shared, node: str) -> None:
        """*node*: each of several has its own, by its name."""
        super().__init__(shared)
        self._of = f"{node}{_OF_A_NODE}" if shared.database.nodes.several else ""

    @writes
    def started(
        self, connection: Connection, facts: Facts, told: Mapping[str, object], now: datetime
    ) -> None:
        """Add a line about a start, as *told*, and one for each thing that changed meanwhile."""
        add_event(connection, THE_GATEWAY, STARTED, now, told)
        self._compare(connection, facts, "start", now)

    @writes
    def renewed(self, connection: Connection, facts: Facts, now: datetime) -> None:
        """Add a line for each thing that changed while the gateway runs."""
        self._compare(connection, facts, "reload", now)

    @writes
    def stopped(self, connection: Connection, now: datetime) -> None:
        """Add a line about an orderly stop."""
        add_event(connection, THE_GATEWAY, STOPPED, now)

    def _compare(self, connection: Connection, facts: Facts, by: str, now: datetime) -> None:
        known = self._known(connection)
        before = known.pop(_COMPARED_BY, None)
        changed = sorted(
            name for name in known.keys() | facts.of.keys() if known.get(name) != facts.of.get(name)
        )
        if before != facts.compared_by:
            _put(connection, self._of, _COMPARED_BY, facts.compared_by)
        for name in changed:
            _put(connection, self._of, name, facts.of.get(name))
        if before is not None:
            comparable = before == facts.compared_by
            told = {"by": by, **({"node": self._of.removesuffix(_OF_A_NODE)} if self._of else {})}
            _tell(connection, changed, facts, told, now, comparable=comparable)

    def _known(self, connection: Connection) -> dict[tuple[str, str], str]:
        """Return what was in force last, at this node."""
        known = {}
        for row in connection.rows("known_in_force"):
            of, mark, written = row["name"].partition(_OF_A_NODE)
            if not mark or ": " in of:  # of the one gateway, whatever its thing is called
                of, mark, written = "", "", row["name"]
            if of + mark == self._of:
                known[_parted(written)] = row["what"]
        return known


def _tell(
    connection: Connection,
    changed: list[tuple[str, str]],
    facts: Facts,
    told: Mapping[str, object],
    now: datetime,
    *,
    comparable: bool,
) -> None:
    names: defaultdict[str, list[str]] = defaultdict(list)
    for kind, name in changed:
        names[kind].append(name)
    for kind, listed in sorted(names.items()):
        if kind in {SETTING, USER}:
            which: Mapping[str, object] = {"names": listed} if comparable else _UNKNOWN
            add_event(connection, THE_GATEWAY, f"{kind}s.changed", now, {**told, **which})
            continue
        for name in listed:
            detail = {**told, "name": name, **facts.details.get((kind, name), {"gone": True})}
            add_event(connection, THE_GATEWAY, f"{kind}.changed", now, detail)


def _put(connection: Connection, of: str, name: tuple[str, str], what: str | None) -> None:
    written = of + ": ".join(name)
    if what is None:
        connection.put("out_of_force", name=written)
    else:
        connection.put("put_in_force", name=written, what=what)


def _parted(written: str) -> tuple[str, str]:
    kind, _, name = written.partition(": ")
    return kind, name
