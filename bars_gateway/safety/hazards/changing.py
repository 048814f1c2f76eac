"""Hazards of change: what is removed, how much comes, and what is upgraded or reconfigured."""

from collections.abc import Sequence

from bars_gateway.safety.counters import CounterName
from bars_gateway.safety.hazard import Control, Hazard
from bars_gateway.safety.risk import Harm, Likelihood, Risk

CHANGING: Sequence[Hazard] = (
    Hazard(
        code="HAZ-23",
        title="Something that is still needed is removed by its rules, or can be read by nobody",
        causes="A time of retention is set too short; a key of encryption is lost; an inquiry"
        " begins after the purge; an appointment is months away; the clock runs ahead or behind.",
        effect="A later change of a referral is not compared with the patient of its request; an"
        " inquiry cannot show what was said; what lay in the queue cannot be sent.",
        before=Risk(Harm.CONSIDERABLE, Likelihood.MEDIUM),
        controls=(
            Control(
                says="What is open, owed, not collected, alarming, in quarantine unseen or under"
                " legal hold is never removed, whatever its age; the database itself refuses.",
                tests=(
                    "store/test_purges.py::test_what_somebody_may_need_stays_however_old",
                    "store/test_purges.py::test_even_a_purge_cannot_delete_what_is_kept",
                    "store/test_purges.py::test_a_delete_at_a_prompt_is_refused",
                ),
            ),
            Control(
                says="Nothing leaves of a conversation whose appointment, or that of what it is"
                " linked to, is yet to come; its time counts from when that is over. The database"
                " itself refuses. Where no time can be read, it is taken as a year to come.",
                tests=(
                    "store/test_ages.py::test_nothing_of_an_appointment_to_come_leaves",
                    "store/test_ages.py::test_the_database_itself_keeps_what_is_to_come",
                    "store/test_ages.py::test_its_time_counts_from_the_appointment",
                    "store/test_ages.py::test_a_later_message_moves_it",
                    "store/test_ages.py::test_what_a_booking_is_linked_to_stays_with_it",
                    "standard/test_appointments.py::test_the_latest_time_that_may_be_meant_counts",
                ),
            ),
            Control(
                says="By a clock that has leapt, nothing leaves early: a night counts ages no"
                " further than the gateway was up, after a week no purge begins, and a person is"
                " asked first. What came while the clock was behind is no older than what came"
                " before it.",
                tests=(
                    "test_purging.py::test_a_clock_that_leapt_begins_no_purge",
                    "store/test_ages.py::test_ages_are_counted_as_far_as_the_gateway_has_lived",
                    "store/test_ages.py::test_whatever_came_while_the_clock_was_behind_is_young",
                    "store/test_chain.py::test_a_clock_that_leapt_lets_no_line_leave",
                ),
            ),
            Control(
                says="What was removed is known again when it is repeated, and makes no second"
                " record.",
                tests=(
                    "store/test_purges.py::test_a_repetition_after_years_is_a_duplicate",
                    "store/test_purges.py::test_the_same_bytes_are_not_sent_anew_after_years",
                ),
            ),
            Control(
                says="What would go is counted beforehand, and what went is certified.",
                tests=(
                    "store/test_purges.py::test_a_look_removes_nothing",
                    "store/test_purges.py::test_the_certificate_is_proved_by_a_backup",
                ),
            ),
            Control(
                says="Without a key that it needs, nothing starts and no database is opened; a key"
                " goes only once nothing needs it.",
                tests=(
                    "store/test_encryption.py::test_without_its_key_no_database_is_opened",
                    "store/test_encryption.py::test_an_old_key_may_go_once_nothing_needs_it",
                    "store/test_encryption.py::test_a_row_that_cannot_be_opened_keeps_its_key_needed",
                ),
            ),
        ),
        after=Risk(Harm.CONSIDERABLE, Likelihood.LOW),
        counters=(CounterName.PURGES, CounterName.DAMAGED),
        figures=("bars_purge_removed", "bars_purge_late_seconds"),
        not_shown="A key that is lost with all its copies cannot be replaced. Once the bytes of a"
        " request have left, whose it was is no longer compared.",
        left="Have the times of docs/records.md decided by your information governance lead and"
        " your clinical safety officer; put what an inquiry is about under legal hold; keep a copy"
        " of the key ring apart from the backups.",
    ),
    Hazard(
        code="HAZ-24",
        title="More comes than the gateway, the EPR or the quota can take",
        causes="A bad winter night; a backlog after an outage; a Sender that repeats without a"
        " pause; one caller that sends slowly or too much.",
        effect="Senders are told that no answer came in time; what is urgent waits behind what is"
        " not.",
        before=Risk(Harm.MAJOR, Likelihood.MEDIUM),
        controls=(
            Control(
                says="Each request is answered within the time that the standard gives, or told"
                " that it was not; slow callers and many connections of one take nothing from"
                " others.",
                tests=(
                    "inbound/test_deadlines.py::test_the_answer_comes_before_the_standards_limit",
                    "inbound/test_deadlines.py::test_a_dripped_body_is_answered_408",
                    "inbound/test_admission.py::test_one_address_does_not_use_up_every_connection",
                ),
            ),
            Control(
                says="The quota of the platform is kept, and what is urgent goes first within it.",
                tests=(
                    "outbound/test_budget.py::test_no_minute_holds_more_than_the_quota",
                    "outbound/test_budget.py::test_what_is_urgent_goes_before_what_was_there_first",
                    "test_quota.py::test_no_rolling_minute_holds_more_than_the_quota",
                ),
            ),
            Control(
                says="What is long is done beside the loop, and one caller has one thread.",
                tests=(
                    "inbound/test_long_work.py::test_what_is_long_is_done_beside_the_loop",
                    "inbound/test_long_work.py::test_a_caller_has_one_thread",
                ),
            ),
            Control(
                says="Many messages arrive once each, and in their order.",
                tests=("scenarios/test_loop.py::test_many_messages_arrive_once_each",),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.LOW),
        counters=(CounterName.UNANSWERED, CounterName.DECIDED_LATE, CounterName.UNCONFIRMED),
        figures=("bars_inbound_seconds", "bars_budget_used", "bars_loop_lag_seconds"),
        not_shown="What it takes was measured on one machine (docs/performance.md), and not on"
        " yours, nor with your EPR.",
        left="Compare what a message costs with your busiest hour, on your machine (`make bench`);"
        " ask for the quota that you need; measure how fast the EPR answers then.",
        borne="The quota is the platform's, and how fast the EPR decides is the EPR's.",
    ),
    Hazard(
        code="HAZ-25",
        title="An upgrade, or a changed setting, changes what is sent, said or alarmed of",
        causes="A new version reads a response otherwise, or words a sentence differently; a"
        " setting is mistyped or moved to another provider; an old version is started on a newer"
        " database.",
        effect="People act on a sentence that nobody has approved; a service is switched off, or"
        " an alarm comes later, without anybody knowing.",
        before=Risk(Harm.MAJOR, Likelihood.MEDIUM),
        controls=(
            Control(
                says="Settings that hold a mistake are not taken: all that is wrong is said at"
                " once, and a running gateway goes on with those that it had.",
                tests=(
                    "test_config.py::test_all_errors_come_at_once_each_with_place_and_cure",
                    "test_reload.py::test_settings_with_a_mistake_stay_as_they_were",
                    "test_reload.py::test_what_needs_a_restart_is_named_and_left",
                ),
            ),
            Control(
                says="For each setting of clinical weight there is a question to be answered"
                " before it is changed; every sentence and time is on a page that is printed from"
                " the code.",
                tests=(
                    "test_clinical_document.py::test_the_checklist_has_every_setting_of_clinical_weight",
                    "test_clinical_document.py::test_the_page_says_what_the_tables_say",
                    "test_clinical_document.py::test_every_sentence_is_on_the_page",
                ),
            ),
            Control(
                says="A spool folder says which provider's it is: another's, mounted or named by"
                " mistake, is refused at the start, and nothing is written there.",
                tests=(
                    "epr/test_spool_owner.py::test_the_folder_of_another_provider_is_left_as_it_is",
                    "test_config_problems.py::test_a_folder_of_another_provider_is_told_with_the_cure",
                ),
            ),
            Control(
                says="A database of a later release is not opened by an earlier one, nor restored.",
                tests=(
                    "store/test_backup.py::test_a_backup_of_a_later_release_is_refused",
                    "store/test_backup.py::test_a_later_release_is_a_finding",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.LOW),
        counters=(CounterName.REFUSED, CounterName.REFUSED_INBOUND, CounterName.BY_HAND),
        figures=("bars_info", "bars_renewals_refused"),
        not_shown="Nothing has been released yet, so that no upgrade between two releases was ever"
        " made. That a setting is what was meant, no program knows.",
        left="Read CHANGELOG.md and the pages that it names before each upgrade; try it beside the"
        " old one with people who do not exist; go back by the backup that was made first. Have"
        " two people change settings.",
        borne="What people mean by a setting, or make of a new sentence, is theirs to know.",
    ),
)
