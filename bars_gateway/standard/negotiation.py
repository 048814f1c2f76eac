"""
Whether we can answer in a form that the Sender accepts (H11, CS on content negotiation).

Two kinds of version travel with a message and are never mixed: this one is of BaRS
Core, stands in the Accept header, and is compared on its major number alone.
"""

import re

from bars_gateway.standard.issues import Issue

CORE_MAJOR = 1
_JSON = frozenset(
    {"application/fhir+json", "application/json", "application/*", "*/*", "text/json"}
)
_VERSION = re.compile(r"\s*version\s*=\s*\"?(\d+)(?:\.\d+)*", re.ASCII | re.IGNORECASE)


def not_acceptable(accept: str | None) -> Issue | None:
    """Return what is wrong with an Accept header, or None if JSON of our Core will do."""
    if accept is None or not accept.strip():
        return None
    for choice in accept.split(","):
        media_type, *parameters = choice.split(";")
        if media_type.strip().lower() in _JSON and _is_ours(parameters):
            return None
    return Issue(
        rule="H11",
        path="header Accept",
        text=f"answers are application/fhir+json of BaRS Core {CORE_MAJOR}",
        http_status=406,
        code="REC_NOT_ACCEPTABLE",
        issue="processing",
    )


def _is_ours(parameters: list[str]) -> bool:
    versions = [found[1] for parameter in parameters if (found := _VERSION.match(parameter))]
    return all(int(version) == CORE_MAJOR for version in versions)
