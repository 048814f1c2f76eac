"""
How long records are kept, and when in the night those that are due leave.

    [retention]                          for everybody
    [retention.use_cases.a4t1]           for a use case, or a whole Application
    [providers.NAME.retention]           for a provider; and its own `use_cases` below it

The most particular one that is set holds: a provider's for a use case, a provider's, a use
case's, everybody's (`model.retention`). Nothing open, owed, under legal hold or in quarantine
unseen leaves, whatever is set here.

The surprising choice: the defaults are ours, and who decides is the information-governance lead of
the organisation. Shorter than a referral is worked on, and an update finds no bytes to compare its
patient with; longer than somebody needs it, and it is a risk without a use.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field, StringConstraints

from bars_gateway.config.values import Section, UseCase
from bars_gateway.model.retention import RecordClass, RetentionRule, RetentionRules

Days = Annotated[int, Field(ge=0, le=36_500)]
Hour = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
_DAYS_OF: Mapping[RecordClass, str] = {
    RecordClass.PAYLOADS: "payload_days",
    RecordClass.ANSWERS: "answer_days",
    RecordClass.MESSAGES: "message_days",
    RecordClass.CONVERSATIONS: "conversation_days",
    RecordClass.QUARANTINE: "quarantine_days",
    RecordClass.REFUSALS: "refusal_days",
    RecordClass.ALARMS: "alarm_days",
    RecordClass.INBOX: "inbox_days",
}


class RetentionOverrides(Section):
    """What one use case, or one provider, keeps for another time; the lead decides."""

    payload_days: Days | None = None
    """
    How long Bundles are kept, in days since the last message of their conversation was settled.

    Set it where this use case is worked on for longer, or must be kept for less.
    """

    answer_days: Days | None = None
    """
    How long answers to messages are kept, counted in the same way.

    Set it together with `payload_days`: one is rarely of use without the other.
    """

    message_days: Days | None = None
    """
    How long ids, states, attempts and notices are kept, counted in the same way.

    Set it where the organisation answers for what was sent for longer.
    """

    conversation_days: Days | None = None
    """
    How long workflows and their links are kept, in days since they ended, or began if they do not.

    Set it where changes may come later still: a workflow stays as long as its messages in any case.
    """

    quarantine_days: Days | None = None
    """
    How long what lay in quarantine is kept, in days since it came; never before it was looked at.

    Set it where suppliers take longer to find out where a response belonged.
    """

    refusal_days: Days | None = None
    """
    How long a refusal is remembered, in days since it was given.

    Set it where Senders repeat what was refused for longer, or are to be judged again sooner.
    """

    alarm_days: Days | None = None
    """
    How long an alarm is kept, in days since it ended.

    Set it together with `message_days`: it tells what somebody did about a message.
    """

    inbox_days: Days | None = None
    """
    How long a copy may lie in `inbox/new` that the EPR leaves there, counted as payloads are.

    Set it for an EPR that copies files and does not take them away.
    """


class ProviderRetention(RetentionOverrides):
    """What one provider keeps for another time."""

    use_cases: dict[UseCase, RetentionOverrides] = Field(default_factory=dict)
    """What single ones keep for another time; what each setting is for stands with it."""


class RetentionSettings(Section):
    """How long each kind of record is kept; 0 days: for good."""

    payload_days: Days = 30
    """
    How long Bundles are kept, in days since the last message of their conversation was settled.

    They are what a patient is known by here. Thirty days are enough to answer a question about a
    referral, and to compare the patient of an update with; the record itself is the EPR's. Raise it
    to the longest time after which changes of a referral still come.
    """

    answer_days: Days = 30
    """
    How long answers to messages are kept, counted in the same way.

    They are evidence of what the other side said, and may repeat what the message says.
    """

    message_days: Days = 730
    """
    How long ids, states, attempts, notices and decisions are kept, counted in the same way.

    Two years are as long as a complaint about a referral is usually looked into. They name no
    patient.
    """

    conversation_days: Days = 730
    """
    How long workflows and their links are kept, in days since they ended, or began if they do not.

    With them goes the state by which a change that comes late is judged. A workflow stays for as
    long as its messages in any case.
    """

    quarantine_days: Days = 90
    """
    How long what lay in quarantine is kept, in days since it came; never before it was looked at.

    A supplier needs weeks to say where a response belonged. Its bytes are about a patient.
    """

    refusal_days: Days = 730
    """
    How long a refusal is remembered, in days since it was given, with what the EPR was asked.

    For as long, who repeats a request is refused with the same words. Then it is judged again: it
    was never taken. What the EPR has refused stays as long as what it was about is kept.
    """

    alarm_days: Days = 730
    """
    How long an alarm is kept, in days since it ended.

    It says who dealt with it and why. The audit trail says so for `audit_days`.
    """

    inbox_days: Days = 0
    """
    How long a copy may lie in `inbox/new` that the EPR leaves there, counted as payloads are.

    For good, unless you set it: nobody but the EPR knows whether it has read a file that lies
    there. Set it only for an EPR that copies files and does not take them away.
    """

    audit_days: Days = 2922
    """
    How long the audit trail is kept, in days; eight years, as health records of adults are.

    It says who did what and why, and names no patient.
    """

    use_cases: dict[UseCase, RetentionOverrides] = Field(default_factory=dict)
    """What single ones keep for another time than everybody; what each is for stands with it."""

    nightly: bool = True
    """
    Whether a purge begins by itself each night.

    Set it to false where `bars-gateway purge` is started by somebody, or by a timer.
    """

    nightly_at: Hour = "01:30"
    """
    When it begins, as `HH:MM` in UTC.

    Move it away from your backup: a copy that is made meanwhile takes longer.
    """


def rules_of(
    everybody: RetentionSettings, providers: Mapping[str, ProviderRetention]
) -> RetentionRules:
    """Return every rule that the settings have, those of single providers and use cases too."""
    return RetentionRules([*_rules(everybody, everybody.use_cases, None), *_of_each(providers)])


def _of_each(providers: Mapping[str, ProviderRetention]) -> Iterator[RetentionRule]:
    for name, own in providers.items():
        yield from _rules(own, own.use_cases, name)


def _rules(
    own: RetentionSettings | RetentionOverrides,
    use_cases: Mapping[str, RetentionOverrides],
    provider: str | None,
) -> Iterator[RetentionRule]:
    tables: list[tuple[str | None, RetentionSettings | RetentionOverrides]] = [(None, own)]
    for use_case, table in [*tables, *use_cases.items()]:
        for record_class, name in _DAYS_OF.items():
            days = getattr(table, name)
            if days is not None:
                yield RetentionRule(
                    record_class=record_class, days=days, provider=provider, use_case=use_case
                )
