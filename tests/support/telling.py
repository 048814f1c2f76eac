"""Responses as Responders of any make write them: what each element says, and by whose clock."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from bars_gateway.demo.messages import response

REJECTION = ("RRNA", "Invented.")


def told(
    acknowledgement: bytes,
    encounter: str,
    *,
    ago: timedelta = timedelta(0),
    focus: str = "responder",
    request: str | None = None,
    requester: str | None = None,
    plan: str | None = None,
) -> bytes:
    """
    Return a response whose Responder's Encounter is *encounter*, stamped *ago*.

    *focus* is `responder`, `requester` or `request`; *request*, *requester* and *plan* are the
    statuses of the ServiceRequest, the Requester's Encounter and the CarePlan, where they differ.
    """
    rejection = REJECTION if encounter == "cancelled" or request == "revoked" else None
    bundle = json.loads(response(acknowledgement, encounter=encounter, rejection=rejection))
    entries = bundle["entry"]
    encounters = [each for each in entries if of(each) == "Encounter"]
    sent = next(each for each in entries if of(each) == "ServiceRequest")
    theirs, own = encounters[0], encounters[-1]
    points = {"responder": own, "requester": theirs, "request": sent}
    entries[0]["resource"]["focus"] = [{"reference": points[focus]["fullUrl"]}]
    sent["resource"]["status"] = request or sent["resource"]["status"]
    theirs["resource"]["status"] = requester or theirs["resource"]["status"]
    for each in entries:
        if of(each) == "CarePlan" and plan:
            each["resource"]["status"] = plan
    stamp = (datetime.now(UTC) - ago).isoformat(timespec="milliseconds")
    own["resource"]["meta"]["lastUpdated"] = stamp
    return json.dumps(bundle).encode()


def emptied(body: bytes, **holds: Any) -> bytes:
    """Return a response whose CarePlan has its technical elements, and *holds* these."""
    bundle = json.loads(body)
    for each in bundle["entry"]:
        if of(each) == "CarePlan":
            plan = each["resource"]
            kept = ("resourceType", "id", "meta", "status", "intent", "subject", "encounter")
            each["resource"] = {name: plan[name] for name in kept if name in plan} | holds
    return json.dumps(bundle).encode()


def sent_back(body: bytes, request: bytes) -> bytes:
    """Return a response whose CarePlan is that of the request, under its own status and case."""
    bundle, asked = json.loads(body), json.loads(request)
    ours = next(each for each in asked["entry"] if of(each) == "CarePlan")
    for each in bundle["entry"]:
        if of(each) == "CarePlan":
            kept = {name: each["resource"][name] for name in ("status", "encounter")}
            each["resource"] = ours["resource"] | kept
            each["fullUrl"] = ours["fullUrl"]
    return json.dumps(bundle).encode()


def of(entry: dict[str, Any]) -> str:
    return str(entry["resource"]["resourceType"])
