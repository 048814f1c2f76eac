"""
The overview: whether anybody has to act, whether mail flows both ways, what waits and what is owed.

    GET /   what needs a person ─► what flows, how fast ─► what waits ─► the EPR ─► the machine

What needs a person stands first, the most harmful for patients first, and each leads to exactly the
things that it speaks of.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from aiohttp import web

from bars_gateway.console.charts import Bars
from bars_gateway.console.desk import Desk, shown
from bars_gateway.console.leads import holds_up, leads_of, waits_for
from bars_gateway.disk import room
from bars_gateway.frozen import frozen
from bars_gateway.model.alerts import Alert
from bars_gateway.status.concern import Concern
from bars_gateway.status.concerns import concerns
from bars_gateway.status.runbooks import RUNBOOKS
from bars_gateway.store.figures import AnswerTimes, Flow, Up

_DEBTS = 10  # that the first page lists
_AGES = ("under 1 min", "1 to 5 min", "5 to 30 min", "30 min to 2 h", "2 to 8 h", "over 8 h")
_QUESTIONS = 20  # likewise
_MEBIBYTE = 2**20
_UP = 99.9  # per cent


@frozen(kw_only=True)
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
        uptime = await desk.store.uptimes.uptime(frame.at)
        found = by_harm(concerns(overview, frame.running, desk.first_days))
        held_up = any(map(holds_up, found))
        waiting = await desk.store.figures.waiting_counted() if held_up else []
        return shown(
            "overview.html",
            frame,
            overview=overview,
            traffic=traffic,
            debts=await desk.store.debts.owed(_DEBTS),
            most_debts=_DEBTS,
            questions=await desk.store.questions.questions_listed(_QUESTIONS),
            uptime=uptime,
            ups=[("24 hours", uptime.day), ("30 days", uptime.month)],
            share_up=share_up,
            growth=growth(uptime.bytes_a_day, overview.free_bytes),
            flows=[
                (name, counted, flow, bars(flow, counted.capitalize()))
                for name, counted, flow in (
                    ("Out, to others", "attempts acknowledged", traffic.outbound),
                    ("In, from others", "messages received", traffic.inbound),
                )
            ],
            ages=_AGES,
            meters=[("24 hours", meters(traffic.day)), ("30 days", meters(traffic.month))],
            concerns=[
                (each, leads_of(each, frame.at), waits_for(each, waiting), RUNBOOKS[each.kind])
                for each in found
            ],
            alerts=told_of(found, await desk.store.alerts.standing()),
        )


def by_harm(found: Sequence[Concern]) -> Sequence[Concern]:
    """Return first that for which somebody is woken, as a patient may be waiting; then the rest."""
    return sorted(found, key=lambda each: not RUNBOOKS[each.kind].urgent)


def told_of(found: Sequence[Concern], alerts: Sequence[Alert]) -> Mapping[str, Alert]:
    """Return the open alert by its code, where there is one concern and one alert of that code."""
    concerned, told = Counter(each.kind for each in found), Counter(each.code for each in alerts)
    return {each.code: each for each in alerts if concerned[each.code] == told[each.code] == 1}


def share_up(up: Up) -> Meter:
    """Return how far it is kept that the gateway is to be reached."""
    asked, kept = (round(each.total_seconds() * 1000) for each in (up.of, up.up))
    return Meter(name="up", asked=asked, kept=kept, goal=_UP)


def growth(bytes_a_day: float | None, free: int | None) -> str:
    """Return how fast the database grows, in words, and for how long there is room."""
    if bytes_a_day is None:
        return "How fast it grows is not known before it has run for a day"
    if bytes_a_day / _MEBIBYTE < 0.1:  # noqa: PLR2004
        return "It does not grow"
    if free is None:
        return f"It grows by {room(bytes_a_day)} a day"
    days = free / bytes_a_day
    lasts = "more than a year" if days > 365 else f"{days:.0f} days"  # noqa: PLR2004
    return f"It grows by {room(bytes_a_day)} a day: at that rate there is room for {lasts}"


def bars(flow: Flow, counted: str) -> Bars:
    """Return the drawing of what went one way in 24 hours."""
    return Bars(counts=flow.hours, title=f"{counted} in each of the last {len(flow.hours)} hours")


def meters(answered: AnswerTimes) -> Sequence[Meter]:
    """Return how far the standard's promises about speed were kept."""
    return [
        Meter(name="within 2.1 s", asked=answered.asked, kept=answered.within_2100, goal=90),
        Meter(name="within 5 s", asked=answered.asked, kept=answered.within_5000, goal=100),
    ]
