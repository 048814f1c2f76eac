"""
Calls that one ambulance control room asks another to take, about people who do not exist.

`call_assistance()` returns a Bundle that passes every rule, with a Bundle.id of its own.
"""

import json
from typing import Any

from bars_gateway.demo.messages import CORE, NHS, referral


def call_assistance(**changes: Any) -> bytes:
    """Return a new call for assistance to another control room; *changes* as for a referral."""
    values = {"use_case": "a6t2", "version": "1.0.0", "plan": "active"} | changes
    bundle = json.loads(referral(**values))
    kinds = {entry["resource"]["resourceType"]: entry["resource"] for entry in bundle["entry"]}
    place = kinds["Location"]
    place["meta"]["profile"] = [f"{CORE}/BARSLocation-incident-location"]
    system = f"{NHS}/CodeSystem/location-types-bars"
    place["type"] = [{"coding": [{"system": system, "code": "ILOC", "display": "ILOC"}]}]
    return json.dumps(bundle).encode()
