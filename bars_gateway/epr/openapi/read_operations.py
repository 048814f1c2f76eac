"""What the EPR asks of other organisations, in the words of OpenAPI."""

from collections.abc import Mapping

from bars_gateway.epr.openapi.schemas import Schema, ref, text
from bars_gateway.epr.read_requests import ANSWERED_BY, METHODS, PATHS, PROVED, TO
from bars_gateway.standard.reads import PREVIEW, READABLE, TEMPLATE

_ANY: Schema = {"*/*": {"schema": {}}}
_BODY: Schema = {name: {"schema": {}} for name in ("application/fhir+json", "application/fhir+xml")}


_OF = {"": "", "/{id}": "_one", f"/{{id}}/{TEMPLATE}": "_template"}


def _parameter(name: str, where: str, schema: Schema) -> Schema:
    required = where == "path"
    return {
        "name": name,
        "in": where,
        "required": required,
        "description": schema.pop("description"),
        "schema": schema,
    }


def _own(meaning: str) -> Schema:
    return {"description": meaning, "content": {"application/json": {"schema": ref("Problem")}}}


def _operation(method: str, path: str) -> Schema:
    names = sorted(READABLE | PREVIEW) if method == "GET" else sorted(PREVIEW)
    parameters = [
        _parameter("resource", "path", text("what is asked for", enum=names)),
        _parameter(TO, "query", text("target identifier of who is asked: system|value")),
    ]
    if "{id}" in path:
        parameters.append(_parameter("id", "path", text("the id that they gave to it")))
    reading = method == "GET"
    return {
        "operationId": f"ask_{method.lower()}{_OF[path.partition('{resource}')[2]]}",
        "summary": "Ask another organisation, through BaRS"
        if reading
        else "A preview operation, where the settings let it pass",
        "description": "Every other parameter is passed on as it is written.",
        "parameters": parameters,
        **({} if reading or method == "DELETE" else {"requestBody": {"content": _BODY}}),
        "responses": {
            "default": {
                "description": "their answer, or BaRS's: status and bytes as they came",
                "headers": {
                    ANSWERED_BY: {
                        "description": "whose answer it is",
                        "schema": {"enum": ["bars", "cache", "gateway"]},
                    },
                    PROVED: {
                        "description": "whether it says itself that it answers what was asked",
                        "schema": {"enum": ["yes", "no"]},
                    },
                },
                "content": _ANY,
            },
            "500": _own("the gateway itself failed over it, or theirs"),
            "501": _own("it is a preview operation, and switched off; or theirs"),
            "502": _own("no answer came, or theirs"),
            "503": _own("no access token, or theirs"),
            "504": _own("no answer came in time, or theirs"),
        },
    }


READ_OPERATIONS: Mapping[tuple[str, str], Schema] = {
    (method.lower(), path): _operation(method, path) for path in PATHS for method in METHODS
}
