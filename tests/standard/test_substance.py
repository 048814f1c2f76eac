"""What a CarePlan says, and what merely looks as if it did: on sending, and on receipt."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from composed_moves import RESPONDER, TEXT, Case, case, exchanged, json_tree, problems, wants
from composed_moves import Bundle as Resource
from variants import a_full_response, an_interim_response, resource, url_of

from bars_gateway.standard.bundle import Message, read, said_by
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.rule import has_words
from bars_gateway.standard.rules.substance import is_sent_back, plans_said, says_nothing
from bars_gateway.standard.workflow import Move

UNSEEN = {
    "hangul-choseong-filler": "\u115f",
    "hangul-jungseong-filler": "\u1160",
    "hangul-filler": "\u3164",
    "halfwidth-hangul-filler": "\uffa0",
    "braille-blank": "\u2800",
    "no-break-space": "\u00a0",
    "zero-width-space": "\u200b",
    "soft-hyphen": "\u00ad",
    "grapheme-joiner": "\u034f",
    "variation-selector": "\ufe0f",
    "byte-order-mark": "\ufeff",
    "ideographic-space": "\u3000",
    "tag-letter": "\U000e0041",
    "private-use": "\ue000",
}
NEW_CASE = {
    "resourceType": "Encounter",
    "id": "33333333-0000-4000-8000-000000000001",
    "identifier": [{"system": "https://example.org/Id/incident", "value": "S2201240528"}],
    "status": "planned",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "EMER"},
}
SEEN = {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "Rash"}}


def plan(*activities: Resource) -> Resource:
    return {"resourceType": "CarePlan", "activity": list(activities)}


def outcome(**reference: Any) -> Resource:
    return {"outcomeReference": [reference]}


def answered(**holds: Any) -> Message:
    """Return a full response whose CarePlan has its technical elements, and *holds* these."""
    bundle = a_full_response()
    written = resource(bundle, "CarePlan")
    for name in set(written) - {"resourceType", "id", "meta", "status", "intent", "subject"}:
        del written[name]
    written["encounter"] = bundle["entry"][0]["resource"]["focus"][0]
    written.update(holds)
    return read(json.dumps(bundle).encode())


@pytest.mark.parametrize("unseen", UNSEEN.values(), ids=UNSEEN)
def test_what_nobody_can_see_is_no_word(unseen: str) -> None:
    """Some of it counts as a letter: whoever reads the plan sees nothing."""
    assert not has_words(f" {unseen}\n{unseen}")
    assert has_words(f"{unseen}Seen{unseen}")


@pytest.mark.parametrize("word", ["Gesehen", "見た", "ᄀ", "한", "رأى", "٣", "é"])
def test_words_of_any_script_are_words(word: str) -> None:
    """Letters of scripts whose fillers are none are there to be read."""
    assert has_words(word)


@pytest.mark.parametrize("unseen", UNSEEN.values(), ids=UNSEEN)
def test_an_outcome_that_nobody_can_see_is_refused(unseen: str) -> None:
    """Filler letters went out as the final word on a patient."""
    wanted = plan({"outcomeCodeableConcept": [{"text": unseen}]})
    (issue,) = case("a4t1").make(wants(Move.CONCLUDE, "no_action", wanted))

    assert ("C03", "resources[0].activity") == (issue.rule, issue.path)


def named(kind: str, given: Case) -> str:
    """Return the fullUrl of a resource of the request, and so of what answers it."""
    entries = said_by(given.request.bundle).entries
    return next(each.full_url for each in entries if each.type == kind)


def in_request(kind: str, **more: str) -> Callable[[Case], Resource]:
    return lambda given: {"reference": named(kind, given), **more}


NOWHERE: dict[str, Callable[[Case], Resource]] = {
    "patient": in_request("Patient"),
    "patient-by-name": in_request("Patient", display="An invented patient"),
    "patient-elsewhere": lambda _: {"reference": "Patient/1", "display": "An invented patient"},
    "organisation": in_request("Organization"),
    "practitioner": in_request("Practitioner", display="Dr Invented"),
    "requesters-case": in_request("Encounter"),
    "requesters-case-by-words": in_request("Encounter", display="The case"),
    "request": in_request("ServiceRequest"),
    "url": lambda _: {"reference": "https://example.org/anything"},
    "url-of-a-case": lambda _: {"reference": "https://example.org/fhir/Encounter/1"},
    "type-alone": lambda _: {"type": "Patient", "identifier": {"value": "ZX902-9876"}},
}


@pytest.mark.parametrize("to", NOWHERE.values(), ids=NOWHERE)
def test_what_leads_to_no_outcome_is_none(to: Callable[[Case], Resource]) -> None:
    """The other side would look for what was found, and be sent back to where it came from."""
    given = case("a4t1")
    (issue,) = given.make(wants(Move.CONCLUDE, "action", plan(outcome(**to(given)))))

    assert ("C03", "resources[0].activity") == (issue.rule, issue.path)


def test_the_requesters_case_is_none_by_its_number_either() -> None:
    """However it is named, it is what was asked about."""
    given = case("a4t1")
    asked = next(e for e in said_by(given.request.bundle).entries if e.type == "Encounter")
    wanted = plan(outcome(identifier=number(asked.resource)["identifier"][0]))
    (issue,) = given.make(wants(Move.CONCLUDE, "action", wanted))

    assert ("C03", "resources[0].activity") == (issue.rule, issue.path)


@pytest.mark.parametrize("to", NOWHERE.values(), ids=NOWHERE)
def test_nor_does_a_whole_message_say_anything_by_it(to: Callable[[Case], Resource]) -> None:
    """Whoever writes the Bundle is asked for the same, and whoever gets it is told."""
    given = case("a4t1")
    good = plan({"outcomeCodeableConcept": [{"text": TEXT}]})
    made = json.loads(to_bytes(given.make(wants(Move.CONCLUDE, "action", good)), Format.JSON))
    resource(made, "CarePlan")["activity"] = [outcome(**to(given))]
    tree = json_tree(made)

    assert ["R16P"] == [rule for rule, _ in problems(tree, RESPONDER)]
    assert says_nothing(said_by(tree))


@pytest.mark.parametrize(
    ("given", "to"),
    [
        pytest.param((NEW_CASE,), f"Encounter/{NEW_CASE['id']}", id="a-third-case"),
        pytest.param((SEEN,), "Observation/o1", id="an-observation"),
    ],
)
def test_what_holds_an_outcome_is_one(given: tuple[Resource, ...], to: str) -> None:
    """A case that came of it has a number, and an observation its words."""
    wanted = plan(outcome(reference=to))
    made = case("a4t1").make(wants(Move.CONCLUDE, "action", *given, wanted))

    assert isinstance(made, dict)
    assert "R16P" not in [rule for rule, _ in problems(made, RESPONDER)]
    assert not says_nothing(said_by(json_tree(made)))


def test_a_case_without_a_number_or_a_word_is_no_outcome() -> None:
    """There is nothing to ask for it by."""
    bare = {name: NEW_CASE[name] for name in ("resourceType", "id", "status", "class")}
    wanted = plan(outcome(reference=f"Encounter/{bare['id']}"))
    (issue,) = case("a4t1").make(wants(Move.CONCLUDE, "action", bare, wanted))

    assert ("C03", "resources[1].activity") == (issue.rule, issue.path)


def test_the_responders_own_case_may_be_the_outcome() -> None:
    """It has a number, by which its control room can be asked."""
    given = case("a4t1")
    begun = exchanged(given.make(wants(Move.PROGRESS)))
    own = said_by(begun.bundle).focus_url
    entry = next(e for e in said_by(begun.bundle).entries if e.full_url == own)
    sent = wants(
        Move.CONCLUDE,
        "action",
        {"resourceType": "Encounter", "id": entry.resource["id"], **number(entry.resource)},
        plan(outcome(reference=f"Encounter/{entry.resource['id']}")),
    )

    assert isinstance(given.make(sent, begun), dict)


def number(encounter: Any) -> Resource:
    return {"identifier": [dict(each) for each in encounter["identifier"]]}


EMPTY: dict[str, Resource] = {
    "technical-elements": {},
    "empty-activity": {"activity": [{"outcomeReference": [{"reference": "Encounter/x"}]}]},
    "blanks": {
        "title": "\u3164",
        "description": " ",
        "note": [{"text": "-"}],
        "activity": [{"outcomeCodeableConcept": [{"text": "\u2800"}]}],
    },
    "no-narrative": {"text": {"status": "empty", "div": "<div>No text was provided.</div>"}},
    "markup": {"text": {"status": "additional", "div": "<div>&nbsp;<p> </p></div>"}},
    "markup-of-a-program": {"text": {"status": "generated", "div": "<div>&nbsp;<p> </p></div>"}},
    "when-and-who": {
        "period": {"start": "2026-03-02T09:00:00+00:00"},
        "author": {"display": "Dr Invented"},
        "identifier": [{"value": "P-1"}],
    },
    "sort-of-plan": {"category": [{"coding": [{"code": "assess-plan", "display": "Care plan"}]}]},
    "what-it-is-about": {"addresses": [{"reference": "Condition/1"}]},
    "status-of-an-activity": {
        "activity": [{"detail": {"status": "not-started", "kind": "ServiceRequest"}}]
    },
}
SAYING: dict[str, Resource] = {
    "words": {"activity": [{"outcomeCodeableConcept": [{"text": "Seen."}]}]},
    "code": {"activity": [{"outcomeCodeableConcept": [{"coding": [{"code": "Dx02"}]}]}]},
    "case": {"activity": [{"outcomeReference": [{"identifier": {"value": "S22"}}]}]},
    "title": {"title": "Send an ambulance"},
    "description": {"description": "Send an ambulance"},
    "note": {"note": [{"text": "Send an ambulance"}]},
    "progress": {"activity": [{"progress": [{"text": "Seen."}]}]},
    "detail": {"activity": [{"detail": {"status": "not-started", "description": "Go."}}]},
    "detail-code": {"activity": [{"detail": {"code": {"coding": [{"code": "C3"}]}}}]},
    "narrative": {"text": {"status": "additional", "div": "<div><p>Go.</p></div>"}},
    "what-a-program-wrote": {"text": {"status": "generated", "div": "<div>Go.</div>"}},
    "what-a-program-wrote-by-extensions": {"text": {"status": "extensions", "div": "<p>Go.</p>"}},
    "category": {"category": [{"text": "Go."}]},
    "what-it-is-about": {"addresses": [{"reference": "Condition/1", "display": "Chest pain"}]},
    "extension": {"extension": [{"url": "https://example.org/says", "valueString": "Go."}]},
    "modifier": {"modifierExtension": [{"url": "https://example.org/n", "valueString": "Go."}]},
    "when-in-words": {"activity": [{"detail": {"scheduledString": "Go at noon."}}]},
    "contained": {"contained": [SEEN]},
}


@pytest.mark.parametrize("holds", EMPTY.values(), ids=EMPTY)
def test_a_plan_in_which_nothing_can_be_read_says_nothing(holds: Resource) -> None:
    """Whoever is sent to read it finds its status, and whose it is."""
    assert says_nothing(answered(**holds))


@pytest.mark.parametrize("holds", SAYING.values(), ids=SAYING)
def test_a_plan_with_words_anywhere_says_something(holds: Resource) -> None:
    """Where it belongs is asked of whoever writes it; whoever gets it can read it."""
    assert not says_nothing(answered(**holds))


def test_a_message_without_a_plan_is_not_one_whose_plan_says_nothing() -> None:
    """An interim answer has none."""
    assert not says_nothing(read(json.dumps(an_interim_response()).encode()))


def test_one_of_two_plans_may_say_it() -> None:
    """There is something to read."""
    bundle = a_full_response()
    bare = {"resourceType": "CarePlan", "status": "active", "intent": "plan"}
    bare |= {"subject": {"reference": url_of(bundle, "Patient")}}
    bundle["entry"].append({"fullUrl": "urn:uuid:33333333-0000-4000-8000-000000000009"})
    bundle["entry"][-1]["resource"] = bare

    assert not says_nothing(read(json.dumps(bundle).encode()))


def test_the_only_case_of_a_response_is_not_taken_for_the_requesters() -> None:
    """Another make may leave the Requester's out: what it found is in its own."""
    bundle = a_full_response()
    focus = bundle["entry"][0]["resource"]["focus"][0]["reference"]
    bundle["entry"] = [
        e
        for e in bundle["entry"]
        if e["resource"]["resourceType"] != "Encounter" or e["fullUrl"] == focus
    ]
    resource(bundle, "CarePlan")["activity"] = [outcome(reference=focus)]

    assert not says_nothing(read(json.dumps(bundle).encode()))


ASKED = {
    "title": "Invented: to be validated",
    "activity": [
        {"outcomeCodeableConcept": [{"coding": [{"code": "Dx012", "display": "Category 3"}]}]},
        {"detail": {"status": "not-started", "description": "Send somebody."}},
    ],
}
AS_BEFORE: dict[str, Resource] = {
    "as-it-was": {},
    "by-another-name": {"id": "another", "identifier": [{"value": "P-9"}]},
    "from-then-on": {"period": {"start": "2026-03-02T09:00:00+00:00"}},
    "by-somebody-else": {"author": {"display": "Dr Invented"}},
    "in-capitals": {"title": "INVENTED:  to be VALIDATED "},
    "with-its-narrative": {"text": {"status": "generated", "div": "<div>completed</div>"}},
}
OTHERWISE: dict[str, Resource] = {
    "note": {"note": [{"text": "Seen."}]},
    "title": {"title": "Invented: validated"},
    "done": {"activity": [{"detail": {"status": "completed", "description": "Send somebody."}}]},
    "code": {"activity": [{"outcomeCodeableConcept": [{"coding": [{"code": "Dx02"}]}]}]},
    "narrative": {"text": {"status": "additional", "div": "<div>Seen.</div>"}},
}


@pytest.mark.parametrize("holds", AS_BEFORE.values(), ids=AS_BEFORE)
def test_a_plan_that_says_only_what_was_asked_is_sent_back(holds: Resource) -> None:
    """Whose it is, when, and under which name tells nothing of what was found."""
    asked, answer = plans_said(answered(**ASKED)), plans_said(answered(**ASKED | holds))

    assert is_sent_back(answer, asked)


@pytest.mark.parametrize("holds", OTHERWISE.values(), ids=OTHERWISE)
def test_a_plan_with_anything_else_is_an_answer(holds: Resource) -> None:
    """Also under the same id: the published answers have that of the request."""
    asked, answer = plans_said(answered(**ASKED)), plans_said(answered(**ASKED | holds))

    assert not is_sent_back(answer, asked)


def test_a_plan_that_was_sent_back_beside_one_of_theirs_is_an_answer() -> None:
    """There is something of theirs to read."""
    asked = plans_said(answered(**ASKED))
    theirs = plans_said(answered(title="Seen."))

    assert not is_sent_back((*asked, *theirs), asked)


def test_an_answer_without_a_plan_or_words_sends_nothing_back() -> None:
    """That it says nothing is told otherwise."""
    bare = plans_said(answered())

    assert not is_sent_back((), bare)
    assert not is_sent_back(bare, bare)
