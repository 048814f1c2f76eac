import asyncio
import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import cast
from uuid import uuid4

import messages
import pytest
from bookings import booking, cancelled_referral
from epr_side import PROVIDER, intake_of, utc_now
from hypothesis import given, settings
from hypothesis import strategies as st
from store_values import ANSWER, SILENCE, attempt, claim_next, submission
from structlog.testing import capture_logs
from variants import a_transfer_update, resource

from bars_gateway.cli.messages import findings
from bars_gateway.epr import documents
from bars_gateway.epr.envelope import Envelope, envelope_from_headers, read_envelope
from bars_gateway.epr.intake import Intake, SubmissionRefused
from bars_gateway.errors import StorageFull
from bars_gateway.model.messages import Accepted, OutboundState, Settled
from bars_gateway.standard.bundle import Message, read
from bars_gateway.standard.formats import Format, converted
from bars_gateway.standard.headers import TargetIdentifier
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.rule import PRODUCTION
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import Move
from bars_gateway.store.store import Store

JSON = Format.JSON
NOTHING = Envelope()
CORRELATION = "7f3f7c1e-3f3e-4b57-9f4c-2a2b0a3e9d10"


def changed(body: bytes, *path: str | int, value: object) -> bytes:
    """Return the Bundle with one element replaced."""
    bundle = json.loads(body)
    at = bundle
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return json.dumps(bundle).encode()


async def refused(intake: Intake, body: bytes, media_type: str = JSON) -> SubmissionRefused:
    with pytest.raises(SubmissionRefused) as caught:
        await intake.submit(body, media_type, NOTHING)
    return caught.value


async def test_a_referral_is_queued(store: Store, intake: Intake) -> None:
    """The receipt is given for a message that is in the queue."""
    accepted = await intake.submit(messages.referral(), JSON, NOTHING)

    assert [accepted.request_id] == [
        row.request_id for row in await store.messages.queue(PROVIDER, 9)
    ]


async def test_the_bytes_go_as_they_came(store: Store, intake: Intake) -> None:
    """What will be sent is byte for byte what the EPR submitted."""
    body = messages.validation_request()
    await intake.submit(body, JSON, NOTHING)

    claim = await claim_next(store, utc_now(), [PROVIDER])
    assert claim is not None
    assert body == claim.request.body


async def test_xml_goes_as_xml(store: Store, intake: Intake) -> None:
    """XML bytes leave as they came, named as XML, and ask for an answer in XML."""
    body = converted(messages.validation_request(), JSON, Format.XML)
    await intake.submit(body, "application/fhir+xml; charset=utf-8", NOTHING)

    claim = await claim_next(store, utc_now(), [PROVIDER])
    assert claim is not None
    assert (Format.XML, body) == (claim.request.media_type, claim.request.body)
    assert {"application/fhir+xml; version=1.5.0"} == {
        claim.request.headers["Content-Type"],
        claim.request.headers["Accept"],
    }


async def test_headers_are_frozen(store: Store, intake: Intake) -> None:
    """The headers of every attempt are decided when the message is accepted."""
    accepted = await intake.submit(messages.referral(), JSON, NOTHING)

    claim = await claim_next(store, utc_now(), [PROVIDER])
    assert claim is not None
    headers = claim.request.headers
    assert accepted.request_id == headers["X-Request-Id"]
    assert messages.RECEIVER == TargetIdentifier.decode(headers["NHSD-Target-Identifier"]).text


async def test_the_same_bytes_get_the_same_receipt(store: Store, intake: Intake) -> None:
    """Bytes that are submitted twice are queued once."""
    body = messages.referral()
    first = await intake.submit(body, JSON, NOTHING)
    second = await intake.submit(body, JSON, NOTHING)

    assert first == second
    assert 1 == len(await store.messages.queue(PROVIDER, 9))


async def test_the_fingerprint_is_of_the_bytes(intake: Intake) -> None:
    """The EPR can compute the fingerprint of the receipt itself."""
    body = messages.referral()
    accepted = await intake.submit(body, JSON, NOTHING)

    assert hashlib.sha256(body).hexdigest() == accepted.fingerprint


async def test_the_conversation_of_the_envelope_counts(intake: Intake) -> None:
    """The EPR may name the conversation."""
    envelope = Envelope(correlation_id=CORRELATION)
    accepted = await intake.submit(messages.referral(), JSON, envelope)

    assert CORRELATION == accepted.correlation_id


async def test_a_change_stays_in_its_conversation(intake: Intake) -> None:
    """An update without a correlation id gets that of the workflow which it changes."""
    first = await intake.submit(messages.validation_request(bundle_id=CORRELATION), JSON, NOTHING)
    update = messages.validation_request(bundle_id=CORRELATION, reason="update")
    update = changed(update, "entry", 1, "resource", "id", value=CORRELATION)
    second = await intake.submit(update, JSON, NOTHING)

    assert first.correlation_id == second.correlation_id


async def test_a_change_waits_for_its_request_in_whatever_letters_their_id_is_written(
    store: Store, intake: Intake
) -> None:
    """It is the same conversation in capitals, and nothing in one overtakes what is to leave."""
    request = messages.validation_request(bundle_id=CORRELATION)
    first = await intake.submit(request, JSON, Envelope(correlation_id=CORRELATION))
    update = messages.validation_request(bundle_id=CORRELATION, reason="update")
    update = changed(update, "entry", 1, "resource", "id", value=CORRELATION)
    second = await intake.submit(update, JSON, Envelope(correlation_id=CORRELATION.upper()))
    left = [await claim_next(store, utc_now(), [PROVIDER]) for _ in range(2)]

    assert CORRELATION == second.correlation_id
    assert [first.request_id, None] == [claim and claim.request_id for claim in left]


async def acknowledged(store: Store, intake: Intake) -> Accepted:
    """Let a validation be asked for and acknowledged, as GIVEN."""
    request = messages.validation_request(bundle_id=CORRELATION)
    accepted = await intake.submit(request, JSON, NOTHING)
    claim = await claim_next(store, utc_now(), [PROVIDER])
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=GIVEN)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
    return accepted


def change(number: str, status: str = "active") -> bytes:
    """Return an update or cancellation of the validation of that id."""
    bundle = json.loads(messages.validation_request(reason="update"))
    bundle["entry"][1]["resource"]["id"] = number
    return json.dumps(bundle).encode() if status == "active" else cancelled_referral(bundle, status)


GIVEN, ANOTHER = "the-one-they-gave", "another"


@pytest.mark.parametrize("status", ["active", "revoked"])
async def test_a_change_goes_on_in_its_own_conversation(
    store: Store, intake: Intake, status: str
) -> None:
    """CS-056: it is refused under another correlation id than its workflow's."""
    await acknowledged(store, intake)
    with pytest.raises(SubmissionRefused) as refused:
        await intake.submit(change(GIVEN, status), JSON, Envelope(correlation_id=CORRELATION))

    assert ["H04"] == [issue.rule for issue in refused.value.issues]


@pytest.mark.parametrize("status", ["active", "revoked"])
async def test_a_change_is_not_sent_under_an_id_that_is_known_to_be_another(
    store: Store, intake: Intake, status: str
) -> None:
    """The conversation says which record is meant, and the Receiver calls it otherwise."""
    envelope = Envelope(correlation_id=(await acknowledged(store, intake)).correlation_id)
    with pytest.raises(SubmissionRefused) as refused:
        await intake.submit(change(ANOTHER, status), JSON, envelope)

    assert ["R10"] == [issue.rule for issue in refused.value.issues]


async def test_nor_under_the_bundle_id_of_one(store: Store, intake: Intake) -> None:
    """Application 6 repeats the Bundle.id of the request."""
    await acknowledged(store, intake)
    update = changed(change(ANOTHER), "id", value=CORRELATION)
    with pytest.raises(SubmissionRefused) as refused:
        await intake.submit(update, JSON, NOTHING)

    assert ["R10"] == [issue.rule for issue in refused.value.issues]


async def test_a_change_of_what_began_elsewhere_is_sent(store: Store, intake: Intake) -> None:
    """Nothing is known against it: the Receiver may have it from before this gateway."""
    await acknowledged(store, intake)

    assert OutboundState.QUEUED == (await intake.submit(change(ANOTHER), JSON, NOTHING)).state


async def test_new_requests_begin_conversations(intake: Intake) -> None:
    """Two new referrals have nothing to do with each other."""
    first = await intake.submit(messages.referral(), JSON, NOTHING)
    second = await intake.submit(messages.referral(), JSON, NOTHING)

    assert first.correlation_id != second.correlation_id


async def test_the_clinical_time_of_the_envelope_wins(intake: Intake) -> None:
    """`needed_by` ends the retries, less the lead of the Application."""
    needed_by = utc_now() + timedelta(hours=1)
    submission = await intake.prepare(messages.referral(), JSON, Envelope(needed_by=needed_by))

    assert (needed_by, needed_by - timedelta(minutes=5), True) == (
        submission.needed_by,
        submission.give_up_at,
        submission.by_its_time,
    )


BREACHED = Envelope(needed_by=datetime.now(UTC) - timedelta(minutes=1))


async def test_a_validation_past_its_breach_is_refused(intake: Intake) -> None:
    """The ambulance's own fallback runs by now; nothing may set off a second one."""
    with pytest.raises(SubmissionRefused) as refused:
        await intake.submit(messages.validation_request(), JSON, BREACHED)

    assert (409, ["E06"]) == (
        refused.value.http_status,
        [issue.rule for issue in refused.value.issues],
    )


async def test_what_was_taken_in_time_has_its_receipt_after_the_breach(intake: Intake) -> None:
    """An EPR that asks again what became of its file is not told that nothing was sent."""
    body = messages.validation_request()
    soon = Envelope(needed_by=utc_now() + timedelta(minutes=20))
    first = await intake.submit(body, JSON, soon)
    again = await intake.submit(body, JSON, BREACHED)

    assert first.request_id == again.request_id


async def test_a_referral_past_its_time_is_taken(intake: Intake) -> None:
    """Only a validation is worth nothing after its time."""
    accepted = await intake.submit(messages.referral(), JSON, BREACHED)

    assert OutboundState.QUEUED == accepted.state


def timed(body: bytes, needed_by: datetime) -> bytes:
    """Return the message with that clinical time."""
    bundle = json.loads(body)
    for entry in bundle["entry"]:
        found = entry["resource"]
        if found["resourceType"] == "ServiceRequest" and "occurrencePeriod" in found:
            found["occurrencePeriod"]["end"] = needed_by.isoformat()
        if found["resourceType"] == "Appointment":
            found |= {"start": needed_by.isoformat(), "end": needed_by.isoformat()}
    return json.dumps(bundle).encode()


async def test_a_date_at_the_edge_of_the_calendar_is_ignored(intake: Intake) -> None:
    """It is said in the log, and the Application's own limit counts."""
    never = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    with capture_logs() as logs:
        body = timed(messages.validation_request(), never)
        submission = await intake.prepare(body, JSON, Envelope(needed_by=never))

    assert (None, None) == (submission.needed_by, submission.owed)
    assert ["epr.clinical_time_ignored"] == [each["event"] for each in logs]


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2126-01-01T00:00:00Z"]
)
@pytest.mark.parametrize("door", ["envelope.needed_by", "header Bars-Needed-By"])
async def test_a_receipt_warns_of_an_envelopes_time_that_is_ignored(
    intake: Intake, moment: str, door: str
) -> None:
    """As of the Bundle's own (R04E), and by where the EPR wrote it."""
    in_file = read_envelope(json.dumps({"needed_by": moment}).encode())
    by_door = {
        "envelope.needed_by": in_file,
        "header Bars-Needed-By": envelope_from_headers({"Bars-Needed-By": moment}),
    }
    accepted = await intake.submit(messages.validation_request(), JSON, by_door[door])
    warnings = documents.receipt(accepted)["warnings"]

    assert [("R04E", door)] == [(each["rule"], each["path"]) for each in warnings]


async def test_the_bundles_time_counts_where_the_envelopes_is_none(intake: Intake) -> None:
    """One of the two was never set; the other was."""
    needed_by = utc_now().replace(microsecond=0) + timedelta(hours=1)
    never = Envelope(needed_by=datetime(9999, 12, 31, tzinfo=UTC))
    body = messages.validation_request(needed_by=needed_by)
    submission = await intake.prepare(body, JSON, never)

    assert needed_by == submission.needed_by


async def test_the_time_of_a_booking_goes_with_it(intake: Intake) -> None:
    """So long its record is kept, whatever times are set."""
    starts = utc_now().replace(microsecond=0) + timedelta(days=40)
    submission = await intake.prepare(timed(booking(), starts), JSON, NOTHING)

    assert starts <= (submission.appointment_until or starts) < starts + timedelta(days=1)
    assert submission.appointment_until is not None


ZONES = st.builds(lambda m: timezone(timedelta(minutes=m)), st.integers(-12 * 60, 14 * 60))


@settings(max_examples=60)
@given(needed_by=st.datetimes(timezones=ZONES), in_envelope=st.booleans(), booked=st.booleans())
def test_no_date_of_the_calendar_stops_the_door(
    needed_by: datetime, *, in_envelope: bool, booked: bool
) -> None:
    """Whatever was meant by it: the message is judged, and a limit is found for it."""
    message = timed(booking() if booked else messages.referral(), needed_by)
    envelope = Envelope(needed_by=needed_by) if in_envelope else NOTHING
    unused = cast("Store", None)
    submission = asyncio.run(intake_of(unused).prepare(message, JSON, envelope))

    assert submission.give_up_at <= utc_now() + timedelta(hours=2)


async def test_every_error_is_told_at_once(intake: Intake) -> None:
    """Who corrects a message learns of all that is wrong with it."""
    body = changed(messages.referral(), "type", value="batch")
    body = changed(body, "meta", "versionId", value="")
    problem = await refused(intake, body)

    assert {"B01", "B02", "B07"} == {issue.rule for issue in problem.issues}


async def test_only_our_own_services_send(intake: Intake) -> None:
    """A provider sends for its own services, and for nobody else's."""
    other = "https://fhir.nhs.uk/Id/dos-service-id|2000000999"
    problem = await refused(intake, messages.referral(sender=other))

    assert ["M06S"] == [issue.rule for issue in problem.issues]


async def test_words_without_meaning_are_refused(intake: Intake) -> None:
    """Event, reason and status must make a move that the standard knows."""
    bundle = a_transfer_update()
    resource(bundle, "ServiceRequest")["status"] = "draft"
    problem = await refused(intake, json.dumps(bundle).encode())

    assert ["W01"] == [issue.rule for issue in problem.issues]


@pytest.mark.parametrize(
    ("body", "media_type", "rule", "http_status"),
    [
        pytest.param(b"{", JSON, "B01", 422, id="no-json"),
        pytest.param(b"\xef\xbb\xbf" + messages.referral(), JSON, "B01", 422, id="marked"),
        pytest.param(b"<Bundle/>", "application/xml", "E03", 415, id="plain-xml"),
        pytest.param(b"x" * (5 * 1024 * 1024 + 1), JSON, "E02", 413, id="too-large"),
    ],
)
async def test_what_cannot_be_read_is_refused(
    intake: Intake, body: bytes, media_type: str, rule: str, http_status: int
) -> None:
    """Bytes that are no message are refused, each for its own reason."""
    problem = await refused(intake, body, media_type)

    assert ([rule], http_status) == (
        [issue.rule for issue in problem.issues],
        problem.http_status,
    )


async def test_a_large_message_is_taken(intake: Intake) -> None:
    """A message that is parsed in a thread is taken like any other."""
    body = messages.referral(notes="long " * 80_000)
    accepted = await intake.submit(body, JSON, NOTHING)

    assert OutboundState.QUEUED is accepted.state


async def test_a_refusal_is_repeated(store: Store, intake: Intake) -> None:
    """Bytes that the Receiver refused are refused again, with its code and the way out."""
    body = messages.referral()
    await intake.submit(body, JSON, NOTHING)
    claim = await claim_next(store, utc_now(), [PROVIDER])
    assert claim is not None
    said_no = attempt(claim, Verdict.REFUSED, http_status=422, code="REC_UNPROCESSABLE_ENTITY")
    settled = Settled(state=OutboundState.REFUSED)
    await store.outbound.settle(claim, SILENCE, attempt=said_no, settlement=settled)

    problem = await refused(intake, body)
    assert "REC_UNPROCESSABLE_ENTITY" == problem.code
    assert "resend" in problem.issues[0].text


@pytest.mark.parametrize("arrived", [False, True], ids=["on-its-way", "arrived"])
async def test_what_was_cancelled_since_has_its_receipt_and_a_warning(
    store: Store, intake: Intake, *, arrived: bool
) -> None:
    """It was taken and sent, whatever became of it; and whoever refers again is told how."""
    body = messages.referral()
    first = await intake.submit(body, JSON, NOTHING)
    await acknowledge(store)
    cancelling = submission(
        provider=PROVIDER,
        move=Move.CANCEL,
        bundle_id=read(body).bundle_id,
        receiver=first.receiver,
        use_case="a1t1",
        give_up_at=utc_now() + timedelta(hours=1),
    )
    await store.outbound.submit(cancelling, utc_now())
    if arrived:
        await acknowledge(store)

    again = await intake.submit(body, JSON, NOTHING)
    warning = again.warnings[-1]
    assert first == replace(
        again, warnings=again.warnings[:-1], state=first.state, led_to=first.led_to
    )
    assert "E04" == warning.rule
    assert first.request_id in warning.problem
    assert "cancelled" in warning.problem
    assert "a new message, with a Bundle.id of its own" in warning.problem


async def test_taken_bytes_have_their_receipt_whatever_speaks_against_them_now(
    store: Store, intake: Intake
) -> None:
    """The service takes no such request any more, and says so to who lost the first answer."""
    body = messages.referral()
    first = await intake.submit(body, JSON, NOTHING)

    async def no_more(_message: Message) -> Issue:
        return Issue(rule="E05", path="Bundle", text="it takes none")

    stricter = intake_of(store, target_check=no_more)
    assert first == await stricter.submit(body, JSON, NOTHING)
    assert first == await stricter.submit(body, "text/plain", NOTHING)
    assert "E05" == (await refused(stricter, messages.referral())).issues[0].rule


async def test_what_is_written_anew_has_its_receipt_whatever_speaks_against_it_now(
    store: Store, intake: Intake
) -> None:
    """Else an EPR that lost the first answer tells its user that nobody was referred."""
    first = await intake.submit(body := messages.referral(), JSON, NOTHING)
    anew = json.loads(body)

    async def no_more(_message: Message) -> Issue:
        return Issue(rule="E05", path="Bundle", text="it takes none")

    stricter = intake_of(store, target_check=no_more)
    assert first == await stricter.submit(json.dumps(anew, indent=3).encode(), JSON, NOTHING)
    anew["id"] = str(uuid4())
    problem = await refused(stricter, json.dumps(anew).encode())
    assert (["E05"], None) == ([each.rule for each in problem.issues], problem.request_id)


async def test_a_refusal_of_taken_bytes_says_that_they_were_taken(
    store: Store, intake: Intake
) -> None:
    """Nobody knows whether they arrived: who reads that nothing was sent would send another."""
    body = messages.referral()
    first = await intake.submit(body, JSON, NOTHING)
    claim = await claim_next(store, utc_now(), [PROVIDER])
    assert claim is not None
    settled = Settled(state=OutboundState.UNCONFIRMED)
    lost = attempt(claim, Verdict.RETRY)
    await store.outbound.settle(claim, SILENCE, attempt=lost, settlement=settled)

    problem = await refused(intake, body)
    told = documents.refusal(problem.issues, request_id=problem.request_id)
    assert f"this message was taken before as {first.request_id}" in str(told["error"])
    assert "nothing was sent" not in str(told)
    assert "Correct what the issues name" not in str(told["cure"])


async def test_a_second_cancellation_is_told_when_the_first_was(
    store: Store, intake: Intake
) -> None:
    """That it is over says not that somebody has cancelled it, nor when."""
    await acknowledged(store, intake)
    await intake.submit(change(GIVEN, "revoked"), JSON, NOTHING)
    second = changed(change(GIVEN, "revoked"), "id", value=str(uuid4()))

    under_way = await refused(intake, second)
    assert ["G02"] == [issue.rule for issue in under_way.issues]
    assert under_way.issues[0].text.endswith("It is being cancelled")
    await acknowledge(store)

    over = await refused(intake, second)
    assert re.search(r"It was cancelled at [\d-]{10} [\d:]{8}Z$", over.issues[0].text)
    assert "nothing left to cancel" in str(documents.refusal(over.issues)["cure"])


async def acknowledge(store: Store) -> None:
    claim = await claim_next(store, utc_now(), [PROVIDER])
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)


@pytest.mark.of_sqlite
async def test_a_full_disk_is_no_refusal(store: Store, intake: Intake) -> None:
    """Where the store can promise nothing, the EPR keeps the message."""
    store._shared.minimum_free_bytes = 1 << 62

    with pytest.raises(StorageFull):
        await intake.submit(messages.referral(), JSON, NOTHING)


async def test_many_share_a_commit(intake: Intake) -> None:
    """Messages that are submitted together are each accepted."""
    bodies = [messages.referral() for _ in range(20)]
    receipts: list[Accepted] = await asyncio.gather(
        *(intake.submit(body, JSON, NOTHING) for body in bodies)
    )

    assert 20 == len({receipt.request_id for receipt in receipts})


WRONG_DIGIT, PLACEHOLDER = "9990000019", "0000000000"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        pytest.param(messages.NHS_NUMBER, [], id="nothing"),
        pytest.param(WRONG_DIGIT, [("P02", True)], id="wrong-check-digit"),
        pytest.param(PLACEHOLDER, [("P02P", True)], id="placeholder"),
    ],
)
async def test_a_receipt_tells_every_warning(
    intake: Intake, number: str, expected: list[tuple[str, bool]]
) -> None:
    """Acceptance is no reason to lose what was found; production would refuse some of it."""
    accepted = await intake.submit(messages.referral(nhs_number=number), JSON, NOTHING)
    warned = [(each.rule, each.refused_in_production) for each in accepted.warnings]

    assert expected == warned


IN_A_RECORD = {"system": "https://fhir.nhs.uk/Id/nhs-number"}


def in_a_record(number: str) -> bytes:
    """Return a referral of which one record gives its patient that number, beside a right one."""
    bundle = json.loads(messages.referral())
    resource(bundle, "CarePlan")["subject"]["identifier"] = IN_A_RECORD | {"value": number}
    return json.dumps(bundle).encode()


@pytest.mark.parametrize(("number", "rule"), [(WRONG_DIGIT, "P02"), (PLACEHOLDER, "P02P")])
async def test_a_number_beside_the_patient_is_as_the_patients_own(
    store: Store, intake: Intake, number: str, rule: str
) -> None:
    """A warning, which says that production refuses it; and there it is refused."""
    accepted = await intake.submit(in_a_record(number), JSON, NOTHING)
    strict = await refused(intake_of(store, overrides=PRODUCTION), in_a_record(number))

    assert [(rule, True)] == [(each.rule, each.refused_in_production) for each in accepted.warnings]
    assert [rule] == [each.rule for each in strict.issues if each.severity is Severity.ERROR]
    assert accepted.warnings[0].path.endswith(".resource.subject.identifier.value")


async def test_a_receipt_tells_what_lint_prints(intake: Intake, tmp_path: Path) -> None:
    """All of it, in its order: whoever reads the one need not run the other."""
    body = changed(
        messages.referral(nhs_number=WRONG_DIGIT),
        "entry",
        4,
        "resource",
        "name",
        0,
        "use",
        value="usual",
    )
    file = tmp_path / "referral.json"
    file.write_bytes(body)
    accepted = await intake.submit(body, JSON, NOTHING)
    printed = [
        (found.issue.rule, found.issue.path, found.issue.text, found.issue.refused_in_production)
        for found in findings(file, strict=True)
    ]

    assert [
        (each.rule, each.path, each.problem, each.refused_in_production)
        for each in accepted.warnings
    ] == printed
    assert {"P02", "P10"} <= {rule for rule, *_ in printed}


async def test_a_receipt_warns_of_the_same_twice(store: Store, intake: Intake) -> None:
    """Whatever the rules say by then: it is what was told when the message was taken."""
    body = messages.referral(nhs_number=PLACEHOLDER)
    first = await intake.submit(body, JSON, NOTHING)
    submission = await intake.prepare(body, JSON, NOTHING)
    second = await store.outbound.submit(replace(submission, warnings=()), utc_now())

    assert documents.receipt(first) == documents.receipt(second)
    assert ["P02P"] == [each.rule for each in second.warnings]


@pytest.mark.parametrize(("number", "rule"), [(WRONG_DIGIT, "P02"), (PLACEHOLDER, "P02P")])
async def test_a_number_that_is_nobodys_is_refused_in_production(
    store: Store, number: str, rule: str
) -> None:
    """There a real patient is meant, and it may be somebody else's number."""
    strict = intake_of(store, overrides=PRODUCTION)

    assert [rule] == [
        issue.rule
        for issue in (await refused(strict, messages.referral(nhs_number=number))).issues
        if issue.severity is Severity.ERROR
    ]
