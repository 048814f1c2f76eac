"""Hazards of the way: a message is lost, late, doubled, sent astray, out of order or altered."""

from collections.abc import Sequence

from bars_gateway.safety.counters import CounterName
from bars_gateway.safety.hazard import Control, Hazard
from bars_gateway.safety.risk import Harm, Likelihood, Risk

DELIVERY: Sequence[Hazard] = (
    Hazard(
        code="HAZ-01",
        title="A message that the EPR handed over is lost",
        causes="The process dies or the power goes between the hand-over and the Receiver's"
        " answer; a file is read half-written; a message causes an internal error again and again.",
        effect="Nobody takes the patient on, while whoever referred believes that somebody has.",
        before=Risk(Harm.MAJOR, Likelihood.HIGH),
        controls=(
            Control(
                says="The EPR has a receipt only once the message is on disk; from then on it is"
                " tried, over kills and restarts, until its fate is known.",
                tests=(
                    "scenarios/test_kills.py::test_kills_lose_nothing_and_double_nothing",
                    "scenarios/test_durability.py::test_everything_is_synced_before_the_receipt_appears",
                    "scenarios/test_loop.py::test_a_restart_goes_on_where_it_stopped",
                    "scenarios/test_loop.py::test_trouble_on_the_way_is_outlasted",
                ),
            ),
            Control(
                says="Every message ends in one of a few states, each told to the EPR in words;"
                " one that never left, and one that nobody knows of, alarm.",
                tests=(
                    "store/test_outbound.py::test_a_settled_message_tells_the_epr_once",
                    "scenarios/test_time.py::test_a_message_that_never_left_is_reported_in_those_words",
                    "scenarios/test_time.py::test_a_message_that_was_tried_in_vain_is_unconfirmed",
                    "standard/test_sentences.py::test_every_kind_and_state_is_told",
                ),
            ),
            Control(
                says="A file that is still being written is left alone; a bad one is refused with"
                " a reason, and disturbs no other.",
                tests=(
                    "scenarios/test_loop.py::test_a_half_written_file_is_never_read",
                    "scenarios/test_loop.py::test_a_bad_file_is_refused_with_a_reason_and_disturbs_nothing",
                ),
            ),
            Control(
                says="What causes an internal error is set aside with an alarm, and the next goes"
                " on.",
                tests=(
                    "scenarios/test_poison.py::test_a_failure_at_any_step_of_a_door_ends_one_unit",
                    "scenarios/test_poison.py::test_each_kind_of_unit_raises_its_alarm",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.VERY_LOW),
        counters=(
            CounterName.NOT_SENT,
            CounterName.UNCONFIRMED,
            CounterName.UNRECONCILED,
            CounterName.SET_ASIDE,
        ),
        figures=("bars_outbound_messages", "bars_files_not_taken"),
        not_shown="What the EPR never hands over is not known here. Power was cut in a virtual"
        " machine whose disk forgets what was not synced, and on no hardware; where a disk lies"
        " about it, messages were lost, and nothing here notices.",
        left="Have the EPR compare what it has sent with the receipts it has, at least daily, and"
        " show whoever referred that a receipt is missing. Use disks whose cache survives a power"
        " cut.",
    ),
    Hazard(
        code="HAZ-02",
        title="A message arrives late, and nobody notices",
        causes="The Receiver, the national proxy or the network is down; many messages wait before"
        " it; the token is refused; somebody holds it.",
        effect="The patient waits for care that others believe to be under way, or has it too"
        " late.",
        before=Risk(Harm.MAJOR, Likelihood.HIGH),
        controls=(
            Control(
                says="How long a message is tried, and when its lateness is told, follows from its"
                " clinical time and its use case; the figures can be set by a safety officer.",
                tests=(
                    "standard/test_timing.py::test_who_waits_is_told_while_something_can_be_done",
                    "standard/test_timing.py::test_every_application_has_figures",
                    "standard/test_timing.py::test_a_safety_officers_figure_replaces_the_shipped_one",
                    "store/test_outbound.py::test_a_late_message_is_reported_once",
                ),
            ),
            Control(
                says="A validation does not leave after its breach; what is urgent goes first.",
                tests=(
                    "scenarios/test_time.py::test_a_validation_does_not_leave_after_its_breach",
                    "store/test_outbound.py::test_what_is_urgent_goes_out_first",
                    "outbound/test_budget.py::test_what_is_urgent_goes_before_what_was_there_first",
                ),
            ),
            Control(
                says="One Receiver that does not answer holds up no other.",
                tests=(
                    "store/test_outbound.py::test_a_sick_receiver_does_not_take_every_sender",
                    "outbound/test_circuit_breaker.py::test_one_receiver_is_not_another",
                ),
            ),
            Control(
                says="That something waits for long is told beyond the page.",
                tests=(
                    "test_alerting.py::test_a_message_that_waits_is_told_of_unless_it_is_known_why",
                    "scenarios/test_alerts.py::test_one_outage_of_many_messages_is_one_alert",
                ),
            ),
            Control(
                says="Whoever would send something after its time is asked to say so, with a"
                " reason.",
                tests=(
                    "scenarios/test_verbs.py::test_a_retry_past_its_time_is_asked_for_in_so_many_words",
                    "store/test_interventions.py::test_what_is_past_its_time_is_not_released_unasked",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.LOW),
        counters=(CounterName.UNCONFIRMED, CounterName.NOT_SENT, CounterName.BY_HAND),
        figures=("bars_oldest_waiting_seconds", "bars_oldest_open_seconds", "bars_backlog"),
        not_shown="The times that are shipped are proposals, and no clinician of a deploying"
        " organisation has approved them. The gateway does not know how ill a patient is.",
        left="Approve the times of each use case (docs/timing.md). Decide who starts which"
        " fallback when the EPR is told that something is delayed, and rehearse it.",
        borne="How long others are away is not this program's to shorten; it can only tell in"
        " time.",
    ),
    Hazard(
        code="HAZ-03",
        title="A referral or booking is made twice",
        causes="An answer is lost and the request is repeated; the EPR submits the same again; an"
        " operator sends a message again as new; a Sender builds one request twice.",
        effect="Two teams are sent, or two appointments held, and others wait for them; or one of"
        " the two records is cancelled in the belief that this ends both.",
        before=Risk(Harm.CONSIDERABLE, Likelihood.HIGH),
        controls=(
            Control(
                says="Each attempt carries the same ids and bytes, so that its Receiver can know"
                " it again; the same bytes from the EPR are one message.",
                tests=(
                    "scenarios/test_loop.py::test_a_lost_answer_ends_as_acknowledged_with_one_record",
                    "scenarios/test_loop.py::test_the_same_file_dropped_twice_is_sent_once",
                    "store/test_outbound.py::test_the_same_bytes_are_queued_once",
                ),
            ),
            Control(
                says="What comes again is known again, at once and after a restart, a kill or a"
                " restore; twenty at once make one record.",
                tests=(
                    "scenarios/test_receiving.py::test_twenty_identical_requests_at_once_make_one_record",
                    "scenarios/test_receiving.py::test_the_same_made_anew_is_a_duplicate",
                    "store/test_soundness.py::test_the_ledger_knows_again_what_was_received",
                    "store/test_backup.py::test_the_ledger_of_the_backup_still_holds",
                ),
            ),
            Control(
                says="A message is sent again as new only where a person confirms that, and not"
                " while the first is known to stand; where nobody knows, the words say to"
                " telephone first.",
                tests=(
                    "epr/test_verbs.py::test_a_resend_asks_to_be_confirmed",
                    "scenarios/test_verbs.py::test_what_the_receiver_has_is_not_resent_while_it_stands",
                    "scenarios/test_verbs.py::test_a_dead_letter_that_may_have_arrived_keeps_its_ids",
                    "scenarios/test_proof.py::test_what_may_have_arrived_is_never_refused",
                ),
            ),
            Control(
                says="Two records of one request are tied, shown as such, and alarm.",
                tests=(
                    "scenarios/test_whose.py::test_a_referral_that_was_built_again",
                    "scenarios/test_whose.py::test_two_records_after_a_resend",
                    "scenarios/test_whose.py::test_who_is_to_cancel_one_of_two_records_is_told_that_the_other_stands",
                ),
            ),
        ),
        after=Risk(Harm.CONSIDERABLE, Likelihood.LOW),
        counters=(
            CounterName.SECOND_RECORDS,
            CounterName.REPEATS_SENT,
            CounterName.REPEATS_RECEIVED,
            CounterName.UNCONFIRMED,
        ),
        figures=("bars_alarms",),
        not_shown="A Receiver that does not know a repeat again makes two records, and nothing"
        " here can keep it from that. Whether a request made twice is meant so, a person decides.",
        left="Ask each counterparty for its evidence that a repeat makes no second record. Say in"
        " your procedures that nobody submits again what is unconfirmed before having telephoned.",
    ),
    Hazard(
        code="HAZ-04",
        title="A message goes to the wrong service",
        causes="A wrong service id in the EPR or its directory; a service that does not take this"
        " use case; headers and message that name different ones; an address that leads elsewhere.",
        effect="Nobody who can help sees the request; others see what is not for them.",
        before=Risk(Harm.MAJOR, Likelihood.MEDIUM),
        controls=(
            Control(
                says="A request is checked against what its service publishes before it leaves,"
                " and refused where that is a clear no.",
                tests=(
                    "scenarios/test_target_checks.py::test_scenario_3_a_use_case_that_is_not_published",
                    "scenarios/test_target_checks.py::test_scenario_5_a_service_of_another_major_version",
                    "epr/test_target_checks.py::test_only_a_clear_no_is_an_objection",
                ),
            ),
            Control(
                says="What is not for a service of ours is refused with the guide's answer, and is"
                " given to no EPR.",
                tests=(
                    "scenarios/test_receiver_on_the_wire.py::test_scenario_45_a_destination_that_is_not_ours",
                    "scenarios/test_refused_organisations.py::test_a_header_that_names_another_organisation_than_the_message",
                ),
            ),
            Control(
                says="Only our own services may send, and only the addresses of the environment"
                " are called.",
                tests=(
                    "epr/test_intake.py::test_only_our_own_services_send",
                    "test_config.py::test_no_other_host_is_contacted_than_those_of_the_environment",
                ),
            ),
            Control(
                says="An unknown target is refused, and the refusal says whose fault it is.",
                tests=(
                    "scenarios/test_loop.py::test_an_unknown_target_is_refused_with_whose_fault_it_is",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.LOW),
        counters=(CounterName.REFUSED, CounterName.REFUSED_INBOUND),
        figures=("bars_attempts_total", "bars_inbound_requests_total"),
        not_shown="A service that exists and takes the use case, and is not the one that was"
        " meant, cannot be told from the right one. Where a service cannot be asked, the request"
        " goes unchecked, and its receipt says so.",
        left="Keep the EPR's list of services in step with the directory of services; show the"
        " name of the chosen service to whoever refers, before and after.",
        borne="Which service is meant, only whoever refers knows; what is published cannot tell a"
        " wrong choice from a right one.",
    ),
    Hazard(
        code="HAZ-05",
        title="Messages of one case are acted on in the wrong order",
        causes="A change overtakes its request; a retry comes after what followed it; an older"
        " status arrives after a newer one.",
        effect="A resource is sent although the case was cancelled, or stood down although it is"
        " wanted; an old status hides the one that holds.",
        before=Risk(Harm.MAJOR, Likelihood.MEDIUM),
        controls=(
            Control(
                says="Messages of one conversation to one Receiver leave one after the other, and"
                " none overtakes a retry.",
                tests=(
                    "store/test_outbound.py::test_nothing_overtakes_within_a_conversation",
                    "store/test_outbound.py::test_a_retry_does_not_let_the_next_message_overtake",
                    "scenarios/test_loop.py::test_two_messages_of_a_conversation_keep_their_order",
                ),
            ),
            Control(
                says="What came late and is older changes nothing, and says so; what is newer than"
                " an end opens the case again, with an alarm.",
                tests=(
                    "scenarios/test_meaning.py::test_what_is_older_changes_nothing",
                    "scenarios/test_meaning.py::test_what_is_newer_than_an_end_reopens_it",
                    "scenarios/test_meaning.py::test_an_old_stand_down_is_told_to_an_operator",
                ),
            ),
            Control(
                says="A change of what is over, or is being cancelled, is refused or told at once.",
                tests=(
                    "store/test_guards.py::test_what_is_over_is_not_changed",
                    "store/test_guards.py::test_what_is_being_cancelled_is_not_changed",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.VERY_LOW),
        counters=(CounterName.REMARKED, CounterName.IN_DOUBT),
        figures=("bars_alarms",),
        not_shown="Order is known within a conversation and by the stamps of its writer: of two"
        " conversations about one patient nothing is known, and a wrong clock there may deceive"
        " (HAZ-15).",
        left="Have the EPR show `remarks` with each notice, so that what came out of turn is seen.",
    ),
    Hazard(
        code="HAZ-06",
        title="A message is acknowledged to its Sender and then not there",
        causes="The disk is full or fails, the process dies, or the power goes, between the answer"
        " and the disk.",
        effect="The Sender stops caring for a patient of whom nobody here knows. For a transfer of"
        " duty the patient is then nobody's.",
        before=Risk(Harm.MAJOR, Likelihood.HIGH),
        controls=(
            Control(
                says="The answer goes out after the message is on disk, and never before.",
                tests=(
                    "scenarios/test_durability.py::test_the_log_is_synced_before_the_200",
                    "scenarios/test_kills.py::test_kills_lose_nothing_and_double_nothing",
                    "scenarios/test_held_database.py::test_an_answer_that_cannot_be_stored_is_asked_for_again",
                ),
            ),
            Control(
                says="A booking or change that the EPR decides is acknowledged only after it has.",
                tests=(
                    "scenarios/test_questions.py::test_nothing_is_acknowledged_before_the_epr_has_decided",
                    "scenarios/test_question_kills.py::test_dead_over_the_answer",
                ),
            ),
            Control(
                says="With too little room, or a database that is damaged or held, nothing is"
                " taken and the Sender is told to come again.",
                tests=(
                    "epr/test_intake.py::test_a_full_disk_is_no_refusal",
                    "scenarios/test_held_database.py::test_a_held_database_takes_the_gateway_out_of_service",
                    "scenarios/test_full_disk.py::test_a_full_disk_is_said_to_the_sender",
                    "scenarios/test_damaged_database.py::test_no_gateway_starts_on_it",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.VERY_LOW),
        counters=(CounterName.SET_ASIDE, CounterName.DAMAGED, CounterName.RESTORED),
        figures=("bars_store_unavailable", "bars_disk_free_bytes"),
        not_shown="A disk that is lost takes with it what was acknowledged since the last backup:"
        " there is one copy. HAZ-17 says what a restore can and cannot bring back.",
        left="Put the database on storage that survives the loss of one disk. Set how often you"
        " back up by how much you can bear to ask Senders for again.",
    ),
    Hazard(
        code="HAZ-07",
        title="A message is altered on its way",
        causes="Numbers are reformatted, characters are read in the wrong encoding, a body is cut"
        " short, a member occurs twice, a disk corrupts a byte.",
        effect="Somebody acts on a dose, a time, an address or an allergy that nobody wrote.",
        before=Risk(Harm.MAJOR, Likelihood.MEDIUM),
        controls=(
            Control(
                says="Bytes in, bytes out: what the EPR gave is what leaves, and what came is what"
                " it is given.",
                tests=(
                    "scenarios/test_loop.py::test_a_referral_arrives_byte_for_byte_and_its_acknowledgement_comes_home",
                    "epr/test_deliveries.py::test_a_message_comes_byte_for_byte",
                    "epr/test_intake.py::test_the_bytes_go_as_they_came",
                ),
            ),
            Control(
                says="What cannot be read in one way alone is refused: a member that stands twice,"
                " a body that was cut, an encoding that does not fit.",
                tests=(
                    "standard/test_bundle.py::test_a_member_that_stands_twice_is_named",
                    "standard/test_bundle.py::test_what_is_no_bundle_is_refused_with_a_reason",
                    "standard/test_bundle.py::test_numbers_are_kept_as_they_were_written",
                ),
            ),
            Control(
                says="Stored bytes have a digest: what a disk has spoilt is not sent and not"
                " shown.",
                tests=(
                    "store/test_asides.py::test_a_message_with_spoilt_bytes_is_held_and_the_next_is_claimed",
                    "store/test_asides.py::test_a_spoilt_payload_is_never_shown",
                    "store/test_backup.py::test_a_turned_bit_in_a_bundle_is_found",
                ),
            ),
        ),
        after=Risk(Harm.MAJOR, Likelihood.VERY_LOW),
        counters=(CounterName.DAMAGED,),
        figures=("bars_alarms",),
        not_shown="What the EPR makes of the bytes, and what it wrote into them, is not seen here."
        " Responses that are composed from a few words (docs/moves.md) are made by the gateway,"
        " and their content is only what those words and the request say.",
        left="Test with each counterparty, in both directions, that what a clinician typed is what"
        " the other reads: long texts, other letters, times with their zones, negative findings.",
    ),
)
