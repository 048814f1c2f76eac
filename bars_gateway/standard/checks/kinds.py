"""Which kind of message it is, in the words that the rules use."""

from bars_gateway.standard.bundle import Message
from bars_gateway.standard.timing import application_of

REQUEST = "servicerequest-request"
RESPONSE = "servicerequest-response"
BOOKING = "booking-request"
CHANGES = frozenset({"update", "delete"})
TAKEN_BACK = frozenset({"revoked", "entered-in-error"})  # a ServiceRequest
CALLED_OFF = frozenset({"cancelled", "entered-in-error"})  # an Appointment
CANCELLED = "-cancelled"  # how the definitions of cancellations end


def is_new_request(message: Message, category: str | None = None) -> bool:
    """Tell whether somebody asks for the first time, for *category* where given."""
    return (
        message.event == REQUEST
        and message.reason == "new"
        and category in {None, message.category}
    )


def is_change(message: Message) -> bool:
    """Tell whether a request is changed or taken back."""
    return message.event == REQUEST and message.reason in CHANGES


def cites_cancellation(message: Message) -> bool:
    """Tell whether the MessageDefinition is that of a cancellation."""
    return message.definition.endswith(CANCELLED)


def is_cancelled_request(message: Message) -> bool:
    """Tell whether a request is taken back."""
    return is_change(message) and message.focus_status in TAKEN_BACK


def is_booking(message: Message, *, called_off: bool) -> bool:
    """Tell whether it is about an Appointment that is, or is not, called off."""
    return (
        message.event == BOOKING
        and message.focus_type == "Appointment"
        and (message.focus_status in CALLED_OFF) is called_off
    )


def is_of(message: Message, application: str) -> bool:
    """Tell whether the use case belongs to *application*, such as a6."""
    return application_of(message.use_case) == application
