"""
What is known of one message, read in one moment for its explanation; by any id that people have.

    X-Request-Id │ Bundle.id │ number ──explained──► Case of each ──► model.explanation
                                        └── none ──elsewhere──► where else that id was met
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.model.explanation import Ahead, Case, Explanation, Stall, explain
from bars_gateway.model.interventions import Candidate, Verb
from bars_gateway.model.messages import OutboundState
from bars_gateway.model.numbers import number_in
from bars_gateway.model.readings import MessageRow, Notice
from bars_gateway.store.alarms import alarm_of
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.interventions import candidate_for
from bars_gateway.store.pacing import EGRESS, settings_of, token_service_of
from bars_gateway.store.quarantine import attachable
from bars_gateway.store.readings import history_of
from bars_gateway.store.records import links
from bars_gateway.store.rows import instant, notice_of
from bars_gateway.store.work import Noun, reads

LISTED = 20  # messages of one id


class Where(StrEnum):
    """Where an id was met that is of no message here."""

    QUARANTINE = "quarantine"  # a response that belongs to no workflow yet
    REFUSED = "refused"  # what came under it broke a rule, and the Sender was told
    ASKED = "asked"  # the EPR is asked about it, and has not answered


@frozen(kw_only=True)
class Elsewhere:
    """What is known of an X-Request-Id that no message here has."""

    where: Where
    provider: str
    request_id: str
    at: datetime
    number: int | None = None  # of the quarantined response, or of the question
    http_status: int | None = None  # what a refusal was answered with


class Explanations(Noun):
    """How messages stand, in words."""

    @reads
    def explained(self, connection: Connection, name: str, now: datetime) -> list[Explanation]:
        """Return how each message stands, of whichever provider, that *name* names."""
        return explained(connection, None, name, now)


def explained(
    connection: Connection, provider: str | None, name: str, now: datetime
) -> list[Explanation]:
    """Return how each message stands that *name* is X-Request-Id, Bundle.id or number of."""
    return [explain(case) for case in cases_called(connection, provider, name, now)]


def cases_called(
    connection: Connection, provider: str | None, name: str, now: datetime
) -> list[Case]:
    """Return what is known of each message that *name* is an id or the number of."""
    values = {"provider": provider, "name": name, "number": number_in(name) or 0}
    found = connection.rows("messages_called", limit=LISTED, **values)
    return [case_of(connection, row, now) for row in found]


def elsewhere(connection: Connection, providers: Sequence[str], request_id: str) -> list[Elsewhere]:
    """Return where that X-Request-Id was met that is of no message of *providers*."""
    return [
        place
        for provider in providers
        for name in dict.fromkeys((request_id, request_id.lower()))
        for place in _met(connection, provider, name)
    ]


def _met(connection: Connection, provider: str, request_id: str) -> list[Elsewhere]:
    values = {"provider": provider, "request_id": request_id}
    found = [
        Elsewhere(
            where=Where.QUARANTINE,
            provider=provider,
            request_id=request_id,
            at=instant(row["created_at"]),
            number=row["id"],
        )
        for row in connection.rows("quarantine_called", **values)
    ]
    entry = connection.one("ledger_called", **values)
    if entry is None or found:  # what is quarantined was refused with 404
        return found
    refused = entry["state"] == "refused"
    return [
        Elsewhere(
            where=Where.REFUSED if refused else Where.ASKED,
            provider=provider,
            request_id=request_id,
            at=instant(entry["created_at"]),
            number=entry["question_id"],
            http_status=entry["http_status"],
        )
    ]


def case_of(connection: Connection, row: Row, now: datetime) -> Case:
    """Return what is known of the message in *row*."""
    history = history_of(connection, row)
    message = history.message
    stall, since = _stall(connection, message)
    return Case(
        at=now,
        history=history,
        notices=notices_of(connection, row),
        verbs=_verbs(connection, row, now),
        alarms=[
            alarm_of(connection, alarm)
            for alarm in connection.rows(
                "alarms_about", message_id=message.message_id, workflow_id=message.workflow_id
            )
        ],
        quarantined=attachable(
            connection,
            message.provider,
            message.correlation_id,
            message.bundle_id,
            message.workflow_id,
        ),
        ahead=_ahead(connection, message),
        stall=stall,
        stalled_since=since,
    )


def notices_of(connection: Connection, row: Row) -> list[Notice]:
    """Return what the EPR was told of the message in *row*, oldest first."""
    about = connection.one("notice_message", message_id=row["id"])
    assert about is not None
    tied = links(connection, row["workflow_id"])
    found = connection.rows("notices_of", message_id=row["id"])
    return [notice_of(notice, about, tied) for notice in found]


def _verbs(connection: Connection, row: Row, now: datetime) -> Mapping[Verb, Candidate]:
    if row["direction"] == "inbound":
        return {}
    return {verb: candidate_for(connection, row, verb, now) for verb in Verb}


def _ahead(connection: Connection, message: MessageRow) -> Ahead | None:
    if message.state != OutboundState.QUEUED:
        return None
    row = connection.one("message_ahead", id=message.message_id)
    if row is None:
        return None
    return Ahead(message_id=row["id"], request_id=row["request_id"], state=row["state"])


def _stall(connection: Connection, message: MessageRow) -> tuple[Stall | None, datetime | None]:
    """Return what keeps anything from going out that could, the most severe first."""
    known = {row["name"]: instant(row["since"]) for row in connection.rows("breaks")}
    for name, stall in (
        (settings_of(message.provider), Stall.SETTINGS),
        (EGRESS, Stall.EGRESS),
        (token_service_of(message.provider), Stall.TOKEN),
        (message.provider, Stall.KEPT_OUT),
        (message.receiver, Stall.RECEIVER),
    ):
        if name in known:
            return stall, known[name]
    return None, None
