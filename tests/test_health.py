"""How it stands with each thing that the gateway needs: what is known, and nothing more."""

from dataclasses import replace
from datetime import timedelta

import pytest
from figures import AT, AT_REST, EMPTY, NOTHING, TOKEN

from bars_gateway.model.readings import Inspection
from bars_gateway.status.health import Dependency, HealthState, dependencies
from bars_gateway.status.running import (
    EgressState,
    KeptOutState,
    RuntimeState,
    UnavailableState,
)
from bars_gateway.store.readings import EprCondition, Unread, UnreadNotice
from bars_gateway.upkeep.housekeeping import ExpiringKind, Expiry

AN_HOUR = timedelta(hours=1)
NO_TOKEN = replace(TOKEN, expires_at=None, failing_since=AT, reason="it does not know the key")
EPR = EprCondition(provider="trust", asks=True, asked_at=AT, seen_at=AT)
NOTICE = UnreadNotice(notice_id=1, request_id="r", workflow_id=1, created_at=AT - AN_HOUR)
UNREAD = Unread(use_case="a1t1", count=1, late_after=AN_HOUR, oldest=[NOTICE])
GAP = Inspection(after_orderly_stop=True, waits_since=None, last=None, left=["messages_due: 1 row"])
SERVICE = "https://fhir.nhs.uk/Id/dos-service-id|2000000202"


def ending(days: int) -> Expiry:
    begins, ends = AT - timedelta(days=365), AT + timedelta(days=days)
    return Expiry(kind=ExpiringKind.CERTIFICATE, name="Ours", begins_at=begins, ends_at=ends)


def found(running: RuntimeState, free_bytes: int = 2**40) -> list[Dependency]:
    overview = replace(EMPTY, free_bytes=free_bytes)
    return dependencies(overview, NOTHING, running, None, first_days=90)


def state_of(name: str, each: list[Dependency]) -> HealthState:
    (state,) = (one.state for one in each if one.name == name)
    return state


@pytest.mark.parametrize(
    ("name", "state", "changes"),
    [
        ("database", "ok", {}),
        ("database", "failing", {"unavailable": UnavailableState(reason="full", advice="room")}),
        ("database", "warning", {"inspection": GAP}),
        ("token_service", "ok", {"tokens": [TOKEN]}),
        ("token_service", "failing", {"tokens": [NO_TOKEN]}),
        ("token_service", "warning", {"tokens": [replace(TOKEN, refused_keys=["int-1"])]}),
        ("token_service", "unknown", {"tokens": [replace(TOKEN, expires_at=None)]}),
        ("way_out", "failing", {"egress": EgressState(since=AT, reason="407", advice="ask")}),
        ("settings", "failing", {"missing": {"trust": AT}}),
        (
            "proxy",
            "failing",
            {"kept_out": [KeptOutState(provider="trust", since=AT, reason="no", advice="ask")]},
        ),
        ("receivers", "unknown", {}),
        ("receivers", "warning", {"silent": {SERVICE: AT}}),
        ("receivers", "warning", {"failing": {SERVICE: AT}}),
        ("receivers", "warning", {"remembered": {SERVICE: AT}}),
        ("epr", "ok", {"eprs": [EPR]}),
        ("epr", "unknown", {"eprs": [replace(EPR, seen_at=None)]}),
        ("epr", "warning", {"eprs": [replace(EPR, unread=[UNREAD], known=True)]}),
        ("epr", "failing", {"eprs": [replace(EPR, asked_at=AT - AN_HOUR)]}),
        ("epr", "failing", {"eprs": [replace(EPR, asked_at=AT + AN_HOUR)]}),
        ("epr_folder", "failing", {"stalled": {"/spool/trust": "ENOSPC"}}),
        ("certificate", "ok", {"expiries": [ending(200)]}),
        ("certificate", "warning", {"expiries": [ending(5)]}),
        ("certificate", "failing", {"expiries": [ending(0)]}),
        ("renewal", "warning", {"refused": {"the signing key of trust": "no RSA key"}}),
        ("clock", "ok", {"tokens": [TOKEN]}),
        ("clock", "warning", {"tokens": [replace(TOKEN, clock_skew_seconds=-9.0)]}),
        ("clock", "unknown", {}),
    ],
)
def test_each_thing_is_told_as_it_is_known(
    name: str, state: str, changes: dict[str, object]
) -> None:
    """What nobody has tried is unknown, and never said to be well."""
    assert state == state_of(name, found(replace(AT_REST, **changes)))  # type: ignore[arg-type]


def test_receivers_are_well_once_one_has_acknowledged_and_none_is_away() -> None:
    """Who has answered lately is proof that the way there is open."""
    each = dependencies(EMPTY, replace(NOTHING, acknowledged_at=AT), AT_REST, None, first_days=90)

    assert "ok" == state_of("receivers", each)


def test_what_is_unread_is_no_trouble_before_its_time() -> None:
    """An EPR that looks every few minutes is well."""
    early = replace(UNREAD, late_after=2 * AN_HOUR)

    assert "ok" == state_of("epr", found(replace(AT_REST, eprs=[replace(EPR, unread=[early])])))


@pytest.mark.parametrize(("free", "state"), [(99, "failing"), (399, "warning"), (400, "ok")])
def test_a_disk_is_judged_by_what_is_asked_for(free: int, state: str) -> None:
    """It is said before nothing is taken any more."""
    assert state == state_of("disk", found(replace(AT_REST, minimum_free_bytes=100), free))


def test_a_database_that_cannot_be_read_leaves_the_rest_to_be_told() -> None:
    """Who asks in the worst of hours gets an answer, and no more than is known."""
    running = replace(AT_REST, tokens=[TOKEN], expiries=[ending(5)])
    each = dependencies(None, None, running, "it is damaged", first_days=90)
    states = [state_of(name, each) for name in ("database", "disk", "token_service", "certificate")]

    assert ["failing", "unknown", "ok", "unknown"] == states


def test_no_receiver_is_named() -> None:
    """How many are away is told; which, the page says."""
    each = found(replace(AT_REST, silent={SERVICE: AT}, failing={SERVICE: AT}))

    assert "2000000202" not in str(each)
