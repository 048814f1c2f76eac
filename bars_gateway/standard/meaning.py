"""
What a response says of the patient: one word, whatever elements it is spread over.

    response ──wording_of──► Wording ──read_as, beside its request──► Reading: Said ──► Move

Whoever reads a notice acts upon this word. A response says it with five elements at once, and
the guide's pages, examples and pseudo-code write them differently: its focus may be the
ServiceRequest or an Encounter, and a rejection comes in three forms. So none of them is looked
at alone: `ROWS` holds every combination that means something. What fits no row is `unclear`:
it is delivered, a person is told to look, and nothing is guessed.

A response repeats the Requester's Encounter beside the Responder's own, and *finished* means
another thing in each. Ours is the one that a request of this workflow carried, by fullUrl, id
or identifier; the Responder's is the only other one. A third, which a CarePlan names as its
outcome, is the new case of an upgrade to category 1 or 2, and is not counted.

`Said` is what the message itself says. Where something newer came before it, the remark
`out_of_order` goes with it, and the newer one holds.

Which word came before which is told by their stamps, and by what they cannot mean.

    words so far, as they came ──┐
    stamps of a new one ─────────┴──placed──► Place: is it the newest, and what did it follow?

*Planned* is the first yes of a control room, or it stands down whoever was sent: only what came
before it tells. A desk whose clock is slow stamps it earlier than the allocation, and it would
read as a yes that was overtaken, while nobody is on the way. So a second one is never the first
yes; nor is one that is stamped before anybody had asked, where the allocation is not.

Decisions: D-meaning, D-modifiers, D-newest-holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain

from bars_gateway.frozen import frozen
from bars_gateway.standard.bundle import Entry, Message, bare_id, instant, map_of, maps_of, text_of
from bars_gateway.standard.definitions import PREFIX
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.tree import Resource
from bars_gateway.standard.workflow import Move, RequestType, classify, request_type_of

RESPONSE = "servicerequest-response"
_REASONS = frozenset({"new", "update"})
_SEVERAL = "several"
CLOCKS_DIFFER = timedelta(minutes=2)  # by more than clocks in good order do
# The second is what the pseudo-code calls it.
_REASON_SYSTEMS = {
    f"https://fhir.nhs.uk/CodeSystem/{name}"
    for name in ("rejected-reasons-bars", "rejection-reason-bars")
}
_INTERIM, _FULL = "-validation-interim", "-validation-full"
# What to write instead of what fits no row, per Application.
INSTEAD: Mapping[str, str] = {
    "a4": (
        "this reads as no answer to a validation. Make your own Encounter the focus, and let it be"
        " in-progress without a CarePlan; finished with a CarePlan that is active (the Requester"
        " has to act) or completed; or cancelled with a reason, without a CarePlan. The"
        " ServiceRequest stays active"
    ),
    "a6": (
        "this reads as no answer to a control room. Make your own Encounter the focus, and let it"
        " be planned, in-progress, arrived, finished, or cancelled with a reason. The"
        " ServiceRequest stays active"
    ),
}
_NOTHING_INSTEAD = "this reads as no response that the standard knows in this use case"


class Said(StrEnum):
    """What the Responder says with a response."""

    ACCEPTED = "accepted"  # A6: the other control room has a case of it; nobody is sent yet
    ASSIGNED = "assigned"  # A6: a resource has been assigned, and is not there yet
    ON_SCENE = "on_scene"  # A6: a resource is with the patient
    STOOD_DOWN = "stood_down"  # A6: whoever was assigned or there is so no longer
    FINISHED = "finished"  # A6: the resource has finished
    VALIDATION_STARTED = "validation_started"  # A4: the clinician has begun
    VALIDATION_ACTS = "validation_acts"  # A4: finished, and the Requester has to act
    VALIDATION_CLOSES = "validation_closes"  # A4: finished, and nothing more is asked
    REJECTED = "rejected"  # the patient is the Requester's again
    NOT_ATTENDED = "not_attended"  # A1, A2: the patient did not come (withdrawn at 1.0.0)
    UNCLEAR = "unclear"  # it does not add up: a person has to look


MOVES: Mapping[Said, Move] = {
    Said.ACCEPTED: Move.WAIT,
    Said.ASSIGNED: Move.PROGRESS,
    Said.ON_SCENE: Move.PROGRESS,
    Said.STOOD_DOWN: Move.WAIT,
    Said.FINISHED: Move.CONCLUDE,
    Said.VALIDATION_STARTED: Move.PROGRESS,
    Said.VALIDATION_ACTS: Move.CONCLUDE,
    Said.VALIDATION_CLOSES: Move.CONCLUDE,
    Said.REJECTED: Move.DECLINE,
    Said.NOT_ATTENDED: Move.DECLINE,
    Said.UNCLEAR: Move.UNCLEAR,
}


class Reason(StrEnum):
    """Why a Responder rejects: the codes of `rejected-reasons-bars`."""

    RRNA = "RRNA"
    FC = "FC"
    OTH = "OTH"


REASONS: Mapping[Reason, str] = {  # as the code system displays them
    Reason.RRNA: "Requested resource not available within timescale",
    Reason.FC: "Failed Contact",
    Reason.OTH: "Other",
}


class Owner(StrEnum):
    """Whose resource the focus of a response is."""

    REQUEST = "the ServiceRequest"
    RESPONDER = "the Responder's Encounter"
    REQUESTER = "the Requester's Encounter"
    OTHER = "something else"


@frozen(kw_only=True)
class MeaningRow:
    """One way to say something. None: whatever it is."""

    said: Said
    applications: frozenset[str]
    use_cases: frozenset[str] | None = None  # None: every one of the Applications
    encounter: frozenset[str] | None  # status of the Responder's Encounter
    request: frozenset[str] | None  # status of the ServiceRequest
    plan: frozenset[str] | None = None  # status of the CarePlan; empty where there is none
    focus: frozenset[Owner] = frozenset({Owner.REQUEST, Owner.RESPONDER})
    definition: str | None = None  # what its name ends in
    not_as: str | None = None  # what its name does not end in
    after: frozenset[Said] | None = None  # the newest clear word before it
    absent: bool | None = None  # whether an Appointment says that nobody came
    rule: str = ""  # of a form that is known to be none: why an EPR may not send it
    instead: str = ""

    def fits(self, case: "_Case") -> bool:
        """Tell whether the row is about such a response."""
        name = case.wording.definition
        return (
            case.application in self.applications
            and case.focus in self.focus
            and _is_in(case.use_case, self.use_cases)
            and _is_in(case.status, self.encounter)
            and _is_in(case.wording.request, self.request)
            and _is_in(case.wording.plan, self.plan)
            and (self.definition is None or name.endswith(self.definition))
            and (self.not_as is None or not name.endswith(self.not_as))
            and (self.after is None or case.before in self.after)
            and (self.absent is None or case.wording.absent is self.absent)
        )


def _is_in(value: str | None, allowed: frozenset[str] | None) -> bool:
    return allowed is None or value in allowed


def _set(*words: str) -> frozenset[str]:
    return frozenset(words)


_A4, _A6 = _set("a4"), _set("a6")
_ACTIVE, _GIVEN_BACK, _DONE = _set("active"), _set("active", "revoked"), _set("active", "completed")
_NO_PLAN = _set("")
_EVERY_FOCUS = frozenset(Owner)

# The first that fits says what it means; none: unclear.
ROWS: tuple[MeaningRow, ...] = (
    MeaningRow(
        said=Said.ASSIGNED,
        applications=_A6,
        encounter=_set("in-progress"),
        request=_ACTIVE,
    ),
    MeaningRow(said=Said.ON_SCENE, applications=_A6, encounter=_set("arrived"), request=_ACTIVE),
    MeaningRow(
        said=Said.STOOD_DOWN,
        applications=_A6,
        encounter=_set("planned"),
        request=_ACTIVE,
        after=frozenset({Said.ASSIGNED, Said.ON_SCENE, Said.STOOD_DOWN}),  # it may be told twice
    ),
    MeaningRow(said=Said.ACCEPTED, applications=_A6, encounter=_set("planned"), request=_ACTIVE),
    MeaningRow(said=Said.FINISHED, applications=_A6, encounter=_set("finished"), request=_DONE),
    MeaningRow(
        said=Said.UNCLEAR,
        applications=_A6,
        use_cases=_set("a6t1"),
        encounter=_set("cancelled"),
        request=None,
        focus=_EVERY_FOCUS,
        rule="G10",
        instead="an out-of-area referral cannot be turned down: the patient is in your area",
    ),
    MeaningRow(
        said=Said.REJECTED, applications=_A6, encounter=_set("cancelled"), request=_GIVEN_BACK
    ),
    MeaningRow(
        said=Said.UNCLEAR,
        applications=_A4,
        encounter=_set("planned"),
        request=None,
        focus=_EVERY_FOCUS,
        rule="G13",
        instead="a validation is never answered with planned: the interim response says"
        " in-progress",
    ),
    # The pseudo-code wants a CarePlan in an interim response; the pages have none.
    MeaningRow(
        said=Said.VALIDATION_STARTED,
        applications=_A4,
        encounter=_set("in-progress"),
        request=_ACTIVE,
        plan=_NO_PLAN,
        not_as=_FULL,
    ),
    MeaningRow(
        said=Said.VALIDATION_STARTED,
        applications=_A4,
        encounter=_set("in-progress"),
        request=_ACTIVE,
        plan=_set("active"),
        definition=_INTERIM,
    ),
    MeaningRow(
        said=Said.REJECTED,
        applications=_A4,
        encounter=_set("cancelled"),
        request=_GIVEN_BACK,
        plan=_set("", "active"),
    ),
    # The pseudo-code of Application 4 writes a rejection so.
    MeaningRow(
        said=Said.REJECTED,
        applications=_A4,
        encounter=_set("triaged"),
        request=_set("revoked"),
        plan=_set("", "active"),
    ),
    MeaningRow(
        said=Said.VALIDATION_ACTS,
        applications=_A4,
        encounter=_set("finished", "triaged"),
        request=_DONE,
        plan=_set("active"),
        not_as=_INTERIM,
    ),
    MeaningRow(
        said=Said.VALIDATION_CLOSES,
        applications=_A4,
        encounter=_set("finished", "triaged"),
        request=_DONE,
        plan=_set("completed"),
        not_as=_INTERIM,
    ),
    MeaningRow(
        said=Said.NOT_ATTENDED,
        applications=_set("a1", "a2"),
        encounter=None,
        request=_set("revoked"),
        focus=frozenset({Owner.REQUEST}),
        absent=True,
    ),
)


@frozen(kw_only=True)
class Written:
    """One Encounter, as a response has it."""

    url: str  # its fullUrl
    keys: frozenset[str] = field(repr=False)  # what it is known by
    status: str
    at: datetime | None  # its meta.lastUpdated
    reason: Reason | None


@frozen(kw_only=True)
class Wording:
    """Everything in a response that its meaning follows from."""

    use_case: str
    request_type: RequestType
    reason: str  # new or update
    definition: str  # the last part of its URL
    focus: str  # what MessageHeader.focus refers to
    focus_type: str | None
    # Of these two: empty where there is none, `several` where there are some that differ.
    request: str  # ServiceRequest.status
    plan: str  # CarePlan.status
    absent: bool  # an Appointment says that nobody came
    encounters: tuple[Written, ...]  # without the new case of a category 1 or 2
    sent_at: datetime | None  # Bundle.timestamp
    modified: bool = False  # what nobody here knows may change it (D-modifiers)

    def theirs(self, ours: frozenset[str]) -> list[Written]:
        """Return the Encounters that are not the Requester's."""
        return [each for each in self.encounters if ours.isdisjoint(each.keys)]

    def tells_apart(self, ours: frozenset[str]) -> bool:
        """Tell whether one of its Encounters is known as the Requester's, and one is not."""
        return len(theirs := self.theirs(ours)) == 1 and len(theirs) < len(self.encounters)


@frozen(kw_only=True)
class Reading:
    """What a response says."""

    said: Said
    status: str | None = None  # of the Responder's Encounter; None: which one it is, is unclear
    at: datetime | None = None  # when that was written, by the Responder's clock
    sent_at: datetime | None = None
    reason_code: Reason | None = None  # of a rejection
    rule: str = ""  # where it is unclear: why an EPR may not send it
    instead: str = ""  # and what to write

    @property
    def move(self) -> Move:
        """What it does to its workflow."""
        return MOVES[self.said]


@frozen(kw_only=True)
class _Case:
    """A response beside its workflow: what a row is held against."""

    wording: Wording
    application: str
    use_case: str
    focus: Owner
    status: str | None
    before: Said | None


def read_as(
    wording: Wording,
    ours: frozenset[str],
    *,
    use_case: str,
    before: Said | None = None,
) -> Reading:
    """
    Return what a response says to whoever sent the request.

    *ours* is what the Requester's Encounter is known by, *use_case* the workflow's, and
    *before* the newest clear word that came before this one.
    """
    return _read(wording, wording.theirs(ours), use_case or wording.use_case, before)


def read_alone(wording: Wording, before: Said | None = None) -> Reading:
    """Return what a response says where nothing is known of its request: its focus is trusted."""
    named = [each for each in wording.encounters if each.url == wording.focus]
    theirs = named if wording.focus_type == "Encounter" else list(wording.encounters)
    return _read(wording, theirs, wording.use_case, before)


def _read(wording: Wording, theirs: list[Written], use_case: str, before: Said | None) -> Reading:
    found = theirs[0] if len(theirs) == 1 else None
    case = _Case(
        wording=wording,
        application=_application(use_case, wording.request_type),
        use_case=use_case,
        focus=_owner(wording, found),
        status=found.status if found else None,
        before=before,
    )
    rows = ROWS if wording.reason in _REASONS and not wording.modified else ()
    row = next((row for row in rows if _says(row, found) and row.fits(case)), None)
    said = row.said if row else Said.UNCLEAR
    return Reading(
        said=said,
        status=case.status,
        at=found.at if found else None,
        sent_at=wording.sent_at,
        reason_code=found.reason if found and said is Said.REJECTED else None,
        rule=(row and row.rule) or "W03",
        instead=(row and row.instead) or INSTEAD.get(case.application, _NOTHING_INSTEAD),
    )


def _says(row: MeaningRow, found: Written | None) -> bool:
    """Tell whether the row can be looked at: most ask for the Responder's Encounter."""
    return found is not None or row.encounter is None


def _application(use_case: str, request_type: RequestType) -> str:
    """Return the Application; a validation without a use case can be of one only."""
    named = application_of(use_case)
    return named or ("a4" if request_type is RequestType.VALIDATION else "")


def _owner(wording: Wording, theirs: Written | None) -> Owner:
    if wording.focus_type == "ServiceRequest":
        return Owner.REQUEST
    if theirs is not None and wording.focus == theirs.url:
        return Owner.RESPONDER
    return Owner.REQUESTER if wording.focus_type == "Encounter" else Owner.OTHER


def move_of(message: Message) -> Move | None:
    """
    Return the move of *message* as it reads by itself, or None if its words mean nothing.

    What a response really means is read beside its workflow: this one may be unclear still.
    """
    wording = wording_of(message)
    return classify(message) if wording is None else read_alone(wording).move


def wording_of(message: Message) -> Wording | None:
    """Return what the meaning of a response follows from; None: it is not a response."""
    if message.event != RESPONSE:
        return None
    absences = [text_of(each, "status") == "noshow" for _, each in message.all("Appointment")]
    return Wording(
        use_case=message.use_case,
        request_type=request_type_of(message),
        reason=message.reason,
        definition=message.definition.removeprefix(PREFIX),
        focus=message.focus_url,
        focus_type=message.focus_type,
        request=_status(message, "ServiceRequest"),
        plan=_status(message, "CarePlan"),
        absent=any(absences),
        encounters=tuple(_encounters(message)),
        sent_at=instant(text_of(message.root, "timestamp")),
    )


def _status(message: Message, kind: str) -> str:
    """Return what the resources of that type agree on; none of several decides by its place."""
    found = {text_of(each, "status") for _, each in message.all(kind)}
    return _SEVERAL if len(found) > 1 else next(iter(found), "")


def _encounters(message: Message) -> Iterator[Written]:
    outcomes = {
        _named_by(each)
        for _, plan in message.all("CarePlan")
        for activity in maps_of(plan, "activity")
        for each in maps_of(activity, "outcomeReference")
    }
    for entry in message.entries:
        if _is_one(entry):
            keys = _keys(entry.full_url, entry.resource)
            if entry.full_url == message.focus_url or not outcomes & keys:
                yield Written(
                    url=entry.full_url,
                    keys=keys,
                    status=text_of(entry.resource, "status"),
                    at=instant(text_of(map_of(entry.resource, "meta"), "lastUpdated")),
                    reason=_reason(entry.resource),
                )


def _keys(full_url: str, encounter: Resource) -> frozenset[str]:
    # Identifiers by their value alone: published ones have one side's under the other's system.
    values = (text_of(each, "value") for each in maps_of(encounter, "identifier"))
    return frozenset(filter(None, map(bare_id, [full_url, text_of(encounter, "id"), *values])))


def _named_by(reference: Resource) -> str:
    """Return by which of its keys a reference names an Encounter, of whatever version."""
    name = bare_id(text_of(reference, "reference")).partition("/_history/")[0]
    return name.removeprefix("encounter/")


def _reason(encounter: Resource) -> Reason | None:
    codes = (
        text_of(coding, "code")
        for concept in maps_of(encounter, "reasonCode")
        for coding in maps_of(concept, "coding")
        if text_of(coding, "system") in _REASON_SYSTEMS
    )
    return next((Reason(code) for code in codes if code in list(Reason)), None)


def ours_in(message: Message, known: frozenset[str] = frozenset()) -> frozenset[str]:
    """
    Return what the Requester's Encounter is known by, as a request, its answer or update tells.

    In a new request it is the only one. Beside another it is the one that is *known*, or else
    the one that the ServiceRequest names; and what else it is known by is learnt.
    """
    found = [_keys(entry.full_url, entry.resource) for entry in message.entries if _is_one(entry)]
    named = known or {
        _named_by(map_of(request, "encounter")) for _, request in message.all("ServiceRequest")
    }
    only = len(found) == 1 and not known
    return known.union(*(keys for keys in found if only or not keys.isdisjoint(named)))


def _is_one(entry: Entry) -> bool:
    return entry.type == "Encounter"


def ordered_as(stamp: datetime | None, came_at: datetime) -> datetime:
    """Return the time by which a response is ordered: a clock that is ahead counts for nothing."""
    if stamp is None or is_ahead(stamp, came_at):
        return came_at
    return stamp


def is_ahead(stamp: datetime | None, came_at: datetime) -> bool:
    """Tell whether it was stamped later than it came, by more than clocks differ."""
    return stamp is not None and stamp > came_at + CLOCKS_DIFFER


_TELLS_NOTHING = frozenset({Said.UNCLEAR, Said.ACCEPTED})  # of what *planned* follows
_SENT = frozenset({Said.ASSIGNED, Said.ON_SCENE, Said.STOOD_DOWN})


@frozen(kw_only=True)
class Spoken:
    """A word that came, and when it was said, as far as its stamps can be believed."""

    says: Said
    said_at: datetime
    sent_at: datetime
    came_at: datetime


@frozen(kw_only=True)
class Place:
    """Where a new word stands among those that came before it."""

    newest: bool  # nothing that was said later came before it
    follows: Said | None  # the newest word that it may have been said after


def placed(
    so_far: Sequence[Spoken], said_at: datetime, sent_at: datetime, asked_at: datetime
) -> Place:
    """Return the place of a word with those stamps; *so_far* has the newest first."""
    key, began = (said_at, sent_at), asked_at - CLOCKS_DIFFER
    is_second = any(word.says is Said.ACCEPTED and word.said_at != said_at for word in so_far)
    sent = (word.says for word in so_far if word.says in _SENT and is_second)
    telling = (
        word.says
        for word in so_far
        if word.says not in _TELLS_NOTHING
        and (_may_precede(word, key) or (word.says in _SENT and said_at < began <= word.said_at))
    )
    newest = not so_far or (so_far[0].said_at, so_far[0].sent_at) <= key
    return Place(newest=newest, follows=next(chain(sent, telling), None))


def _may_precede(word: Spoken, key: tuple[datetime, datetime]) -> bool:
    """
    Tell whether what came before may have been said before, too.

    What is stamped as late as it came, or later, was said at some time before that: nobody
    knows when. After such an allocation *planned* may stand it down, and is read so.
    """
    return (word.said_at, word.sent_at) <= key or word.said_at >= word.came_at
