"""Messages that name our patient and somebody else: whoever mixed up two requests wrote both."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

ANOTHER = "9990000026"
_THEIRS = {"identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": ANOTHER}}
Bundle = dict[str, Any]


def in_the_care_plan(bundle: Bundle) -> None:
    _named_in(bundle, "CarePlan")


def in_the_records(bundle: Bundle) -> None:
    _named_in(bundle, "ServiceRequest", "Encounter")


def in_a_second_patient(bundle: Bundle) -> None:
    """Add the other's Patient, to whom every record refers."""
    ours = next(each for each in bundle["entry"] if _is_a(each, "Patient"))
    theirs = json.loads(json.dumps(ours)) | {"fullUrl": f"urn:uuid:{uuid4()}"}
    theirs["resource"]["identifier"][0]["value"] = ANOTHER
    theirs["resource"]["name"] = [{"use": "official", "family": "ELSEWHERE", "given": ["Else"]}]
    theirs["resource"].pop("id", None)
    bundle["entry"].append(theirs)
    for each in bundle["entry"]:
        subject = each["resource"].get("subject", {})
        if subject.get("reference") == ours["fullUrl"]:
            subject["reference"] = theirs["fullUrl"]


def in_a_task(bundle: Bundle) -> None:
    """Add a Task for the other, whom it names as the demographics service does."""
    task = {"resourceType": "Task", "status": "requested", "intent": "order"}
    named = {"for": {"reference": f"Patient/{ANOTHER}"}}
    bundle["entry"].append({"fullUrl": f"urn:uuid:{uuid4()}", "resource": task | named})


FORMS = (in_the_care_plan, in_the_records, in_a_second_patient, in_a_task)


def mixed_up(body: bytes, form: Callable[[Bundle], None] = in_the_care_plan) -> bytes:
    """Return *body* with another patient beside ours."""
    bundle = json.loads(body)
    form(bundle)
    return json.dumps(bundle).encode()


def about_one(body: bytes) -> bytes:
    """Return *body* with its first Patient alone, to whom every record refers."""
    bundle = json.loads(body)
    first, *others = (each for each in bundle["entry"] if _is_a(each, "Patient"))
    bundle["entry"] = [each for each in bundle["entry"] if each not in others]
    for each in bundle["entry"]:
        if "subject" in each["resource"]:
            each["resource"]["subject"] = {"reference": first["fullUrl"]}
    return json.dumps(bundle).encode()


def _named_in(bundle: Bundle, *kinds: str) -> None:
    for each in bundle["entry"]:
        if any(_is_a(each, kind) for kind in kinds):
            each["resource"]["subject"] = _THEIRS


def _is_a(entry: Bundle, kind: str) -> bool:
    return bool(entry["resource"]["resourceType"] == kind)
