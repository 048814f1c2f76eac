"""
Every official receiver test, against a running Receiver over mutual TLS, as a table.

    the harness's file ─► the requests that it sends ─► Receiver ─► test -> expected -> got
                                                                 ─► test: what is not asserted
"""

import asyncio
import gzip
import json
import os
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from asked_epr import epr_at
from harness_epr import HarnessEpr
from harness_messages import Sofar, message, resent
from harness_templates import PUBLISHED, REPAIRED
from messages import RECEIVER, SENDER, validation_request
from world import World, headers, world_in
from yarl import URL

from bars_gateway.standard.formats import Format, to_bytes, to_tree

pytestmark = pytest.mark.reference_data

SERVICE = RECEIVER.partition("|")[2]
XML = "application/fhir+xml"
PLACEHOLDERS = {
    "__TO_SERVICE__": SERVICE,
    "__HCS__": SERVICE,
    "__START_SLOT_TIME_YEAR_BACK__": "2025-03-02T09%3A00%3A00%2B00%3A00",
    "__START_SLOT_TIME_NO_TIMEZONE__": "2026-03-02T09%3A00%3A00",
    "__START_SLOT_TIME__": "2026-03-02T09%3A00%3A00%2B00%3A00",
    "__END_SLOT_TIME__": "2026-03-05T09%3A00%3A00%2B00%3A00",
}
# Scripts that the file does not hold, but names: each is one that it holds, in the other format.
DEFINITIONS = "/MessageDefinition?context=https%3A%2F%2Ffhir.nhs.uk%2FCodeSystem%2F"
USE_CASES = {
    "111toED": "a1t1",
    "CADtoCAD": "a6t1",
    "GPtoPharm": "a5t1",
    "GPtoPharm_deprecated": "ReferralToPharmacy",
    "validation": "a4t1",
}

Document = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def written_in(self) -> Format:
        return Format.XML if "xml" in self.headers.get("Content-Type", "") else Format.JSON

    @property
    def tree(self) -> Document:
        tree = to_tree(self.body, self.written_in)
        return json.loads(to_bytes(tree, Format.JSON))  # type: ignore[no-any-return]


def read_tests() -> Document:
    file = Path(os.environ["BARS_REFERENCE_DATA"]) / "harness" / "receiver-autotests.yaml"
    return yaml.safe_load(file.read_text("utf-8"))  # type: ignore[no-any-return]


def script(name: str, requests: Document) -> Document:
    """Return the script of that name."""
    if name in requests:
        return requests[name]  # type: ignore[no-any-return]
    start, _, rest = name.removeprefix("MessageDefinitionTest_").partition("_accept_")
    application = rest.replace("_usecasecode", "")
    context = f"usecases-categories-bars%7C{USE_CASES[application]}"
    service = f"http%3A%2F%2Ffhir.nhs.uk%2FId%2Fdos-service-id%7C{SERVICE}"
    return {
        "method": "GET",
        "path": f"{DEFINITIONS}{context}%26context={service}",
        "headers": [f"{start}_accept", "integrity"],
        "http": "2xx",
    }


def header_sets(names: Sequence[str], sofar: Sofar) -> dict[str, str]:
    """Return the headers of one request."""
    fields: dict[str, str | None] = headers() | {"X-Request-Id": None, "X-Correlation-Id": None}
    for name in names:
        fields |= _HEADERS.get(name, {})
        if name in {"integrity", "integrity_with_rq_correlation", "cancel_cr_id"}:
            fields["X-Request-Id"] = str(uuid.uuid4())
            fields["X-Correlation-Id"] = str(uuid.uuid4())
        if name in {"integrity_with_rq_correlation", "cancel_cr_id"} and sofar.sent:
            fields["X-Correlation-Id"] = sofar.sent["X-Correlation-Id"]
        if name == "resent_rq_id":
            fields |= {key: sofar.sent[key] for key in ("X-Request-Id", "X-Correlation-Id")}
        if name.startswith("use_context_"):
            case, _, reason = name.removeprefix("use_context_").partition("_")
            fields["use-context"] = f"{case}|referral|servicerequest-request|{reason}"
    return {key: value for key, value in fields.items() if value is not None}


_JSON, _NEW = "application/fhir+json", "; version=1.2.0"
_HEADERS: Mapping[str, Mapping[str, str]] = {
    "default_accept": {"Accept": _JSON},
    "json_accept": {"Accept": _JSON},
    "xml_accept": {"Accept": XML},
    "default_accept_new_version": {"Accept": f"{_JSON}{_NEW}"},
    "json_accept_new_version": {"Accept": f"{_JSON}{_NEW}"},
    "xml_accept_new_version": {"Accept": f"{XML}{_NEW}"},
    "default_content": {"Content-Type": _JSON},
    "json_content": {"Content-Type": _JSON},
    "xml_content": {"Content-Type": XML},
    "accept_gzip": {"Accept-Encoding": "gzip"},
    "nonguid_integrity": {"X-Request-Id": "no-guid", "X-Correlation-Id": "no-guid"},
}


ASKED = """\
questions = "socket"
applications.a1 = ["1.0.0", "2.0.0"]
applications.a3 = ["1.0.0", "2.0.0"]
applications.a4 = ["1.0.0", "2.0.0"]
applications.a5 = ["1.0.0", "2.0.0"]
applications.a6 = ["1.0.0", "2.0.0"]
"""
NOBODY = "{}, body: OperationOutcome, format: {}, echoes X-Request-ID and X-Correlation-ID: True"
TAKEN = "{}, body: Bundle, format: json, echoes X-Request-ID and X-Correlation-ID: True"
UNKNOWN = "{}, body: OperationOutcome, format: json, echoes X-Request-ID and X-Correlation-ID: True"
EXPLAINED = {
    # Responses to nothing that was sent: the guide has 404 (M17).
    "UnsolicitedReferralResponse_xml_accept": NOBODY.format("404", "xml"),
    "UnsolicitedReferralResponse_json_accept": NOBODY.format("404", "json"),
    "UnsolicitedValidationResponse_xml_accept": NOBODY.format("404", "xml"),
    # Six others want `value` or `invalid` of the very same request, and so does the guide (H02).
    "ValidationRequest_WithNonGUIDRequestID": (
        "400, body: OperationOutcome, issue.code: value, issue.details.code: REC_BAD_REQUEST,"
        " format: json"
    ),
    # The guide calls this _include optional (K09).
    "SFFSWithNoIncludePractitioner": (
        "200, body: Bundle, issue.code: None, issue.details.code: None"
    ),
    # These ask the harness's own simulator to fail about certain patients. A Receiver that did
    # would refuse people.
    "ValidationRequest_501": UNKNOWN.format("2xx, 404"),
    "ValidationRequest_422": TAKEN.format("200"),
    "ReferralRequest_405": UNKNOWN.format("2xx, 404"),
    "ReferralRequest_400": TAKEN.format("200"),
    "ReferralRequest_500": TAKEN.format("200"),
}


class Harness:
    """Runs the tests, as the official harness would, against one Receiver."""

    def __init__(self, world: World, session: aiohttp.ClientSession) -> None:
        self._world = world
        self._session = session

    async def run(self, test: Document, requests: Document) -> tuple[str, str]:
        """Return what one test expects, and what it got, in words that can be compared."""
        sofar = Sofar()
        if test["suite"] == "BaRS_Extractor":
            await self._asked_before(sofar)
        names = test["requests"]
        answers = [await self._step(script(name, requests), sofar) for name in names]
        wanted = [str(script(name, requests)["http"]) for name in names]
        statuses = [_class_of(one.status, want) for one, want in zip(answers, wanted, strict=True)]
        found = _seen(answers[-1], test["expect"], sofar)
        return _words(wanted, test["expect"]), _words(statuses, found)

    async def _asked_before(self, sofar: Sofar) -> None:
        """Let the Receiver have asked for a validation, so that a response may come."""
        body = validation_request(sender=RECEIVER, receiver=SENDER)
        node = self._world.hospital
        receipt = await node.sent(f"{uuid.uuid4()}.json", body)
        outcome = await node.outcome(receipt["request_id"])
        number = outcome["notice_id"]
        sofar.answer = json.loads(
            (node.spool / f"inbox/new/{number:012d}.answer.json").read_bytes()
        )
        sofar.sent = {"X-Correlation-Id": receipt["correlation_id"]}

    async def _step(self, one: Document, sofar: Sofar) -> Answer:
        sent = header_sets(one["headers"], sofar)
        path, body = _path(one["path"], sofar), b""
        if one.get("body"):
            body = self._body(one, sofar, sent)
        sofar.sent = sent
        answer = await self._ask(one["method"], path, sent, body)
        if one.get("body") and answer.status == 200:
            sofar.answer, sofar.answered = answer.tree, sofar.bundle
        if one["path"].startswith("/Slot") and answer.status == 200:
            sofar.slot = _placeholders(answer.tree)
        return answer

    def _body(self, one: Document, sofar: Sofar, sent: Mapping[str, str]) -> bytes:
        if "resent_rq_id" in one["headers"]:
            sofar.bundle = resent(one["body"], sofar)
        else:
            sofar.bundle = message(one["body"], one.get("change"), sofar)
        body = json.dumps(sofar.bundle).encode()
        if sent["Content-Type"] == XML:
            body = to_bytes(to_tree(body, Format.JSON), Format.XML)
        sofar.body = body
        return body

    async def _ask(self, method: str, path: str, sent: Mapping[str, str], body: bytes) -> Answer:
        url = URL(self._world.hospital.url + path, encoded=True)
        async with self._session.request(method, url, headers=sent, data=body or None) as response:
            said = await response.read()
            if response.headers.get("Content-Encoding") == "gzip":
                said = gzip.decompress(said)
            return Answer(response.status, response.headers, said)


def _placeholders(searchset: Document) -> dict[str, str]:
    """Return what a booking fills in of the first slot that was found."""
    slot = next(iter(_resources(searchset)), {})
    return {
        "SLOT_ID____IDENTIFIER_VALUE____APPT_SLOT_ID": slot["id"],
        "START_DATE____APPT_START_DATE": slot["start"],
        "END_DATE____APPT_END_DATE": slot["end"],
        "APPT_CREATED": slot["start"],
    }


def _path(path: str, sofar: Sofar) -> str:
    for name, value in PLACEHOLDERS.items():
        path = path.replace(name, value)
    if "__APPT_ID__" in path:
        path = path.replace("__APPT_ID__", sofar.appointment_id)
    if "__SERVICE_REQUEST_ID__" in path:
        path = path.replace("__SERVICE_REQUEST_ID__", sofar.request_id)
    return path


def _class_of(status: int, wanted: str) -> str:
    return "2xx" if wanted == "2xx" and status // 100 == 2 else str(status)


def _seen(answer: Answer, expected: Document, sofar: Sofar) -> Document:
    """Return, of what the test asks for, what the answer has."""
    tree = answer.tree
    issue = tree["issue"][0] if tree.get("issue") else {}
    code = issue.get("details", {}).get("coding", [{}])[0].get("code")
    appointments = [r for r in _resources(tree) if r["resourceType"] == "Appointment"]
    ids = {r.get("id") for r in _resources(sofar.bundle)[1:]} - {None}
    facts = {
        "body": tree.get("resourceType"),
        "format": answer.written_in.name.lower(),
        "issue.code": issue.get("code"),
        "issue.details.code": code,
        "total": "> 0" if tree.get("total", 0) > 0 else tree.get("total"),
        "gzip": answer.headers.get("Content-Encoding") == "gzip",
        "echoes X-Request-ID and X-Correlation-ID": all(
            answer.headers.get(name) == sofar.sent.get(name)
            for name in ("X-Request-Id", "X-Correlation-Id")
        ),
        "response Bundle.id equals request Bundle.id": (
            bool(sofar.answer) and sofar.answer["id"] == sofar.answered["id"]
        ),
        "Appointment.id assigned": bool(appointments and appointments[0].get("id")),
        "Appointment.status": appointments[0].get("status") if appointments else None,
        "resource ids sent by the client are not echoed": not (
            ids & {r.get("id") for r in _resources(tree)}
        ),
    }
    return {name: _fitting(facts[name], wanted) for name, wanted in expected.items()}


def _resources(tree: Document) -> list[Document]:
    return [entry["resource"] for entry in tree.get("entry", [])]


def _fitting(found: object, wanted: object) -> object:
    """Return *wanted* where *found* is one of its alternatives."""
    return wanted if str(found) in str(wanted).split("|") else found


def _words(statuses: Sequence[str], facts: Document) -> str:
    return ", ".join([*statuses, *(f"{name}: {value}" for name, value in facts.items())])


def not_asserted(test: Document, requests: Document) -> list[str]:
    """Return what the description of *test* claims and this run does not show, and why."""
    found = [UNSAID[name] for name in test["expect"] if name in UNSAID and _is_error(test)]
    for name in test["requests"]:
        if name not in requests:
            found.append(f"what {name} sends: not published, so it is the one of the other format")
            continue
        body = requests[name].get("body", "")
        if body and not {body, body.removesuffix("_extracted")} & (PUBLISHED.keys() | {MADE}):
            found.append(f"that the body {body} is taken: not published, so it is one of ours")
        if body in REPAIRED:
            found.append(f"the body as it stands: it has {REPAIRED[body]}, and is no FHIR")
    return list(dict.fromkeys(found))


def _is_error(test: Document) -> bool:
    return bool(test["expect"].get("body") == "OperationOutcome")


MADE = "extracted_response"  # of what the Receiver itself has asked for: there is no other
UNSAID = {
    "response Bundle.id equals request Bundle.id": (
        "the Bundle.id of the last answer: an OperationOutcome has none, the first answer's is seen"
    )
}


def answers_of(epr: Any, hospital: HarnessEpr) -> Any:
    """Return a loop that answers questions until it is cancelled."""

    async def run() -> None:
        after = 0
        while True:
            for question in await epr.questions(after=after):
                after = question["question_id"]
                bundle = None
                if question["operation"] == "$process-message":
                    raw = await epr.request(after)
                    written = Format.XML if raw.lstrip().startswith(b"<") else Format.JSON
                    bundle = json.loads(to_bytes(to_tree(raw, written), Format.JSON))
                await epr.answer(after, hospital.says(question, bundle))

    return run()


@asynccontextmanager
async def harness_in(folder: Path) -> AsyncIterator[Harness]:
    async with (
        world_in(folder, asked=ASKED) as world,
        world.as_proxy(auto_decompress=False) as session,
        epr_at(world.hospital.socket) as epr,
        asyncio.TaskGroup() as group,
    ):
        await epr.questions(wait=0)
        answering = group.create_task(answers_of(epr, HarnessEpr()))
        yield Harness(world, session)
        answering.cancel()


@pytest.mark.long
async def test_every_official_receiver_test_passes(tmp_path: Path) -> None:
    """What the harness expects and what it gets are the same, but for what is explained."""
    data = read_tests()
    found: dict[str, tuple[str, str]] = {}
    async with harness_in(tmp_path) as harness:
        for test in data["tests"]:
            found[test["name"]] = await harness.run(test, data["requests"])
    for name, (expected, got) in found.items():
        print(f"{'  ' if expected == got else '! '}{name} -> {expected} -> {got}")
    print("What is not asserted, and why:")
    for test in data["tests"]:
        for claim in not_asserted(test, data["requests"]):
            print(f"? {test['name']}: {claim}")

    different = {name: got for name, (expected, got) in found.items() if expected != got}
    assert EXPLAINED == different
