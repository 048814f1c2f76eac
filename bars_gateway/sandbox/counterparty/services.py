"""
Who stands behind the proxy: the counterparty's services, what each takes, and what it does.

The first eight are its own, one for each Application. The others are those of the official
test service (applications page, 6.2), under their own numbers, so that a script that was
written for that one runs against this one.

A script says what it does otherwise, for the next so many requests or for all:

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
from dataclasses import asdict, replace
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.sandbox.counterparty.replies import PROBLEMS
from bars_gateway.sandbox.registry import DOS_SERVICE
from bars_gateway.standard.applications import VERSIONS, Offer
from bars_gateway.standard.headers import normalised

ODS_CODE = "ZX909"


class Habit(StrEnum):
    """What is particular about an official service."""

    NONE = "none"
    NO_SLOTS = "no slots"  # SLOT-3
    BARE_SLOTS = "slots without practitioner and location"  # SLOT-4
    SLOTS_TIME_OUT = "slots time out"  # SLOT-5
    INVALID_DEFINITIONS = "definitions that are invalid"  # MD-10
    UNAUTHORISED = "401 to whoever asks for its definitions"  # MD-8
    UNKNOWN = "404 to whoever asks for its definitions"  # MD-9


@frozen(kw_only=True)
class Service:
    """One service of the counterparty."""

    value: str  # below the system of DoS service ids
    title: str
    applications: tuple[str, ...]
    habit: Habit = Habit.NONE
    official: bool = True

    @property
    def identifier(self) -> str:
        """Return it as MessageHeader endpoints write it."""
        return f"{DOS_SERVICE}|{self.value}"

    def offer(self) -> Offer:
        """Return what it takes, for the rules and for what is published."""
        return Offer(
            services=frozenset({normalised(self.identifier)}),
            applications={name: VERSIONS[name] for name in self.applications},
        )


def _own(number: int, title: str) -> Service:
    value = f"20000009{number:02}"
    return Service(value=value, title=title, applications=(f"a{number}",), official=False)


_EVERY = tuple(VERSIONS)
_BOOKINGS = ("a1", "a2", "a7")

_ALL = (
    _own(1, "Emergency department, invented"),
    _own(2, "Urgent treatment centre, invented"),
    _own(3, "Clinical assessment service, invented"),
    _own(4, "Validation desk, invented"),
    _own(5, "Community pharmacy, invented"),
    _own(6, "Ambulance control room, invented"),
    _own(7, "General practice, invented"),
    _own(8, "Referral broker, invented"),
    Service(value="2000011147", title="Bookings and referrals", applications=_BOOKINGS),
    Service(value="2000076289", title="Referrals", applications=("a1", "a2", "a3", "a5", "a6")),
    Service(value="2000003366", title="Validation, which receives", applications=("a4",)),
    Service(value="1374839566", title="Validation, which sends", applications=("a4",)),
    Service(value="2000070513", title="Pharmacy", applications=("a5",)),
    Service(value="2000159909", title="Out of area", applications=("a6",)),
    Service(value="2000159910", title="Out of area, referrals", applications=("a6",)),
    Service(value="2000072489", title="Free and busy slots", applications=_BOOKINGS),
    Service(value="2000073917", title="No slots", applications=_BOOKINGS, habit=Habit.NO_SLOTS),
    Service(value="1503499715", title="Bare slots", applications=_BOOKINGS, habit=Habit.BARE_SLOTS),
    Service(
        value="2000081230",
        title="Slots that time out",
        applications=_BOOKINGS,
        habit=Habit.SLOTS_TIME_OUT,
    ),
    Service(value="2000093816", title="Digital referral roles", applications=("a5",)),
    Service(value="2000071234", title="No published scenario", applications=_EVERY),
    Service(value="2000076288", title="Any definitions", applications=_EVERY),
    Service(
        value="2000071898",
        title="Invalid definitions",
        applications=_EVERY,
        habit=Habit.INVALID_DEFINITIONS,
    ),
    Service(value="FAIL0401", title="Refuses", applications=_EVERY, habit=Habit.UNAUTHORISED),
    Service(value="FAIL0404", title="Unknown", applications=_EVERY, habit=Habit.UNKNOWN),
)

SERVICES: Mapping[str, Service] = {service.value: service for service in _ALL}


def own_service(application: str) -> Service:
    """Return the counterparty's own service for an Application: where its requests come from."""
    return next(each for each in _ALL if each.applications == (application,))


REJECTIONS = ("RRNA", "FC", "OTH")  # rejected-reasons-bars


class Deviation(StrEnum):
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


@frozen(kw_only=True)
class Script:
    """One thing to do otherwise."""

    script_id: int
    verb: Deviation
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
_USED: Mapping[Deviation, frozenset[str]] = {
    Deviation.DELAY: frozenset({"seconds"}),
    Deviation.REFUSE: frozenset({"status"}),
    Deviation.REJECT: frozenset({"code", "text"}),
    Deviation.TWICE: frozenset(),
    Deviation.AMEND: frozenset(),
    Deviation.DISORDER: frozenset(),
    Deviation.NEVER: frozenset(),
}
_ABOUT: Mapping[Deviation, tuple[Of, ...]] = {  # the first one is meant where nothing is said
    Deviation.DELAY: (Of.ANSWER, Of.RESPONSES),
    Deviation.REFUSE: (Of.ANSWER,),
    Deviation.REJECT: (Of.RESPONSES,),
    Deviation.TWICE: (Of.RESPONSES,),
    Deviation.AMEND: (Of.RESPONSES,),
    Deviation.DISORDER: (Of.RESPONSES,),
    Deviation.NEVER: (Of.RESPONSES, Of.ANSWER),
}
_WORDS: Mapping[str, Sequence[str]] = {
    "verb": tuple(Deviation),
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

    def use(self, of: Of, application: str) -> Mapping[Deviation, Script]:
        """Return the scripts that a request of *application* meets, by verb, and count them."""
        met: dict[Deviation, Script] = {}
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
            raise ScriptProblem(f"verb is missing: one of {', '.join(Deviation)}")
        verb = Deviation(described["verb"])
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


@frozen(kw_only=True)
class ScriptedResponse:
    """One response."""

    encounter: str  # status of the Responder's Encounter
    reason: str = "new"
    rejection: tuple[str, str] | None = None  # code and text
    no_show: bool = False  # the withdrawn response of Applications 1 and 2
    repeat: bool = False  # also once more, under the same ids


_BEGUN = ScriptedResponse(encounter="in-progress")
_ENDED = ScriptedResponse(encounter="finished")

PLANS: Mapping[str, tuple[ScriptedResponse, ...]] = {
    "a4": (_BEGUN, replace(_ENDED, reason="update")),
    "a6": (_BEGUN, ScriptedResponse(encounter="arrived"), _ENDED),
    "full": (_ENDED,),
    "interim": (_BEGUN,),
    "no-show": (ScriptedResponse(encounter="cancelled", no_show=True),),
}


def planned(name: str, scripts: Mapping[Deviation, Script]) -> Sequence[ScriptedResponse]:
    """Return the steps of the plan *name*, as the scripts that a request met would have them."""
    steps = PLANS.get(name, ())
    if Deviation.NEVER in scripts or not steps:
        return ()
    if Deviation.REJECT in scripts:
        rejection = scripts[Deviation.REJECT].code, scripts[Deviation.REJECT].text
        steps = (ScriptedResponse(encounter="cancelled", rejection=rejection),)
    if Deviation.AMEND in scripts:
        steps = (*steps, replace(steps[-1], reason="update"))
    if Deviation.DISORDER in scripts:
        steps = steps[::-1]
    return [replace(step, repeat=Deviation.TWICE in scripts) for step in steps]
