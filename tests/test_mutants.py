"""
Faults that trials have met, put back one at a time: a named test tells of each.

Each told somebody something untrue about a patient, or told nobody. The package is copied, one
place in the copy is as it was wrong, and the test that shows it runs against the copy.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAILED = 1  # pytest's own word for: tests ran, and some failed
PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout")  # the others take a second to load


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One fault: where it was, what stands there now, what stood there, and who tells."""

    fault: str
    module: str
    now: str
    then: str
    test: str


MUTANTS = (
    Mutant(
        fault="refused-although-it-may-have-arrived",
        module="standard/verdict.py",
        now='name="refused-in-doubt", verdict=Verdict.RETRY_LIMITED,',
        then='name="refused-in-doubt", verdict=Verdict.REFUSED,',
        test="scenarios/test_proof.py::test_what_may_have_arrived_is_never_refused",
    ),
    Mutant(
        fault="a-wrong-clock-hides-a-stand-down",
        module="standard/meaning.py",
        now="if stamp is None or is_ahead(stamp, came_at):",
        then="if stamp is None:",
        test="scenarios/test_meaning.py::test_a_wrong_clock_hides_no_stand_down",
    ),
    Mutant(
        fault="whoever-waits-is-sent-to-read-an-empty-care-plan",
        module="standard/remarks.py",
        now="response.says_nothing and response.says in FINDS",
        then="False",
        test="scenarios/test_meaning.py::test_nobody_is_sent_to_read_a_care_plan_that_says_nothing",
    ),
    Mutant(
        fault="what-is-newer-than-an-end-changes-nothing",
        module="standard/workflow.py",
        now="State.DECLINED: _AGAINST | {Move.DECLINE: State.DECLINED},",
        then="State.DECLINED: {Move.DECLINE: State.DECLINED},",
        test="scenarios/test_meaning.py::test_what_is_newer_than_an_end_reopens_it",
    ),
    Mutant(
        fault="an-answer-about-another-patient-is-believed",
        module="standard/answers.py",
        now="    if _names_another(ours, tree) or ",
        then="    if False and ",
        test="scenarios/test_proof.py::test_an_answer_about_another_patient_is_nobodys",
    ),
    Mutant(
        fault="a-yes-with-an-error-to-everything-gives-up-the-queue",
        module="standard/verdict.py",
        now='"quota-as-500", "ok-with-an-error"})',
        then='"quota-as-500"})',
        test="scenarios/test_time.py"
        "::test_a_yes_with_an_error_to_everything_makes_nobody_telephone",
    ),
    Mutant(
        fault="our-epr-answers-for-somebody-of-another-name",
        module="standard/answers.py",
        now="        if whose is Sameness.OTHER_PATIENT:\n",
        then="        if False:\n",
        test="epr/test_composing.py"
        "::test_another_name_or_birth_date_is_somebody_else_where_a_number_is_missing",
    ),
    Mutant(
        fault="another-patient-hides-behind-ours",
        module="standard/patients.py",
        now="    return replace(first, beside=tuple(beside)) if beside else first\n",
        then="    return first\n",
        test="standard/test_patients.py::test_whether_it_is_the_same_patient",
    ),
    Mutant(
        fault="an-older-word-about-another-patient-changes-nothing",
        module="store/responses.py",
        now="moves=Remark.OTHER_PATIENT in of_whose or moves_on(before, response)",
        then="moves=moves_on(before, response)",
        test="scenarios/test_meaning.py"
        "::test_an_older_word_about_another_patient_is_no_less_in_doubt",
    ),
    Mutant(
        fault="a-rejection-reads-like-any-other-message",
        module="standard/sentences/received.py",
        now="The patient is your responsibility again: act now.",
        then="There is nothing to do now.",
        test="standard/test_sentences.py::test_a_rejection_alarms_whoever_asked",
    ),
    Mutant(
        fault="two-records-fold-into-one-workflow",
        module="store/interventions.py",
        now='row["move"] != Move.REQUEST:\n        return None\n    return connection.inserted(',
        then="row:\n        return None\n    return connection.inserted(",
        test="scenarios/test_whose.py::test_two_records_after_a_resend",
    ),
    Mutant(
        fault="what-was-withdrawn-since-the-backup-goes-out",
        module="store/sqlite/adoption.py",
        now='    return was in OPEN or state not in OPEN or row["restored_at"] is None\n',
        then="    return False\n",
        test="store/test_restoring.py::test_what_was_withdrawn_since_is_not_sent",
    ),
    Mutant(
        fault="the-page-forgets-after-a-day",
        module="store/alarms.sql",
        now="WHERE a.ended_at IS NULL GROUP BY a.kind",
        then="WHERE a.ended_at IS NULL AND a.since > datetime('now', '-1 day') GROUP BY a.kind",
        test="store/test_alarms.py::test_what_nobody_has_seen_outlives_days_and_restarts",
    ),
    Mutant(
        fault="what-may-have-arrived-since-is-forgotten",
        module="standard/remarks.py",
        now="        return Remark.SAID_BEFORE if sure else None\n",
        then="        return Remark.SAID_BEFORE\n",
        test="store/test_known_before.py::test_what_another_word_may_have_replaced_is_not_known",
    ),
    Mutant(
        fault="a-request-leaves-after-its-breach",
        module="standard/timing.py",
        now="    stops = timing.at_its_time is AtItsTime.STOPS and move in ENDED_BY_TIME\n",
        then="    stops = False\n",
        test="scenarios/test_time.py::test_a_validation_that_comes_after_its_breach_is_refused",
    ),
    Mutant(
        fault="a-cancellation-dies-unseen",
        module="store/questions.py",
        now='        _tell_of(connection, arrival, workflow["id"], now)\n',
        then="        pass\n",
        test="scenarios/test_turned_away.py::test_an_epr_that_is_never_asked_hears_that_the_sender_tried",
    ),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.fault)
def test_a_fault_that_comes_back_is_told(mutant: Mutant, tmp_path: Path) -> None:
    """Its test fails, and by what it asserts, not because nothing runs."""
    for folder in ("bars_gateway", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder)  # with all that is compiled
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    place = tmp_path / "bars_gateway" / mutant.module
    text = place.read_text("utf-8")
    assert 1 == text.count(mutant.now), f"{mutant.module} reads otherwise: write the fault again"
    place.write_text(text.replace(mutant.now, mutant.then), "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += [word for plugin in PLUGINS for word in ("-p", plugin)]
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": os.fspath(tmp_path)}
    # The path of a socket has 107 characters, whatever whoever runs this is called.
    with tempfile.TemporaryDirectory(prefix="m") as short:
        done = subprocess.run(
            [*command, "--basetemp", f"{short}/t", f"tests/{mutant.test}"],
            cwd=tmp_path,
            env={**os.environ, **alone},
            capture_output=True,
            text=True,
            check=False,
        )

    assert FAILED == done.returncode, done.stdout[-2000:]
    assert "AssertionError" in done.stdout or "TimeoutError" in done.stdout
