"""The rules of the Appointment."""

from bars_gateway.standard.checks import booking
from bars_gateway.standard.checks.rule import Rule
from bars_gateway.standard.issues import Severity

_WARN = Severity.WARNING

RULES: tuple[Rule, ...] = (
    Rule(
        rule="K01",
        text="a booking has one Appointment with Patient, Slot, Schedule and HealthcareService",
        source="MessageDefinitions; tests: BookTwoAppointments",
        broken=booking.booking_incomplete,
    ),
    Rule(
        rule="K02",
        text="a new Appointment is booked, refers to a Slot in the Bundle, and its Patient has"
        " accepted",
        source="Application 1: Booking-Request-Payload",
        broken=booking.new_booking_not_ready,
    ),
    Rule(
        rule="K02I",
        text="a new Appointment has no id: the Receiver gives it one",
        source="Application 1: Booking-Request-Payload",
        broken=booking.new_booking_has_id,
        sending=_WARN,
        receiving=None,
    ),
    Rule(
        rule="K02a",
        text="the Appointment begins or ends outside of its Slot",
        source="this project",
        broken=booking.outside_of_the_slot,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="K04",
        text="a booking is cancelled with reason update and the Appointment's id that the Receiver"
        " gave",
        source="Core: Cancellation",
        broken=booking.bad_booking_cancel,
        receiving=_WARN,
    ),
    Rule(
        rule="K04S",
        text="a cancelled booking has the status cancelled or entered-in-error",
        source="Core: Cancellation",
        broken=booking.booking_still_stands,
    ),
    Rule(
        rule="K06",
        text="serviceCategory must hold a code of usecases-categories-bars",
        source="Core: Use-Case-Categories",
        broken=booking.no_use_case,
        receiving=_WARN,
    ),
    Rule(
        rule="K07",
        text="basedOn must name the referral as ServiceRequest/id",
        source="Application 1: Payloads",
        broken=booking.referral_not_named,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="K08",
        text="a booked Patient has one official name, one home address with postcode, birthDate"
        " and a telephone",
        source="tests: booking_request_payload",
        broken=booking.patient_not_reachable,
        receiving=_WARN,
    ),
)
