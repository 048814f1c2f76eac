"""Rules and dashboard for Prometheus: the real promtool takes them, and they name what there is."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from figures import collected, every_name

from bars_gateway.model.alarms import ALARMS
from bars_gateway.status.metrics import FIGURE_OF
from bars_gateway.status.runbooks import RUNBOOKS

CONFIG = Path(__file__).parent.parent / "config"
RULES = CONFIG / "prometheus-rules.yml"
DASHBOARD = CONFIG / "grafana-dashboard.json"
PAGE = "http://127.0.0.1:8480/runbooks#"
needs_promtool = pytest.mark.needs("promtool")

# What makes each rule fire: the series of one gateway.
FIRES = {
    "store.unavailable": "bars_store_unavailable 1",
    "notice.unread": 'bars_oldest_unread_seconds{provider="trust",use_case="a4t1"} 400',
    "refusal.unread": 'bars_oldest_refused_seconds{provider="trust",use_case="a4t1"} 400',
    "epr.not_asking": 'bars_epr_asked_seconds{provider="trust"} 200',
    "message.held": 'bars_outbound_messages{state="held"} 1',
    "database.gap": "bars_database_gaps 1",
    "database.log_stuck": "bars_database_log_stuck_bytes 200000000",
    "log.stuck": "bars_log_stuck_seconds 90",
    "egress.blocked": "bars_egress_blocked 1",
    "token.missing": 'bars_token_failing{provider="trust"} 1',
    "provider.missing": "bars_providers_missing 1",
    "provider.kept_out": 'bars_provider_kept_out{provider="trust"} 1',
    "key.unknown": 'bars_token_keys_refused{provider="trust"} 1',
    "clock.skewed": 'bars_token_clock_skew_seconds{provider="trust"} -9',
    "folder.stalled": "bars_folders_stalled 1",
    "file.not_taken": "bars_files_not_taken 1",
    "receiver.silent": "bars_receivers_silent 1",
    "receiver.failing": "bars_receivers_failing 1",
    "question.late": 'bars_questions_late{provider="trust"} 1',
    "caller.observed": "bars_callers_observed 1",
    "caller.shut_out": "bars_callers_shut_out 1",
    "renewal.refused": "bars_renewals_refused 1",
    "expiry.over": 'bars_expiry_stage_days{kind="certificate",name="Ours"} 0',
    "expiry.imminent": 'bars_expiry_stage_days{kind="certificate",name="Ours"} 7',
    "expiry.near": 'bars_expiry_stage_days{kind="certificate",name="Ours"} 14',
    "clock.stepped": "bars_clock_step_seconds -60",
    "database.uncompared": "bars_database_uncompared_seconds 25000",
    "purge.late": "bars_purge_late_seconds 300000",
    "audit.late": "bars_audit_late_seconds 11000",
    "node.away": "bars_nodes_away 1",
    "disk.low": "bars_disk_free_bytes 399",
    "message.waiting": "bars_oldest_waiting_seconds 301",
    "alert.undelivered": "bars_alerts_undelivered 1",
    "flow.nothing_received": "bars_last_received_seconds 50000",
    "flow.nothing_acknowledged": "bars_last_acknowledged_seconds 50000",
    "gateway.down": 'up{job="bars_gateway"} 0',
    **{kind: f'bars_alarms{{kind="{kind}",provider="trust"}} 2' for kind in ALARMS},
}
ALSO = [("message.waiting", "bars_oldest_delayed_seconds 61")]  # two figures tell of it


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text("utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def of_states() -> dict[str, dict[str, Any]]:
    """Return the rules that are for one code each."""
    return {r["labels"]["code"]: r for r in rules() if "{{" not in r["labels"]["code"]}


def dashboard() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    return found


def queries() -> list[str]:
    return [t["expr"] for panel in dashboard()["panels"] for t in panel["targets"]]


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bbars_\w+", re.sub(r'"[^"]*"', "", text)))


def test_each_code_has_a_rule() -> None:
    """Whoever has Prometheus is told of the same as whoever has not."""
    kinds = [kind for rule in rules() for kind in _kinds_of(rule)]

    assert sorted(ALARMS) == sorted(kinds)
    assert RUNBOOKS.keys() - ALARMS.keys() == of_states().keys()


def _kinds_of(rule: dict[str, Any]) -> list[str]:
    found = re.search(r'kind=~"([^"]+)"', rule["expr"])
    return found[1].replace("\\\\.", ".").split("|") if found else []


@pytest.mark.parametrize("code", sorted(RUNBOOKS.keys() - ALARMS.keys()))
def test_a_rule_says_what_its_runbook_does(code: str) -> None:
    """As urgent, as patient, in the same words, and it leads there."""
    rule, book = of_states()[code], RUNBOOKS[code]
    hours, minutes = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?", rule.get("for", "0m")).groups()  # type: ignore[union-attr]

    assert ("critical" if book.urgent else "warning") == rule["labels"]["severity"]
    assert book.after == timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    assert {"summary": book.title, "runbook_url": f"{PAGE}{code}"} == rule["annotations"]


def test_alarms_are_as_urgent_as_they_are_grave() -> None:
    """What may touch a patient wakes somebody."""
    found = {kind: rule["labels"]["severity"] for rule in rules() for kind in _kinds_of(rule)}

    assert {k: "critical" if a.severe else "warning" for k, a in ALARMS.items()} == found


@pytest.mark.parametrize("text", [r["expr"] for r in rules()] + queries())
def test_every_figure_that_is_named_exists(text: str) -> None:
    """A rule over a figure that was renamed never fires, and nobody notices."""
    assert set() == names_in(text) - every_name()


def test_the_dashboard_says_what_each_panel_shows() -> None:
    """Somebody looks at it who has not built it."""
    assert [] == [p["title"] for p in dashboard()["panels"] if not p["description"]]


def test_the_dashboard_draws_what_wakes_somebody() -> None:
    """Whoever was woken sees since when; how near an end is, is drawn as the time to it."""
    drawn = names_in("".join(queries()).replace("bars_expires_seconds", "bars_expiry_stage_days"))
    urgent = {figure for code, figure in FIGURE_OF.items() if RUNBOOKS[code].urgent}
    also = names_in("".join(figures for code, figures in ALSO if RUNBOOKS[code].urgent))

    assert set() == (urgent | also) - drawn


def test_the_dashboard_draws_what_the_epr_was_refused() -> None:
    """Nothing of it was sent, and whoever wrote it may believe otherwise."""
    assert {"bars_submissions_refused_total", "bars_refused_files"} <= names_in("".join(queries()))


@needs_promtool
def test_promtool_takes_the_rules() -> None:
    """The Prometheus of the distribution reads them."""
    done = promtool("check", "rules", str(RULES))

    assert 0 == done.returncode, done.stderr


@needs_promtool
def test_the_queries_of_the_dashboard_are_read(tmp_path: Path) -> None:
    """Each is made a rule, which promtool reads; Grafana's variables stand for something."""
    values = {"$__rate_interval": "5m", "$instance": ".*"}
    texts = queries()
    for name, value in values.items():
        texts = [text.replace(name, value) for text in texts]
    made = [{"record": f"query_{number}", "expr": text} for number, text in enumerate(texts)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": made}]}), "utf-8")
    done = promtool("check", "rules", str(file))

    assert 0 == done.returncode, done.stderr


@needs_promtool
def test_each_rule_fires_for_what_it_is_and_for_nothing_else(tmp_path: Path) -> None:
    """One code is made to be so at a time; a gateway at rest wakes nobody."""
    groups = [_group(code, each) for code, each in [*FIRES.items(), *ALSO]]
    file = tmp_path / "rules.test.yml"
    document = {"rule_files": [str(RULES)], "evaluation_interval": "5m", "tests": groups}
    file.write_text(yaml.safe_dump(document), "utf-8")
    done = promtool("test", "rules", str(file))

    assert RUNBOOKS.keys() == FIRES.keys()
    assert 0 == done.returncode, f"{done.stdout}\n{done.stderr}"


def at_rest() -> dict[str, float]:
    """Return the series of a gateway that has nothing to tell."""
    series: dict[str, float] = {'up{job="bars_gateway"}': 1}
    for metric in collected():
        for sample in metric.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            series[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    named = {name for rule in rules() for name in names_in(rule["expr"])} | {"up"}
    series = {name: value for name, value in series.items() if name.partition("{")[0] in named}
    return {**series, "bars_disk_minimum_bytes": 100}


def _group(code: str, series_of_it: str) -> dict[str, Any]:
    name, _, value = series_of_it.rpartition(" ")
    minutes = round(RUNBOOKS[code].after.total_seconds() / 60) + 15
    series = {**at_rest(), name: float(value)}
    every = {rule["alert"] for rule in rules()}
    kind = "BarsAlarmUrgent" if code in ALARMS and ALARMS[code].severe else "BarsAlarm"
    fires = kind if code in ALARMS else of_states()[code]["alert"]
    return {
        "name": code,
        "interval": "5m",
        "input_series": [{"series": n, "values": f"{v:g}+0x100"} for n, v in series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{minutes}m",
                "alertname": alert,
                "exp_alerts": [_expected(code, name, value)] if alert == fires else [],
            }
            for alert in every
        ],
    }


def _expected(code: str, name: str, value: str) -> dict[str, Any]:
    labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
    book = RUNBOOKS[code]
    summary = book.title
    if code in ALARMS:
        summary = f"{value} standing alarms of the kind {code}: trust"
    return {
        "exp_labels": {
            **labels,
            "code": code,
            "severity": "critical" if book.urgent else "warning",
        },
        "exp_annotations": {"summary": summary, "runbook_url": f"{PAGE}{code}"},
    }


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    assert program is not None
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
