"""A gateway at rest, as its page and its figures see it, and every figure that there is."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from bars_gateway.inbound.acceptor import InboundMetrics
from bars_gateway.model.messages import OutboundState
from bars_gateway.model.readings import Overview
from bars_gateway.standard.workflow import State
from bars_gateway.status.metrics import Collected, Measured
from bars_gateway.status.running import RuntimeState, TokenState
from bars_gateway.store.figures import Counted

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
EMPTY = Overview(
    at=AT,
    outbound=dict.fromkeys(OutboundState, 0),
    inbound=0,
    workflows=dict.fromkeys(State, 0),
    notices_pending={},
    questions_open={},
    cancels_waiting={},
    oldest_open_at=None,
    oldest_waiting_at=None,
    oldest_late_at=None,
    next_due_at=None,
    last_attempts=(),
    last_workflows=(),
    standing=(),
    alarms=(),
    database="/var/lib/bars-gateway/gateway.db",
    database_bytes=0,
    free_bytes=2**40,
)
NOTHING = Counted(backlog={}, quarantined={}, overdue={}, received_at=None, acknowledged_at=None)
AT_REST = RuntimeState(
    version="0.1.0",
    environment="int",
    node="gateway-1",
    started_at=AT,
    address="0.0.0.0:8443",
    stopping=False,
    tokens=(),
    expiries=(),
    handshake_failures={},
)

TOKEN = TokenState(
    provider="trust",
    key_id="int-2",
    refused_keys=(),
    expires_at=AT + timedelta(hours=1),
    failing_since=None,
    reason=None,
    advice=None,
    clock_skew_seconds=0.0,
)


def collected(
    overview: Overview = EMPTY, counted: Counted = NOTHING, running: RuntimeState = AT_REST
) -> Sequence[Metric]:
    """Return what is collected where it stands so."""
    return list(Collected(overview, counted, running, first_days=90).collect())


def counters() -> Sequence[Any]:
    """Return what the parts count themselves."""
    registry = CollectorRegistry()
    InboundMetrics(registry)
    Measured(registry)
    return list(registry._collector_to_names)


def every_name() -> set[str]:
    """Return the name of each series that `/metrics` may have."""
    names = {f"{m.name}_total" if m.type == "counter" else m.name for m in collected()}
    for each in counters():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}[each._type]
        names |= {each._name + end for end in ends}
    return names
