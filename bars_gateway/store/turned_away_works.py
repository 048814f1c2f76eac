"""
Cancellations that nobody here could be asked about: each function is one work, or part of one.

    cancel, and no EPR is asked (501) or there (503) ─turn_away─► notice + alarm, on its workflow
    the same cancel comes to the EPR after all ────────asked────► the alarm is settled

The Sender is told no, or to try again, and may give up: then what it no longer wants goes on
here, and nobody knows. So the EPR and the page are told that it tried; by ids alone, for the
message itself was not taken. Once for a workflow: a Sender's retries under one X-Request-Id are
one attempt, and only another cancellation is told anew.

Decisions: D-turned-away.
"""

import json
from datetime import datetime

from bars_gateway.standard.workflow import Move, State
from bars_gateway.store.connection import Connection
from bars_gateway.store.guard_works import mixed_up
from bars_gateway.store.inbound_works import add_event, changed_workflow
from bars_gateway.store.statements import add_message_event, notify
from bars_gateway.store.values import Arrival, NoticeKind

TURNED_AWAY = "cancel.turned_away"
ASKED = "cancel.asked"


def turn_away(connection: Connection, arrival: Arrival, now: datetime) -> None:
    """Tell EPR and operator of a cancellation that cannot be put to anybody."""
    workflow = changed_workflow(connection, arrival)
    if workflow is None or mixed_up(connection, arrival, workflow["id"]):
        _tell_of_unknown(connection, arrival, now)
    elif workflow["state"] != State.CANCELLED:
        _tell_of(connection, arrival, workflow["id"], now)


def _tell_of_unknown(connection: Connection, arrival: Arrival, now: datetime) -> None:
    """Raise the alarm alone: there is nothing here that a notice could be about."""
    values = {"provider": arrival.provider, "request_id": arrival.request_id}
    if connection.one("alarm_named", kind=TURNED_AWAY, **values) is None:
        add_event(connection, arrival, TURNED_AWAY, now)


def _tell_of(connection: Connection, arrival: Arrival, workflow_id: int, now: datetime) -> None:
    request = connection.one("request_of", id=workflow_id)
    assert request is not None
    detail = {"cancel": arrival.request_id}
    told = {"message_id": request["id"], "kind": TURNED_AWAY, "detail": json.dumps(detail)}
    if connection.one("event_told", **told):
        return
    about = (request["provider"], request["id"], request["request_id"])
    add_message_event(connection, about, TURNED_AWAY, now, detail)
    kind = NoticeKind.CANCEL_TURNED_AWAY
    if connection.one("notice_waiting", message_id=request["id"], kind=kind) is None:
        notify(connection, kind, request, now)


def asked(connection: Connection, arrival: Arrival, now: datetime) -> None:
    """Settle the alarm where the EPR is now asked about the cancellation of its workflow."""
    workflow = changed_workflow(connection, arrival) if arrival.move is Move.CANCEL else None
    if workflow is None:
        return
    values = {"kind": TURNED_AWAY, "workflow_id": workflow["id"]}
    if connection.one("alarm_standing", **values) is None:
        return
    request = connection.one("request_of", id=workflow["id"])
    assert request is not None
    about = (request["provider"], request["id"], request["request_id"])
    add_message_event(connection, about, ASKED, now, {"cancel": arrival.request_id})
