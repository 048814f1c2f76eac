"""
What the EPR may say about a message beyond the Bundle itself.

    NAME.envelope.json ─┐
                        ├─► Envelope(correlation id, needed by, practitioner, patient changed)
    headers of a POST  ─┘

All of it is optional. A key that nobody knows is refused by its name and never
ignored: a misspelt `needed_by` would otherwise let an appointment pass unnoticed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from datetime import datetime

import orjson

from bars_gateway.frozen import frozen
from bars_gateway.standard.bundle import bare_id
from bars_gateway.standard.headers import (
    CORRELATION_ID,
    LONGEST,
    HeaderProblem,
    decode,
    encode,
    is_uuid,
)
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.timing import FAR_AWAY, is_clinical
from bars_gateway.standard.tree import MalformedBundle, plain_object

NEEDED_BY_HEADER = "Bars-Needed-By"
PRACTITIONER_HEADER = "Bars-Practitioner"
PATIENT_CHANGED_HEADER = "Bars-Patient-Changed"
HEADERS = {
    "correlation_id": CORRELATION_ID,
    "needed_by": NEEDED_BY_HEADER,
    "practitioner": PRACTITIONER_HEADER,
    "patient_changed": PATIENT_CHANGED_HEADER,
}
_SAID = {"true": True, "false": False}
_LONGEST_JSON = LONGEST // 4 * 3  # of which Base64 makes so much


@frozen(kw_only=True)
class Envelope:
    """What goes with a message; None where the EPR says nothing."""

    correlation_id: str | None = None  # of the conversation that the message goes on with
    needed_by: datetime | None = None  # the clinical time: ends the retries, less a lead
    practitioner: Mapping[str, object] | None = None  # a PractitionerRole, sent as a header
    patient_changed: bool = False  # a later message names the patient otherwise, and that is right
    bundle_id: str | None = None  # bare, of the message that it means, and of no other
    sha256: str | None = None  # of that message's bytes, in hex
    in_headers: bool = field(default=False, compare=False)  # of a POST; else in its own file

    def path(self, key: str) -> str:
        """Return where the EPR wrote what goes by *key*, in its own words."""
        return f"header {HEADERS[key]}" if self.in_headers else f"envelope.{key}"


class EnvelopeProblem(ValueError):
    """The envelope cannot be taken; `issues` says what is wrong, without its values."""

    def __init__(self, issues: list[Issue]) -> None:
        super().__init__("; ".join(issue.text for issue in issues))
        self.issues = issues


def read_envelope(content: bytes) -> Envelope:
    """Return what an envelope file says, or raise EnvelopeProblem with all that is wrong."""
    try:
        found = plain_object(content)
    except MalformedBundle as error:
        text = str(error).replace("the body", "the envelope", 1)
        raise EnvelopeProblem([_problem("envelope", text)]) from None
    return _envelope(found, Envelope())


def envelope_from_headers(headers: Mapping[str, str]) -> Envelope:
    """Return what the headers of a POST say, or raise EnvelopeProblem with all that is wrong."""
    found: dict[str, object] = {
        key: headers[name] for key, name in HEADERS.items() if name in headers
    }
    if "practitioner" in found:
        try:
            found["practitioner"] = decode(headers[PRACTITIONER_HEADER])
        except HeaderProblem:
            found["practitioner"] = None
    if "patient_changed" in found:
        found["patient_changed"] = _SAID.get(headers[PATIENT_CHANGED_HEADER].strip().lower())
    return _envelope(found, Envelope(in_headers=True))


def doubtful(envelope: Envelope, now: datetime) -> list[Issue]:
    """Return the warnings about an envelope that is taken: nobody can mean some times."""
    if envelope.needed_by is None or is_clinical(envelope.needed_by, now):
        return []
    path = envelope.path("needed_by")
    return [Issue(rule="R04E", path=path, text=FAR_AWAY, severity=Severity.WARNING)]


def _envelope(found: Mapping[str, object], empty: Envelope) -> Envelope:
    issues = [_unknown(key) for key in found if key not in _READERS]
    values: dict[str, object] = {}
    for key, (reader, wanted) in _READERS.items():
        if key in found:
            values[key] = reader(found[key])
            if values[key] is None:
                issues.append(_problem(empty.path(key), f"must be {wanted}"))
    if issues:
        raise EnvelopeProblem(issues)
    return replace(empty, **values)  # type: ignore[arg-type]


def _correlation_id(value: object) -> str | None:
    return value.strip() if isinstance(value, str) and is_uuid(value) else None


def _needed_by(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _bundle_id(value: object) -> str | None:
    return (bare_id(value) or None) if isinstance(value, str) else None


def _sha256(value: object) -> str | None:
    plain = value.strip().lower() if isinstance(value, str) else ""
    return plain if re.fullmatch(r"[0-9a-f]{64}", plain, re.ASCII) else None


def _practitioner(value: object) -> Mapping[str, object] | None:
    if not isinstance(value, dict) or value.get("resourceType") != "PractitionerRole":
        return None
    try:
        header = encode(value)
    except orjson.JSONEncodeError:  # what is nested too deeply can be read, and not written again
        return None
    return value if len(header) <= LONGEST else None


def _patient_changed(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


_READERS: Mapping[str, tuple[Callable[[object], object], str]] = {
    "correlation_id": (_correlation_id, "a UUID"),
    "needed_by": (_needed_by, "an instant with an offset, such as 2026-03-02T09:00:00+00:00"),
    "bundle_id": (_bundle_id, "the Bundle.id of the message"),
    "sha256": (_sha256, "the SHA-256 of the message's bytes: 64 hexadecimal digits"),
    "practitioner": (
        _practitioner,
        (
            f"a PractitionerRole of {_LONGEST_JSON} bytes of JSON at most (it is sent in a header),"
            f" and not nested too deeply (in {PRACTITIONER_HEADER}: its JSON in Base64)"
        ),
    ),
    "patient_changed": (_patient_changed, "true or false"),
}


def _unknown(key: str) -> Issue:
    # The key is shown as far as it can be one; a long or odd one might be content.
    shown = key if key.isidentifier() and key.isascii() and len(key) <= 40 else "…"  # noqa: PLR2004
    if key == "submission_id":
        return _problem("envelope.submission_id", "belongs to composed answers only; leave it out")
    known = ", ".join(_READERS)
    return _problem(f"envelope.{shown}", f"is not a key of an envelope; there are {known}")


def _problem(path: str, text: str) -> Issue:
    return Issue(rule="E01", path=path, text=text, issue="value")
