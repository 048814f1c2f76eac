"""
Finds what is held about one person, by their NHS number, which stands nowhere but in payloads.

    number ──HMAC, with each key of the ring──► subjects ─► messages, questions, quarantine
    number ──in every payload that is kept────────────────► the same, without keys and an index

Whether the number stands in an identifier of a patient, or somewhere else in the text, is read from
what is kept: a letter may name a mother, and a number of another kind may look like one.

Decisions: D-subject-hash.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Protocol, TypeVar

from bars_gateway.errors import PayloadDamaged
from bars_gateway.model.messages import Payload
from bars_gateway.model.readings import SubjectHeld
from bars_gateway.standard.bundle import MalformedBundle
from bars_gateway.standard.nhs_numbers import MANY, names
from bars_gateway.standard.patients import numbered_in
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.records import read_payload
from bars_gateway.store.rows import instant, payload_of

T = TypeVar("T")
STEP = 200  # payloads that are looked through in one look


class NamedAs(StrEnum):
    """Where the number stands in what is kept."""

    PATIENT = "patient"  # in an identifier: it is about them
    TEXT = "text"  # elsewhere in it
    UNKNOWN = "unknown"  # nothing is kept of it, or it cannot be read: it was there when it came


_TABLES = {"message": "payloads", "question": "questions", "quarantine": "quarantine"}


def held(connection: Connection, number: str) -> list[SubjectHeld]:
    """Return what the index has of that person, the oldest first."""
    vault = connection.vault
    hashes, lists = vault.every_hash_of(number), vault.every_hash_of(MANY)
    found = []
    for row in connection.rows("subject_held", hashes=json.dumps([*hashes, *lists])):
        one = _held(connection, row, number)
        # A list of people is everybody's in the index, and theirs only if it names them.
        if one is not None and (row["hash"] in hashes or one.named != NamedAs.UNKNOWN):
            found.append(one)
    return _once(found)


def _once(found: Sequence[SubjectHeld]) -> list[SubjectHeld]:
    return list({(each.kind, each.number): each for each in found}.values())


class Ask(Protocol):
    """Runs a work on a snapshot of its own."""

    def __call__(self, work: Callable[[Connection], T], /) -> T:
        """Return what *work* returns."""


def walk(ask: Ask, number: str) -> Iterator[SubjectHeld]:
    """Yield what names that person, found by reading every payload that is kept, in small looks."""
    for kind, start in _BEFORE.items():
        keys: Mapping[str, object] | None = start
        found: dict[int, SubjectHeld] = {}
        while keys is not None:
            more, keys = ask(partial(_look, kind, keys, number))
            found |= {each.number: each for each in more}
        yield from found.values()


_BEFORE: Mapping[str, Mapping[str, object]] = {
    "message": {"message_id": 0, "part": ""},
    "question": {"id": 0},
    "quarantine": {"id": 0},
}


def _look(
    kind: str, keys: Mapping[str, object], number: str, connection: Connection
) -> tuple[Sequence[SubjectHeld], Mapping[str, object] | None]:
    """Return what names that person in the next payloads, and the key of the last; None: none."""
    rows = connection.rows(_BEYOND[kind], limit=STEP, **keys)
    if not rows:
        return [], None
    found = []
    for row in rows:
        key = row["message_id" if kind == "message" else "id"]
        about = None
        if row["body"] is not None and _stands_in(connection, kind, row, number):
            about = connection.one("subject_by_number", kind=kind, number=key)
        found += [] if about is None else [_held(connection, about, number)]
    return found, {name: rows[-1][name] for name in keys}


_BEYOND = {
    "message": "payloads_beyond",
    "question": "questions_beyond",
    "quarantine": "quarantine_beyond",
}


def _stands_in(connection: Connection, kind: str, row: Row, number: str) -> bool:
    try:
        return names(number, payload_of(row, connection.vault, _TABLES[kind]).body)
    except PayloadDamaged:
        return False


def _held(connection: Connection, row: Row, number: str) -> SubjectHeld:
    kept = connection.rows("subject_kept", kind=row["kind"], number=row["number"])
    return SubjectHeld(
        kind=row["kind"],
        number=row["number"],
        named=_named(connection, row["kind"], kept, number),
        provider=row["provider"],
        direction=row["direction"],
        counterparty=row["counterparty"],
        use_case=row["use_case"],
        move=row["move"],
        state=row["state"],
        request_id=row["request_id"],
        bundle_id=row["bundle_id"],
        workflow_id=row["workflow_id"],
        workflow_state=row["workflow_state"],
        at=_at(row["at"]),
        kept=[each["part"] for each in kept],
        notices=json.loads(row["notices"]),
    )


def _at(stored: str) -> datetime:
    at = instant(stored)
    assert at is not None
    return at


def _named(connection: Connection, kind: str, kept: Sequence[Row], number: str) -> NamedAs:
    found = {_named_in(connection, kind, row, number) for row in kept}
    return next((each for each in NamedAs if each in found), NamedAs.UNKNOWN)


def _named_in(connection: Connection, kind: str, row: Row, number: str) -> NamedAs:
    try:
        payload = payload_of(row, connection.vault, _TABLES[kind])
    except PayloadDamaged:
        return NamedAs.UNKNOWN
    if not names(number, payload.body):
        return NamedAs.UNKNOWN
    return NamedAs.PATIENT if number in _patients(payload) else NamedAs.TEXT


def _patients(payload: Payload) -> set[str]:
    try:
        tree = read_payload(payload).root
    except MalformedBundle:
        return set()
    return {number for who in numbered_in(tree) for number in who.nhs_numbers}
