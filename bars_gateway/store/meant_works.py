"""
Which of our requests a change is about, where the Receiver's id that it names is another patient's.

    its patient is that of the workflow with the id ──────────────────► that one
    another's ─► open ones there, of that patient, without a known id ─┬─ one ─────► that one
                                                                       ├─ several ─► refused
                                                                       └─ none ────► the guard

A Receiver that gives two patients one id leaves the second without any (`focus_works`). What
its EPR then cancels names that id, and must never end the first one's referral.
"""

from collections.abc import Sequence

from bars_gateway.standard.guards import named_unclearly, of_other_records
from bars_gateway.standard.headers import same_service
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.patients import ONE_PATIENT, Sameness, compare_with
from bars_gateway.store.beginnings import patients_of
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.values import Change

_MOST = 200  # open requests with ids of their own whose Bundles are read, the newest


def meant(connection: Connection, change: Change, found: Row) -> Row | list[Issue]:
    """Return the workflow that *change* is of, *found* by its id, or why nobody can say."""
    if found["focus_id"] != change.focus_id:
        return found  # by the id of a Bundle, which only we gave
    sameness = compare_with(change.patient, patients_of(connection, found["id"]))
    if sameness in ONE_PATIENT:
        return found
    others = [each for each in _open(connection, change) if each["id"] != found["id"]]
    claimed = [each["id"] for each in others if each["claimed_id"] == change.focus_id]
    doubtful = sameness is Sameness.UNKNOWN_PATIENT and claimed
    if sameness is not Sameness.OTHER_PATIENT and not doubtful:
        return found
    fitting = [each for each in others if _may_be(change, each) and _fits(connection, change, each)]
    if len(fitting) == 1:
        meant_one = connection.one("workflow", id=fitting[0]["id"])
        assert meant_one is not None
        return meant_one
    if fitting or doubtful:
        either = [each["id"] for each in fitting] or [found["id"], *claimed]
        return [named_unclearly(either)]
    named = _with_ids(connection, change, others) if change.patient_changed else []
    return [of_other_records(named)] if named else found


def _open(connection: Connection, change: Change) -> list[Row]:
    values = {"provider": change.provider, "subject": change.subject}
    return [
        row
        for row in connection.rows("requests_open", **values)
        if same_service(row["counterparty"], change.receiver)
    ]


def _may_be(change: Change, other: Row) -> bool:
    """Tell whether the Receiver may call it by that id: it is known by none, nor by another."""
    return other["focus_id"] is None and other["claimed_id"] in {None, change.focus_id}


def _fits(connection: Connection, change: Change, other: Row) -> bool:
    return compare_with(change.patient, patients_of(connection, other["id"])) in ONE_PATIENT


def _with_ids(connection: Connection, change: Change, others: Sequence[Row]) -> list[int]:
    """Return the patient's own requests there: a patient who changed has none beside this one."""
    apart = [each for each in others if not _may_be(change, each)][:_MOST]
    return [each["id"] for each in apart if _fits(connection, change, each)]
