"""
The overview: whether anybody has to act, whether mail flows both ways, what waits and what is owed.

    GET /   what needs a person ─► what flows, how fast ─► what waits ─► the EPR ─► the machine

What needs a person stands first, the most harmful for patients first, and each leads to exactly the
things that it speaks of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from bars_gateway.console.charts import Bars
from bars_gateway.console.desk import Desk, shown
from bars_gateway.status.concerns import Concern, ConcernKind, concerns
from bars_gateway.store.traffic import AnswerTimes, Flow

_DEBTS = 10  # that the first page lists
_AGES = ("under 1 min", "1 to 5 min", "5 to 30 min", "30 min to 2 h", "2 to 8 h", "over 8 h")
# Where what a concern speaks of is listed, beside what it names itself.
_LEADS = {
    ConcernKind.MESSAGE_HELD: ("/messages?state=held", "the messages that are held"),
    ConcernKind.MESSAGE_WAITING: ("/messages?state=queued", "the messages that wait"),
    ConcernKind.EXPIRY_NEAR: ("/keys", "what ends, and when"),
    ConcernKind.RENEWAL_REFUSED: ("/keys", "certificates and keys"),
    ConcernKind.CALLER_SHUT_OUT: ("/keys", "certificates and keys"),
    ConcernKind.TOKEN_MISSING: ("/keys", "tokens and keys"),
    ConcernKind.KEY_UNKNOWN: ("/keys", "tokens and keys"),
    "workflow.overdue": ("/owed", "all that is owed"),
    "inbound.quarantined": ("/quarantine", "the quarantine"),
    ConcernKind.QUESTION_LATE: ("#epr", "the questions that are open"),
    ConcernKind.EPR_NOT_ASKING: ("#epr", "the EPR"),
    ConcernKind.NOTICE_UNREAD: ("#epr", "the EPR"),
    ConcernKind.DISK_LOW: ("#machine", "this machine"),
}
_OF_RECEIVERS = frozenset({ConcernKind.RECEIVER_SILENT, ConcernKind.RECEIVER_FAILING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One promise about speed, and how far it is kept."""

    name: str
    asked: int
    kept: int
    goal: float  # per cent

    @property
    def share(self) -> float | None:
        """How many of a hundred kept it; None: nothing was asked."""
        return 100 * self.kept / self.asked if self.asked else None

    @property
    def is_kept(self) -> bool | None:
        """Whether it is enough; None: nothing was asked."""
        return None if self.share is None else self.share >= self.goal


class OverviewPage:
    """The first page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        return [web.get("/", self._show)]

    async def _show(self, _request: web.Request) -> web.Response:
        desk, frame = self._desk, self._desk.frame("/")
        overview = await desk.store.overview(frame.at)
        traffic = await desk.store.flows.traffic(frame.at)
        found = concerns(overview, frame.running, desk.first_days)
        return shown(
            "overview.html",
            frame,
            overview=overview,
            traffic=traffic,
            debts=await desk.store.debts.owed(None, _DEBTS),
            most_debts=_DEBTS,
            flows=[
                (
                    "Out, to others",
                    "acknowledged",
                    traffic.outbound,
                    bars(traffic.outbound, "sent"),
                ),
                ("In, from others", "received", traffic.inbound, bars(traffic.inbound, "received")),
            ],
            ages=_AGES,
            meters=[("24 hours", meters(traffic.day)), ("30 days", meters(traffic.month))],
            concerns=[(each, lead(each)) for each in found],
        )


def lead(concern: Concern) -> tuple[str, str] | None:
    """Return where what the concern speaks of is listed, and in what words; None: it names it."""
    if concern.kind in _OF_RECEIVERS:
        waiting = urlencode({"counterparty": concern.about, "state": "queued"})
        return f"/messages?{waiting}", "what waits for it"
    return next((where for kind, where in _LEADS.items() if kind == concern.kind), None)


def bars(flow: Flow, done: str) -> Bars:
    """Return the drawing of what went one way in 24 hours."""
    return Bars(
        counts=flow.hours, title=f"Messages {done} in each of the last {len(flow.hours)} hours"
    )


def meters(answered: AnswerTimes) -> Sequence[Meter]:
    """Return how far the standard's promises about speed were kept."""
    return [
        Meter(name="within 2.1 s", asked=answered.asked, kept=answered.within_2100, goal=90),
        Meter(name="within 5 s", asked=answered.asked, kept=answered.within_5000, goal=100),
    ]
