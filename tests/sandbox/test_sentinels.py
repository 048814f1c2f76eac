"""The official test values: each is answered as the official test service would."""

import os
from pathlib import Path

import pytest
import pytest_asyncio
from sandbox.corresponding import asking, corresponding, focus_id, post, read

from bars_gateway.sandbox.counterparty.correspondence import cancellation
from bars_gateway.sandbox.counterparty.replies import CANCELLED_ID, NHS_NUMBERS, READ_IDS, Sentinel
from bars_gateway.sandbox.counterparty.services import SERVICES
from bars_gateway.standard.workflow import RequestType

ASKED = {
    RequestType.BOOKING: ("a1t1", "2000011147", {"books": True}),
    RequestType.REFERRAL: ("a1t1", "2000076289", {}),
    RequestType.VALIDATION: ("a4t1", "2000003366", {}),
}
WITH_TYPE = [
    pytest.param(number, request_type, id=f"{number}-{request_type}")
    for number in NHS_NUMBERS
    for request_type in RequestType
]


@pytest_asyncio.fixture
async def box(settings):
    async with corresponding(settings) as made:
        yield made


def expected(number: str, request_type: RequestType) -> Sentinel:
    found = NHS_NUMBERS[number]
    return found if request_type in found.request_types else Sentinel(scenarios=())


@pytest.mark.parametrize(("number", "request_type"), WITH_TYPE)
async def test_a_request_about_an_official_patient(box, number, request_type):
    """It is refused with the published status, or taken with the published id."""
    use_case, service, changes = ASKED[request_type]
    sentinel = expected(number, request_type)
    reply = await post(box, asking(use_case, service, nhs_number=number, **changes))

    assert (sentinel.refused_with or 200) == reply.status
    if reply.status == 200 and sentinel.focus_id:
        assert sentinel.focus_id == focus_id(reply)


@pytest.mark.parametrize("number", NHS_NUMBERS)
async def test_a_search_for_an_official_patient(box, number):
    """It has the status of the simulator's rule, whoever was sent before."""
    query = f"/ServiceRequest?patient:identifier=https://fhir.nhs.uk/Id/nhs-number|{number}"

    assert (NHS_NUMBERS[number].read_with or 200) == (await read(box, query)).status


@pytest.mark.parametrize(("read_id", "status"), READ_IDS.items())
async def test_a_read_of_an_official_id(box, read_id, status):
    """It is always there, or always fails in the same way."""
    booked = read_id in {"0d440c22-7f25-4c6c-905d-2213d197d02a", NHS_NUMBERS["9658499007"].focus_id}
    kind = "Appointment" if booked else "ServiceRequest"
    reply = await read(box, f"/{kind}/{read_id}")

    assert status == reply.status
    if status == 200:
        assert (kind, read_id) == (reply.json["resourceType"], reply.json["id"])


@pytest.mark.parametrize("request_type", RequestType)
async def test_a_patient_without_a_number_is_taken(box, request_type):
    """VAL-1, RF-4, BK-4: and a validation at an official service has the published id."""
    use_case, service, changes = ASKED[request_type]
    reply = await post(box, asking(use_case, service, nhs_number=None, **changes))
    published = "0b42eac3-0175-43c8-bbab-efaa8ca31ccf"

    assert 200 == reply.status
    assert (request_type is RequestType.VALIDATION) == (focus_id(reply) == published)


async def test_two_people_without_a_number_are_two_at_its_own_services(box):
    """Or a response would go to whoever came last."""
    replies = [await post(box, asking("a4t1", "2000000904", nhs_number=None)) for _ in range(2)]

    assert 2 == len({focus_id(reply) for reply in replies})


async def test_the_cancellation_of_the_official_referral_has_another_id(box):
    """RF-3: a Sender must not take it for the id of what it sent."""
    made = await post(box, asking("a1t1", "2000076289", nhs_number="9658499058"))
    reply = await post(box, cancellation(made.body))

    assert (200, CANCELLED_ID) == (reply.status, focus_id(reply))


def reference() -> dict:
    """Return the official values, as the simulator's rules have them."""
    yaml = Path(os.environ["BARS_REFERENCE_DATA"]) / "harness" / "sentinels.yaml"
    found: dict = {"nhsNumbers": {}, "readIds": {}, "serviceIds": []}
    part, key = "", ""
    for line in yaml.read_text("utf-8").splitlines():
        if not line.startswith(("-", " ")):
            part = line.partition(":")[0]
        elif part == "serviceIds":
            found[part].append(line.strip(" -'"))
        elif line.startswith(("- value:", "- id:")):
            key = line.partition(":")[2].strip(" '")
        elif part in {"nhsNumbers", "readIds"} and (rule := line.strip(" -")) != "rule:":
            found[part][key] = rule.removeprefix("rule:").strip()
    return found


def status_of(rule: str) -> int | None:
    """Return the HTTP status that the name of a rule ends with, if it is one."""
    digits = rule[len(rule.rstrip("0123456789")) :]
    return int(digits) if len(digits) == 3 and digits[0] in "45" else None


@pytest.mark.reference_data
def test_no_official_number_is_missing():
    """Those of the simulator's rules, each with its status for a request or for a read."""
    rules = reference()["nhsNumbers"]

    assert 14 == len(rules)
    assert {number: status_of(rule) for number, rule in rules.items()} == {
        number: NHS_NUMBERS[number].refused_with or NHS_NUMBERS[number].read_with
        for number in rules
    }


@pytest.mark.reference_data
def test_the_official_ids_are_these_and_no_others():
    """Each with its status."""
    rules = reference()["readIds"]

    assert {each: status_of(rule) or 200 for each, rule in rules.items()} == READ_IDS


@pytest.mark.reference_data
def test_no_official_service_is_missing():
    """A script that was written for the official test service finds all of its targets."""
    official = {value for value, service in SERVICES.items() if service.official}

    assert set() == set(reference()["serviceIds"]) - official
