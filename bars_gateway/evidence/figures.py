"""
How long answers took: of a run, of the gateway that runs here, and of what its database counts.

    exchanges ─► percentiles           the run
    /metrics  ─► percentiles, at most  the gateway of the installation, since it started
    database  ─► shares in time        what others answered it, in a day and in a month

A figure of `/metrics` is counted in classes: a percentile is the upper end of the class that it
falls into. All of it is counts and seconds: nothing of a message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from bars_gateway.config import Settings
from bars_gateway.engine import looked
from bars_gateway.errors import StoreError
from bars_gateway.evidence.tape import Leg, RecordedExchange
from bars_gateway.store.figures import traffic

_PERCENTILES = (50, 90, 99)
_WITHIN = (2.1, 5.0)  # seconds: the guide's two limits
_WAITED = frozenset({"receive-too-early", "send-too-early"})  # scenes in which a wait is the point
_COUNTED: Mapping[str, str] = {
    "bars_inbound_seconds": "requests of others, answered by the gateway",
    "bars_attempt_seconds": "attempts of ours, answered through the proxy",
}
_PATIENCE = aiohttp.ClientTimeout(total=3)


def figures_of_run(exchanges: Sequence[RecordedExchange]) -> Mapping[str, object]:
    """Return how long answers took in a run, for each way; where waiting was the point, not."""
    counted = [e for e in exchanges if e.status is not None and e.scene not in _WAITED]
    ways = {
        "$process-message, answered by the gateway": [
            e for e in counted if e.leg is Leg.RECEIVER and e.method == "POST"
        ],
        "reads, answered by the gateway": [
            e for e in counted if e.leg is Leg.RECEIVER and e.method == "GET"
        ],
        "everything, answered by the sandbox's national side": [
            e for e in counted if e.leg is Leg.NATIONAL
        ],
    }
    return {name: _times([each.seconds for each in found]) for name, found in ways.items()}


def _times(seconds: Sequence[float]) -> Mapping[str, object]:
    ordered = sorted(seconds)
    if not ordered:
        return {"answers": 0}
    last = len(ordered) - 1
    return {
        "answers": len(ordered),
        **{
            f"p{share}_ms": round(1000 * ordered[min(last, len(ordered) * share // 100)], 1)
            for share in _PERCENTILES
        },
        "longest_ms": round(1000 * ordered[-1], 1),
        **{
            f"within_{limit:g}_s": sum(each <= limit for each in ordered) / len(ordered)
            for limit in _WITHIN
        },
    }


async def figures_of_database(settings: Settings, now: datetime) -> Mapping[str, object]:
    """Return which share others answered in time, and how much went each way."""
    if settings.store.url is None and not settings.database_path.is_file():
        return {"database": "there is none: no gateway ran with these settings"}
    try:
        found = await looked(settings, lambda connection: traffic(connection, now))
    except StoreError as error:
        return {"database": f"it cannot be read: {error}"}
    return {
        "sent_in_24_hours": found.outbound.total,
        "received_in_24_hours": found.inbound.total,
        "answers_to_us_in_24_hours": asdict(found.day),
        "answers_to_us_in_30_days": asdict(found.month),
    }


async def figures_of_gateway(settings: Settings) -> Mapping[str, object]:
    """Return how long answers took since the gateway started that runs with *settings*."""
    url = f"http://{settings.status.listen}/metrics"
    try:
        async with (
            aiohttp.ClientSession(timeout=_PATIENCE, trust_env=False) as session,
            session.get(url) as response,
        ):
            response.raise_for_status()
            return counted_in(await response.text())
    except (aiohttp.ClientError, TimeoutError):
        return {"gateway": f"none answers at {url}"}


def counted_in(metrics: str) -> Mapping[str, object]:
    """Return the percentiles of what *metrics*, a page of `/metrics`, counts in classes."""
    return {
        _COUNTED[family.name]: _of_classes(
            {float(each.labels["le"]): each.value for each in family.samples if "le" in each.labels}
        )
        for family in text_string_to_metric_families(metrics)
        if family.name in _COUNTED
    }


def _of_classes(classes: Mapping[float, float]) -> Mapping[str, object]:
    """Return the percentiles of so many answers up to each number of seconds."""
    total = max(classes.values(), default=0)
    if not total:
        return {"answers": 0}
    ends = sorted(classes)
    return {
        "answers": int(total),
        **{
            f"p{share}_at_most_ms": _milliseconds(
                next(end for end in ends if classes[end] >= total * share / 100)
            )
            for share in _PERCENTILES
        },
        **{f"within_{limit:g}_s": classes[limit] / total for limit in _WITHIN if limit in classes},
    }


def _milliseconds(seconds: float) -> float | None:
    """Return it as JSON can; None: above the last class."""
    return None if seconds == float("inf") else 1000 * seconds
