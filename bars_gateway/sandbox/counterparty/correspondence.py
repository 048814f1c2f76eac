"""
Writes to the gateway under trial: the responses that are planned, and what it is told to send.

    held ─► plan ─► scripts ─► steps, with a pause before each ─► Sender ─► proxy
    admin port ─► request, update, cancellation, response ────────► Sender ─► proxy
               └► read: a slot, a record, what there is of a patient ─► Sender ─► proxy

Each conversation is a task of its own: one that waits for its gateway holds up no other.

Its messages go through the proxy, as any Sender's do.

    body ─► headers ─► token ─► POST ─► verdict: retry with the same ids, or done

It is an application of the token service, but lives in the same process, so that its
tokens are handed to it without a JWT. Faults of the proxy strike it as they do others.

There is one message for each use case, and its changes. The people are invented, as all of the
demo's are. What single Applications want beside a referral is in `_ADDED`.
"""

import asyncio
import json
import ssl
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4
from zlib import crc32

import aiohttp
from yarl import URL

from bars_gateway.demo import messages
from bars_gateway.demo.messages import (
    NHS,
    NHS_NUMBER,
    booking,
    change_of,
    focus,
    referral,
    validation_request,
)
from bars_gateway.frozen import frozen
from bars_gateway.sandbox.counterparty.message_handler import Direction, Held, Holdings, held_for
from bars_gateway.sandbox.counterparty.services import (
    ODS_CODE,
    Deviation,
    Of,
    ScriptedResponse,
    Scripts,
    planned,
)
from bars_gateway.standard import answers, bundle
from bars_gateway.standard.applications import APPLICATIONS, VERSIONS
from bars_gateway.standard.bundle import MalformedBundle, Message, maps_of, text_of
from bars_gateway.standard.formats import Format, answered, converted, to_tree
from bars_gateway.standard.headers import (
    CORRELATION_ID,
    REQUEST_ID,
    Ids,
    SenderIdentity,
    TargetIdentifier,
    for_asking,
    for_sending,
)
from bars_gateway.standard.meaning import move_of
from bars_gateway.standard.reads import INCLUDES
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.verdict import KEPT_OUT, Before, ProxyAnswer, Verdict, judge
from bars_gateway.standard.workflow import Move, RequestType, State

Bundle = dict[str, Any]
_BOOKING = frozenset({RequestType.BOOKING})
BOOKED = frozenset(code for code, each in APPLICATIONS.items() if each.request_types >= _BOOKING)
ONLY_BOOKED = frozenset(code for code in BOOKED if APPLICATIONS[code].request_types == _BOOKING)
_INCIDENT = "https://fhir.hl7.org.uk/StructureDefinition/BARSLocation-incident-location"
_SNOMED = "http://snomed.info/sct"
_CANCELLED = frozenset(
    {"MessageHeader", "ServiceRequest", "Appointment", "Patient", "Organization"}
)
_LEFT_OUT = ("basedOn", "encounter", "performer", "locationReference", "slot")
ANSWER_SECONDS = 40.0  # longer than the proxy waits for a Receiver
_AGAIN = frozenset({Verdict.RETRY, Verdict.RETRY_LIMITED, Verdict.UNAUTHORIZED})
_LONGEST_PAUSE_SECONDS = 30.0
_IDENTITY = SenderIdentity(
    ods_code=ODS_CODE,
    organisation="Invented counterparty",
    software_name="bars_gateway sandbox",
    software_version="1",
    software_system="https://counterparty.sandbox.local/Id/software",
    software_value="1",
    core_version="1.5.0",
)
RESPONSE_ATTEMPTS = 12  # with their pauses, some minutes
_FATES = {Verdict.ACKNOWLEDGED: Move.REQUEST, Verdict.REFUSED: Move.REFUSE}


@frozen(kw_only=True)
class Sent:
    """What became of one message."""

    request_id: str
    verdict: Verdict
    http_status: int | None
    code: str | None
    issue: str | None
    body: bytes

    def document(self) -> dict[str, object]:
        """Return what the admin port says of it."""
        return {
            "request_id": self.request_id,
            "verdict": self.verdict,
            "http_status": self.http_status,
            "code": self.code,
            "issue": self.issue,
        }


@frozen(kw_only=True)
class SandboxReading:
    """What came of one read: what kind of thing, and nothing of what stands in it."""

    request_id: str
    http_status: int | None
    code: str | None
    issue: str | None
    resource_type: str | None
    resource_id: str | None
    entries: int | None  # of a searchset

    def document(self) -> dict[str, object]:
        """Return what the admin port says of it."""
        return {
            "request_id": self.request_id,
            "http_status": self.http_status,
            "code": self.code,
            "issue": self.issue,
            "resource_type": self.resource_type,
            "id": self.resource_id,
            "entries": self.entries,
        }


def open_session(trusted: Path) -> aiohttp.ClientSession:
    """Return a session that calls the proxy, whose authority is in *trusted*."""
    context = ssl.create_default_context(cafile=str(trusted))
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        trust_env=False,
    )


class Sender:
    """Posts messages until their fate is known, or so many times."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: Callable[[], str],
        token: Callable[[], str],
        *,
        first_pause_seconds: float,
    ) -> None:
        self._session = session
        self._url = url
        self._token = token
        self._first_pause = first_pause_seconds

    async def send(
        self,
        body: bytes,
        correlation_id: str,
        *,
        attempts: int,
        request_id: str | None = None,
        written_in: Format = Format.JSON,
    ) -> Sent:
        """Send *body*, at most *attempts* times, under the same ids each time."""
        ids = Ids(request_id or str(uuid.uuid4()), correlation_id)
        message = bundle.read(body, written_in)
        headers = for_sending(message, _IDENTITY, ids=ids, media_type=written_in)
        pause, before = self._first_pause, Before.NOTHING
        while True:
            attempts -= 1
            answer = await self._post(body, headers)
            found = judge(
                answer,
                request_id=ids.request_id,
                correlation_id=ids.correlation_id,
                before=before,
            )
            if found.row not in KEPT_OUT:
                before = Before.UNKNOWN
            if found.verdict not in _AGAIN or attempts <= 0:
                return Sent(
                    request_id=ids.request_id,
                    verdict=found.verdict,
                    http_status=answer.status,
                    code=answer.code,
                    issue=answer.issue,
                    body=answer.body,
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def read(self, path: str, target: str) -> SandboxReading:
        """Ask the service *target* for what is at *path*, once."""
        ids = Ids(str(uuid.uuid4()), str(uuid.uuid4()))
        service = TargetIdentifier.parse(target)
        headers = for_asking(service, _IDENTITY, ids=ids, accept=Format.JSON)
        headers["Authorization"] = f"Bearer {self._token()}"
        url = URL(f"{self._url()}/{path}", encoded=True)
        try:
            async with self._session.get(url, headers=headers) as response:
                return _read(ids.request_id, _answer(response, await response.read()))
        except (aiohttp.ClientError, TimeoutError):
            return _read(ids.request_id, ProxyAnswer(status=None))

    async def _post(self, body: bytes, headers: dict[str, str]) -> ProxyAnswer:
        authorised = headers | {"Authorization": f"Bearer {self._token()}"}
        url = f"{self._url()}/$process-message"
        try:
            async with self._session.post(url, data=body, headers=authorised) as response:
                return _answer(response, await response.read())
        except (aiohttp.ClientError, TimeoutError):
            return ProxyAnswer(status=None)


def _answer(response: aiohttp.ClientResponse, body: bytes) -> ProxyAnswer:
    outcome = answers.read_outcome(body) if not response.ok else None
    return ProxyAnswer(
        status=response.status,
        request_id=response.headers.get(REQUEST_ID),
        correlation_id=response.headers.get(CORRELATION_ID),
        code=outcome.code if outcome else None,
        issue=outcome.issue if outcome else None,
        is_outcome=bool(outcome and outcome.is_outcome),
        body=body,
    )


def _read(request_id: str, answer: ProxyAnswer) -> SandboxReading:
    try:
        tree = to_tree(answer.body, Format.JSON)
    except MalformedBundle:
        tree = {}
    is_bundle = text_of(tree, "resourceType") == "Bundle"
    return SandboxReading(
        request_id=request_id,
        http_status=answer.status,
        code=answer.code,
        issue=answer.issue,
        resource_type=text_of(tree, "resourceType") or None,
        resource_id=text_of(tree, "id") or None,
        entries=len(maps_of(tree, "entry")) if is_bundle else None,
    )


class Correspondence:
    """Sends what the counterparty has to say."""

    def __init__(
        self,
        holdings: Holdings,
        scripts: Scripts,
        sender: Sender,
        *,
        pause_seconds: float,
        now: Callable[[], datetime],
    ) -> None:
        self._holdings = holdings
        self._scripts = scripts
        self._sender = sender
        self._pause = pause_seconds
        self._now = now
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Let conversations go on, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await asyncio.Event().wait()

    def begin(self, held: Held, plan: str) -> None:
        """Begin the responses to what was taken, by the plan of that name."""
        met = self._scripts.use(Of.RESPONSES, application_of(held.use_case))
        steps = planned(plan, met)
        pause = met[Deviation.DELAY].seconds if Deviation.DELAY in met else self._pause
        if steps and self._tasks is not None:
            self._tasks.create_task(self._follow(held, steps, pause))

    async def request(self, body: bytes, written_in: Format = Format.JSON) -> tuple[Sent, Held]:
        """
        Send a new request, which is JSON, written so.

        It is held before it leaves: its response may overtake its answer.
        """
        message, correlation_id = bundle.read(body), str(uuid.uuid4())
        held = held_for(message, message.root, Direction.SENT, correlation_id)
        held.focus_id, held.state = message.bundle_id, State.REQUESTED
        held.bundle_ids.append(message.bundle_id)
        self._holdings.keep(held)
        written = converted(body, Format.JSON, written_in)
        sent = await self._sender.send(written, correlation_id, attempts=1, written_in=written_in)
        if sent.verdict is Verdict.ACKNOWLEDGED:
            self._learn(held, message, sent.body)
        held.move(_FATES.get(sent.verdict, Move.LAPSE))
        held.note(f"sent {Move.REQUEST}", self._now(), **sent.document())
        return sent, held

    async def read(self, path: str, target: str) -> SandboxReading:
        """Ask a service for what is at *path*: `Appointment/ID`, or `Slot` for the next day's."""
        query = f"?{_free_slots(target, self._now())}" if path == "Slot" else ""
        return await self._sender.read(path + query, target)

    def _learn(self, held: Held, message: Message, acknowledgement: bytes) -> None:
        try:
            tree = answered(acknowledgement)
            acknowledged = held_for(message, tree, Direction.SENT, held.correlation_id)
        except MalformedBundle:
            return  # taken all the same; what was given to it is not known
        self._holdings.learn(held, acknowledged)

    async def change(self, held: Held, *, cancel: bool) -> Sent:
        """Update or cancel what was sent."""
        make = cancellation if cancel else update
        body = make(held.acknowledgement)
        return await self._send(held, body, attempts=1)

    async def respond(self, held: Held, step: ScriptedResponse, attempts: int = 1) -> Sent:
        """Send one response to what was received."""
        body = _response(held, step)
        sent = await self._send(held, body, attempts)
        if step.repeat:
            await self._send(held, body, attempts, request_id=sent.request_id)
        return sent

    async def _follow(self, held: Held, steps: Sequence[ScriptedResponse], pause: float) -> None:
        for step in steps:
            await asyncio.sleep(pause)
            if held.state is State.CANCELLED:
                return
            await self.respond(held, step, RESPONSE_ATTEMPTS)

    async def _send(
        self, held: Held, body: bytes, attempts: int, request_id: str | None = None
    ) -> Sent:
        message = bundle.read(body)
        move = move_of(message)
        assert move is not None
        if message.bundle_id not in held.bundle_ids:
            held.bundle_ids.append(message.bundle_id)
        sent = await self._sender.send(
            body, held.correlation_id, attempts=attempts, request_id=request_id
        )
        if sent.verdict is Verdict.ACKNOWLEDGED:
            held.move(move)
        held.note(f"sent {move}", self._now(), **sent.document())
        return sent


def _response(held: Held, step: ScriptedResponse) -> bytes:
    if step.no_show:
        return messages.no_show(held.acknowledgement)
    return messages.response(
        held.acknowledgement,
        encounter=step.encounter,
        reason=step.reason,
        rejection=step.rejection,
    )


def request(
    use_case: str,
    *,
    sender: str,
    receiver: str,
    nhs_number: str = NHS_NUMBER,
    books: bool = False,
    slot: str | None = None,
) -> bytes:
    """
    Return a new request of *use_case* between two `system|value`; *books*: a booking.

    It is of a slot of its own, unless *slot* names one.
    """
    application = application_of(use_case)
    version = VERSIONS[application][-1]
    ends = {"sender": sender, "receiver": receiver}
    if books or application in ONLY_BOOKED:
        begin = None if slot is None else _begin_of(slot)
        made = booking(slot=slot or str(uuid4()), sender=sender, receiver=receiver, begin=begin)
        return _for(made, use_case, version, nhs_number)
    ends |= {"use_case": use_case, "version": version, "nhs_number": nhs_number}
    if application == "a4":
        return validation_request(**ends)
    plan = "active" if application == "a6" else "completed"
    bundle = json.loads(referral(plan=plan, **ends))
    if application in _ADDED:
        _ADDED[application](bundle)
    return json.dumps(bundle).encode()


def _begin_of(slot: str) -> datetime:
    """Return when a slot begins, for whoever books it: a half hour of the day after tomorrow."""
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    return day + timedelta(minutes=30) * (crc32(slot.encode()) % 48)


def _free_slots(target: str, begin: datetime) -> str:
    """Return the query for what is free at a service within a day."""
    bounds = {"ge": begin, "le": begin + timedelta(days=1)}
    query = [("Schedule.actor:HealthcareService", target), ("status", "free")]
    query += [("start", f"{end}{moment:%Y-%m-%dT%H:%M:%SZ}") for end, moment in bounds.items()]
    query += [("_include", each) for each in INCLUDES]
    return urlencode(query)


def update(acknowledgement: bytes) -> bytes:
    """Return the update of a request that was acknowledged so."""
    return change_of(json.loads(acknowledgement))


def cancellation(acknowledgement: bytes) -> bytes:
    """Return the cancellation of a request that was acknowledged so: no more than it needs."""
    status = "cancelled" if b'"Appointment"' in acknowledgement else "revoked"
    bundle: Bundle = json.loads(change_of(json.loads(acknowledgement), status=status))
    header = bundle["entry"][0]["resource"]
    kind = header["eventCoding"]["code"]
    header["definition"] = f"{NHS}/MessageDefinition/bars-message-{kind}-cancelled"
    for name in _LEFT_OUT:
        focus(bundle).pop(name, None)
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] in _CANCELLED]
    return json.dumps(bundle).encode()


def _for(made: bytes, use_case: str, version: str, nhs_number: str) -> bytes:
    """Return a booking as it is for another use case, and another patient."""
    bundle: Bundle = json.loads(made)
    bundle["meta"]["versionId"] = version
    focus(bundle)["serviceCategory"][0]["coding"][0] |= {"code": use_case, "display": use_case}
    patient = next(e["resource"] for e in bundle["entry"] if "birthDate" in e["resource"])
    patient["identifier"][0]["value"] = nhs_number
    return json.dumps(bundle).encode()


def _with_incident(bundle: Bundle) -> None:
    """Say where it is, and what is asked for (R08T)."""
    focus(bundle)["category"][0]["text"] = "A crew. Invented."
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Location":
            entry["resource"]["meta"]["profile"] = [_INCIDENT]
            system = f"{NHS}/CodeSystem/location-types-bars"
            entry["resource"]["type"] = [
                {"coding": [{"system": system, "code": "ILOC", "display": "Incident"}]}
            ]


def _with_task(bundle: Bundle) -> None:
    """Say what the pharmacy is to do, and about what (R22)."""
    patient = next(e["fullUrl"] for e in bundle["entry"] if "birthDate" in e["resource"])
    subject = {"reference": patient}
    _add(bundle, "Task", status="requested", intent="plan", code=_coded("1577041000000109"))
    bundle["entry"][-1]["resource"]["for"] = subject
    _add(bundle, "Condition", category=[_coded("64572001")], subject=subject)


def _add(bundle: Bundle, kind: str, **elements: object) -> None:
    profile = f"https://fhir.hl7.org.uk/StructureDefinition/UKCore-{kind}"
    meta = {"lastUpdated": bundle["timestamp"], "profile": [profile]}
    resource = {"resourceType": kind, "meta": meta, **elements}
    bundle["entry"].append({"fullUrl": f"urn:uuid:{uuid4()}", "resource": resource})


def _coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": _SNOMED, "code": code, "display": "Invented"}]}


_ADDED: Mapping[str, Callable[[Bundle], None]] = {
    "a5": _with_task,
    "a6": _with_incident,
}
