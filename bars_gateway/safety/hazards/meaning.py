"""Hazards of what is said: the wrong patient, misread, unanswered, or never told to anybody."""

from collections.abc import Sequence

from bars_gateway.safety.counters import CounterName
from bars_gateway.safety.hazard import Control, Hazard
from bars_gateway.safety.risk import Harm, Likelihood, Risk

MEANING: Sequence[Hazard] = (
    Hazard(
        code="HAZ-08",
        title="Something is filed, changed or cancelled for the wrong patient",
        causes="A response is tied to the wrong request; a Receiver gives one number to two"
        " patients; a message names two; an NHS number is a placeholder or misspelt.",
        effect="A patient is treated on another's findings, or loses the care that was meant to be"
        " cancelled for somebody else.",
        before=Risk(Harm.MAJOR, Likelihood.MEDIUM),
        controls=(
            Control(
                says="A response is tied by what it answers and what it names, never by the"
                " nearest that fits; where that is not one workflow, it is tied to none and a"
                " person looks.",
                tests=(
                    "store/test_correlation.py::test_nothing_is_attached_to_the_wrong_workflow",
                    "scenarios/test_never_guessing.py::test_nothing_ends_in_the_wrong_workflow",
                    "scenarios/test_responses.py::test_a_response_to_nothing_is_quarantined",
                ),
            ),
            Control(
                says="Whoever a message names is compared with the case: another patient is never"
                " silent, and a message about two does not leave.",
                tests=(
                    "standard/test_patients.py::test_whether_it_is_the_same_patient",
                    "standard/test_patients.py::test_a_placeholder_is_nobodys_number",
                    "scenarios/test_whose.py::test_a_response_about_another_patient",
                    "scenarios/test_whose.py::test_no_message_about_two_patients_leaves",
                    "scenarios/test_whose.py::test_a_request_about_two_patients_is_taken_and_told",
                ),
            ),
            Control(
                says="From an acknowledgement about somebody else nothing is taken; a number that"
                " stands for two patients is given to neither.",
                tests=(
                    "scenarios/test_proof.py::test_an_answer_about_another_patient_is_nobodys",
                    "scenarios/test_proof.py::test_one_id_for_two_patients_is_not_taken",
                    "store/test_shared_ids.py::test_a_change_that_is_of_neither_ends_neither",
                ),
            ),
            Control(
                says="Nothing is cancelled under a number that a read shows to be another"
                " patient's.",
                tests=(
                    "scenarios/test_cancelling.py::test_another_patients_record_under_that_number_is_not_touched",
                    "scenarios/test_proof.py::test_no_cancellation_names_another_patients_record",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.VERY_LOW),
        counters=(CounterName.WRONG_PATIENT, CounterName.QUARANTINED),
        figures=("bars_alarms", "bars_quarantined"),
        not_shown="Whether a number belongs to the person in the bed is not known here. Without an"
        " NHS number on one side, name and birth date decide; where these are missing, only a"
        " remark says so. What the EPR matches by itself is not seen.",
        left="Have the EPR match by NHS number, name and birth date, and show the remarks"
        " `other_patient`, `two_patients` and `unknown_patient` where somebody files. Train"
        " whoever may attach what lies in quarantine.",
    ),
    Hazard(
        code="HAZ-09",
        title="The EPR, or the people behind it, is never told what came or what became of it",
        causes="A rejection, an outcome or a message is not collected; the folder is full; a"
        " response belongs to nothing or breaks a rule, and is refused.",
        effect="A patient who was turned down is nobody's, and nobody knows.",
        before=Risk(Harm.MAJOR, Likelihood.HIGH),
        controls=(
            Control(
                says="Each notice is kept until the EPR has it, and given at least once over kills"
                " and restarts.",
                tests=(
                    "epr/test_deliveries.py::test_an_interrupted_delivery_keeps_its_name",
                    "epr/test_deliveries.py::test_what_is_delivered_is_collected",
                    "scenarios/test_kills.py::test_kills_lose_nothing_and_double_nothing",
                ),
            ),
            Control(
                says="A rejection says that the patient is the reader's again, with the reason; in"
                " each of many courses, everybody who has to know is told.",
                tests=(
                    "scenarios/test_meaning.py::test_a_rejection_gives_the_patient_back",
                    "scenarios/test_told_everywhere.py::test_everybody_is_told",
                    "scenarios/test_nobody_is_forgotten.py::test_nobody_is_forgotten",
                ),
            ),
            Control(
                says="What an EPR does not take is told to people after a time that is set for"
                " each use case.",
                tests=(
                    "test_status.py::test_what_lies_unread_is_a_concern_by_its_use_case",
                    "test_alerting.py::test_two_use_cases_that_nobody_reads_are_told_apart",
                ),
            ),
            Control(
                says="What was refused to an EPR, and it leaves lying, is told to people after the"
                " same time.",
                tests=(
                    "test_status.py::test_what_was_refused_and_lies_there_is_a_concern",
                    "epr/test_refusals.py::test_a_refusal_that_was_taken_away_is_over",
                ),
            ),
            Control(
                says="A response that is refused or belongs to nothing alarms: it may turn a"
                " patient down.",
                tests=(
                    "scenarios/test_responses.py::test_a_response_that_breaks_a_rule_is_told",
                    "scenarios/test_responses.py::test_a_response_to_nothing_is_quarantined",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.LOW),
        counters=(CounterName.QUARANTINED, CounterName.RESPONSES_REFUSED),
        figures=(
            "bars_unread_notices",
            "bars_oldest_unread_seconds",
            "bars_notices_pending",
            "bars_oldest_refused_seconds",
        ),
        not_shown="That a program has collected a notice, or that it lies in a folder, does not"
        " show that anybody has read it: this ends at the EPR's door.",
        left="Show each notice, with its sentence whole, to somebody who acts on it, at all hours;"
        " have the EPR take files away once it has them. Set when unread notices are told.",
        borne="Whether somebody reads what the EPR has is beyond its door.",
    ),
    Hazard(
        code="HAZ-10",
        title="An answer that is owed does not come, and nobody notices",
        causes="The Responder does not answer, its answer gets lost, or ours is never given.",
        effect="A patient waits for a clinician's call, or for help, that nobody is about to give.",
        before=Risk(Harm.MAJOR, Likelihood.HIGH),
        controls=(
            Control(
                says="Each request that is owed an answer has a clock of its own; people are"
                " warned before it ends, and told when it has, on the side that waits and on the"
                " one that owes.",
                tests=(
                    "store/test_clocks.py::test_an_answer_is_warned_of_and_then_overdue",
                    "store/test_clocks.py::test_what_we_owe_is_told_to_us",
                    "store/test_clocks.py::test_silence_about_a_transfer_is_told",
                    "scenarios/test_moves.py::test_scenario_80_silence_is_told_to_both_sides",
                ),
            ),
            Control(
                says="Only a final answer stops it: neither an interim one, nor one that does not"
                " add up, nor a restart.",
                tests=(
                    "store/test_clocks.py::test_an_interim_response_does_not_stop_the_clock",
                    "store/test_clocks.py::test_what_does_not_add_up_ends_no_silence",
                    "store/test_clocks.py::test_after_a_long_stop_only_the_alarm_is_told",
                ),
            ),
            Control(
                says="A change to an earlier time counts at once, though nobody has it yet.",
                tests=(
                    "store/test_clocks.py::test_an_update_to_a_nearer_time_counts_at_once",
                    "scenarios/test_time.py::test_an_update_to_a_nearer_time_is_overdue_though_nobody_has_it",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.LOW),
        counters=(CounterName.OVERDUE,),
        figures=("bars_answers_overdue", "bars_oldest_overdue_seconds"),
        not_shown="A referral to which the standard knows no answer is acknowledged and then"
        " silent: whether anybody acts on it, nobody tells.",
        left="Set `answer_within` where the standard leaves it open, and decide what the fallback"
        " is for each use case and who starts it.",
        borne="Nothing here can make the other side answer; and where the standard has no answer,"
        " silence and care look alike.",
    ),
    Hazard(
        code="HAZ-11",
        title="A message is read as something that it does not say",
        causes="A response says one thing with several elements, which may disagree; Senders write"
        " them in several ways; an end is followed by more; an element turns what stands around it"
        " into something else, and whoever reads passes over it.",
        effect="A case is closed although nobody goes, or a team is sent although nobody is"
        " wanted; what was refuted, or was not to be done, is gone by.",
        before=Risk(Harm.MAJOR, Likelihood.MEDIUM),
        controls=(
            Control(
                says="One table says what a response means, by use case and by each of its"
                " elements; what fits no row is unclear, is delivered with an alarm, and ends no"
                " clock.",
                tests=(
                    "standard/test_meaning.py::test_each_form_says_one_thing",
                    "standard/test_meaning.py::test_no_cell_says_that_help_comes_where_it_does_not",
                    "standard/test_meaning.py::test_several_that_disagree_are_unclear_in_whatever_order",
                    "scenarios/test_meaning.py::test_what_does_not_add_up_is_delivered_with_an_alarm",
                ),
            ),
            Control(
                says="What R4 lets change the meaning of a message is taken and never passed over:"
                " the notice begins with it and names the places, and where it may change the whole"
                " message there is an alarm, and a response with it is unclear. A request that says"
                " it is not to be performed does not leave.",
                tests=(
                    "scenarios/test_modifiers.py::test_who_gets_what_may_mean_something_else_is_told_first",
                    "scenarios/test_modifiers.py::test_a_response_that_may_mean_something_else_is_unclear",
                    "scenarios/test_modifiers.py::test_what_is_not_to_be_done_does_not_leave",
                    "standard/test_modifiers.py::test_what_does_not_hold_is_named",
                ),
            ),
            Control(
                says="Activity after an end opens the case again as contradicted, until a person"
                " settles it.",
                tests=(
                    "scenarios/test_meaning.py::test_progress_after_an_acknowledged_cancellation_reopens_it",
                    "scenarios/test_nobody_is_forgotten.py::test_activity_after_an_end_is_told_whatever_its_stamp",
                    "scenarios/test_meaning.py::test_a_person_settles_a_contradiction",
                ),
            ),
            Control(
                says="Each situation has a sentence of its own, which says whether to act; no text"
                " asks two things, and none says more than is proved.",
                tests=(
                    "standard/test_sentences.py::test_every_situation_has_a_sentence_of_its_own",
                    "standard/test_sentences.py::test_no_text_asks_two_different_things",
                    "test_explanation.py::test_nothing_says_more_than_is_proved",
                    "test_clinical_document.py::test_every_sentence_is_on_the_page",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.LOW),
        counters=(CounterName.IN_DOUBT, CounterName.REMARKED, CounterName.MODIFIED),
        figures=("bars_alarms", "bars_workflows"),
        not_shown="The sentences were written by engineers, and no clinician of a deploying"
        " organisation has read them. What a care plan says in words is never read.",
        left="Have a clinician approve every sentence of docs/clinical.md; show `means` whole.",
        borne="The standard lets one thing be said in several ways; to refuse all but one would"
        " turn patients away.",
    ),
    Hazard(
        code="HAZ-12",
        title="A cancellation does not reach whoever acts, or cancels what should stand",
        causes="What is to be cancelled cannot be read; the EPR cannot be asked; a new arrangement"
        " that was to replace the old one fails.",
        effect="Somebody goes who is not wanted, and is missing elsewhere; or a patient has"
        " neither the old appointment nor the new.",
        before=Risk(Harm.MAJOR, Likelihood.MEDIUM),
        controls=(
            Control(
                says="What is to be cancelled is read first, by its number; that it cannot be read"
                " is told within a minute, while it goes on trying.",
                tests=(
                    "scenarios/test_cancelling.py::test_what_is_current_is_read_and_then_cancelled",
                    "scenarios/test_cancelling.py::test_what_cannot_be_read_is_said_and_tried_again",
                    "scenarios/test_cancelling.py::test_scenario_48_what_is_over_is_not_cancelled",
                ),
            ),
            Control(
                says="A cancellation that comes while nobody can be asked leaves word with the"
                " EPR, and an alarm.",
                tests=(
                    "scenarios/test_turned_away.py::test_an_epr_that_is_never_asked_hears_that_the_sender_tried",
                    "scenarios/test_turned_away.py::test_an_epr_that_is_away_is_told_once_and_asked_when_it_is_back",
                ),
            ),
            Control(
                says="Cancellations are never refused or stopped for their time.",
                tests=(
                    "standard/test_timing.py::test_cancellations_and_responses_are_never_stopped_by_time",
                    "store/test_interventions.py::test_cancellations_and_responses_are_never_too_late",
                ),
            ),
            Control(
                says="That something was cancelled for a new arrangement which came to nothing is"
                " an alarm of its own.",
                tests=(
                    "scenarios/test_linked_workflows.py::test_scenario_29_a_rebooking_fails_half_way",
                    "store/test_links.py::test_a_cancellation_that_ends_last_tells_it",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.LOW),
        counters=(CounterName.CANCELLATIONS, CounterName.UNRECONCILED),
        figures=("bars_alarms",),
        not_shown="That a cancellation was acknowledged shows that a system has it: whether a crew"
        " was told, nobody here sees.",
        left="Decide whether the EPR answers questions (`questions`); with `none`, every"
        " cancellation of others needs a person. Say who telephones.",
        borne="Between a system that has a cancellation and a crew that is told lies what nobody"
        " else can see.",
    ),
    Hazard(
        code="HAZ-13",
        title="What our EPR decided is not known to whoever asked",
        causes="The EPR answers after the proxy has stopped waiting, or not at all; it is down.",
        effect="The Sender believes that there is no appointment and makes another, or believes"
        " that one stands which was refused.",
        before=Risk(Harm.CONSIDERABLE, Likelihood.HIGH),
        controls=(
            Control(
                says="The question outlives the wait, a kill and a restart, and the Sender's next"
                " attempt hears what was decided.",
                tests=(
                    "scenarios/test_questions.py::test_a_question_outlives_its_408_and_a_restart",
                    "scenarios/test_questions.py::test_a_late_no_is_what_the_retry_hears",
                    "scenarios/test_question_kills.py::test_dead_after_the_question_is_on_disk",
                ),
            ),
            Control(
                says="A decision that came too late, and a question that lies unanswered, are told"
                " to people here until the Sender has asked again.",
                tests=(
                    "test_status.py::test_what_was_decided_late_is_a_concern",
                    "test_status.py::test_a_question_that_outlived_its_proxy_is_a_concern",
                ),
            ),
            Control(
                says="The same asked twenty times at once is one question and one record.",
                tests=(
                    "scenarios/test_questions.py::test_twenty_at_once_are_one_question_and_one_record",
                ),
            ),
            Control(
                says="An answer that does not fit the question, or is about somebody else, is not"
                " passed on.",
                tests=(
                    "scenarios/test_questions.py::test_an_answer_that_does_not_fit_leaves_the_question_open",
                    "epr/test_composing.py::test_the_record_of_somebody_else_is_no_answer",
                ),
            ),
        ),
        after=Risk(Harm.CONSIDERABLE, Likelihood.LOW),
        counters=(CounterName.DECIDED_LATE, CounterName.UNANSWERED),
        figures=("bars_questions_late", "bars_question_seconds"),
        not_shown="A Sender that does not ask again is not told: the standard has no way to.",
        left="See that the EPR answers within 4.5 s, measured at your busiest hour; say who"
        " telephones a Sender about what was decided late.",
    ),
)
