"""
Problems in the guide's own words: what is wrong, where, and what it is answered with.

An Issue never holds anything from a payload: it names the rule, the FHIR path and
the cure, and that is what a person needs (Core, Diagnostics-Text).
"""

from enum import StrEnum
from typing import TypedDict

from bars_gateway.frozen import frozen


class Severity(StrEnum):
    """Whether a problem stops the message; FHIR's codes."""

    ERROR = "error"  # it stops the message
    WARNING = "warning"  # the message goes on; somebody should look
    INFORMATION = "information"  # no problem: something about the list of them


@frozen(kw_only=True)
class Issue:
    """One rule that a message breaks, and the answer that the guide has for it."""

    rule: str  # B01 … R24, of the table in standard/rules
    path: str  # FHIR path, or the name of a header
    text: str  # what is wrong and what to do, without content
    severity: Severity = Severity.ERROR
    http_status: int = 400
    code: str = "REC_BAD_REQUEST"
    issue: str = "invariant"  # FHIR IssueType
    line: int | None = None  # of XML
    refused_in_production: bool = False  # a warning here, and an error where environment is prod


class RefusalCodes(TypedDict):
    """What a rule that stops a message is answered with."""

    http_status: int
    code: str
    issue: str


BAD_REQUEST: RefusalCodes = {"http_status": 400, "code": "REC_BAD_REQUEST", "issue": "invariant"}
CONFLICT: RefusalCodes = {"http_status": 409, "code": "REC_CONFLICT", "issue": "conflict"}
NOT_FOUND: RefusalCodes = {"http_status": 404, "code": "REC_NOT_FOUND", "issue": "not-found"}
NOT_SUPPORTED: RefusalCodes = {
    "http_status": 422,
    "code": "REC_UNPROCESSABLE_ENTITY",
    "issue": "not-supported",
}
