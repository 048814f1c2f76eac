"""
The two kinds of transaction, as they run on a thread of their own.

    BEGIN SERIALIZABLE ─► LOCK turn ─► works ─► chain ─► note the group ─► COMMIT
    BEGIN REPEATABLE READ READ ONLY ─► a work ─► COMMIT

One group at a time over all nodes: who begins takes the turn, and sees all that those before him
have committed. So the numbers of what is stored are the order in which it was committed, whichever
node took it, and the chain of the audit trail has one end. `SERIALIZABLE` is the net below: what
a stranger changes meanwhile makes a conflict, and no wrong answer. Then the group runs again, for
works do nothing but what they do to their connection; one that fails twice is split.

No work has a savepoint at first: each would be asked for, and given back. What works put is sent at
once; what became of it, a refusal too, comes with the next thing that is asked, maybe by another
work. Where one raises, the whole group is undone and runs again, with a savepoint for each, so that
it undoes itself alone.

A session that is lost before COMMIT was said has changed nothing: the group runs again on a new
one. Lost afterwards, nobody knows, and nobody guesses:

    COMMIT said, session lost ─► a new one ─► LOCK turn: the old transaction is over
                                   │            ─► was it the node's last? ─ yes ─► it is done
                                   │                                        └ no ─► run again
                                   └─ none in time ─► OutcomeUnknown: callers repeat, by id

The row that says so is written by the same transaction (`writers`), and not asked of the
transaction's number: a standby that was promoted may give the number a second time. To be
asked, the row is written once more and committed, so that a synchronous standby has it too.

The same is asked where somebody cancels a COMMIT that waits for the standby: the server then
answers that all is well, and says by a warning alone that the standby may lack it.

Decisions: D-durable, D-group-commit.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

import psycopg
import structlog
from psycopg.pq import TransactionStatus

from bars_gateway.errors import DatabaseAway, OutcomeUnknown, StoreError, StoreUnavailable
from bars_gateway.keyring import Vault
from bars_gateway.store import migrating
from bars_gateway.store.chain import chain_new, newest_line
from bars_gateway.store.groups import GroupEnd, WorkResult
from bars_gateway.store.postgresql import (
    Conflict,
    PostgresConnection,
    Raw,
    is_lost,
    say,
    schema_of,
    translated,
)
from bars_gateway.store.postgresql.prepared import prepared_of
from bars_gateway.store.postgresql.server import ServerSession

log = structlog.get_logger(__name__)
T = TypeVar("T")
Work = Callable[[PostgresConnection], T]
_Way = Callable[[PostgresConnection, Sequence[Work[Any]], int], Sequence[WorkResult]]
_WRITING = "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE turn IN EXCLUSIVE MODE"
_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
SPLIT_AFTER = 2  # conflicts of one group
GIVE_UP_AFTER = 5  # of one work by itself, or sessions that were lost under it
UNKNOWN_SECONDS = 10.0  # how long callers wait until it is known what came of a COMMIT
_ASKED_AGAIN_SECONDS = 0.2


class Writer:
    """Runs groups of works on the node's one session that writes."""

    def __init__(self, session: ServerSession, node: str, vault: Vault) -> None:
        self._session, self._node, self._vault = session, node, vault
        self._known: Raw | None = None  # the session whose database was seen to be the one we left
        self._last: frozenset[str] = frozenset()  # our last group, or either of two; none: not yet

    def transact(self, works: Sequence[Work[Any]]) -> GroupEnd:
        """Run *works* in one transaction, or in several where they conflict; tell their results."""
        began = time.monotonic()
        try:
            return self._together(works)
        except StoreError as error:
            return GroupEnd([WorkResult(error=error)] * len(works), time.monotonic() - began)

    def _together(self, works: Sequence[Work[Any]]) -> GroupEnd:
        for _ in range(SPLIT_AFTER if len(works) > 1 else GIVE_UP_AFTER - 1):
            with suppress(Conflict):
                return self._on_a_live_session(works)
        if len(works) == 1:
            return self._on_a_live_session(works)
        half = len(works) // 2
        ends = [self.transact(works[:half]), self.transact(works[half:])]
        flushes = [end.flush_seconds for end in ends if end.flush_seconds is not None]
        return GroupEnd(
            [result for end in ends for result in end.results],
            sum(end.seconds for end in ends),
            sum(flushes) if flushes else None,
            any(end.changed for end in ends),
        )

    def _on_a_live_session(self, works: Sequence[Work[Any]]) -> GroupEnd:
        """Run *works* once, and again where the session was lost before anything was committed."""
        for left in reversed(range(GIVE_UP_AFTER)):
            try:
                if len(works) > 1:
                    with suppress(_OneFailed):
                        return self._once(works, _run_together)
                return self._once(works, _run_each)
            except _NothingChanged as lost:
                if not left:
                    raise lost.error from None
        raise AssertionError  # pragma: no cover

    def _once(self, works: Sequence[Work[Any]], run: _Way) -> GroupEnd:
        """Let *run* run them, and commit; raise _OneFailed where one is to be undone alone."""
        began = time.monotonic()
        within = PostgresConnection(self._begun(), self._vault, gathers=True)
        try:
            before = newest_line(within)
            results = run(within, works, before)
        except (psycopg.Error, StoreError, _OneFailed) as error:
            self._undo(within.raw, translated(error))
        flushing = time.monotonic()
        self._commit(within)
        ended = time.monotonic()
        return GroupEnd(results, ended - began, ended - flushing, within.changed)

    def _begun(self) -> Raw:
        try:
            raw = self._session.begin(_WRITING)
            if raw is not self._known:
                self._require_what_we_left(raw)
                self._known = raw
        except psycopg.Error as error:  # somebody else has the turn, and keeps it
            self._session.drop()
            raise _away(translated(error)) from error
        return raw

    def _require_what_we_left(self, raw: Raw) -> None:
        """Raise DatabaseAway where it is another database, an older copy, or a later release's."""
        if schema_of(raw) > migrating.newest(migrating.POSTGRESQL):
            self._session.drop()
            raise DatabaseAway(
                "a later release has changed the schema of the database meanwhile: install that"
                " release here as well, and start the gateway again"
            )
        if self._last and _last_group(raw, self._node) not in self._last:
            self._session.drop()
            raise DatabaseAway(
                "the database lacks what this gateway stored in it last: it is another one, or an"
                " older copy, or was used by another gateway of this node's name. Put the right one"
                " back; or, if it is the right one, stop the gateway, run `bars-gateway restore`,"
                " and start it"
            )

    def _undo(self, raw: Raw, error: Exception) -> None:
        """Roll back and raise *error*: as one that has changed nothing, if the session is lost."""
        if is_lost(raw):
            self._session.drop()
            raise _NothingChanged(error) from error
        prepared_of(raw).forget()
        with suppress(psycopg.Error):
            say(raw, "ROLLBACK")
        raise error

    def _commit(self, within: PostgresConnection) -> None:
        raw, group = within.raw, secrets.token_hex(8)
        try:
            if within.changed:
                within.put("note_group", node=self._node, group=group)
            within.settle()
        except StoreError as error:
            self._undo(raw, error)
        try:
            _committed(raw)
        except psycopg.Error as error:
            if not is_lost(raw) or raw.info.transaction_status == TransactionStatus.IDLE:
                raise translated(error) from error  # refused: what COMMIT cannot do is undone
            self._session.drop()
            if not within.changed:
                raise _NothingChanged(translated(error)) from error
            self._require_committed(group, translated(error))
        except _StandbyLacksIt as error:
            log.warning("store.commit_cancelled")
            self._require_committed(group, error)
        if within.changed:
            self._last = frozenset({group})

    def _require_committed(self, group: str, error: Exception) -> None:
        """Raise _NothingChanged with *error* where *group*, whose end nobody saw, is not stored."""
        before, self._last = self._last, self._last and self._last | {group}
        if not self._was_committed(group):
            self._last = before
            raise _NothingChanged(error) from error

    def _was_committed(self, group: str) -> bool:
        """Return whether *group* is stored, once the server can say so; or raise OutcomeUnknown."""
        until = time.monotonic() + UNKNOWN_SECONDS
        while True:
            try:
                return self._last_committed() == group
            except (psycopg.Error, StoreError, _StandbyLacksIt) as error:
                self._session.drop()
                if time.monotonic() > until:
                    reason = str(translated(error))
                    raise OutcomeUnknown(
                        f"whether it was stored will be known once it is asked for: {reason}"
                    ) from None
                time.sleep(_ASKED_AGAIN_SECONDS)

    def _last_committed(self) -> str:
        raw = self._begun()
        last = _last_group(raw, self._node)
        prepared_of(raw).ask("note_group", {"node": self._node, "group": last})
        _committed(raw)
        return last


def _committed(raw: Raw) -> None:
    """Commit; raise psycopg's errors, or _StandbyLacksIt where the server warns of anything."""
    heard: list[str | None] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        heard.append(notice.severity_nonlocalized)  # nothing is in it any more afterwards

    raw.add_notice_handler(hear)
    try:
        say(raw, "COMMIT")
    finally:
        raw.remove_notice_handler(hear)
    if "WARNING" in heard:
        raise _StandbyLacksIt


def _last_group(raw: Raw, node: str) -> str:
    found = prepared_of(raw).ask("last_group", {"node": node}).rows()
    return str(found[0]["last_group"]) if found else ""


def _away(error: Exception) -> Exception:
    """Return *error*, which lets no transaction begin, as the StoreUnavailable that it is."""
    if isinstance(error, StoreUnavailable):
        return error
    return DatabaseAway(f"the database is not as this gateway left it: {error}")


class _OneFailed(Exception):  # no error: the group runs once more
    """A work raised that was not alone: which of the others it has undone nobody knows."""


class _StandbyLacksIt(Exception):
    """It is committed, but somebody has cancelled the wait for the standby."""

    def __str__(self) -> str:
        return "the wait for the database server's standby was cancelled"


class _NothingChanged(Exception):
    """The session was lost before anything was committed."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _run_together(
    within: PostgresConnection, works: Sequence[Work[Any]], before: int
) -> Sequence[WorkResult]:
    """Run them without savepoints: few fail, and each savepoint is asked for twice."""
    try:
        results = [WorkResult(value=_sound(within, work)) for work in works]
        chain_new(within, before)
    except Exception as error:  # unit of work
        _raise_for_everybody(within.raw, error)
        raise _OneFailed from error
    return results


def _run_each(
    within: PostgresConnection, works: Sequence[Work[Any]], before: int
) -> Sequence[WorkResult]:
    """Run them one by one; the caller of one that raises gets that, and the others are stored."""
    results = [_run_first(within, works[0]), *(_run_one(within, work) for work in works[1:])]
    chain_new(within, before)
    return results


def _run_first(within: PostgresConnection, work: Work[Any]) -> WorkResult:
    """Run the work that begins the transaction; to undo it alone is to begin that again."""
    try:
        return WorkResult(value=_settled(within, work))
    except Exception as error:  # unit of work
        _raise_for_everybody(within.raw, error)
        within.forget()
        within.say("ROLLBACK")
        within.say(_WRITING)
        return WorkResult(error=translated(error))


def _run_one(within: PostgresConnection, work: Work[Any]) -> WorkResult:
    """Run one of the others; to undo it alone there is a savepoint before it."""
    try:
        with within.savepoint():
            return WorkResult(value=_settled(within, work))
    except Exception as error:  # unit of work
        _raise_for_everybody(within.raw, error)
        return WorkResult(error=translated(error))


def _sound(within: PostgresConnection, work: Work[T]) -> T:
    """Return what *work* returns, unless a statement of it failed and it went on all the same."""
    value = work(within)
    if within.raw.info.transaction_status == TransactionStatus.INERROR:
        raise StoreError("a statement failed, and its work went on without a savepoint")
    return value


def _settled(within: PostgresConnection, work: Work[T]) -> T:
    """Return what *work* returns, once all that it put has run."""
    value = _sound(within, work)
    within.settle()
    return value


def _raise_for_everybody(raw: Raw, error: Exception) -> None:
    """Raise *error* where it is no fault of one work: a conflict, or a session that was lost."""
    if isinstance(error, Conflict) or is_lost(raw):
        raise (
            translated(error)
            if isinstance(error, (psycopg.Error, StoreError))
            else DatabaseAway("the session with the database server was lost")
        ) from error


class Reader:
    """Runs works that change nothing, each on a snapshot of its own."""

    def __init__(self, session: ServerSession, vault: Vault) -> None:
        self._session, self._vault = session, vault

    def read(self, work: Work[T]) -> T:
        """Return what *work* returns; raise StoreError where the server says no."""
        try:
            raw = self._session.begin(_READING)
        except psycopg.Error as error:
            self._session.drop()
            raise translated(error) from None
        try:
            with ExitStack() as unless_read:
                unless_read.callback(self._end, raw)
                value = work(PostgresConnection(raw, self._vault))
                say(raw, "COMMIT")
                unless_read.pop_all()
        except (psycopg.Error, StopIteration) as error:
            raise translated(error) from None
        return value

    def _end(self, raw: Raw) -> None:
        try:
            say(raw, "ROLLBACK")
        except psycopg.Error:
            self._session.drop()
