"""
What of a message may be seen by whoever may see the console: ids, times, services and codes.

    headers as on the wire ──shown_headers──► those that hold no patient data, in words
                                              the rest: by name, "hidden", or merely counted

A value is shown only if it has the form of what the standard puts there, for a Sender may have put
anything in its place; where it has another form, it is hidden, and said to have.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bars_gateway.standard.headers import HeaderProblem, TargetIdentifier

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_MEDIA = re.compile(
    r"application/(fhir\+)?(json|xml)(\s*;\s*(version|fhirVersion|charset)=[\w.+-]{1,12})*",
    re.ASCII | re.IGNORECASE,
)
# Use case, category or status, event and reason, each in a word of the standard's.
_CONTEXT = re.compile(
    r"[a-z]\d[a-z]\d\|(referral|validation|transfer-of-care|booked|cancelled|entered-in-error)?\|"
    r"(booking|servicerequest)-(request|response)\|(new|update|delete)",
    re.ASCII,
)
_NUMBER = re.compile(r"\d{1,12}", re.ASCII)
_DATE = re.compile(r"\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)
_CODING = re.compile(r"(gzip|deflate|br|identity)(,\s*(gzip|deflate|br|identity))*", re.ASCII)
_SYSTEM = re.compile(r"https://fhir\.nhs\.uk/Id/[\w-]{1,60}", re.ASCII)
_SERVICE = re.compile(r"[A-Za-z0-9-]{1,24}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownHeader:
    """One header as it may be seen."""

    name: str
    value: str | None  # None: hidden
    why: str = ""  # why it is


def _of_form(form: re.Pattern[str]) -> Callable[[str], str | None]:
    return lambda value: value if form.fullmatch(value) else None


def _target(value: str) -> str | None:
    """Return the service that it names, decoded."""
    try:
        found = TargetIdentifier.decode(value)
    except HeaderProblem:
        return None
    fits = _SYSTEM.fullmatch(found.system) and _SERVICE.fullmatch(found.value)
    return found.text if fits else None


_SHOWN: Mapping[str, Callable[[str], str | None]] = {
    "X-Request-Id": _of_form(_UUID),
    "X-Correlation-Id": _of_form(_UUID),
    "NHSD-Target-Identifier": _target,
    "use-context": _of_form(_CONTEXT),
    "Accept": _of_form(_MEDIA),
    "Content-Type": _of_form(_MEDIA),
    "Content-Length": _of_form(_NUMBER),
    "Content-Encoding": _of_form(_CODING),
    "Accept-Encoding": _of_form(_CODING),
    "Date": _of_form(_DATE),
}
_PEOPLE = "about people or software: hidden"
_HIDDEN: Mapping[str, str] = {
    "NHSD-End-User-Organisation": _PEOPLE,
    "NHSD-Requesting-Practitioner": _PEOPLE,
    "NHSD-Requesting-Software": _PEOPLE,
}
_ODD = "not of the form that the standard gives it: hidden"


def shown_headers(headers: Mapping[str, str]) -> Sequence[ShownHeader]:
    """Return what may be seen of *headers*, in the order of the standard; others are counted."""
    given = {name.lower(): value for name, value in headers.items()}
    found = []
    for name, read in _SHOWN.items():
        if (value := given.pop(name.lower(), None)) is not None:
            seen = read(value.strip())
            found.append(ShownHeader(name=name, value=seen, why="" if seen else _ODD))
    for name, why in _HIDDEN.items():
        if given.pop(name.lower(), None) is not None:
            found.append(ShownHeader(name=name, value=None, why=why))
    if given:
        found.append(ShownHeader(name=f"{len(given)} more", value=None, why="hidden"))
    return found
