"""
What the gateway does as a Sender: each scene is what its EPR hands in, and what then goes out.

The other side is the sandbox's counterparty. Faults of the national side, and scripts of the
counterparty, are asked for one call at a time.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp

from bars_gateway.demo.messages import focus
from bars_gateway.epr.envelope import PRACTITIONER_HEADER
from bars_gateway.evidence.ground import SERVICE, ProvingGround
from bars_gateway.evidence.scene import Scene
from bars_gateway.sandbox.counterparty.correspondence import request
from bars_gateway.sandbox.counterparty.services import own_service
from bars_gateway.standard.bundle import read
from bars_gateway.standard.headers import encode

Document = dict[str, Any]
_ROLE: Mapping[str, object] = {
    "resourceType": "PractitionerRole",
    "identifier": [
        {"system": "https://fhir.nhs.uk/Id/sds-role-profile-id", "value": "555001118222"}
    ],
    "code": [{"coding": [{"system": "http://snomed.info/sct", "code": "62247001"}]}],
}
_DUPLICATE = "409 REC_CONFLICT duplicate"
_SLOTS = [
    ("start", "ge2026-03-02T09:00:00+00:00"),
    ("start", "le2026-03-05T09:00:00+00:00"),
    ("status", "free"),
    ("_include", "Slot:schedule"),
    ("_include", "Schedule:actor:HealthcareService"),
]


def _to(use_case: str, *, receiver: str | None = None, books: bool = False) -> bytes:
    """Return a new request to the counterparty's service of that Application."""
    service = receiver or own_service(use_case[:2]).identifier
    return request(use_case, sender=SERVICE, receiver=service, books=books)


async def _send(ground: ProvingGround, body: bytes) -> tuple[Document, Document]:
    """Hand a message in; return its receipt, and the Receiver's acknowledgement of it."""
    receipt = await ground.epr.submit(body)
    return receipt, await ground.outcome(receipt)


async def _move(ground: ProvingGround, about: Document, move: str, **words: object) -> None:
    """Say in a few words what has happened; the gateway makes the message of it."""
    number = about["workflow_id"]
    key = {"submission_id": f"{move}-{number}", "in_reply_to": number, "move": move}
    made = await ground.epr.move(key | words)
    await ground.outcome(made)


async def _first(ground: ProvingGround) -> None:
    await _send(ground, _to("a1t1"))


async def _practitioner(ground: ProvingGround) -> None:
    """Send for somebody who is named, in a conversation that goes on."""
    headers = {"X-Correlation-Id": str(uuid4()), PRACTITIONER_HEADER: encode(_ROLE)}
    receipt = await ground.epr.submit(_to("a1t1"), headers)
    await ground.outcome(receipt)


async def _not_published(ground: ProvingGround) -> None:
    """Hand in a request that the service does not take: it is refused here."""
    with suppress(aiohttp.ClientResponseError):
        await ground.epr.submit(_to("a4t1", receiver=own_service("a5").identifier))


async def _pair(ground: ProvingGround) -> None:
    """Book, and refer in the same conversation, each naming the other."""
    _, booked = await _send(ground, _to("a1t1", books=True))
    bundle = json.loads(_to("a1t1"))
    focus(bundle)["supportingInfo"] = [{"reference": f"Appointment/{focus(booked)['id']}"}]
    await _send(ground, json.dumps(bundle).encode())


def _after(**fault: object) -> Callable[[ProvingGround], Any]:
    """Return a scene's play: a message is sent, and meets *fault*, once."""

    async def play(ground: ProvingGround) -> None:
        ground.sandbox.faults.arm({"method": "POST", "count": 1, **fault})
        await _send(ground, _to("a1t1"))

    return play


async def _lost(ground: ProvingGround) -> None:
    ground.sandbox.faults.arm({"kind": "drop_after", "method": "POST", "count": 1})
    receipt = await ground.epr.submit(_to("a1t1"))
    await ground.notice(receipt["request_id"], "reconciled")


async def _too_early(ground: ProvingGround) -> None:
    ground.sandbox.counterparty.scripts.add({"verb": "delay", "seconds": 3.2, "count": 1})
    await _send(ground, _to("a1t1"))


async def _refused(ground: ProvingGround) -> None:
    ground.sandbox.counterparty.scripts.add({"verb": "refuse", "status": 422, "count": 1})
    receipt = await ground.epr.submit(_to("a1t1"))
    await ground.notice(receipt["request_id"], "outcome")


async def _booking(ground: ProvingGround) -> None:
    service = own_service("a1")
    query = [("to", service.identifier), ("Schedule.actor:HealthcareService", service.value)]
    await ground.epr.get(f"/bars/Slot?{urlencode([*query, *_SLOTS])}")
    booked, _ = await _send(ground, _to("a1t1", books=True))
    await _move(ground, booked, "cancel")


async def _referral_and_cancellation(ground: ProvingGround) -> None:
    referred, _ = await _send(ground, _to("a1t1"))
    await _move(ground, referred, "cancel", text="Invented: it is no longer needed.")


async def _update(ground: ProvingGround) -> None:
    script = {"verb": "never", "of": "responses", "application": "a6", "count": 1}
    ground.sandbox.counterparty.scripts.add(script)
    referred, _ = await _send(ground, _to("a6t1"))
    changed = {"resourceType": "CarePlan", "description": "Invented: nobody is trapped."}
    await _move(ground, referred, "update", resources=[changed])


async def _validation(ground: ProvingGround) -> None:
    receipt, _ = await _send(ground, _to("a4t1"))
    for move in ("progress", "conclude"):
        await ground.epr.notice(
            lambda found, move=move: (  # type: ignore[misc]
                found["workflow_id"] == receipt["workflow_id"] and found["move"] == move
            )
        )


async def _responses(ground: ProvingGround) -> None:
    body = request("a4t1", sender=own_service("a4").identifier, receiver=SERVICE)
    await ground.sandbox.counterparty.correspondence.request(body)
    number = read(body).bundle_id
    taken = await ground.epr.notice(lambda found: found["bundle_id"] == number)
    plan = {
        "resourceType": "CarePlan",
        "activity": [{"outcomeCodeableConcept": [{"text": "Invented advice."}]}],
    }
    await _move(ground, taken, "progress")
    await _move(ground, taken, "conclude", outcome="no_action", resources=[plan])


SENDING = (
    Scene(
        name="send-first-message",
        title="A token is fetched, the Receiver's definitions are read, and a referral goes out",
        shows=("200", "200", "200"),
        play=_first,
    ),
    Scene(
        name="send-for-a-practitioner",
        title="A referral for a practitioner who is named, in a conversation that goes on",
        shows=("200",),
        play=_practitioner,
    ),
    Scene(
        name="send-only-what-is-published",
        title="The service does not publish the use case: that is read, and nothing is sent",
        shows=("200",),
        play=_not_published,
    ),
    Scene(
        name="send-booking-and-referral",
        title="A booking, and the referral that names it, in one conversation",
        shows=("200", "200"),
        play=_pair,
    ),
    Scene(
        name="send-lost-answer",
        title="The answer gets lost: a retry, a duplicate, and a search for the record",
        shows=("none", _DUPLICATE, "200"),
        play=_lost,
    ),
    Scene(
        name="send-after-408",
        title="The proxy times out: the same request again",
        shows=("408", "200"),
        play=_after(kind="status", status=408),
    ),
    Scene(
        name="send-after-503",
        title="The Receiver is not reached: the same request again",
        shows=("503", "200"),
        play=_after(kind="status", status=503),
    ),
    Scene(
        name="send-after-foreign-answer",
        title="A device between answers without an OperationOutcome: the same request again",
        shows=("502", "200"),
        play=_after(kind="page", status=502),
    ),
    Scene(
        name="send-after-answer-without-ids",
        title="An answer without our two ids proves nothing: the same request again",
        shows=("200", _DUPLICATE),
        play=_after(kind="no_ids"),
    ),
    Scene(
        name="send-too-early",
        title="The Receiver is slow: 408, then 425, then a duplicate",
        shows=("408", "425", _DUPLICATE),
        play=_too_early,
    ),
    Scene(
        name="send-refused",
        title="The Receiver refuses, and nothing is retried",
        shows=("422",),
        play=_refused,
    ),
    Scene(
        name="send-booking",
        title="Slots are searched, one is booked, read again, and cancelled",
        shows=("200", "200", "200", "200"),
        play=_booking,
    ),
    Scene(
        name="send-cancellation",
        title="A referral, and its cancellation after a read",
        shows=("200", "200", "200"),
        play=_referral_and_cancellation,
    ),
    Scene(
        name="send-update",
        title="A case for a neighbouring control room, and its update",
        shows=("200", "200"),
        play=_update,
    ),
    Scene(
        name="send-validation",
        title="A validation request; its interim and its final response come in",
        shows=("200", "200", "200"),
        play=_validation,
    ),
    Scene(
        name="send-responses",
        title="A validation request comes in; both responses are made and go out",
        shows=("200", "200", "200"),
        play=_responses,
    ),
    # The last, for the gateway then waits some seconds: meanwhile pictures are taken.
    Scene(
        name="send-after-429",
        title="Too many requests: the same request again, later",
        shows=("429", "200"),
        play=_after(kind="status", status=429),
    ),
)
