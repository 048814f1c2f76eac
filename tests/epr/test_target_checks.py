"""Whether a service takes a request is asked before it is accepted."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from epr_side import IDENTITY, PROVIDER, Nobody
from messages import referral
from structlog.testing import capture_logs

from bars_gateway.epr.target_checks import TargetChecks, Unchecked
from bars_gateway.standard.bundle import read
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.reads import BarsAnswer, Unanswered

MESSAGE = read(referral())
USELESS = "what it answers is not what it was asked for"


class Clock:
    """A monotonic clock that stands until it is moved."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


def checks(reads: Nobody, clock: Clock) -> TargetChecks:
    return TargetChecks(
        reads,
        provider=PROVIDER,
        identity=IDENTITY,
        new_id=lambda: str(uuid4()),
        monotonic=clock,
        seconds=5,
    )


def answered(status: int, document: object) -> BarsAnswer:
    body = json.dumps(document).encode()
    return BarsAnswer(http_status=status, media_type="application/json", body=body, headers={})


def outcome(code: str) -> dict[str, object]:
    issue = {"severity": "error", "code": "x", "details": {"coding": [{"code": code}]}}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def named(service: str) -> list[object]:
    system, _, code = service.partition("|")
    return [{"valueCodeableConcept": {"coding": [{"system": system, "code": code}]}}]


def definitions(*versions: str, service: str = MESSAGE.destinations[0]) -> dict[str, object]:
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [
            {
                "resource": {
                    "resourceType": "MessageDefinition",
                    "url": MESSAGE.definition,
                    "version": version,
                    "useContext": named(service),
                }
            }
            for version in versions
        ],
    }


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        (answered(200, definitions("2.0.0")), None),
        (answered(200, definitions("9.9.9")), "Bundle.meta.versionId"),
        (
            answered(404, outcome("PROXY_NOT_FOUND")),
            "Bundle.entry[0].resource.destination[0].endpoint",
        ),
        (answered(404, outcome("REC_NOT_FOUND")), None),
        (answered(501, outcome("REC_NOT_IMPLEMENTED")), None),
        (answered(200, ["no resource"]), None),
        (None, None),
    ],
)
async def test_only_a_clear_no_is_an_objection(
    answer: BarsAnswer | None, place: str | None
) -> None:
    """What nobody can read, or nobody answers, keeps no request back."""
    found = await checks(Nobody(answer), Clock())(MESSAGE)

    assert place == (found.path if isinstance(found, Issue) else None)


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        (answered(200, definitions("2.0.0")), None),
        (answered(200, definitions("3.0.0")), "E05"),
        (Unanswered(reason="no", cure="none", http_status=502), "E05"),
    ],
)
async def test_nobody_is_refused_by_what_was_kept_alone(
    again: BarsAnswer | Unanswered, expected: str | None
) -> None:
    """The service may have had a release since; where it gives no answer, what is kept holds."""
    kept = replace(answered(200, definitions("1.0.0")), kept_since=datetime.now(UTC))
    found = await checks(Nobody(kept, again), Clock())(MESSAGE)

    assert expected == (found.rule if isinstance(found, Issue) else None)


async def test_what_is_taken_by_what_was_kept_is_not_asked_again() -> None:
    """One look at the disk, and no call (scenario 2)."""
    reads = Nobody(replace(answered(200, definitions("2.0.0")), kept_since=datetime.now(UTC)))
    await checks(reads, Clock())(MESSAGE)

    assert 1 == len(reads.asked)


async def test_a_request_that_went_unchecked_is_said_to_have() -> None:
    """The operator reads for which service, and why."""
    with capture_logs() as logs:
        await checks(Nobody(), Clock())(MESSAGE)

    assert [("epr.target_unchecked", MESSAGE.destinations[0], "no")] == [
        (line["event"], line["receiver"], line["reason"]) for line in logs
    ]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answered(200, definitions("2.0.0")), None),
        (answered(501, outcome("REC_NOT_IMPLEMENTED")), Unchecked("it answered with HTTP 501")),
        (answered(200, ["no resource"]), Unchecked(USELESS)),
        (answered(200, definitions("9.9.9", service="x-service-id|another")), Unchecked(USELESS)),
        (None, Unchecked("no")),
    ],
)
async def test_who_hands_it_in_learns_what_the_operator_learns(
    answer: BarsAnswer | None, expected: Unchecked | None
) -> None:
    """A request that may be refused later is not to look like one that was checked."""
    assert expected == await checks(Nobody(answer), Clock())(MESSAGE)


JUNK = {
    "no-resource": ["no resource"],
    "outcome": outcome("REC_NOT_FOUND"),
    "empty": {"resourceType": "Bundle", "type": "searchset", "total": 0},
    "another": {"resourceType": "CapabilityStatement"},
    "no-searchset": definitions("2.0.0") | {"type": "collection"},
}


@pytest.mark.parametrize("document", JUNK.values(), ids=JUNK.keys())
async def test_junk_is_no_word_for_or_against_and_not_for_long(document: object) -> None:
    """It goes unchecked for five minutes, and then the service is asked again."""
    reads, clock = Nobody(answered(200, document)), Clock()
    check = checks(reads, clock)
    found = []
    for clock.at in (0.0, 299.0, 301.0):
        found.append(await check(MESSAGE))

    assert [Unchecked(USELESS)] * 3 == found
    assert 2 == len(reads.asked)


async def test_definitions_without_our_ids_are_those_of_nobody() -> None:
    """They refuse nothing, as they allow nothing."""
    reads = Nobody(answered(200, definitions("9.9.9")))
    reads.echoes = False

    assert Unchecked(USELESS) == await checks(reads, Clock())(MESSAGE)


async def test_a_service_in_its_pause_is_unchecked_as_well() -> None:
    """The second request of that minute went as unchecked as the first."""
    check = checks(Nobody(), Clock())
    await check(MESSAGE)

    assert Unchecked("it gave no answer within the last minute") == await check(MESSAGE)


async def test_a_silent_service_is_left_alone_for_a_minute() -> None:
    """It must not hold up each request that is submitted."""
    reads, clock = Nobody(), Clock()
    check = checks(reads, clock)
    for clock.at in (0.0, 59.0, 61.0):
        await check(MESSAGE)

    assert 2 == len(reads.asked)
