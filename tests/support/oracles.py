"""
Two others who know R4, asked for their verdict: HL7's JSON schema, and fhir.resources.

Neither is used by the gateway: both look at resources only, and say yes or no. Each takes its time
to load, and is loaded where it is asked.
"""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bars_gateway.standard.tree import Json, Number

Oracle = Callable[[Json], bool]


def as_json(tree: Json) -> bytes:
    """Return *tree* as JSON, each number as it was written."""
    return _written(tree).encode()


def _written(value: Json) -> str:
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}:{_written(item)}" for name, item in value.items())
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return json.dumps(value)


@cache
def schema(file: Path) -> Oracle:
    """Return what HL7's schema says; it names the resource types, so it is asked as a whole."""
    import jsonschema_rs

    validator = jsonschema_rs.validator_for(json.loads(file.read_bytes()))
    return lambda tree: validator.is_valid(json.loads(as_json(tree)))


def models(tree: Json) -> bool:
    """Tell whether fhir.resources takes it; it raises KeyError for resources unknown to it."""
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    try:
        document: dict[str, Any] = json.loads(as_json(tree))
        get_fhir_model_class(document["resourceType"]).model_validate_json(as_json(tree))
    except (ValidationError, KeyError, LookupError, TypeError, AttributeError):
        return False
    return True


def models_read(xml: bytes) -> Any:
    """Return what fhir.resources reads in XML: comments make it fail, so they are taken out."""
    from fhir.resources.R4B import get_fhir_model_class

    bare = re.sub(rb"<!--.*?-->", b"", xml, flags=re.DOTALL)
    return get_fhir_model_class("Bundle").model_validate_xml(bare)
