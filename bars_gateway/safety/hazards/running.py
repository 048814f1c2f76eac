"""Hazards of running it: the machine, its clock, its keys, its callers, its people."""

from collections.abc import Sequence

from bars_gateway.safety.counters import CounterName
from bars_gateway.safety.hazard import Control, Hazard
from bars_gateway.safety.risk import Harm, Likelihood, Risk

RUNNING: Sequence[Hazard] = (
    Hazard(
        code="HAZ-14",
        title="A key, a certificate or a registration ends, and all traffic stops in silence",
        causes="Something expires, is revoked, is withdrawn by the other side, or is replaced by a"
        " file that does not fit.",
        effect="Nothing is sent or received until somebody wonders: every patient of that time is"
        " late.",
        before=Risk(Harm.MAJOR, Likelihood.HIGH),
        controls=(
            Control(
                says="Whatever ends is told in stages, from 90 days before, on the page, in"
                " figures and by alerts.",
                tests=(
                    "test_expiry.py::test_each_stage_begins_on_its_day",
                    "scenarios/test_rotation.py::test_every_stage_of_an_end_is_on_the_page_and_in_the_metrics",
                    "test_alerting.py::test_each_further_warning_of_an_end_is_worse",
                ),
            ),
            Control(
                says="A new key or certificate is taken while the gateway runs; one that does not"
                " fit leaves the old in place, and is told.",
                tests=(
                    "scenarios/test_rotation.py::test_a_rotation_under_load_loses_and_repeats_nothing",
                    "scenarios/test_rotation.py::test_a_bad_certificate_leaves_the_old_one_in_place",
                    "scenarios/test_rotation.py::test_a_bad_signing_key_leaves_the_old_one_in_use",
                ),
            ),
            Control(
                says="A refused token or registration costs no message an attempt, and is told as"
                " ours.",
                tests=(
                    "scenarios/test_time.py::test_a_token_outage_costs_no_attempt",
                    "scenarios/test_rotation.py::test_a_key_that_is_refused_is_replaced_without_a_wait",
                ),
            ),
            Control(
                says="That nothing flows where something always does is told, by a time that is"
                " set.",
                tests=(
                    "test_alerting.py::test_silence_is_news_after_as_long_as_somebody_has_set",
                    "test_alerting.py::test_a_dead_mans_switch_mails_that_nothing_flows",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.LOW),
        counters=(CounterName.NOT_SENT, CounterName.UNCONFIRMED),
        figures=(
            "bars_expires_seconds",
            "bars_token_failing",
            "bars_provider_kept_out",
            "bars_tls_handshake_failures_total",
        ),
        not_shown="The national side was played by our own sandbox: how it behaves when it"
        " withdraws something is known from what it has published, and not from use.",
        left="Set the alerts up and have one sent (docs/alerts.md). Put each renewal into"
        " somebody's diary, with a deputy. Set how long a silence is news at your hospital.",
        borne="Renewals take weeks at several desks, and only people can begin them.",
    ),
    Hazard(
        code="HAZ-15",
        title="A wrong clock, here or at the other side, makes times lie",
        causes="A clock is set, drifts or is in another zone; a Sender stamps its messages ahead.",
        effect="A newer status is taken for an older one; something is given up too early, or"
        " never called late.",
        before=Risk(Harm.CONSIDERABLE, Likelihood.MEDIUM),
        controls=(
            Control(
                says="A step of our clock moves pauses and leases and no clinical time; it is"
                " told.",
                tests=(
                    "test_housekeeping.py::test_the_clock_moves_no_clinical_time",
                    "test_housekeeping.py::test_a_step_while_no_gateway_ran_hides_no_delay",
                    "test_housekeeping.py::test_a_step_is_logged_once_and_remembered",
                ),
            ),
            Control(
                says="A stamp that lies ahead of its arrival counts as when it came, and is"
                " remarked upon: it silences nothing that follows.",
                tests=(
                    "store/test_wrong_clocks.py::test_a_stamp_that_was_kept_and_lies_ahead_silences_nothing",
                    "standard/test_meaning.py::test_a_clock_that_is_ahead_counts_for_nothing",
                    "scenarios/test_meaning.py::test_a_wrong_clock_hides_no_stand_down",
                    "scenarios/test_meaning.py::test_a_stand_down_by_a_slow_clock_is_told",
                ),
            ),
            Control(
                says="How far our clock is from the token service's is measured with each token.",
                tests=(
                    "outbound/test_token_against_sandbox.py::test_a_wrong_clock_is_named",
                    "outbound/test_token_against_sandbox.py::test_a_clock_that_is_a_little_wrong_will_do",
                ),
            ),
        ),
        after=Risk(Harm.CONSIDERABLE, Likelihood.LOW),
        counters=(CounterName.REMARKED,),
        figures=("bars_token_clock_skew_seconds", "bars_clock_step_seconds"),
        not_shown="A clock that is behind at the other side cannot be told from a message that"
        " came late; both are told as out of order.",
        left="Synchronise the machine, the EPR and whatever writes stamps; watch that they are.",
    ),
    Hazard(
        code="HAZ-16",
        title="The disk fills up, or what is stored is damaged",
        causes="Much is kept and little removed; another program fills the disk; the hardware"
        " fails; somebody copies or edits the database.",
        effect="Nothing is received or sent; or messages are hidden, and wait for longer than"
        " anybody knows.",
        before=Risk(Harm.MAJOR, Likelihood.MEDIUM),
        controls=(
            Control(
                says="Below a room that is set, nothing is promised any more, and it is told; what"
                " is there goes on.",
                tests=(
                    "epr/test_drop.py::test_a_full_store_leaves_files_in_the_outbox",
                    "epr/test_intake.py::test_a_full_disk_is_no_refusal",
                    "scenarios/test_full_disk.py::test_a_full_disk_takes_nothing_and_loses_nothing",
                ),
            ),
            Control(
                says="Nothing starts on a database that is damaged or was started afresh by"
                " mistake; what to do is said.",
                tests=(
                    "scenarios/test_damaged_database.py::test_no_gateway_starts_on_it",
                    "scenarios/test_damaged_database.py::test_what_is_advised_mends_it",
                ),
            ),
            Control(
                says="What work is found by is compared with what is stored, at each start after a"
                " kill and daily; what was hidden is found, told, and goes on.",
                tests=(
                    "store/test_soundness.py::test_no_index_that_work_is_found_by_hides_a_row",
                    "store/test_soundness.py::test_a_queued_message_that_was_hidden_is_sent",
                    "store/test_soundness.py::test_what_is_rebuilt_is_told",
                ),
            ),
            Control(
                says="A second gateway on the same database or folder does not start; several share"
                " a database on PostgreSQL where each is told of others (store.several_nodes), and"
                " then a message is sent by one of them and is one record, whoever dies over it.",
                tests=(
                    "scenarios/test_two_nodes.py::test_two_nodes_lose_nothing_and_double_nothing",
                    "store/test_nodes.py::test_who_wants_the_database_alone_is_kept_out",
                    "store/test_nodes.py::test_nothing_of_a_node_that_lives_is_taken_by_anothers_start",
                    "store/test_nodes.py::test_a_key_that_others_lack_encrypts_nothing",
                    "store/test_nodes.py::test_no_node_changes_the_schema_under_another_that_lives",
                    "scenarios/test_processes.py::test_a_second_gateway_on_the_same_database_is_refused",
                    "epr/test_drop.py::test_one_gateway_holds_a_folder",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.VERY_LOW),
        counters=(CounterName.DAMAGED, CounterName.SET_ASIDE),
        figures=("bars_disk_free_bytes", "bars_store_unavailable", "bars_database_gaps"),
        not_shown="By default there is one node and one copy: while the machine is down, nothing is"
        " taken. Nodes that share a database share its loss: a second copy is a standby's of the"
        " server, which is yours to run.",
        left="Back up on a schedule, to another machine, and restore one for practice. Decide how"
        " you go on without the gateway, and for how long.",
    ),
    Hazard(
        code="HAZ-17",
        title="A restore sends what was over, or forgets what was acknowledged",
        causes="The database goes back to an earlier moment; what happened since is not in it.",
        effect="A cancelled request goes out again; or a patient whose message was acknowledged is"
        " unknown here, and no Sender will send it again.",
        before=Risk(Harm.MAJOR, Likelihood.HIGH),
        controls=(
            Control(
                says="What the kept database knows to be over is not sent again; where nobody can"
                " say, everything is held until a person releases it with a reason.",
                tests=(
                    "store/test_restoring.py::test_whatever_happened_nothing_that_was_over_goes_out",
                    "store/test_restoring.py::test_where_nobody_can_say_everything_is_held",
                    "scenarios/test_restores.py::test_where_the_database_is_lost_nothing_goes_out_until_it_is_released",
                ),
            ),
            Control(
                says="What was received since the backup is listed one by one and can be handed"
                " over to the EPR; where it cannot be listed, that is an alarm.",
                tests=(
                    "scenarios/test_restores.py::test_what_was_received_since_is_handed_over",
                    "store/test_restoring.py::test_handing_over_twice_gives_everything_once",
                    "store/test_restored_before.py::test_what_nobody_can_list_stands_on_the_page",
                ),
            ),
            Control(
                says="An older or damaged backup, and one under a running gateway, are refused; a"
                " restore that is killed is done by the next.",
                tests=(
                    "store/test_backup.py::test_a_damaged_backup_is_refused",
                    "store/test_backup.py::test_a_gateway_that_runs_is_not_restored_under",
                    "store/test_restoring.py::test_a_restore_that_is_killed_is_done_by_the_next",
                ),
            ),
            Control(
                says="What another program has put back is made safe to start on by `bars-gateway"
                " restore` without FILE: all that waits is held, and no number is given twice.",
                tests=(
                    "store/test_put_back.py::test_what_was_withdrawn_since_goes_out_where_nobody_says_that_it_went_back",
                    "store/test_put_back.py::test_no_number_is_given_twice",
                ),
            ),
            Control(
                says="Where a spool folder did not go back with the database, the gateway does not"
                " start until that was done, or the right file is back.",
                tests=(
                    "store/test_reached.py::test_a_database_that_went_back_is_refused_until_it_is_made_safe",
                    "store/test_reached.py::test_one_that_has_grown_beyond_what_was_told_since_it_went_back_is_refused_as_well",
                    "scenarios/test_restores.py::test_what_another_program_has_put_back_is_made_safe",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.LOW),
        counters=(CounterName.RESTORED,),
        figures=("bars_alarms",),
        not_shown="Where the machine is lost with its database, what was received since the backup"
        " is known to its Senders alone. A machine that goes back as a whole, with its spool"
        " folders, does not know that it did.",
        left="Read docs/restoring.md before you need it; keep the telephone numbers that it asks"
        " for on paper. Disable the service before a machine or its database goes back, and"
        " type `bars-gateway restore --why TEXT` before the gateway starts on it.",
        borne="Of what came since the last backup there is one copy, unless the database is on"
        " PostgreSQL and has a synchronous standby; a second node alone is no second copy.",
    ),
    Hazard(
        code="HAZ-18",
        title="Test data reaches live care, or live data a test",
        causes="Addresses, keys or certificates of two environments are mixed; a test message is"
        " sent from the live system.",
        effect="A crew or a clinic is sent to a patient who does not exist; or a real one lies in"
        " a test system that nobody reads.",
        before=Risk(Harm.CONSIDERABLE, Likelihood.MEDIUM),
        controls=(
            Control(
                says="An environment brings its addresses and callers as one; settings that mix"
                " two do not load.",
                tests=(
                    "test_config.py::test_environments_are_not_mixed",
                    "test_config.py::test_an_environment_brings_its_preset",
                    "test_config.py::test_prod_keeps_strangers_out",
                ),
            ),
            Control(
                says="Certificates and chains of another environment, and all that the sandbox has"
                " signed, are refused in earnest.",
                tests=(
                    "test_config_problems.py::test_a_certificate_of_another_environment_is_reported",
                    "test_config_problems.py::test_what_the_sandbox_signed_is_refused",
                    "test_config_problems.py::test_the_sandbox_is_not_called_in_earnest",
                ),
            ),
            Control(
                says="A number that is nobody's does not leave in production.",
                tests=(
                    "epr/test_intake.py::test_a_number_that_is_nobodys_is_refused_in_production",
                    "test_config.py::test_a_number_that_is_nobodys_never_leaves_for_production",
                ),
            ),
        ),
        after=Risk(Harm.CONSIDERABLE, Likelihood.VERY_LOW),
        counters=(CounterName.REFUSED,),
        figures=("bars_info",),
        not_shown="A test patient with a number that could be somebody's is a patient to the"
        " gateway.",
        left="Name who may send tests in live, when, and how the other side is told beforehand;"
        " use the numbers that are set aside for tests.",
    ),
    Hazard(
        code="HAZ-19",
        title="Somebody who may not is let in, or reads or sends in another's name",
        causes="A caller has a certificate that was revoked or is another organisation's; a key is"
        " stolen; somebody on the machine opens a door that is not theirs.",
        effect="A forged request or cancellation is acted on; what others wrote about a patient is"
        " read by strangers.",
        before=Risk(Harm.MAJOR, Likelihood.MEDIUM),
        controls=(
            Control(
                says="A caller is known by issuer, name, address and revocation list, before"
                " anything of it is read; a connection ends when its certificate is revoked.",
                tests=(
                    "inbound/test_admission.py::test_name_and_issuer_decide",
                    "inbound/test_admission.py::test_a_revocation_list_decides",
                    "inbound/test_admission.py::test_a_connection_ends_when_its_certificate_is_revoked",
                    "inbound/test_acceptor.py::test_who_may_not_call_is_cut_off_and_seen",
                ),
            ),
            Control(
                says="An organisation that is named as refused is refused everything.",
                tests=(
                    "scenarios/test_refused_organisations.py::test_whoever_is_refused_is_refused_everything",
                    "scenarios/test_refused_organisations.py::test_scenario_102_a_no_show_response_that_is_not_authorised",
                ),
            ),
            Control(
                says="A key that others may read is not used; the EPR's doors have the modes of"
                " files.",
                tests=(
                    "outbound/test_signing_key.py::test_a_key_that_others_can_reach_is_refused",
                    "inbound/test_tls.py::test_a_key_that_others_can_read_is_refused",
                    "epr/test_drop.py::test_folders_and_files_have_their_modes",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.VERY_LOW),
        counters=(CounterName.REFUSED_INBOUND,),
        figures=("bars_tls_handshake_failures_total", "bars_callers_observed"),
        not_shown="The proxy vouches for whoever sends through it: whether the organisation in a"
        " message is the one that wrote it, the gateway takes from the proxy. Nobody outside the"
        " project has tested it for weaknesses.",
        left="Have it tested for weaknesses where it stands. Fetch revocation lists; end `observe`"
        " before going live; say whose accounts on the machine are in the EPR's group.",
    ),
    Hazard(
        code="HAZ-20",
        title="An operator acts on the wrong message, or without knowing what follows",
        causes="Ids look alike; a filter fits more than was meant; a form is sent twice; an alarm"
        " is cleared that somebody else should see.",
        effect="A request is withdrawn, doubled or tied to another patient's case; or nobody sees"
        " to what was marked as seen to.",
        before=Risk(Harm.MAJOR, Likelihood.MEDIUM),
        controls=(
            Control(
                says="Each verb is carried out only from where it makes sense, wants a reason, and"
                " says what stands against it and what to do instead.",
                tests=(
                    "epr/test_verbs.py::test_an_objection_says_what_to_do_instead",
                    "store/test_interventions.py::test_what_was_tried_is_not_withdrawn",
                    "console/test_acts.py::test_nothing_is_done_without_a_reason",
                ),
            ),
            Control(
                says="Many at once are named by a filter and a highest number that was seen, and"
                " counted before anything is done.",
                tests=(
                    "scenarios/test_verbs.py::test_a_verb_needs_to_know_which_messages",
                    "scenarios/test_verbs.py::test_in_bulk_the_highest_number_that_was_seen_is_asked_for",
                    "epr/test_verbs.py::test_a_dry_run_does_nothing",
                ),
            ),
            Control(
                says="What does not fit a case is not attached to it.",
                tests=("store/test_quarantine.py::test_what_does_not_fit_is_not_attached",),
            ),
            Control(
                says="A form counts once, for whoever it was made for, and only from our own page.",
                tests=(
                    "console/test_acts.py::test_a_form_that_is_sent_twice_is_done_once",
                    "console/test_access.py::test_what_another_site_sends_is_refused",
                    "console/test_acts.py::test_others_see_no_verbs_and_may_do_none",
                ),
            ),
            Control(
                says="Who did what, when and why stands in a trail that no statement can change"
                " and that shows where it was changed all the same; the EPR is told.",
                tests=(
                    "store/test_interventions.py::test_the_audit_trail_says_who_and_why",
                    "store/test_chain.py::test_a_turned_bit_is_found_where_it_is",
                    "store/test_interventions.py::test_the_epr_is_told_what_others_did",
                    "scenarios/test_verbs.py::test_what_was_done_and_why_is_shown",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.VERY_LOW),
        counters=(CounterName.BY_HAND, CounterName.SECOND_RECORDS, CounterName.DAMAGED),
        figures=("bars_alarms",),
        not_shown="The pages were tried by those who wrote them, and with programs that look for"
        " barriers; not by operators at night.",
        left="Train operators with `bars-gateway demo` and the runbooks; give roles to those who"
        " are trained; look through `bars-gateway audit` regularly.",
    ),
    Hazard(
        code="HAZ-21",
        title="An alarm is not seen, or drowns among others",
        causes="Nobody looks at the page; mail is not delivered; one outage raises hundreds; a"
        " restart or a maintenance window hides one.",
        effect="What the gateway knows to be wrong reaches nobody who could see to the patient.",
        before=Risk(Harm.MAJOR, Likelihood.HIGH),
        controls=(
            Control(
                says="An alarm stands until somebody has seen to it, over days, restarts and"
                " restores; no clock ends one.",
                tests=(
                    "store/test_alarms.py::test_what_nobody_has_seen_outlives_days_and_restarts",
                    "store/test_restored_alarms.py::test_what_nobody_has_seen_stands_after_a_restore",
                    "store/test_alarms.py::test_what_is_raised_anew_has_a_new_number",
                ),
            ),
            Control(
                says="One outage is one alert, however many messages it touches; what comes and"
                " goes within a minute is none.",
                tests=(
                    "scenarios/test_alerts.py::test_one_outage_of_many_messages_is_one_alert",
                    "test_alerting.py::test_what_comes_and_goes_within_a_minute_is_no_news",
                ),
            ),
            Control(
                says="An alert is delivered at least once over a kill; what may touch a patient"
                " waits for no maintenance window; a way that does not work is told.",
                tests=(
                    "scenarios/test_alerts.py::test_a_kill_between_decision_and_delivery_forgets_nothing",
                    "test_alerting.py::test_what_may_touch_a_patient_waits_for_no_maintenance",
                    "test_deliveries.py::test_what_could_not_be_told_is_told_later",
                ),
            ),
            Control(
                says="Each code has a runbook: how bad it is for patients, where to look, what to"
                " do.",
                tests=(
                    "test_runbooks.py::test_every_code_has_a_runbook",
                    "test_runbooks.py::test_a_runbook_says_everything",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.LOW),
        counters=(CounterName.SET_ASIDE, CounterName.OVERDUE),
        figures=("bars_alarms", "bars_oldest_alarm_seconds", "bars_alerts_undelivered"),
        not_shown="That an alert was delivered does not show that somebody read it. How many"
        " alarms a day are too many was tried with no real traffic: `safety report` tells how fast"
        " yours are handled.",
        left="Say who is woken for what, who stands in, and by when an alarm has to be handled;"
        " look at how fast they were, each month.",
        borne="Whom it reaches, and whether they act, no program can make sure of.",
    ),
    Hazard(
        code="HAZ-22",
        title="The gateway does not run, or hangs, and nobody notices",
        causes="The machine is down; a loop hangs; a start fails because of a setting; the process"
        " is stopped and not started again.",
        effect="Nothing is sent or received; answers become overdue that nobody tells of.",
        before=Risk(Harm.MAJOR, Likelihood.MEDIUM),
        controls=(
            Control(
                says="A loop that no longer moves, or a database that cannot be written, has the"
                " process restarted.",
                tests=(
                    "test_notify.py::test_a_loop_that_hangs_is_named_and_the_watchdog_starves",
                    "test_notify.py::test_the_watchdog_starves_while_nothing_can_be_written",
                    "test_notify.py::test_every_loop_of_a_gateway_beats",
                ),
            ),
            Control(
                says="Readiness says whether it can receive, and whether it can send, with the"
                " reason.",
                tests=(
                    "test_status.py::test_what_stops_everything_takes_the_gateway_out_of_service",
                    "test_status.py::test_a_gateway_without_its_database_is_not_ready",
                ),
            ),
            Control(
                says="With store.several_nodes, what one node alone did passes to another within"
                " some 15 seconds where it dies, stands still or is cut off, and that it is away is"
                " told.",
                tests=(
                    "scenarios/test_two_nodes.py::test_two_nodes_lose_nothing_and_double_nothing",
                    "store/test_nodes.py::test_a_lease_passes_on_when_its_holder_is_killed",
                    "store/test_nodes.py::test_one_that_stands_still_loses_what_it_alone_did",
                    "store/test_nodes.py::test_one_that_stands_still_is_away",
                    "test_alerting.py::test_a_node_that_is_away_is_told_by_the_one_that_leads",
                ),
            ),
            Control(
                says="What ended or became late while it did not run is told at its next start.",
                tests=(
                    "scenarios/test_time.py::test_what_ends_while_no_gateway_runs_is_told_of_its_end",
                    "store/test_clocks.py::test_after_a_long_stop_only_the_alarm_is_told",
                ),
            ),
            Control(
                says="All that is wrong with settings, keys and folders is said at once,"
                " beforehand.",
                tests=(
                    "test_config_problems.py::test_everything_that_is_missing_comes_at_once",
                    "onboarding/test_doctor.py::test_what_is_broken_is_named_first",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.LOW),
        counters=(CounterName.NOT_SENT, CounterName.OVERDUE),
        figures=("bars_loop_lag_seconds", "bars_last_received_seconds"),
        not_shown="A machine that is off tells nobody. By default there is no second node; with"
        " store.several_nodes another one goes on and tells of it, and while all of them are off,"
        " nobody does.",
        left="Watch /readyz from another machine, with an alarm of its own. Have the EPR show that"
        " its gateway does not answer, and practise working without it.",
        borne="A program that is off tells nobody; a second node, or a watch elsewhere, is needed,"
        " and yours to set up.",
    ),
)
