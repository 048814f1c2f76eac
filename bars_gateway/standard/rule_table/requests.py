"""The rules of the ServiceRequest, and of what comes with it."""

from bars_gateway.standard.checks import content, offered, request, response
from bars_gateway.standard.checks.rule import Rule
from bars_gateway.standard.issues import Severity
from bars_gateway.standard.timing import FAR_AWAY

_WARN = Severity.WARNING

RULES: tuple[Rule, ...] = (
    Rule(
        rule="R01",
        text="category must hold referral or validation of message-category-servicerequest",
        source="profile BARSServiceRequest; tests: ChangeCategory",
        broken=request.no_category,
    ),
    Rule(
        rule="R02",
        text="category must hold a code of usecases-categories-bars",
        source="Core: Use-Case-Categories; tests: NoUseCaseCategory",
        broken=request.no_use_case,
    ),
    Rule(
        rule="R02T",
        text="category may hold one code of usecases-categories-bars only",
        source="Core: Use-Case-Categories",
        broken=request.two_use_cases,
        receiving=_WARN,
    ),
    Rule(
        rule="R03",
        text="the use case is not in usecases-categories-bars 1.5.0",
        source="tests: InvalidUseCaseCategory",
        broken=request.unknown_use_case,
    ),
    Rule(
        rule="R03R",
        text="this use case is not offered here",
        source="Core: Use-Case-Categories",
        broken=offered.use_case_is_not_offered,
        sending=None,
        http_status=422,
        code="REC_UNPROCESSABLE_ENTITY",
        issue="not-supported",
    ),
    Rule(
        rule="R03W",
        text="the standard has withdrawn this use case: refer under another one, or by other means",
        source="Application 5, 1.2.0: Index; Core: Use-Case-Categories",
        broken=request.withdrawn_use_case,
        receiving=_WARN,
        http_status=422,
        code="REC_UNPROCESSABLE_ENTITY",
        issue="not-supported",
    ),
    Rule(
        rule="R04",
        text="intent must be plan; a referral needs authoredOn, a validation occurrencePeriod with"
        " both ends",
        source="profile BARSServiceRequest",
        broken=request.no_plan_or_time,
        receiving=_WARN,
    ),
    Rule(
        rule="R04E",
        text=FAR_AWAY,
        source="this project: D-edge-of-calendar",
        broken=request.time_at_the_edge,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="R04D",
        text="names no moment, such as a date without its time of day, and is taken as no clinical"
        " time: write the time with its offset, or leave it out where there is none",
        source="this project: D-edge-of-calendar",
        broken=request.time_without_moment,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="R05",
        text="a new ServiceRequest must be active",
        source="Core: Standard-Pattern-For-Composites",
        broken=request.new_is_not_active,
    ),
    Rule(
        rule="R06",
        text="a new ServiceRequest has no id: the Receiver gives it one",
        source="Applications: payload tables",
        broken=request.new_has_id,
        sending=_WARN,
        receiving=None,
    ),
    Rule(
        rule="R07",
        text="CarePlan must be completed, and Encounter triaged or finished, in a new referral",
        source="Applications: How-does-it-work; tests: CarePlanNotComplete, EncounterChanged",
        broken=request.referral_not_ready,
    ),
    Rule(
        rule="R08",
        text="Encounter must be triaged, in-progress or finished in a new referral between control"
        " rooms",
        source="Application 6: How-does-it-work; tests: EncounterChanged",
        broken=request.transfer_not_ready,
    ),
    Rule(
        rule="R08L",
        text="CarePlan must be active, and a Task requested, in a new referral between control"
        " rooms",
        source="Application 6: How-does-it-work",
        broken=request.transfer_not_planned,
        receiving=_WARN,
    ),
    Rule(
        rule="R09",
        text="CarePlan must be active, and Encounter triaged or in-progress, in a new validation"
        " request",
        source="Application 4: How-does-it-work; tests: CarePlanNotActive",
        broken=request.validation_not_ready,
    ),
    Rule(
        rule="R10",
        text="an update or cancellation must carry the id that the Receiver gave",
        source="Core: Cancellation",
        broken=request.change_without_id,
        receiving=_WARN,
    ),
    Rule(
        rule="R11",
        text="a cancellation has the status revoked or entered-in-error",
        source="Core: Cancellation; tests: Cancel_InvalidStatus",
        broken=request.cancellation_still_stands,
    ),
    Rule(
        rule="R11D",
        text="a cancellation cites the MessageDefinition of cancellations",
        source="Core: Cancellation",
        broken=request.cancellation_cites_another,
        receiving=_WARN,
    ),
    Rule(
        rule="R12",
        text="an updated validation is active or on-hold; referrals are updated in Application 6"
        " only",
        source="Applications: How-does-it-work",
        broken=request.bad_update,
        receiving=_WARN,
    ),
    Rule(
        rule="R13",
        text="patient did not attend: the Appointment is noshow, and an Encounter cancelled",
        source="Core: Standard-Pattern-For-Composites",
        broken=response.absence_not_told,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="R14",
        text="a response between control rooms: ServiceRequest active, Encounter planned, in-"
        " progress, finished or cancelled",
        source="Application 6: How-does-it-work",
        broken=response.transfer_answered_oddly,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="R15",
        text="an interim response: ServiceRequest active, focus an Encounter in-progress or"
        " cancelled",
        source="Application 4: How-does-it-work",
        broken=response.interim_answer_ended,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="R16",
        text="a full response: ServiceRequest completed",
        source="Application 4: How-does-it-work",
        broken=response.full_answer_open,
        sending=_WARN,
        receiving=_WARN,
    ),
    Rule(
        rule="R17",
        text="subject, encounter, requester, performer and locationReference, and the CarePlan in"
        " basedOn, must be in the Bundle",
        source="Applications: payload tables",
        broken=content.points_nowhere,
        receiving=_WARN,
    ),
    Rule(
        rule="R18",
        text="a new request needs a Consent of the category DRC (direct care)",
        source="tests: NotDirectCare",
        broken=content.no_direct_care,
    ),
    Rule(
        rule="R19",
        text="a validation needs one Flag of the category SS (scene safety)",
        source="Application 4: Scope-and-Requirements; tests: ValidationRequest_No…",
        broken=content.scene_not_told,
    ),
    Rule(
        rule="R19L",
        text="a validation needs a Location that can be found: UPRN, postcode, eastings and"
        " northings, position or what3words",
        source="Application 4: Scope-and-Requirements; tests: NoLocation",
        broken=content.place_not_told,
    ),
    Rule(
        rule="R20",
        text="UPRN has 1 to 12 digits; eastings, northings, longitude and latitude are numbers",
        source="tests: provider_simulator",
        broken=content.place_misspelt,
        receiving=_WARN,
    ),
    Rule(
        rule="R21",
        text="a new referral between control rooms needs the Location of the incident, and"
        " answered questionnaires",
        source="tests: NoLocation",
        broken=content.no_incident_place,
    ),
    Rule(
        rule="R22",
        text="a referral to a pharmacy needs Task.code and Condition.category in SNOMED",
        source="tests: referraltopharmacy",
        broken=content.no_pharmacy_task,
        receiving=_WARN,
    ),
    Rule(
        rule="R22B",
        text="a referral to the broker names at most 20 services, as performers of its CarePlan",
        source="Application 8: Scope-and-Requirements",
        broken=content.too_many_services,
        receiving=_WARN,
    ),
    Rule(
        rule="R23",
        text="this service takes referrals with a booking only: make it first, and name it in"
        " supportingInfo as Appointment/id",
        source="this project",
        broken=offered.booking_is_missing,
        sending=None,
    ),
    Rule(
        rule="R24",
        text="Encounter needs an identifier (the case number) and episodeOfCare",
        source="Applications: payload tables",
        broken=content.no_journey,
        sending=_WARN,
        receiving=_WARN,
    ),
)
