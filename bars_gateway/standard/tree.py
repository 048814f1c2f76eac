"""
What a resource is once it is read, whichever of the two formats it came in.

    JSON bytes ──bundle──┐                  ┌──► structure, rules, answers
                         ├──► dict of Json ─┤
    XML bytes ───xml─────┘                  └──► xml, for who asked for it

The shape is that of FHIR's JSON. Numbers are kept as they were written (`Number`),
because BaRS's seven-digit instants and clinical decimals do not survive a round trip
through Python's floats (D-lossless). Texts, instants and narrative are kept as texts.

What XML can say and R4 does not know (an element too many, text between elements) is
kept too, under a name that begins with one of the marks of `Stray`. So the structure
checker finds it where it stands, and nothing is dropped unseen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bars_gateway.standard.issues import Issue

MAX_DEPTH = 64
TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"
MAX_OBJECTS = 100_000  # objects and lists; the largest that is published has about two thousand
MAX_ELEMENTS = 4 * MAX_OBJECTS  # of XML, where each value is one, too
TOO_WIDE = "the body holds more elements than can be looked at in time; send less in one message"


@dataclass(frozen=True, slots=True)
class Number:
    """A number, as it was written."""

    text: str


Json = None | bool | str | Number | Sequence["Json"] | Mapping[str, "Json"]
Resource = Mapping[str, Json]


class Stray(StrEnum):
    """How the name of a member begins that stands for something XML may not hold."""

    ELEMENT = "<"  # R4 has no such element here
    AGAIN = "+"  # it has, but only one
    ATTRIBUTE = "@"
    TEXT = "&"


class MalformedBundle(ValueError):
    """The bytes are no Bundle that can be read; `issue` says what to answer."""

    def __init__(
        self,
        text: str,
        path: str = "Bundle",
        line: int | None = None,
        *,
        http_status: int = 400,
        issue: str = "structure",
    ) -> None:
        super().__init__(text)
        self.line = line  # of XML
        self.issue = Issue(
            rule="B01",
            path=path,
            text=text,
            http_status=http_status,
            code="REC_BAD_REQUEST",
            issue=issue,
        )


def too_wide() -> MalformedBundle:
    """Return what is wrong with a body that nobody could look at in time."""
    return MalformedBundle(TOO_WIDE, http_status=413, issue="too-costly")
