"""Rows to values and back: instants, payloads, and the values of the model."""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, overload

import zstandard

from bars_gateway.errors import PayloadDamaged
from bars_gateway.keyring import Vault
from bars_gateway.model.messages import Attempt, NoticeKind, Payload, Word
from bars_gateway.model.questions import Question
from bars_gateway.model.readings import Event, Link, MessageRow, Notice, WorkflowRow
from bars_gateway.standard.answers import Minted
from bars_gateway.standard.findings import ReadProgress
from bars_gateway.standard.links import TIES, By
from bars_gateway.standard.meaning import Reason, Said
from bars_gateway.standard.remarks import CaseWord, Remark
from bars_gateway.standard.verdict import FaultSide, Verdict
from bars_gateway.standard.workflow import Move, RequestType, State
from bars_gateway.store.connection import Row

_COMPRESS_FROM = 512  # bytes: below it, zstd saves nothing
_ENCRYPTED = "encrypted"  # its content begins with the encoding that it had before
_WITHIN = {"identity": b"i", "zstd": b"z"}
# What is encrypted is bound to its table, and to columns of its row that never change, not even in
# a restore: a message's bytes to its number and to which part of it they are.
_NAMED_BY: Mapping[str, Sequence[str]] = {
    "payloads": ("message_id", "part"),
    "quarantine": ("provider", "request_id", "fingerprint"),
    "questions": ("provider", "request_id", "fingerprint"),
    "ledger": ("provider", "request_id"),
}


class _Zstd(threading.local):
    """What packs and unpacks: dear to make, and of one thread at a time."""

    def __init__(self) -> None:
        self.packer = zstandard.ZstdCompressor(level=1, write_checksum=True)
        self.unpacker = zstandard.ZstdDecompressor()


_ZSTD = _Zstd()


@overload
def text(at: datetime) -> str: ...
@overload
def text(at: None) -> None: ...
def text(at: datetime | None) -> str | None:
    """Return an instant as it is stored: UTC, milliseconds, `Z`."""
    if at is None:
        return None
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


@overload
def instant(stored: str) -> datetime: ...
@overload
def instant(stored: None) -> None: ...
def instant(stored: str | None) -> datetime | None:
    """Return a stored instant, aware and in UTC."""
    return None if stored is None else datetime.fromisoformat(stored)


def hour_of(at: datetime) -> str:
    """Return the hour that *at* is in, as it begins what is stored."""
    return text(at)[:13]


def place_of(table: str, row: Row | Mapping[str, Any]) -> tuple[object, ...]:
    """Return where what is encrypted in *row* of *table* belongs, and nowhere else."""
    return (table, *(row[name] for name in _NAMED_BY[table]))


def packed(
    payload: Payload, vault: Vault, table: str, row: Mapping[str, object]
) -> dict[str, object]:
    """Return the columns of a payload in that *row*: large ones compressed, then encrypted."""
    body, encoding = payload.body, "identity"
    headers = json.dumps(dict(payload.headers))
    if len(body) >= _COMPRESS_FROM:
        body, encoding = _ZSTD.packer.compress(body), "zstd"
    body, encoding = encrypted(body, encoding, vault, place_of(table, row))
    return {
        "media_type": payload.media_type,
        "headers": headers,
        "encoding": encoding,
        "body": body,
        "digest": digest_of(payload.media_type, headers, payload.body),
    }


def encrypted(
    body: bytes, encoding: str, vault: Vault, place: tuple[object, ...]
) -> tuple[bytes, str]:
    """Return what is stored of *body*, and its encoding then: encrypted where there is a key."""
    if vault.key_id is None:
        return body, encoding
    return vault.encrypt(_WITHIN[encoding] + body, *place), _ENCRYPTED


def decrypted(
    body: bytes, encoding: str, vault: Vault, place: tuple[object, ...]
) -> tuple[bytes, str]:
    """Return what `encrypted` was given; raise PayloadDamaged."""
    if encoding != _ENCRYPTED:
        return body, encoding
    opened = vault.open(body, *place)
    found = next((name for name, mark in _WITHIN.items() if opened[:1] == mark), None)
    if found is None or opened == body:
        raise PayloadDamaged("it is marked as encrypted, and is not")
    return opened[1:], found


def digest_of(media_type: str, headers: str, body: bytes) -> str:
    """Return what tells a payload, as it was on the wire, from one that a disk has spoilt."""
    return hashlib.sha256(f"{media_type}\n{headers}\n".encode() + body).hexdigest()


def written(word: Word | None) -> dict[str, str | None]:
    """Return the columns of what a response says; empty for what is none."""
    return {
        "says": word.says if word else None,
        "reason_code": word.reason_code if word else None,
        "said_at": text(word.said_at) if word else None,
        "sent_at": text(word.sent_at) if word else None,
    }


def unpacked(row: Row | Mapping[str, Any], vault: Vault, table: str) -> bytes:
    """Return a body as it was on the wire, or raise PayloadDamaged."""
    place = place_of(table, row)
    body, encoding = decrypted(bytes(row["body"]), row["encoding"], vault, place)
    if encoding != "zstd":
        return body
    try:
        return _ZSTD.unpacker.decompress(body)
    except (zstandard.ZstdError, ValueError, MemoryError):
        raise PayloadDamaged("the stored bytes of a message cannot be read") from None


def payload_of(row: Row | Mapping[str, Any], vault: Vault, table: str = "payloads") -> Payload:
    """Return the payload with the very bytes that were on the wire, or raise PayloadDamaged."""
    media_type, headers = row["media_type"], row["headers"]
    body = unpacked(row, vault, table)
    try:
        found = Payload(media_type=media_type, headers=json.loads(headers), body=body)
    except ValueError:
        raise PayloadDamaged("the stored bytes of a message cannot be read") from None
    if "digest" in row.keys() and row["digest"] != digest_of(media_type, headers, body):  # noqa: SIM118
        raise PayloadDamaged("the stored bytes of a message are not those that were stored")
    return found


def message_of(row: Row) -> MessageRow:
    """Return a message without its payload, and without what else has been said in its case."""
    return MessageRow(
        message_id=row["id"],
        workflow_id=row["workflow_id"],
        provider=row["provider"],
        direction=row["direction"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        bundle_id=row["bundle_id"],
        move=Move(row["move"]),
        request_type=RequestType(row["request_type"]),
        use_case=row["use_case"],
        sender=row["sender"],
        receiver=row["receiver"],
        state=row["state"],
        attempts=row["attempts"],
        next_attempt_at=instant(row["goes_at"]),
        give_up_at=instant(row["give_up_at"]),
        answer_due_at=instant(row["owed_at"]),
        created_at=instant(row["created_at"]),
        settled_at=instant(row["settled_at"]),
        says=Said(row["says"]) if row["says"] else None,
        reason_code=Reason(row["reason_code"]) if row["reason_code"] else None,
        target_unchecked=row["target_unchecked"],
        remarks=[Remark(word) for word in (row["remarks"] or "").split()],
        stands=State(row["stands"]),
        newest=Said(row["newest_says"]) if row["newest_says"] else None,
        newest_plan=Remark(row["newest_plan"]) if row["newest_plan"] else None,
        reading=ReadProgress(row["reading"]) if row["reading"] else None,
        shown=row["shown"],
        reconciled=row["reconciled"],
        claimed_until=instant(row["claimed_until"]),
        needed_by=instant(row["needed_by"]),
        late_from=instant(row["late_from"]),
        warned_from=instant(row["warned_from"]),
        alarmed=bool(row["alarmed"]),
    )


def word_of(row: Row) -> CaseWord:
    """Return a message as a word of its case."""
    return CaseWord(
        number=row["id"],
        ours=row["direction"] == "outbound",
        move=Move(row["move"]),
        says=Said(row["says"]) if row["says"] else None,
        written=_written(row),
        state=row["state"],
        attempts=row["attempts"],
        restored=bool(row["restored"]),
        of_another=bool(row["of_another"]),
        shows_end=bool(row["shows_end"]),
    )


def _written(row: Row) -> tuple[datetime, datetime] | None:
    """Return when a response was written; None: it is none, or a disk has spoilt its stamps."""
    try:
        return (instant(row["said_at"]), instant(row["sent_at"])) if row["said_at"] else None
    except ValueError:
        return None


def link_of(row: Row) -> Link:
    """Return a link as one of its two workflows sees it."""
    by = By(row["by"])
    return Link(
        relation=TIES[by].there if row["from_here"] else TIES[by].back,
        by=by,
        workflow_id=row["id"],
        request_type=RequestType(row["request_type"]),
        role=row["role"],
        state=State(row["state"]),
        focus_id=row["focus_id"],
        may_be_there=bool(row["may_be_there"]),
        followed=bool(row["followed"]),
    )


def workflow_of(row: Row, links: Sequence[Link]) -> WorkflowRow:
    """Return a workflow."""
    return WorkflowRow(
        workflow_id=row["id"],
        provider=row["provider"],
        correlation_id=row["correlation_id"],
        counterparty=row["counterparty"],
        role=row["role"],
        request_type=RequestType(row["request_type"]),
        use_case=row["use_case"],
        state=State(row["state"]),
        opened_at=instant(row["opened_at"]),
        closed_at=instant(row["closed_at"]),
        answer_due_at=instant(row["answer_due_at"]),
        told_status=row["told_status"],
        links=links,
    )


def attempt_of(row: Row) -> Attempt:
    """Return an attempt."""
    return Attempt(
        number=row["number"],
        started_at=instant(row["started_at"]),
        ended_at=instant(row["ended_at"]),
        verdict=Verdict(row["verdict"]),
        row=row["verdict_row"],
        fault=FaultSide(row["fault"]) if row["fault"] else None,
        http_status=row["http_status"],
        code=row["code"],
        issue=row["issue"],
        ids_echoed=bool(row["ids_echoed"]),
        table_version=row["table_version"],
    )


def event_of(row: Row) -> Event:
    """Return a line of the audit trail."""
    return Event(
        at=instant(row["at"]),
        provider=row["provider"],
        kind=row["kind"],
        request_id=row["request_id"],
        detail=row["detail"],
    )


def notice_of(row: Row, message: Row, links: Sequence[Link]) -> Notice:
    """Return a notice with what it is about."""
    return Notice(
        notice_id=row["id"],
        kind=NoticeKind(row["kind"]),
        provider=row["provider"],
        created_at=instant(row["created_at"]),
        collected_at=instant(row["collected_at"]),
        message_id=row["message_id"],
        workflow_id=message["workflow_id"],
        direction=message["direction"],
        request_id=message["request_id"],
        correlation_id=message["correlation_id"],
        bundle_id=message["bundle_id"],
        move=Move(message["move"]),
        request_type=RequestType(message["request_type"]),
        use_case=message["use_case"],
        sender=message["sender"],
        receiver=message["receiver"],
        state=message["state"],
        attempts=message["attempts"],
        give_up_at=instant(message["give_up_at"]),
        answer_due_at=instant(message["answer_due_at"]),
        reference=message["reference"],
        **{name: message[name] for name in ("http_status", "code", "issue", "fault")},
        media_type=message["media_type"] or "",
        fingerprint=message["fingerprint"],
        answer_media_type=message["answer_media_type"],
        says=Said(message["says"]) if message["says"] else None,
        reason_code=Reason(message["reason_code"]) if message["reason_code"] else None,
        resend_of=message["resend_of"],
        reconciled=None if message["reconciliation"] == "wanted" else message["reconciliation"],
        focus_id=message["focus_id"],
        shown=message["shown"],
        remarks=[Remark(word) for word in row["remarks"].split()],
        stands=State(message["stands"]),
        warned_from=instant(message["warned_from"]),
        links=links,
    )


def question_of(row: Row, vault: Vault) -> Question:
    """Return the question in *row*."""
    about = json.loads(vault.open_text(row["about"], *place_of("questions", row), "about"))
    minted = about.pop("minted", None)
    about.pop("ties", None)
    return Question(
        question_id=row["id"],
        provider=row["provider"],
        operation=row["operation"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        about=about,
        minted=None if minted is None else Minted(**minted),
        asked_at=instant(row["asked_at"]),
        answer_by=instant(row["answer_by"]),
        decided_at=instant(row["decided_at"]),
        accepted=None if row["accepted"] is None else bool(row["accepted"]),
        http_status=row["http_status"],
        request=None if row["body"] is None else payload_of(row, vault, "questions"),
    )
