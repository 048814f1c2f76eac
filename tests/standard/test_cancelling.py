"""Whether there is still something to cancel."""

import pytest
from asked_proxy import ID, OTHER_ID, answer, bars_request, outcome, record

from bars_gateway.standard.findings import Current, Finding, finding_in
from bars_gateway.standard.patients import Patient
from bars_gateway.standard.reads import Unanswered

REQUEST, APPOINTMENT = "ServiceRequest", "Appointment"
# Every status that R4 has for the two.
BY_STATUS = {
    REQUEST: {
        "draft": Current.UNSHOWN,
        "active": Current.YES,
        "on-hold": Current.YES,
        "revoked": Current.NO,
        "completed": Current.NO,
        "entered-in-error": Current.NO,
        "unknown": Current.UNSHOWN,
    },
    APPOINTMENT: {
        "proposed": Current.UNSHOWN,
        "pending": Current.YES,
        "booked": Current.YES,
        "arrived": Current.UNSHOWN,
        "fulfilled": Current.NO,
        "cancelled": Current.NO,
        "noshow": Current.NO,
        "entered-in-error": Current.NO,
        "checked-in": Current.UNSHOWN,
        "waitlist": Current.UNSHOWN,
    },
}
OVER = [(k, s) for k, found in BY_STATUS.items() for s, is_ in found.items() if is_ is Current.NO]
SHOWN_NOTHING = (400, 404, 405, 406, 409, 410, 415, 422, 501)
PASSING = (401, 403, 408, 425, 429, 500, 502, 503, 504)


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [(kind, status, is_) for kind, found in BY_STATUS.items() for status, is_ in found.items()],
)
def test_the_record_says_by_its_status_whether_it_stands(
    kind: str, status: str, expected: Current
) -> None:
    """Nothing is to be cancelled only where that record says so, and how it ended is told."""
    found = finding_in(bars_request(kind), answer(record(kind, status)))

    assert Finding(expected, status if expected is Current.NO else None) == found


@pytest.mark.parametrize(("kind", "status"), OVER)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"id": OTHER_ID}, id="another-record"),
        pytest.param({"id": ""}, id="no-id"),
        pytest.param({"resourceType": "Encounter"}, id="another-type"),
    ],
)
def test_another_record_that_is_over_says_nothing_of_ours(
    kind: str, status: str, change: dict[str, str]
) -> None:
    """A booking that stands is to be cancelled, whatever became of somebody else's."""
    found = finding_in(bars_request(kind), answer(record(kind, status) | change))

    assert Finding(Current.UNSHOWN) == found


@pytest.mark.parametrize("kind", [REQUEST, APPOINTMENT])
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", outcome("REC_NOT_FOUND")],
    ids=["none", "page", "list", "outcome"],
)
def test_what_is_no_record_shows_nothing(kind: str, body: object) -> None:
    """200 alone is no word of anybody's."""
    assert Finding(Current.UNSHOWN) == finding_in(bars_request(kind), answer(body))


@pytest.mark.parametrize("kind", [REQUEST, APPOINTMENT])
@pytest.mark.parametrize("code", ["REC_NOT_FOUND", "PROXY_NOT_FOUND"])
@pytest.mark.parametrize("status", SHOWN_NOTHING)
def test_a_receiver_that_does_not_show_it_has_not_said_that_it_is_over(
    kind: str, code: str, status: int
) -> None:
    """Not even by its own REC_NOT_FOUND: many Receivers answer no reads at all."""
    assert Finding(Current.UNSHOWN) == finding_in(bars_request(kind), answer(outcome(code), status))


@pytest.mark.parametrize("kind", [REQUEST, APPOINTMENT])
@pytest.mark.parametrize("status", PASSING)
def test_trouble_says_nothing_and_is_asked_again(kind: str, status: int) -> None:
    """Whatever body comes with it."""
    assert Finding(Current.UNKNOWN) == finding_in(bars_request(kind), answer(record(kind), status))


OURS = Patient(nhs_numbers=frozenset({"9434765919"}))
NUMBER = "https://fhir.nhs.uk/Id/nhs-number"


def of_patient(
    kind: str, status: str, number: str, *, contained: bool = False
) -> dict[str, object]:
    identifier = {"system": NUMBER, "value": number}
    if contained:
        held = {"resourceType": "Patient", "identifier": [identifier]}
        return {**record(kind, status), "contained": [held]}
    named = {"identifier": identifier}
    if kind == APPOINTMENT:
        return {**record(kind, status), "participant": [{"actor": named}]}
    return {**record(kind, status), "subject": named}


@pytest.mark.parametrize("contested", [False, True])
@pytest.mark.parametrize("contained", [False, True])
@pytest.mark.parametrize(
    ("kind", "status"), [(REQUEST, "active"), (REQUEST, "revoked"), (APPOINTMENT, "booked")]
)
def test_the_record_of_another_patient_is_never_cancelled(
    kind: str, status: str, *, contained: bool, contested: bool
) -> None:
    """Nor does it say that there is nothing to cancel."""
    shown = answer(of_patient(kind, status, "9990000018", contained=contained))
    found = finding_in(bars_request(kind), shown, OURS, contested=contested)

    assert Finding(Current.OTHER_PATIENT) == found


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(of_patient(REQUEST, "active", "9434765919"), Current.YES, id="ours"),
        pytest.param(of_patient(REQUEST, "revoked", "943 476 5919"), Current.NO, id="ours-over"),
        pytest.param(record(REQUEST, "active"), Current.UNKNOWN, id="names-nobody"),
        pytest.param(record(REQUEST, "revoked"), Current.UNKNOWN, id="over-and-names-nobody"),
        pytest.param(
            of_patient(REQUEST, "active", "0000000000"), Current.UNKNOWN, id="placeholder"
        ),
        pytest.param(record(REQUEST, identifier=OTHER_ID), Current.UNKNOWN, id="another-record"),
        pytest.param(b"<html>", Current.UNKNOWN, id="unreadable"),
    ],
)
def test_a_contested_id_is_cancelled_only_where_our_patient_is_shown(
    document: object, expected: Current
) -> None:
    """It could be the other patient's: what shows nothing is not sent to after two reads."""
    found = finding_in(bars_request(REQUEST), answer(document), OURS, contested=True)

    assert expected == found.current


@pytest.mark.parametrize("status", SHOWN_NOTHING)
def test_a_contested_id_that_is_not_shown_is_asked_for_again(status: int) -> None:
    """And the EPR's user telephones."""
    found = finding_in(bars_request(REQUEST), answer({}, status), OURS, contested=True)

    assert Finding(Current.UNKNOWN) == found


def test_silence_says_nothing_and_is_asked_again() -> None:
    """Nobody was heard."""
    silence = Unanswered(reason="no", cure="none", http_status=504)

    assert Finding(Current.UNKNOWN) == finding_in(bars_request(REQUEST, ID), silence)
