"""The rules of what has to be said, beyond the resources that have to be there."""

from bars_gateway.standard.checks import substance
from bars_gateway.standard.checks.rule import Rule
from bars_gateway.standard.issues import Severity

_WARN = Severity.WARNING
_OUTCOME = "write it in activity.outcomeCodeableConcept, in text or as a code"

RULES: tuple[Rule, ...] = (
    Rule(
        rule="R07P",
        text=f"the CarePlan of a new referral must say what was found: {_OUTCOME}",
        source="Applications: payload tables; every published referral, but of a live call",
        broken=substance.referral_finds_nothing,
        receiving=_WARN,
    ),
    Rule(
        rule="R08T",
        text="a call for assistance or mutual aid should say in category.text what is asked for",
        source="Application 6: Referral-Payload",
        broken=substance.help_is_not_described,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="R09P",
        text="the CarePlan of a validation request must say what was found, and is to be validated:"
        f" {_OUTCOME}",
        source="Application 4: payload tables; every published request",
        broken=substance.validation_finds_nothing,
        receiving=_WARN,
    ),
    Rule(
        rule="R16P",
        text="the CarePlan of a full response must say what was found, for nobody else knows it:"
        f" {_OUTCOME}; or name the case that came of it in activity.outcomeReference",
        source="Application 4: Validation-Response-Payload; every published response",
        broken=substance.answer_finds_nothing,
        receiving=_WARN,
    ),
    Rule(
        rule="R16E",
        text="the CarePlan of a full response must be the Responder's: encounter refers to the"
        " Encounter that is the focus",
        source="Application 4: Validation-Response-Payload",
        broken=substance.answer_plans_for_another,
        receiving=_WARN,
    ),
    Rule(
        rule="R16S",
        text="the CarePlan of a full response should say in period.start from when its time counts:"
        " from the first call as before, or from now if it has become more urgent",
        source="Application 4: Payloads-for-Responders",
        broken=substance.answer_starts_no_clock,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="R19F",
        text="a full response should repeat the Flag of the category SS (scene safety)",
        source="Application 4: Scope-and-Requirements",
        broken=substance.scene_not_told_back,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="R15R",
        text="a rejection must say why: reasonCode of the Responder's Encounter holds RRNA, FC or"
        " OTH of rejected-reasons-bars",
        source="Applications 4 and 6: How-does-it-work",
        broken=substance.rejection_gives_no_reason,
        receiving=_WARN,
    ),
    Rule(
        rule="R15O",
        text="a rejection for another reason (OTH) must say in words which",
        source="Application 6: How-does-it-work",
        broken=substance.other_reason_is_not_told,
        receiving=_WARN,
    ),
    Rule(
        rule="R15V",
        text="reasonCode of the Responder's Encounter should be validation-triage-outcome of"
        " message-reason-encounter once the validation has begun",
        source="Application 4: Interim-Validation-Response-Payload",
        broken=substance.validation_is_not_named,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="R24R",
        text="both Encounters of a response should have their case number as identifier",
        source="Applications 4 and 6: payload tables",
        broken=substance.answer_names_no_case,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="R11Y",
        text="a cancellation should say why in ServiceRequest.reasonCode.text",
        source="Core: Cancellation",
        broken=substance.cancelled_without_reason,
        sending=_WARN,
        receiving=None,
    ),
    Rule(
        rule="K04Y",
        text="a cancelled booking should say why in Appointment.cancelationReason.text",
        source="Application 7: Booking-Request-Payload",
        broken=substance.called_off_without_reason,
        sending=_WARN,
        receiving=None,
    ),
    Rule(
        rule="K02T",
        text="a booking must say from when to when: Appointment.start and end",
        source="R4: Appointment, app-3",
        broken=substance.booking_at_no_time,
        receiving=_WARN,
    ),
)
