"""
Reads a response beside the request that it answers: asked in the transaction that takes it.

    wording + request, its answer, updates ──► whose Encounter is whose ──► Reading
            + what was said before ──────────► Word, and whether it is the newest

The Requester's Encounter is looked for in the Bundles of the workflow, oldest first, and no
further than is needed. Bytes that are kept no more, or that the disk has spoilt, tell nothing:
what then cannot be told apart is unclear.

A stamp that is kept and lies ahead of now is as little use as one that came so: our own clock was
ahead, too, and has been set right since. What bears it is put where it came, once and for all:
else what comes for an hour would be older, and nobody would hear of a stand-down.

Decisions: D-newest-holds.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from bars_gateway.errors import PayloadDamaged
from bars_gateway.model.messages import Word
from bars_gateway.standard.bundle import MalformedBundle
from bars_gateway.standard.meaning import (
    Place,
    Reading,
    Said,
    Spoken,
    Wording,
    is_ahead,
    ordered_as,
    ours_in,
    placed,
    read_alone,
    read_as,
)
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.opening_request import read_payload
from bars_gateway.store.rows import instant, payload_of, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A response as it was read, and where it stands among those of its workflow."""

    reading: Reading
    word: Word
    newest: bool  # nothing that was said later came before it
    clock_ahead: bool  # it is stamped later than it came, or one before it is ahead of now
    before: Said | None  # the newest word that came before it


def hear(
    connection: Connection,
    workflow: Row | None,
    wording: Wording,
    came_at: datetime,
    now: datetime,
    *,
    is_ours: bool = False,
) -> Heard:
    """
    Return what the response says, by what was asked and said before in its workflow.

    *is_ours*: our own EPR writes it. Where its request came before this gateway was there, it
    knows which Encounter is its own, and its focus is trusted.
    """
    read = partial(read_alone, wording)
    if workflow is not None:
        ours = requesters_encounter(connection, workflow["id"], wording)
        if ours or not is_ours:
            read = partial(read_as, wording, ours, use_case=workflow["use_case"])
    at = read().at
    said_at, sent_at = ordered_as(at, came_at), ordered_as(wording.sent_at, came_at)
    said, doubted = _said(connection, workflow, (said_at, sent_at), now)
    place = _place(said, said_at, sent_at)
    reading = read(before=place.follows)
    return Heard(
        reading=reading,
        word=Word(
            says=reading.said,
            reason_code=reading.reason_code,
            status=reading.status,
            said_at=said_at,
            sent_at=sent_at,
        ),
        newest=place.newest,
        clock_ahead=doubted or is_ahead(at, came_at),
        before=Said(said[0]["says"]) if said else None,
    )


def _said(
    connection: Connection, workflow: Row | None, key: tuple[datetime, datetime], now: datetime
) -> tuple[list[Row], bool]:
    """Return what was said before, the newest first, and whether any stamp of it is doubted now."""
    if workflow is None:
        return [], False
    said = connection.rows("words_said", id=workflow["id"])
    ahead = [row["id"] for row in said if is_ahead(instant(row["said_at"]), now)]
    for word in ahead:
        before = [row for row in said if row["id"] < word and row["id"] not in ahead]
        at = (before[0]["said_at"], before[0]["sent_at"]) if before else map(text, key)
        connection.run("doubt_word", id=word, **dict(zip(("said_at", "sent_at"), at, strict=True)))
    return (connection.rows("words_said", id=workflow["id"]) if ahead else said), bool(ahead)


def _place(said: list[Row], said_at: datetime, sent_at: datetime) -> Place:
    """Return where a word stands among what was *said*: with the stamps as they are kept."""
    if not said:
        return Place(newest=True, follows=None)
    so_far = [
        Spoken(
            says=Said(row["says"]),
            said_at=instant(row["said_at"]),
            sent_at=instant(row["sent_at"]),
            came_at=instant(row["created_at"]),
        )
        for row in said
    ]
    asked_at = instant(said[0]["opened_at"])
    return placed(so_far, instant(text(said_at)), instant(text(sent_at)), asked_at)


def requesters_encounter(
    connection: Connection, workflow_id: int, wording: Wording
) -> frozenset[str]:
    """Return what the Requester's Encounter is known by, as far as it takes to tell it apart."""
    found: frozenset[str] = frozenset()
    for row in connection.rows("asked_for", id=workflow_id):
        try:
            found = ours_in(read_payload(payload_of(row)), found)
        except (MalformedBundle, PayloadDamaged):
            continue
        if wording.tells_apart(found):
            break
    return found
