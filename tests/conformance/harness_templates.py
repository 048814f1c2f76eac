"""
The bodies of the official receiver tests, as far as they are published.

    template ─► ids and services filled in, as the harness does ─► Bundle

The harness fills a placeholder in when it knows what stands for it. What it does not know it
sends as it is: `__ORG1_ID__` reaches the Receiver as an id.
"""

import json
import os
import re
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from messages import RECEIVER, SENDER

from bars_gateway.standard.formats import Format, to_bytes, to_tree

Bundle = dict[str, Any]
PUBLISHED: Mapping[str, str] = {
    "referral_request_02": "referral_request_02_template.xml",
    "referral_request_04": "referral_request_04_template.xml",
    "referral_request_04_no_ds": "referral_request_04_template.xml",
    "referral_request_6_OOA_3": "referral_request_04_template.xml",
    "referral_request_6_OOA_3_extracted": "6_OOA_1_template.xml",
    "validation_request": "validation_request_template.xml",
    "book_appointment_slot1": "book_appt_template.xml",
    "referral_response": "referral_response_template.xml",
}
# What stands in the published files, and cannot be what the harness sends: it is no FHIR.
REPAIRED: Mapping[str, str] = {
    "referral_request_02": "a letter before the first element",
    "referral_request_04": "an id of the entry, where the resource's is meant",
}
_LOCATION = re.compile(r'(<id value="__LOCATION2_ID__"/>)(\s*<resource>\s*<Location>)')
_OWN = "__RECEIVER_ENCOUNTER_"


@cache
def _text(name: str) -> str:
    folder = Path(os.environ["BARS_REFERENCE_DATA"]) / "examples" / "templates"
    text = (folder / PUBLISHED[name]).read_text("utf-8")
    text = re.sub(r"-->\s*v\s*<", "--><", text)
    return _LOCATION.sub(r"\2\1", text)


def published(name: str, slot: Mapping[str, str], known: Bundle) -> Bundle:
    """Return the template of that name; *known* is what the Receiver has said of it before."""
    text = _text(name)
    services = {"TO_SERVICE": RECEIVER, "FROM_SERVICE": SENDER}
    values = {key: value.partition("|")[2] for key, value in services.items()} | dict(slot)
    for key, value in {**values, "BUNDLE_ID": str(uuid.uuid4())}.items():
        text = text.replace(f"__{key}__", value)
    bundle: Bundle = json.loads(to_bytes(to_tree(text.encode(), Format.XML), Format.JSON))
    given = {each["fullUrl"]: each["resource"] for each in known.get("entry", [])}
    bundle["entry"] = [_filled(each, given) for each in bundle["entry"] if not _is_open(each)]
    if _OWN in text and given:
        bundle["entry"].insert(4, known["entry"][-1])
    return bundle


def _is_open(entry: Bundle) -> bool:
    """Tell whether it stands for the Receiver's own Encounter."""
    return bool(entry["fullUrl"].startswith(_OWN))


def _filled(entry: Bundle, given: Mapping[str, Bundle]) -> Bundle:
    """Return the entry with the id that the Receiver gave, but for that of a Location."""
    resource = entry["resource"]
    known = given.get(entry["fullUrl"])
    if known is not None and "id" in resource and resource["resourceType"] != "Location":
        resource["id"] = known["id"]
    return entry
