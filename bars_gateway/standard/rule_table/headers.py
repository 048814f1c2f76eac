"""The rules of the MessageHeader."""

from bars_gateway.standard.checks import counts, header, offered
from bars_gateway.standard.checks.rule import Rule
from bars_gateway.standard.issues import Severity

_WARN = Severity.WARNING

RULES: tuple[Rule, ...] = (
    Rule(
        rule="M01",
        text="the first entry, and no other, must be the MessageHeader",
        source="R4: bdl-12",
        broken=header.not_first,
        fixed=True,
    ),
    Rule(
        rule="M02",
        text="eventCoding.system must be the code system message-events-bars",
        source="profile BARSMessageHeader",
        broken=header.wrong_event_system,
    ),
    Rule(
        rule="M03",
        text="the event must be servicerequest-request, servicerequest-response or booking-request",
        source="Core: Standard-Pattern-For-Composites; tests: InvalidEventCode",
        broken=header.unknown_event,
        fixed=True,
    ),
    Rule(
        rule="M04",
        text="reason is missing, or is not of the code system message-reason-bars",
        source="profile BARSMessageHeader",
        broken=header.no_reason,
    ),
    Rule(
        rule="M05",
        text="reason must be new or update",
        source="Core: Cancellation; tests: InvalidReasonCode",
        broken=header.unknown_reason,
        fixed=True,
    ),
    Rule(
        rule="M05S",
        text="a cancellation is sent with reason update; delete is no longer written",
        source="Core: Cancellation",
        broken=header.reason_is_delete,
        receiving=None,
    ),
    Rule(
        rule="M06",
        text="source.endpoint must be system|value of the sending service",
        source="Core: Message-Headers",
        broken=header.bad_source,
        fixed=True,
    ),
    Rule(
        rule="M06S",
        text="source.endpoint must be one of this provider's services",
        source="this project",
        broken=offered.source_is_not_ours,
        receiving=None,
        fixed=True,
    ),
    Rule(
        rule="M07",
        text="there must be one destination.endpoint, written system|value",
        source="Core: Message-Headers",
        broken=header.bad_destination,
        fixed=True,
    ),
    Rule(
        rule="M07R",
        text="destination.endpoint is not a service of this organisation",
        source="Core: Message-Headers",
        broken=offered.destination_is_not_ours,
        sending=None,
        http_status=422,
        code="REC_UNPROCESSABLE_ENTITY",
        issue="not-supported",
        fixed=True,
    ),
    Rule(
        rule="M07U",
        text="a response swaps the endpoints of its request; this one does not",
        source="Core: Message-Headers",
        broken=offered.endpoints_not_swapped,
        sending=None,
        receiving=_WARN,
    ),
    Rule(
        rule="M08",
        text="the system of an endpoint must be https://fhir.nhs.uk/Id/dos-service-id, in that"
        " spelling, or another that the endpoint catalogue knows",
        source="tests: bars_common",
        broken=header.unknown_endpoint_system,
        receiving=_WARN,
    ),
    Rule(
        rule="M09",
        text="source and destination are the same service",
        source="this project",
        broken=header.to_itself,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="M10",
        text="destination.receiver must reference an Organization in the Bundle",
        source="Core: Message-Headers",
        broken=header.bad_receiver,
        receiving=_WARN,
    ),
    Rule(
        rule="M11",
        text="sender must reference an Organization in the Bundle",
        source="profile BARSMessageHeader",
        broken=header.bad_sender,
        receiving=_WARN,
    ),
    Rule(
        rule="M12",
        text="focus must be one reference to a resource in the Bundle",
        source="profile BARSMessageHeader",
        broken=header.bad_focus,
        fixed=True,
    ),
    Rule(
        rule="M13",
        text="focus must be of the type that the event is about",
        source="Applications: payload tables",
        broken=header.wrong_focus_type,
        fixed=True,
    ),
    Rule(
        rule="M14",
        text="definition is missing",
        source="Core: Message-Headers",
        broken=counts.no_definition,
        receiving=_WARN,
    ),
    Rule(
        rule="M14K",
        text="definition is none that BaRS publishes",
        source="Core: Message-Headers",
        broken=counts.unknown_definition,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="M15",
        text="definition is of another event than eventCoding",
        source="MessageDefinitions",
        broken=counts.other_event,
    ),
    Rule(
        rule="M16",
        text="response belongs to a response event, with identifier and code, and to no other",
        source="Core: Standard-Pattern-For-Composites",
        broken=header.response_misplaced,
        fixed=True,
    ),
)
