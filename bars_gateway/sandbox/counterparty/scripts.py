"""
What the counterparty is told to do otherwise, for the next so many requests or for all.

    {"verb": "reject", "code": "OTH", "text": "…", "application": "a4", "count": 1}

`of` says whether it is about the answer while the proxy waits, or about the responses that
follow. The oldest script of a verb that fits a request is used, and counted. A script with
a member that its verb does not use is refused: it would be there, and not be what somebody
meant.

Which responses follow a request is planned, and scripts change the plan:

    Application (or sentinel) ──► PLANS ──► scripts ──► steps, in the order in which they go out

Application 4: the clinician begins, and ends. Application 6: a resource is allocated, arrives
and is done. The others end with the acknowledgement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from bars_gateway.sandbox.counterparty.replies import PROBLEMS
from bars_gateway.sandbox.counterparty.services import VERSIONS

REJECTIONS = ("RRNA", "FC", "OTH")  # rejected-reasons-bars


class Verb(StrEnum):
    """What it does otherwise."""

    DELAY = "delay"  # it takes `seconds` longer
    REFUSE = "refuse"  # the answer is `status`, and nothing is taken
    REJECT = "reject"  # the response is a rejection with `code` and `text`
    TWICE = "twice"  # each response goes out again, with the same bytes and ids
    AMEND = "amend"  # after the last response comes another one, about the same
    DISORDER = "disorder"  # the responses go out in reverse order
    NEVER = "never"  # no answer, though the message was taken; or no response


class Of(StrEnum):
    """What a script is about."""

    ANSWER = "answer"
    RESPONSES = "responses"


class ScriptProblem(ValueError):
    """A script was described wrongly; the text names what, and the cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One thing to do otherwise."""

    script_id: int
    verb: Verb
    of: Of
    count: int | None = None  # for the next so many requests; None: for ever
    application: str | None = None  # a1 … a8; None: each
    seconds: float = 0.0
    status: int = 422
    code: str = "RRNA"
    text: str = "Invented reason."

    def document(self) -> dict[str, object]:
        """Return what GET /counterparty/scripts says: what this verb uses, and nothing else."""
        used = _COMMON | _USED[self.verb]
        members = {name: value for name, value in asdict(self).items() if name in used}
        return {"id": self.script_id, **members}


_TYPES: Mapping[str, tuple[type, ...]] = {
    "verb": (str,),
    "of": (str,),
    "count": (int,),
    "application": (str,),
    "seconds": (int, float),
    "status": (int,),
    "code": (str,),
    "text": (str,),
}
_COMMON = frozenset({"verb", "of", "count", "application"})
_USED: Mapping[Verb, frozenset[str]] = {
    Verb.DELAY: frozenset({"seconds"}),
    Verb.REFUSE: frozenset({"status"}),
    Verb.REJECT: frozenset({"code", "text"}),
    Verb.TWICE: frozenset(),
    Verb.AMEND: frozenset(),
    Verb.DISORDER: frozenset(),
    Verb.NEVER: frozenset(),
}
_ABOUT: Mapping[Verb, tuple[Of, ...]] = {  # the first one is meant where nothing is said
    Verb.DELAY: (Of.ANSWER, Of.RESPONSES),
    Verb.REFUSE: (Of.ANSWER,),
    Verb.REJECT: (Of.RESPONSES,),
    Verb.TWICE: (Of.RESPONSES,),
    Verb.AMEND: (Of.RESPONSES,),
    Verb.DISORDER: (Of.RESPONSES,),
    Verb.NEVER: (Of.RESPONSES, Of.ANSWER),
}
_WORDS: Mapping[str, Sequence[str]] = {
    "verb": tuple(Verb),
    "of": tuple(Of),
    "application": tuple(VERSIONS),
    "code": REJECTIONS,
}


class Scripts:
    """The scripts that are in force."""

    def __init__(self) -> None:
        self._known: dict[int, Script] = {}
        self._next = 1

    def add(self, described: object) -> Script:
        """Put the script in force that a JSON object describes, or raise ScriptProblem."""
        script = self._read(described)
        self._known[script.script_id] = script
        self._next += 1
        return script

    def listed(self) -> Sequence[Script]:
        """Return what is in force, oldest first."""
        return list(self._known.values())

    def remove(self, script_id: int | None = None) -> bool:
        """End one script, or all; return whether there was any."""
        if script_id is not None:
            return self._known.pop(script_id, None) is not None
        found = bool(self._known)
        self._known.clear()
        return found

    def use(self, of: Of, application: str) -> Mapping[Verb, Script]:
        """Return the scripts that a request of *application* meets, by verb, and count them."""
        met: dict[Verb, Script] = {}
        for script in self.listed():
            if script.of is of and script.application in {None, application}:
                met.setdefault(script.verb, script)
        for script in met.values():
            self._count(script)
        return met

    def _count(self, script: Script) -> None:
        if script.count is None:
            return
        if script.count <= 1:
            self.remove(script.script_id)
        else:
            self._known[script.script_id] = replace(script, count=script.count - 1)

    def _read(self, described: object) -> Script:
        if not isinstance(described, dict):
            raise ScriptProblem("a script is a JSON object")
        for name, value in described.items():
            _check_member(name, value)
        if "verb" not in described:
            raise ScriptProblem(f"verb is missing: one of {', '.join(Verb)}")
        verb = Verb(described["verb"])
        unused = sorted(described.keys() - _COMMON - _USED[verb])
        if unused:
            raise ScriptProblem(f"verb {verb} does not use {', '.join(unused)}")
        of = Of(described.get("of", _ABOUT[verb][0]))
        if of not in _ABOUT[verb]:
            raise ScriptProblem(f"verb {verb} is of {' or '.join(_ABOUT[verb])}")
        return Script(script_id=self._next, **{**described, "verb": verb, "of": of})


def _check_member(name: str, value: object) -> None:
    if name not in _TYPES:
        raise ScriptProblem(f"unknown member {name!a}; known are {', '.join(_TYPES)}")
    if not isinstance(value, _TYPES[name]) or isinstance(value, bool):
        raise ScriptProblem(f"{name} has the wrong type")
    if name in _WORDS and value not in _WORDS[name]:
        raise ScriptProblem(f"{name} must be one of {', '.join(_WORDS[name])}")
    if name == "status" and value not in PROBLEMS:
        raise ScriptProblem(f"status must be one of {', '.join(map(str, PROBLEMS))}")
    if name == "count" and not (isinstance(value, int) and value >= 1):
        raise ScriptProblem("count is 1 or more")
    if name == "seconds" and not (isinstance(value, int | float) and 0 <= value <= 600):  # noqa: PLR2004 - ten minutes
        raise ScriptProblem("seconds is between 0 and 600")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One response."""

    encounter: str  # status of the Responder's Encounter
    reason: str = "new"
    rejection: tuple[str, str] | None = None  # code and text
    no_show: bool = False  # the withdrawn response of Applications 1 and 2
    repeat: bool = False  # also once more, under the same ids


_BEGUN = Step(encounter="in-progress")
_ENDED = Step(encounter="finished")

PLANS: Mapping[str, tuple[Step, ...]] = {
    "a4": (_BEGUN, replace(_ENDED, reason="update")),
    "a6": (_BEGUN, Step(encounter="arrived"), _ENDED),
    "full": (_ENDED,),
    "interim": (_BEGUN,),
    "no-show": (Step(encounter="cancelled", no_show=True),),
}


def planned(name: str, scripts: Mapping[Verb, Script]) -> Sequence[Step]:
    """Return the steps of the plan *name*, as the scripts that a request met would have them."""
    steps = PLANS.get(name, ())
    if Verb.NEVER in scripts or not steps:
        return ()
    if Verb.REJECT in scripts:
        rejection = scripts[Verb.REJECT].code, scripts[Verb.REJECT].text
        steps = (Step(encounter="cancelled", rejection=rejection),)
    if Verb.AMEND in scripts:
        steps = (*steps, replace(steps[-1], reason="update"))
    if Verb.DISORDER in scripts:
        steps = steps[::-1]
    return [replace(step, repeat=Verb.TWICE in scripts) for step in steps]
