"""Which workflows belong together, and what speaks against it."""

import json

import pytest
from bookings import booking, focus
from messages import RECEIVER, referral
from mixed_up import in_a_second_patient, mixed_up
from variants import GIVEN_ID, add, resource, url_of

from bars_gateway.standard.bundle import Message, read
from bars_gateway.standard.consistency import journey_of
from bars_gateway.standard.links import (
    LINK_RULES,
    NAMED_TYPES,
    TIES,
    UNKNOWN,
    By,
    Named,
    against,
    names_in,
    refusing,
    ties_of,
)
from bars_gateway.standard.rule import EVERYBODY, AgreedSeverity, Overrides, Side
from bars_gateway.standard.workflow import State

OTHER = RECEIVER.replace("2000000202", "2000000909")
JOURNEY = "6f1c7a4e-0000-4000-8000-00000000aaaa"


def naming(body: bytes, element: str, *references: str) -> Message:
    bundle = json.loads(body)
    focus(bundle)[element] = [{"reference": each} for each in references]
    return read(json.dumps(bundle).encode())


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        pytest.param(f"Appointment/{GIVEN_ID}", [GIVEN_ID], id="as-the-guide-has-it"),
        pytest.param(f"https://x.example/FHIR/Appointment/{GIVEN_ID}", [GIVEN_ID], id="absolute"),
        pytest.param(f"Appointment/{GIVEN_ID}/_history/2", [GIVEN_ID], id="of-a-version"),
        pytest.param(f"ServiceRequest/{GIVEN_ID}", [], id="of-another-type"),
        pytest.param(GIVEN_ID, [], id="an-id-alone"),
        pytest.param("Appointment/", [], id="without-id"),
        pytest.param("", [], id="empty"),
    ],
)
def test_a_referral_names_its_booking(reference: str, expected: list[str]) -> None:
    """By the id that the Receiver gave to it, however the reference is written."""
    found = names_in(naming(referral(), "supportingInfo", reference))

    assert [(By.SUPPORTING_INFO, each) for each in expected] == list(found)


def test_a_booking_names_its_referral() -> None:
    """As ServiceRequest/id; the same twice is one."""
    name = f"ServiceRequest/{GIVEN_ID}"

    assert ((By.BASED_ON, GIVEN_ID),) == names_in(naming(booking(), "basedOn", name, name))


def test_what_is_in_the_bundle_is_named_by_its_id() -> None:
    """A reference within the Bundle says nothing by itself."""
    bundle = json.loads(referral())
    add(bundle, "Appointment", id=GIVEN_ID)
    body = json.dumps(bundle).encode()

    found = names_in(naming(body, "supportingInfo", url_of(bundle, "Appointment")))
    assert ((By.SUPPORTING_INFO, GIVEN_ID),) == found


def test_a_validation_names_no_booking() -> None:
    """The element is of referrals into urgent care."""
    body = referral(category="validation", use_case="a4t1")

    assert () == names_in(naming(body, "supportingInfo", f"Appointment/{GIVEN_ID}"))


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        pytest.param([f"EpisodeOfCare/{JOURNEY}"], JOURNEY, id="as-the-examples-have-it"),
        pytest.param([JOURNEY.upper()], JOURNEY, id="bare"),
        pytest.param([f"EpisodeOfCare/{JOURNEY}/_history/1"], JOURNEY, id="of-a-version"),
        pytest.param([f"urn:uuid:{JOURNEY}"], JOURNEY, id="as-a-urn"),
        pytest.param([f"EpisodeOfCare/{JOURNEY}", JOURNEY], JOURNEY, id="the-same-twice"),
        pytest.param([JOURNEY, GIVEN_ID], None, id="two-of-them"),
        pytest.param([], None, id="none"),
    ],
)
def test_the_journey_is_what_all_encounters_say(
    references: list[str], expected: str | None
) -> None:
    """One that is not the same everywhere is none (CS-117)."""
    bundle = json.loads(referral())
    episodes = [{"reference": each} for each in references]
    resource(bundle, "Encounter")["episodeOfCare"] = episodes

    assert expected == journey_of(read(json.dumps(bundle).encode()))


def named(body: bytes | None = None, state: State = State.ACTIVE, *pairs: State) -> Named:
    return Named(state=state, request=read(body or booking()), pairs=frozenset(pairs))


NEW = read(referral())
ABOUT_TWO = mixed_up(booking(), in_a_second_patient)
ABOUT_TWO_ANEW = mixed_up(referral(), in_a_second_patient)


def unnamed() -> Message:
    """Return a referral whose patient has neither number nor name."""
    bundle = json.loads(referral())
    for member in ("identifier", "name"):
        del resource(bundle, "Patient")[member]
    return read(json.dumps(bundle).encode())


@pytest.mark.parametrize(
    ("new", "other", "expected"),
    [
        pytest.param(NEW, named(), [], id="nothing"),
        pytest.param(read(referral(nhs_number="9990000026")), named(), ["L02"], id="24-patient"),
        pytest.param(unnamed(), named(), ["L03"], id="unknown-patient"),
        pytest.param(NEW, named(ABOUT_TWO), ["L03"], id="one-of-two-who-were-named"),
        pytest.param(
            read(referral(nhs_number="9990000026")),
            named(ABOUT_TWO),
            ["L03"],
            id="the-other-of-two-who-were-named",
        ),
        pytest.param(
            read(referral(nhs_number="9990000034")),
            named(ABOUT_TWO),
            ["L02"],
            id="neither-of-two-who-were-named",
        ),
        pytest.param(read(ABOUT_TWO_ANEW), named(), ["L02"], id="a-second-one-beside-the-first"),
        pytest.param(NEW, named(booking(sender=OTHER)), ["L04"], id="another-sender"),
        pytest.param(NEW, named(booking(receiver=OTHER)), ["L05"], id="another-service"),
        pytest.param(read(referral(use_case="a1t2")), named(), ["L06"], id="another-use-case"),
        pytest.param(NEW, named(None, State.CANCELLED), ["L07"], id="over"),
        pytest.param(NEW, named(None, State.ACTIVE, State.ACTIVE), ["L08"], id="taken"),
        pytest.param(NEW, named(None, State.ACTIVE, State.CANCELLED), [], id="53-refer-again"),
        pytest.param(
            read(booking()),
            named(referral(), State.ACTIVE, State.CANCELLED),
            ["L09"],
            id="28-rebooked",
        ),
    ],
)
def test_what_speaks_against_a_link(new: Message, other: Named, expected: list[str]) -> None:
    """Each row, on receipt."""
    ties = ties_of(new, Side.RECEIVING)

    assert expected == [row.rule for row in against(new, other, ties)]


def test_which_rows_refuse_a_request() -> None:
    """Those about whose it is do so on either side; what is unknown only on receipt."""
    refused = {side: ties_of(NEW, side).refused_for for side in Side}

    assert {"L02", "L05", "L06", "L07", "L08", "L09"} == refused[Side.SENDING]
    assert {"L01", "L02", "L04", "L05", "L06", "L07", "L08"} == refused[Side.RECEIVING]


def test_what_was_never_made_here_need_not_be_known() -> None:
    """Where no EPR answers questions, every booking is made past the gateway."""
    assert {"L01"} == (
        ties_of(NEW, Side.RECEIVING).refused_for
        - ties_of(NEW, Side.RECEIVING, all_known=False).refused_for
    )


def test_an_agreement_changes_a_row_but_not_whose_patient_it_is() -> None:
    """A counterparty may name what is not known here, and never another patient's."""
    agreed = Overrides(
        {
            EVERYBODY: {
                "L01": AgreedSeverity.WARNING,
                "L02": AgreedSeverity.OFF,
                "L06": AgreedSeverity.OFF,
            }
        }
    )
    ties = ties_of(NEW, Side.RECEIVING, agreed)

    assert {"L01", "L02", "L06"} & ties.refused_for == {"L02"}
    assert {"L01", "L02", "L06"} & ties.looked_at == {"L01", "L02"}


def test_a_refusal_names_the_element_and_the_guides_answer() -> None:
    """Scenario 23: what names nothing is an invariant that is broken."""
    new = naming(referral(), "supportingInfo", f"Appointment/{GIVEN_ID}")
    (issue,) = refusing([UNKNOWN], ties_of(new, Side.RECEIVING))

    assert (400, "REC_BAD_REQUEST", "invariant", "ServiceRequest.supportingInfo") == (
        issue.http_status,
        issue.code,
        issue.issue,
        issue.path,
    )


def test_a_tie_is_told_from_both_ends() -> None:
    """Each way in which workflows are tied has its words, and its source in each row."""
    assert set(By) == set(TIES)
    assert set() == set(NAMED_TYPES) - set(TIES)
    assert [] == [row.rule for row in LINK_RULES if not row.source]
