"""
What an operator may do from a page: first what would happen, then a reason, then it is done, once.

    GET  /act?verb=hold&of=12      messages, named or found by the filters of the list
    GET  /attach · /confirm · /handle · /acknowledge
           └─► a dry run: what would happen, and to how many ─► a form
    POST /do                       exactly what was shown ─► 303
    GET  /did/NAME                 what became of it

What was shown is kept in the session under a random name, and the form holds that name alone: it
cannot be changed on the way, and what came in since is not meant. A form that is sent twice is done
once: the second leads to what became of the first.

More than the command line takes in one round is refused, so that nothing newer is done before what
it has to follow.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from urllib.parse import urlencode

from aiohttp import web

from bars_gateway.console.access import SESSION, Access
from bars_gateway.console.desk import Asked, Desk, missing, shown
from bars_gateway.console.hands import ActionOutcome, Hands, Wish
from bars_gateway.console.messages import FILTERS, PLACE, wanted_of
from bars_gateway.console.visitor import VISITING
from bars_gateway.frozen import frozen
from bars_gateway.model.interventions import DOES, IN_BULK, Verb
from bars_gateway.model.numbers import number_in
from bars_gateway.standard.workflow import CONFIRMABLE
from bars_gateway.store.searches import MessageFilter

_FOR_A_LOOK = "to see what would happen"  # the reason of a dry run, which nobody keeps
_MOST_ALARMS = 500
_NO_WORKFLOW = "No workflow has that number."
_GONE = "What you were shown is no longer kept: you have logged in again, or looked at much since."


@dataclass(slots=True, kw_only=True)
class Plan:
    """What was shown to somebody, and may be done once."""

    heading: str
    does: str
    carry_out: Callable[[Wish], Awaitable[ActionOutcome]]
    foreseen: ActionOutcome
    back: str  # where they came from
    resends: bool = False
    begun: bool = False
    result: ActionOutcome | None = field(default=None)


class ActPages:
    """The pages on which something is done."""

    def __init__(self, desk: Desk, access: Access, hands: Hands) -> None:
        self._desk, self._access, self._hands = desk, access, hands

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        return [
            web.get("/act", self._act),
            web.get("/attach", self._attach),
            web.get("/confirm", self._confirm),
            web.get("/handle", self._handle),
            web.get("/acknowledge", self._acknowledge),
            web.post("/do", self._do),
            web.get(r"/did/{name:[\w-]{1,64}}", self._did),
        ]

    async def _act(self, request: web.Request) -> web.Response:
        named = request.query.get("verb", "")
        if named not in list(Verb):
            return self._cannot(f"There is nothing called that: {', '.join(Verb)}.")
        verb = Verb(named)
        of = _numbers(request, "of")
        if of:
            back = f"{PLACE}/{of[0]}" if len(of) == 1 else PLACE
            heading = f"{verb.capitalize()} {_many(len(of), 'message', of)}"
            return await self._foresee(request, self._messages(verb, of, heading, back))
        asked = Asked(request.query)
        wanted = wanted_of(asked)
        if not request.query.keys() <= {"verb", *FILTERS}:  # else it would mean all there are
            asked.problems["a filter"] = "is none that there is"
        if asked.problems:
            problems = "; ".join(f"{name} {why}" for name, why in asked.problems.items())
            return self._cannot(f"The search cannot be read: {problems}.")
        query = {name: each for name, each in request.query.items() if name != "verb"}
        back = f"{PLACE}?{urlencode(query)}"
        found = await self._found(verb, wanted)
        if len(found) > self._hands.at_once:
            most = f"{self._hands.at_once:,}"
            why = f"More than {most} messages fit, and no more are acted on at once."
            return self._cannot(f"{why} Narrow the search by time, the oldest first.", back)
        if not found:
            states = ", ".join(sorted(IN_BULK[verb]))
            why = f"Nothing fits: by a search, {verb} is for outbound messages that are {states}."
            return self._cannot(why, back, HTTPStatus.OK)
        heading = f"{verb.capitalize()} {_many(len(found), 'message')} that fit a search"
        plan = self._messages(verb, found, heading, back, in_bulk=True)
        return await self._foresee(request, plan)

    async def _found(self, verb: Verb, wanted: MessageFilter) -> list[int]:
        """Return what fits, in the states that the verb is for; one too many at most."""
        states = [each for each in IN_BULK[verb] if wanted.state in {None, each}]
        if wanted.direction not in {None, "outbound"}:
            return []
        found: list[int] = []
        for state in states:
            below = None
            while len(found) <= self._hands.at_once:
                this = replace(wanted, state=state, direction="outbound")
                page = await self._desk.store.searches.page(this, below)
                found += [each.message.message_id for each in page.messages]
                below = page.below
                if below is None:
                    break
        return sorted(found)

    def _messages(
        self,
        verb: Verb,
        numbers: Sequence[int],
        heading: str,
        back: str,
        *,
        in_bulk: bool = False,
    ) -> "_Foreseeable":
        async def act(wish: Wish) -> ActionOutcome:
            return await self._hands.act(verb, numbers, wish, in_bulk=in_bulk)

        return _Foreseeable(heading, DOES[verb], act, back, verb is Verb.RESEND)

    async def _attach(self, request: web.Request) -> web.Response:
        asked = Asked(request.query)
        number, workflow = asked.number("quarantine"), asked.number("workflow")
        if number is None:
            return self._cannot("Name what lies in quarantine, by its number.", "/quarantine")
        if not await self._desk.store.quarantine.holds(number):
            why = "Nothing in quarantine has that number."
            return await self._unknown(request, why, "/quarantine")
        if workflow is None:
            fields = {"quarantine": str(number)}
            return self._choose(
                f"Attach quarantine {number}", "/attach", fields, asked, "/quarantine"
            )
        if not await self._is_workflow(workflow):
            return await self._unknown(request, _NO_WORKFLOW, "/quarantine")

        async def attach(wish: Wish) -> ActionOutcome:
            return await self._hands.attach(number, workflow, wish)

        heading = f"Attach quarantine {number} to workflow {workflow}"
        does = "The EPR gets it as if it had just come, with the remark that somebody attached it."
        return await self._foresee(request, _Foreseeable(heading, does, attach, "/quarantine"))

    async def _confirm(self, request: web.Request) -> web.Response:
        asked = Asked(request.query)
        workflow, state = asked.number("workflow"), asked.text("state")
        if workflow is None:
            return self._cannot("Name the workflow, by its number.", "/")
        if not await self._is_workflow(workflow):
            return await self._unknown(request, _NO_WORKFLOW, "/")
        if state not in CONFIRMABLE:
            fields = {"workflow": str(workflow)}
            heading = f"Say how workflow {workflow} stands"
            return self._choose(heading, "/confirm", fields, asked, "/", sorted(CONFIRMABLE))

        async def confirm(wish: Wish) -> ActionOutcome:
            return await self._hands.confirm(workflow, str(state), wish)

        heading = f"Say that workflow {workflow} is {state.replace('_', ' ')}"
        does = "It settles what is in doubt. Telephone the other side before."
        return await self._foresee(request, _Foreseeable(heading, does, confirm, "/"))

    async def _handle(self, request: web.Request) -> web.Response:
        alarms = _numbers(request, "alarm")
        if not 0 < len(alarms) <= _MOST_ALARMS:
            return self._cannot(f"Name 1 to {_MOST_ALARMS} alarms, by their numbers.", "/")

        async def handle(wish: Wish) -> ActionOutcome:
            return await self._hands.handle(alarms, wish)

        heading = f"Mark {_many(len(alarms), 'alarm', alarms)} as handled"
        does = "The page lists them no more. What gets worse afterwards is raised again."
        return await self._foresee(request, _Foreseeable(heading, does, handle, "/"))

    async def _acknowledge(self, request: web.Request) -> web.Response:
        number = Asked(request.query).number("alert")
        if number is None:
            return self._cannot("Name the alert, by its number.", "/alarms")

        async def acknowledge(wish: Wish) -> ActionOutcome:
            return await self._hands.acknowledge(number, wish)

        heading = f"Say that somebody sees to alert {number}"
        does = "Nobody is told of it again, unless it grows worse. It stays open until it is over."
        what = _Foreseeable(heading, does, acknowledge, "/alarms#alerts")
        return await self._foresee(request, what)

    # What would happen, and what did.

    async def _foresee(self, request: web.Request, what: "_Foreseeable") -> web.Response:
        wish = Wish(by=VISITING.get().name or "", why=_FOR_A_LOOK, dry_run=True)
        foreseen = await what.carry_out(wish)
        if not foreseen.effects:
            why = foreseen.problem or "There is no such thing."
            if foreseen.unknown:
                return await self._unknown(request, why, what.back)
            return self._cannot(why, what.back)
        plan = Plan(
            heading=what.heading,
            does=what.does,
            carry_out=what.carry_out,
            foreseen=foreseen,
            back=what.back,
            resends=what.resends,
        )
        return self._shown(plan, request[SESSION].keep(plan))

    def _shown(self, plan: Plan, name: str, problem: str = "", why: str = "") -> web.Response:
        status = HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK
        frame = self._desk.frame("")
        return shown(
            "plan.html", frame, status, plan=plan, plan_name=name, problem=problem, why=why
        )

    async def _do(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        name, why = str(form.get("plan", "")), str(form.get("why", ""))
        plan = request[SESSION].plans.get(name)
        if plan is None:
            await self._access.unknown(request)
            return self._access.refusal(_GONE, HTTPStatus.NOT_FOUND)
        if not plan.begun:
            wish = Wish(
                by=VISITING.get().name or "",
                why=why,
                confirmed="confirmed" in form,
                after_its_time="after_its_time" in form,
            )
            outcome = await self._carried_out(plan, wish)
            if outcome.problem:
                return self._shown(plan, name, outcome.problem, why)
        return web.Response(status=303, headers={"Location": f"/did/{name}"})

    @staticmethod
    async def _carried_out(plan: Plan, wish: Wish) -> ActionOutcome:
        """Do it; what came to nothing, or ended in a failure, may be asked for once more."""
        plan.begun = True  # before anything is waited for: a second one comes too late
        try:
            outcome = await plan.carry_out(wish)
            plan.result = None if outcome.problem else outcome
        finally:
            plan.begun = plan.result is not None
        return outcome

    async def _did(self, request: web.Request) -> web.StreamResponse:
        plan = request[SESSION].plans.get(request.match_info["name"])
        if plan is None:
            return missing(self._desk.frame(""), "record of that here", _GONE)
        return shown("done.html", self._desk.frame(""), plan=plan)

    async def _unknown(self, request: web.Request, why: str, back: str) -> web.Response:
        """Refuse what names a number that nothing has; the audit trail has it."""
        await self._access.unknown(request)
        return self._cannot(why, back, HTTPStatus.NOT_FOUND)

    async def _is_workflow(self, number: int) -> bool:
        return await self._desk.store.timelines.correlation_of(number) is not None

    def _cannot(
        self, why: str, back: str = "/", status: HTTPStatus = HTTPStatus.BAD_REQUEST
    ) -> web.Response:
        return shown("cannot.html", self._desk.frame(""), status, why=why, back=back)

    def _choose(  # noqa: PLR0917
        self,
        heading: str,
        action: str,
        fields: Mapping[str, str],
        asked: Asked,
        back: str,
        states: Sequence[str] = (),
    ) -> web.Response:
        return shown(
            "choose.html",
            self._desk.frame(""),
            heading=heading,
            action=action,
            fields=fields,
            problems=asked.problems,
            back=back,
            states=states,
        )


@frozen
class _Foreseeable:
    heading: str
    does: str
    carry_out: Callable[[Wish], Awaitable[ActionOutcome]]
    back: str
    resends: bool = False


def _numbers(request: web.Request, name: str) -> list[int]:
    given = request.query.getall(name, [])
    return [number for each in given if (number := number_in(each)) is not None]


def _many(count: int, noun: str, numbers: Sequence[int] = ()) -> str:
    if count == 1 and numbers:
        return f"{noun} {numbers[0]}"
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"
