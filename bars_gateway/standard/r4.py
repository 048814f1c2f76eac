"""
R4 as a table: which elements each type has, and the forms of its primitive values.

    r4-element-table.json ──a line, when first asked──► members("Patient")["birthDate"]

The table holds every resource, datatype and backbone of FHIR R4 4.0.1, each in a line of its own:
messages are made of some dozens of the 660, and the others are never read. HL7 publishes the
definitions that it was made from under CC0. It is not a profile: what BaRS and UK Core ask
beyond R4 are rules (`rules`).

Two names for one thing: an *element* is what R4 defines (`value[x]`), a *member* is
what stands in a resource (`valueQuantity`).

What a date, an id or a code looks like is an expression for each type.

    form("instant")("2026-03-02T09:00:00.1234567+00:00") ──► None: nothing is wrong

Nothing is converted, so nothing is lost: an instant may have as many digits as its
writer cares for, and BaRS's have seven. The expressions are those of FHIR R4, read
as ASCII, so that a no-break space is no white space here either. Four are stricter
than R4's own: days exist in the calendar, Base64 is padded at its end only, what
XML cannot carry (most control characters) is refused in JSON too, and nothing that
names something holds a byte order mark, which nobody sees (HL7's schema: no white space).

A narrative is the XHTML that a resource holds as a text, in JSON as in XML:

    bytes of XML ──cut_out──► the div, as it was written, standing alone

Every value stays as it was written (D-lossless). Some writers name a character as HTML does
(`&nbsp;` and its like), which every browser shows and XML does not know: it is told, and the
narrative read for what it means.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html.entities import name2codepoint
from importlib.resources import files
from typing import Any, ClassVar, NoReturn
from xml.parsers import expat

import orjson

from bars_gateway.standard.tree import MAX_ELEMENTS, Number, too_wide

XHTML = "http://www.w3.org/1999/xhtml"
DIV = f"{XHTML} div"  # as expat names it
_OF_XML = {"lt", "gt", "amp", "quot"}
_HTML_NAMED = re.compile(f"&({'|'.join(name2codepoint.keys() - _OF_XML)});")
HTML_NAMES = (
    "names a character as HTML does (&nbsp; and its like): XML does not know it, and many readers"
    " refuse it; write the character, or its number (&#160;)"
)
_NAME = re.compile(_HTML_NAMED.pattern.encode())
_IN_ATTRIBUTES = {
    "&": "&amp;",  # before the others, which have one
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "\t": "&#9;",
    "\n": "&#10;",
    "\r": "&#13;",
}
RESOURCE = "Resource"  # the type of an element that holds a whole resource
Form = Callable[[object], str | None]  # what is wrong with a value, without the value
Fit = Callable[[Any], object]  # something true only of a value with which nothing is wrong
# What may change the meaning of all that stands beside it, wherever R4 lets it stand.
MODIFIERS = ("modifierExtension", "implicitRules")
REFERENCE = "reference"  # R4's type for it is string; what it holds names something
# Where R4 has a record say whom it is about, of all that a message may carry. Who writes, asks,
# does or pays may be somebody's patient, too, and the record is not about them for that.
ABOUT: Mapping[str, frozenset[str]] = {
    "subject": frozenset(
        {
            *("Account", "CarePlan", "ClinicalImpression", "Communication", "CommunicationRequest"),
            *("Composition", "Condition", "DeviceRequest", "DiagnosticReport", "DocumentReference"),
            *("Encounter", "Flag", "Goal", "ImagingStudy", "List", "Media", "MedicationRequest"),
            *("MedicationAdministration", "MedicationDispense", "MedicationStatement"),
            *("Observation", "Procedure", "QuestionnaireResponse", "RiskAssessment"),
            *("ServiceRequest", "Specimen", "CareTeam"),
        }
    ),
    "patient": frozenset(
        {
            *("AllergyIntolerance", "Consent", "Device", "EpisodeOfCare", "FamilyMemberHistory"),
            *("Immunization", "NutritionOrder", "RelatedPerson"),
        }
    ),
    "for": frozenset({"Task"}),
    "beneficiary": frozenset({"Coverage"}),
    "actor": frozenset({"Appointment.participant", "AppointmentResponse", "Schedule"}),
    "sourcePatientInfo": frozenset({"DocumentReference.context"}),
}
_LONGEST = 1024 * 1024  # of a string, in characters
_LARGEST = 2**31 - 1  # of the whole numbers
_MOST_DIGITS = len("-2147483648")
_YEAR = r"(?!0000)[0-9]{4}"
_MONTH = r"(?:0[1-9]|1[0-2])"
_LEAP_YEAR = r"(?!0000)(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DAY = (
    rf"(?:{_YEAR}-(?:{_MONTH}-(?:0[1-9]|1[0-9]|2[0-8])"
    rf"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)|{_LEAP_YEAR}-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_BLACK = r"[^\x00-\x20\ufeff\ufffe\uffff]"
# What is all ASCII, as nearly everything, is found to be so in three quarters of the time.
_URI = rf"[!-~]++|{_BLACK}+"
_WHOLE = r"0|[1-9][0-9]*"
_TEXTS = {
    "base64Binary": (r"[0-9A-Za-z+/\s]*+={0,2}\s*", "Base64"),
    "canonical": (_URI, "canonical: a URI without spaces, seen or unseen (U+FEFF)"),
    "code": (
        rf"{_BLACK}+([ \t\r\n]{_BLACK}+)*",
        "code: no spaces around it, single ones within, and none that are unseen (U+FEFF)",
    ),
    "date": (rf"{_DAY}|{_YEAR}(?:-{_MONTH})?", "date: YYYY, YYYY-MM or YYYY-MM-DD"),
    "dateTime": (
        rf"{_DAY}(?:T{_TIME}{_ZONE})?|{_YEAR}(?:-{_MONTH})?",
        "dateTime: a date, or YYYY-MM-DDThh:mm:ss with Z or +hh:mm",
    ),
    "id": (r"[A-Za-z0-9\-.]{1,64}", "id: 1 to 64 letters, digits, hyphens and full stops"),
    "instant": (
        rf"{_DAY}T{_TIME}{_ZONE}",
        "instant: YYYY-MM-DDThh:mm:ss with Z or +hh:mm",
    ),
    "oid": (r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+", "oid: urn:oid: and numbers with full stops"),
    "string": (
        rf"[ -~]{{1,{_LONGEST}}}+|[^\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]{{1,{_LONGEST}}}",
        "string: at most 1048576 characters, and no control characters",
    ),
    "time": (_TIME, "time: hh:mm:ss"),
    "uri": (_URI, "uri: no spaces, seen or unseen (U+FEFF)"),
    "uuid": (
        r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "uuid: urn:uuid: and a UUID in lower case",
    ),
}
_TEXTS["url"] = (_TEXTS["uri"][0], _TEXTS["uri"][1].replace("uri", "url"))
_TEXTS[REFERENCE] = (
    rf"[ -~]{{1,{_LONGEST}}}+|[^\x00-\x08\x0b\x0c\x0e-\x1f\ufeff\ufffe\uffff]{{1,{_LONGEST}}}",
    "reference: no control characters, and no unseen space (U+FEFF)",
)
_TEXTS["markdown"] = (_TEXTS["string"][0], _TEXTS["string"][1].replace("string", "markdown"))
_NUMBERS = {
    "decimal": (r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", "decimal number"),
    "integer": (rf"-?({_WHOLE})", "whole number"),
    "positiveInt": (r"[1-9][0-9]*", "whole number above 0"),
    "unsignedInt": (_WHOLE, "whole number that is not negative"),
}
NUMBERS = frozenset(_NUMBERS)
_NO_TEXTS = NUMBERS | {"boolean", "xhtml"}
# Types whose values are said again and again; none holds words about anybody.
_SAID_AGAIN = frozenset({"canonical", "code", "dateTime", "instant", "uri", "url"})
_SHORT = 128  # characters
_MOST_KNOWN = 1024


def as_attribute(text: str) -> str:
    """Return *text* as it stands in the value of an attribute of XML, between double quotes."""
    for character, named in _IN_ATTRIBUTES.items():
        text = text.replace(character, named)
    return text


def reads_as_div(text: str) -> bool:
    """Tell whether *text* is one XHTML div for whoever knows HTML's names of characters, too."""
    return is_div(text) or is_div(by_number(text))


def by_number(text: str) -> str:
    """Return *text* with `&#160;` for `&nbsp;`, and so with each name that only HTML has."""
    return _HTML_NAMED.sub(lambda name: f"&#{name2codepoint[name[1]]};", text)


def is_div(text: str) -> bool:
    """Tell whether *text* is one XHTML div that needs nothing around it."""
    opened: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda name, _: opened.append(name)
    parser.StartDoctypeDeclHandler = parser.XmlDeclHandler = _refuse
    try:
        parser.Parse(text.encode(), True)
    except (expat.ExpatError, UnicodeEncodeError):
        return False
    return opened[0] == DIV


def _refuse(*_: object) -> NoReturn:
    raise expat.ExpatError


def cut_out(body: bytes, begin: int, end: int, scope: Sequence[tuple[str | None, str]]) -> str:
    """
    Return the narrative that begins at *begin*, as it was written.

    *end* is where its last tag begins, or, of an empty element, ends. Namespaces that
    are declared around it (*scope*) are declared in it, so that it can stand alone.
    """
    text = body[begin:end].decode()
    if text.endswith("/>") and reads_as_div(alone := _standing_alone(text, scope)):
        return alone
    return _standing_alone(body[begin : body.index(b">", end) + 1].decode(), scope)


def _standing_alone(text: str, scope: Sequence[tuple[str | None, str]]) -> str:
    if reads_as_div(text):
        return text
    tag = re.match(r"<[^\s/>]+", text)
    assert tag is not None
    opening = text.partition(">")[0]
    names = {f"xmlns:{prefix}" if prefix else "xmlns": uri for prefix, uri in scope}
    declared = "".join(
        f' {name}="{as_attribute(uri)}"'
        for name, uri in names.items()
        if not re.search(rf"\s{re.escape(name)}\s*=", opening)
    )
    return f"{tag[0]}{declared}{text[tag.end() :]}"


def without_names(body: bytes) -> bytes:
    """
    Return *body*, its narratives with full stops for what only HTML has a name for.

    `&nbsp;` and its like are read so, and kept as they were written: what is wrong with them is
    for the structure checker to say. Outside of narrative such a name is refused where it stands,
    for nobody could tell which character of a value it is.
    """
    parts: list[bytes] = []
    done = 0
    for begin, end in _Narratives(body).places:
        parts += (body[done:begin], _NAME.sub(_full_stops, body[begin:end]))
        done = end
    return b"".join((*parts, body[done:]))


def _full_stops(name: re.Match[bytes]) -> bytes:
    return b"." * len(name[0])


class _Narratives:
    """Where in a body the narratives are, as far as it can be read."""

    # Where this is compiled, nothing else can be deleted.
    __deletable__: ClassVar = ["_parser"]

    def __init__(self, body: bytes) -> None:
        self.places: list[tuple[int, int]] = []
        self._seen = 0
        self._depth = 0  # within a narrative
        self._begin = 0
        self._parser = parser = expat.ParserCreate("UTF-8", " ")
        parser.UseForeignDTD(True)  # there might be one that has the names: they are passed over
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        try:
            parser.Parse(body, True)
        except expat.ExpatError:
            pass  # whoever reads the rest says so
        finally:  # it refers to this, and this to it
            del self._parser

    def _start(self, tag: str, _attributes: dict[str, str]) -> None:
        self._seen += 1
        if self._seen > MAX_ELEMENTS:
            raise too_wide()
        if self._depth or tag == DIV:
            self._depth += 1
            if self._depth == 1:
                self._begin = self._parser.CurrentByteIndex

    def _end(self, _tag: str) -> None:
        if self._depth:
            self._depth -= 1
            if not self._depth:
                self.places.append((self._begin, self._parser.CurrentByteIndex))


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of a type. `names` are the members that it may appear as."""

    name: str  # value[x] where the type can be chosen
    names: tuple[str, ...]
    required: bool
    position: int  # among the elements of its type: XML keeps this order


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What may stand in a resource under one name."""

    name: str
    type: str  # a primitive, a datatype, a backbone such as Bundle.entry, or RESOURCE
    many: bool  # a list, even of one
    codes: frozenset[str] | None  # of a required binding
    position: int
    is_primitive: bool
    is_text: bool  # a primitive that JSON has as a text, too, and no narrative
    is_narrative: bool
    is_attribute: bool  # in XML: the id of an element, and the url of an extension


@cache
def _lines() -> Mapping[str, bytes]:
    """Return what each line of the table says, by the name that it begins with, and unread."""
    content = files("bars_gateway.standard").joinpath("r4-element-table.json").read_bytes()
    pairs = (line.rstrip(b",").partition(b":") for line in content.splitlines())
    return {name.strip(b'"').decode(): said for name, _, said in pairs}


def _rows(type_name: str) -> dict[str, Any]:
    rows: dict[str, Any] = orjson.loads(_lines()[type_name])
    return rows


@cache
def resources() -> frozenset[str]:
    """Return the names of all resources of R4."""
    return frozenset(orjson.loads(_lines()["resources"]))


@cache
def elements(type_name: str) -> tuple[Element, ...]:
    """Return the elements of a resource, datatype or backbone, in the order of R4."""
    return tuple(
        Element(name=name, names=_names(name, types), required=least > 0, position=position)
        for position, (name, (types, least, *_)) in enumerate(_rows(type_name).items())
    )


@cache
def members(type_name: str) -> Mapping[str, Member]:
    """Return what may stand in a resource, datatype or backbone, by name."""
    rows = _rows(type_name)
    return {
        name: Member(
            name=name,
            type=kind,
            many=rows[element.name][2] == "*",
            codes=frozenset(codes) if (codes := rows[element.name][4]) else None,
            position=element.position,
            is_primitive=kind[0].islower(),
            is_text=kind[0].islower() and kind not in _NO_TEXTS,
            is_narrative=kind == "xhtml",
            is_attribute=_is_attribute(type_name, name),
        )
        for element in elements(type_name)
        for name, kind in zip(element.names, _kinds(rows[element.name]), strict=True)
    }


@cache
def vocabulary() -> frozenset[str]:
    """Return every name that R4 gives to any member: none of them tells of a patient."""
    types = (name for name in _lines() if name[:1].isupper())
    rows = (item for each in types for item in _rows(each).items())
    names = {name for element, (types, *_) in rows for name in _names(element, types)}
    return frozenset(names | resources() | {"resourceType"})


def _names(name: str, types: list[str]) -> tuple[str, ...]:
    if not name.endswith("[x]"):
        return (name,)
    return tuple(f"{name[:-3]}{kind[0].upper()}{kind[1:]}" for kind in types)


def _kinds(row: list[Any]) -> list[str]:
    types, _, _, backbone, _ = row
    return types or [backbone]


def _is_attribute(type_name: str, name: str) -> bool:
    if name == "id":
        return type_name not in resources()
    return (type_name, name) == ("Extension", "url")


@cache
def form(type_name: str, codes: frozenset[str] | None = None) -> Form:
    """Return what looks at a value of that type: None, or what is wrong with it."""
    if type_name == "boolean":
        return _boolean
    if type_name == "xhtml":
        return _narrative
    if type_name in _NUMBERS:
        return _number(type_name)
    return _text(type_name) if codes is None else _coded(codes)


@cache
def fit(type_name: str, codes: frozenset[str] | None = None) -> Fit:
    """
    Return what is true of nearly every value of that type that `form` finds nothing wrong with.

    It is true of no other, and takes a fraction of the time: without a Python function to call,
    for nearly all values are texts. Of what is not text it may raise TypeError.
    """
    if codes is not None:
        return codes.__contains__
    if type_name in _SAID_AGAIN:
        return _Known(matcher(type_name)).__getitem__
    if type_name in _TEXTS and type_name != "base64Binary":
        return matcher(type_name)
    wrong = form(type_name)
    return lambda value: wrong(value) is None


class _Known(dict[str, bool]):
    """
    Which values fit: what was met before is found, in a fraction of the time that a match takes.

    Systems, profiles and codes are in each message the same, and an instant all over one. Only what
    is short is kept, and no name that is given once; when there is much, it starts afresh.
    """

    def __init__(self, matches: Callable[[str], object]) -> None:
        super().__init__()
        self._matches = matches

    def __missing__(self, value: str) -> bool:
        fits = self._matches(value) is not None
        if fits and len(value) <= _SHORT and not value.startswith("urn:uuid:"):
            if len(self) >= _MOST_KNOWN:
                self.clear()
            self[value] = True
        return fits


@cache
def matcher(type_name: str) -> Callable[[str], re.Match[str] | None]:
    """Return what matches the written form of a number or text of that type."""
    return re.compile((_NUMBERS | _TEXTS)[type_name][0], re.ASCII).fullmatch


def _boolean(value: object) -> str | None:
    return None if value is True or value is False else "must be true or false"


def _number(type_name: str) -> Form:
    matches = matcher(type_name)
    wrong = f"must be a {_NUMBERS[type_name][1]}, and no text"
    is_whole = type_name != "decimal"

    def number(value: object) -> str | None:
        if not isinstance(value, Number) or not matches(value.text):
            return wrong
        if is_whole and _is_too_large(value.text):
            return "must be a whole number of at most 31 bits"
        return None

    return number


def _is_too_large(digits: str) -> bool:
    return len(digits) > _MOST_DIGITS or not -_LARGEST - 1 <= int(digits) <= _LARGEST


def _text(type_name: str) -> Form:
    matches = matcher(type_name)
    wrong = f"is not a valid {_TEXTS[type_name][1]}"
    is_padded = _is_padded if type_name == "base64Binary" else None

    def text(value: object) -> str | None:
        if not isinstance(value, str):
            return "must be a text"
        if not value:
            return "may not be empty: leave it out"
        if not matches(value) or (is_padded and not is_padded(value)):
            return wrong
        return None

    return text


def _is_padded(text: str) -> bool:
    return len("".join(text.split())) % 4 == 0


def _coded(codes: frozenset[str]) -> Form:
    few = len(codes) <= 12  # noqa: PLR2004 - what still fits a line or two
    wrong = (
        f"must be one of: {', '.join(sorted(codes))}"
        if few
        else "must be one of the codes that R4 lists for it"
    )
    text = _text("code")

    def coded(value: object) -> str | None:
        return None if value.__class__ is str and value in codes else text(value) or wrong

    return coded


def _narrative(value: object) -> str | None:
    if not isinstance(value, str):
        return "must be a text"
    if is_div(value):
        return None
    return HTML_NAMES if reads_as_div(value) else f"must be one well-formed div of {XHTML}"
