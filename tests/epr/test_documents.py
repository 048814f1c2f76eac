"""What the EPR reads of a notice and of a message: the sentence is that of the tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bars_gateway.epr import documents
from bars_gateway.model.messages import NoticeKind
from bars_gateway.model.readings import MessageRow, Notice
from bars_gateway.standard.meaning import Reason, Said
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences import means
from bars_gateway.standard.workflow import Move, RequestType, State

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

REJECTED = Notice(
    notice_id=1,
    kind=NoticeKind.MESSAGE,
    provider="ambulance",
    created_at=AT,
    collected_at=None,
    message_id=1,
    workflow_id=1,
    direction="inbound",
    request_id="7a1c3f0e-1111-4222-8333-444455556666",
    correlation_id="7a1c3f0e-2222-4222-8333-444455556666",
    bundle_id="7a1c3f0e-3333-4222-8333-444455556666",
    move=Move.DECLINE,
    request_type=RequestType.VALIDATION,
    use_case="a4t1",
    sender="https://fhir.nhs.uk/Id/dos-service-id|2000000202",
    receiver="https://fhir.nhs.uk/Id/dos-service-id|2000000101",
    state="received",
    attempts=0,
    give_up_at=None,
    answer_due_at=AT,
    reference=None,
    http_status=None,
    code=None,
    issue=None,
    fault=None,
    media_type="application/fhir+json",
    fingerprint="0" * 64,
    answer_media_type=None,
    says=Said.REJECTED,
    reason_code=Reason.FC,
    resend_of=None,
    reconciled=None,
    focus_id=None,
    shown=None,
    remarks=(),
    stands=State.DECLINED,
    warned_from=None,
    links=(),
)


def test_a_notice_of_a_rejection_alarms_and_says_why() -> None:
    """Software reads the word and the code; a person reads the sentence."""
    document = documents.notice(REJECTED)

    assert ("rejected", "FC") == (document["says"], document["reason_code"])
    assert (
        "The validating service has turned this down. The patient is your responsibility again: act"
        " now. Reason given: Failed Contact."
    ) == document["means"]


def test_what_is_remarked_upon_is_in_the_sentence_and_in_a_word() -> None:
    """Neither people nor software have to infer the one from the other."""
    document = documents.notice(replace(REJECTED, remarks=(Remark.LATE,)))

    assert ["late"] == document["remarks"]
    assert str(document["means"]).endswith("Avoid sending twice; telephone.")


def test_a_message_that_is_looked_at_reads_as_its_notice_does() -> None:
    """Whoever asks how a message ended is told what the EPR was told."""
    outcome = replace(
        REJECTED,
        kind=NoticeKind.OUTCOME,
        direction="outbound",
        state="unconfirmed",
        move=Move.REQUEST,
        attempts=3,
        says=None,
        reason_code=None,
        give_up_at=AT,
        created_at=AT - timedelta(seconds=1),
        stands=State.UNCONFIRMED,
    )
    message = MessageRow(
        **{name: getattr(outcome, name) for name in MessageRow.__slots__ if hasattr(outcome, name)},
        next_attempt_at=None,
        settled_at=AT,
        target_unchecked=None,
    )

    assert means(outcome.situation) == documents.row(message, AT - timedelta(seconds=1))["means"]
    assert (
        documents.notice(outcome)["means"]
        == documents.row(message, AT - timedelta(seconds=1))["means"]
    )
