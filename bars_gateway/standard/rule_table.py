"""
The rules, as data: id, what is wrong, how gravely on either side, and what it is answered with.

Ids are those of the rule list that assessors use; a letter behind one tells a variant
that holds on one side only (S sending, R receiving, U unswapped).
"""

from bars_gateway.standard.checks import envelope, header, offered, request
from bars_gateway.standard.checks.rule import Rule
from bars_gateway.standard.issues import Severity

_WARN = Severity.WARNING

RULES: tuple[Rule, ...] = (
    Rule(rule="B02", text="Bundle.type must be message", broken=envelope.type_is_not_message),
    Rule(
        rule="B03",
        text="Bundle.timestamp is missing",
        broken=envelope.no_timestamp,
        receiving=_WARN,
    ),
    Rule(rule="B04", text="Bundle.id must be a UUID", broken=envelope.id_is_no_uuid),
    Rule(
        rule="B07",
        text="Bundle.meta.versionId is missing: the Application version that it conforms to",
        broken=envelope.no_version,
    ),
    Rule(
        rule="B08",
        text="this Application version is not supported here",
        broken=offered.version_is_not_offered,
        sending=None,
        http_status=422,
        code="REC_UNPROCESSABLE_ENTITY",
        issue="not-supported",
    ),
    Rule(
        rule="B09",
        text="Bundle.meta.profile must name BARSBundleMessage",
        broken=envelope.no_profile,
        receiving=_WARN,
    ),
    Rule(
        rule="B10",
        text="meta.lastUpdated is missing, or is no full instant with an offset",
        broken=envelope.no_last_updated,
        receiving=_WARN,
    ),
    Rule(rule="B15", text="the entry has no fullUrl", broken=envelope.no_full_url),
    Rule(
        rule="B16",
        text="fullUrl must be urn:uuid with a valid UUID, and may appear once",
        broken=envelope.bad_full_url,
        receiving=_WARN,
    ),
    Rule(
        rule="B17",
        text="the reference points to nothing in the Bundle",
        broken=envelope.dangling_reference,
        receiving=_WARN,
    ),
    Rule(
        rule="M01",
        text="the first entry, and no other, must be the MessageHeader",
        broken=header.not_first,
    ),
    Rule(
        rule="M02",
        text="eventCoding.system must be the code system message-events-bars",
        broken=header.wrong_event_system,
    ),
    Rule(
        rule="M03",
        text="the event must be servicerequest-request, servicerequest-response or booking-request",
        broken=header.unknown_event,
    ),
    Rule(
        rule="M04",
        text="reason is missing, or is not of the code system message-reason-bars",
        broken=header.no_reason,
    ),
    Rule(rule="M05", text="reason must be new or update", broken=header.unknown_reason),
    Rule(
        rule="M05S",
        text="a cancellation is sent with reason update; delete is no longer written",
        broken=header.reason_is_delete,
        receiving=None,
    ),
    Rule(
        rule="M06",
        text="source.endpoint must be system|value of the sending service",
        broken=header.bad_source,
    ),
    Rule(
        rule="M06S",
        text="source.endpoint must be one of this provider's services",
        broken=offered.source_is_not_ours,
        receiving=None,
    ),
    Rule(
        rule="M07",
        text="there must be one destination.endpoint, written system|value",
        broken=header.bad_destination,
    ),
    Rule(
        rule="M07R",
        text="destination.endpoint is not a service of this organisation",
        broken=offered.destination_is_not_ours,
        sending=None,
        http_status=422,
        code="REC_UNPROCESSABLE_ENTITY",
        issue="not-supported",
    ),
    Rule(
        rule="M07U",
        text="a response swaps the endpoints of its request; this one does not",
        broken=offered.endpoints_not_swapped,
        sending=None,
        receiving=_WARN,
    ),
    Rule(
        rule="M08",
        text="the system of an endpoint must be https://fhir.nhs.uk/Id/dos-service-id, in"
        " that spelling, or another that the endpoint catalogue knows",
        broken=header.unknown_endpoint_system,
        receiving=_WARN,
    ),
    Rule(
        rule="M09",
        text="source and destination are the same service",
        broken=header.to_itself,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="M10",
        text="destination.receiver must reference an Organization in the Bundle",
        broken=header.bad_receiver,
        receiving=_WARN,
    ),
    Rule(
        rule="M11",
        text="sender must reference an Organization in the Bundle",
        broken=header.bad_sender,
        receiving=_WARN,
    ),
    Rule(
        rule="M12",
        text="focus must be one reference to a resource in the Bundle",
        broken=header.bad_focus,
    ),
    Rule(
        rule="M13",
        text="focus must be of the type that the event is about",
        broken=header.wrong_focus_type,
    ),
    Rule(rule="M14", text="definition is missing", broken=header.no_definition, receiving=_WARN),
    Rule(
        rule="M16",
        text="response belongs to a response event, with identifier and code, and to no other",
        broken=header.response_misplaced,
    ),
    Rule(
        rule="R01",
        text="category must hold referral or validation of message-category-servicerequest",
        broken=request.no_category,
    ),
    Rule(
        rule="R02",
        text="category must hold a code of usecases-categories-bars",
        broken=request.no_use_case,
    ),
    Rule(
        rule="R03",
        text="the use case is not in usecases-categories-bars 1.5.0",
        broken=request.unknown_use_case,
    ),
    Rule(
        rule="R03R",
        text="this use case is not offered here",
        broken=offered.use_case_is_not_offered,
        sending=None,
        http_status=422,
        code="REC_UNPROCESSABLE_ENTITY",
        issue="not-supported",
    ),
    Rule(rule="R05", text="a new ServiceRequest must be active", broken=request.new_is_not_active),
    Rule(
        rule="R06",
        text="a new ServiceRequest has no id: the Receiver gives it one",
        broken=request.new_has_id,
        sending=_WARN,
        receiving=None,
    ),
    Rule(
        rule="R07",
        text="CarePlan must be completed, and Encounter triaged or finished, in a new referral",
        broken=request.referral_not_ready,
    ),
    Rule(
        rule="R08",
        text="CarePlan must be active, and Encounter triaged, in-progress or finished, in a new"
        " referral between control rooms",
        broken=request.transfer_not_ready,
        receiving=_WARN,
    ),
    Rule(
        rule="R09",
        text="CarePlan must be active, and Encounter triaged or in-progress, in a new validation"
        " request",
        broken=request.validation_not_ready,
    ),
    Rule(
        rule="R10",
        text="an update or cancellation must carry the id that the Receiver gave",
        broken=request.change_without_id,
        receiving=_WARN,
    ),
    Rule(
        rule="K04",
        text="a booking is cancelled with reason update and the Appointment's id that the"
        " Receiver gave",
        broken=request.bad_booking_cancel,
        receiving=_WARN,
    ),
    Rule(
        rule="P01",
        text="an NHS number has ten digits",
        broken=request.malformed_nhs_number,
        receiving=_WARN,
    ),
)
