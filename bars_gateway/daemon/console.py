"""What the console is given: who may come, by which rules, and what does as they ask."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

import orjson
import structlog

from bars_gateway.config import Settings
from bars_gateway.console.access import Rules
from bars_gateway.console.hands import ActionOutcome, Effect, Wish
from bars_gateway.console.users import UserFile
from bars_gateway.console.visitor import UserRole
from bars_gateway.daemon.parts import Clock, new_id, overrides_of
from bars_gateway.epr.interventions import (
    MOST_AT_ONCE,
    AttachedResponse,
    Attaching,
    ConfirmedWorkflow,
    Confirming,
    Intervention,
    Verbs,
)
from bars_gateway.epr.orders import (
    Handling,
    OrderProblem,
    read_acknowledgement,
    read_attachment,
    read_confirmation,
    read_handling,
    read_order,
)
from bars_gateway.frozen import frozen
from bars_gateway.model.interventions import HANDLING_OBJECTIONS, IN_BULK, Verb
from bars_gateway.model.messages import OutboundState
from bars_gateway.standard.rule import Side
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)
_VIA = "console"
_NO_ALARM = HANDLING_OBJECTIONS["no_alarm"]
Order = TypeVar("Order")
Done = TypeVar("Done")


def users_of(settings: Settings) -> UserFile:
    """Return the file of users; one that is named in the settings has to be there."""
    return UserFile(settings.users_file, required=settings.console.users_file is not None)


def rules_of(settings: Settings) -> Rules:
    """Return who may come, and how; the secret is read as it is now."""
    console = settings.console
    file = console.proxy_secret_file
    return Rules(
        idle=timedelta(minutes=console.idle_minutes),
        longest=timedelta(hours=console.session_hours),
        names=console.names,
        proxy=str(console.proxy) if console.proxy else None,
        secret=file.read_text("utf-8").strip() if file else "",
        user_header=console.user_header,
        groups_header=console.groups_header,
        groups={
            UserRole.VIEWER: console.viewers,
            UserRole.OPERATOR: console.operators,
            UserRole.REVEAL: console.reveal,
        },
    )


@frozen(kw_only=True)
class _OfProvider:
    name: str
    verbs: Verbs
    attaching: Attaching
    confirming: Confirming


class ProvidersHands:
    """Does as the console asks, for whichever provider it is about, as the EPR's socket does."""

    at_once = MOST_AT_ONCE

    def __init__(self, settings: Settings, store: Store, now: Clock) -> None:
        timing = settings.timing_for
        self._store, self._now = store, now
        self._each = [
            _OfProvider(
                name=name,
                verbs=Verbs(store, provider=name, timing=timing, now=now, new_id=new_id),
                attaching=Attaching(
                    store,
                    provider=name,
                    overrides=overrides_of(settings, provider, Side.RECEIVING),
                    now=now,
                ),
                confirming=Confirming(store, provider=name, now=now),
            )
            for name, provider in settings.providers.items()
        ]

    async def act(
        self, verb: Verb, numbers: Sequence[int], wish: Wish, *, in_bulk: bool
    ) -> ActionOutcome:
        """Do it with these outbound messages; *in_bulk*: with those whose state is for that."""
        flags = {"confirmed": wish.confirmed, "after_its_time": wish.after_its_time}
        order = _read(partial(read_order, verb=verb), wish, flags)
        if isinstance(order, ActionOutcome):
            return order
        states = IN_BULK[verb] if in_bulk else frozenset(OutboundState)
        effects: list[Effect] = []
        for each in self._each:
            report = await each.verbs.act_on_these(order, numbers, states, _VIA)
            effects += map(_effect, report.interventions)
        return ActionOutcome(effects=effects, unknown=not effects and not in_bulk)

    async def attach(self, number: int, workflow_id: int, wish: Wish) -> ActionOutcome:
        """Attach a quarantined response to a workflow."""
        order = _read(read_attachment, wish, {"workflow_id": workflow_id})
        if isinstance(order, ActionOutcome):
            return order
        done = await _first_of(each.attaching.attach(order, number, _VIA) for each in self._each)
        if done is None:
            return ActionOutcome(problem="Nothing in quarantine has that number.")
        return _one(f"quarantine {number}", done)

    async def confirm(self, workflow_id: int, state: str, wish: Wish) -> ActionOutcome:
        """Say how a workflow in doubt stands."""
        order = _read(read_confirmation, wish, {"state": state})
        if isinstance(order, ActionOutcome):
            return order
        done = await _first_of(
            each.confirming.confirm(order, workflow_id, _VIA) for each in self._each
        )
        if done is None:
            return ActionOutcome(problem="No workflow has that number.")
        return _one(f"workflow {workflow_id}", done)

    async def handle(self, alarms: Sequence[int], wish: Wish) -> ActionOutcome:
        """Mark alarms as handled."""
        order = _read(read_handling, wish, {"alarms": list(alarms)})
        if isinstance(order, ActionOutcome):
            return order
        found: dict[str, Effect] = {}
        for each in self._each:
            for effect in await self._handle_at(each.name, order):
                known = found.get(effect.name)
                if known is None or (known.state is None and effect.state is not None):
                    found[effect.name] = effect
        if all(each.objection == _NO_ALARM for each in found.values()):
            return ActionOutcome(problem="No alarm has such a number.", unknown=True)
        return ActionOutcome(effects=list(found.values()))

    async def _handle_at(self, provider: str, order: Handling) -> Sequence[Effect]:
        done = await self._store.alarms.handle(
            provider, order.chosen, order.actor(_VIA), self._now(), dry_run=order.dry_run
        )
        count = sum(each.objection is None for each in done)
        if count and not order.dry_run:
            log.info("alarms.handled", provider=provider, count=count, kind=order.role)
        return [
            Effect(
                name=f"alarm {each.name}",
                state=each.alarm.kind if each.alarm else None,
                objection=each.objection,
            )
            for each in done
        ]

    async def acknowledge(self, alert: int, wish: Wish) -> ActionOutcome:
        """Say that somebody sees to an alert."""
        signed = {"why": wish.why, "by": wish.by, "role": "operator"}
        try:
            order = read_acknowledgement(orjson.dumps(signed))
        except OrderProblem as problem:
            return _not_read(problem)
        found = next((e for e in await self._store.alerts.standing() if e.number == alert), None)
        if found is not None and not wish.dry_run:
            found = await self._store.alerts.acknowledge(alert, order.actor(_VIA), self._now())
            if found is not None:
                log.info("alerts.acknowledged", name=found.number, kind=found.code)
        if found is None:
            return ActionOutcome(problem="No alert is open under that number.")
        effect = Effect(name=f"alert {found.number}: {found.says}", state=found.state)
        return ActionOutcome(effects=[effect])


def _read(
    read: Callable[[bytes], Order], wish: Wish, more: Mapping[str, object]
) -> Order | ActionOutcome:
    """Return the order as the socket would read it, or what is wrong with it."""
    signed = {"why": wish.why, "by": wish.by, "role": "operator", "dry_run": wish.dry_run}
    try:
        return read(orjson.dumps({**signed, **more}))
    except OrderProblem as problem:
        return _not_read(problem)


def _not_read(problem: OrderProblem) -> ActionOutcome:
    text = str(problem)
    return ActionOutcome(problem=f"{text[:1].upper()}{text[1:]}.")


async def _first_of(asked: Iterable[Awaitable[Done | None]]) -> Done | None:
    """Return what came of it at the first provider whose it is; the others are not asked."""
    for each in asked:
        done = await each
        if done is not None:
            return done
    return None


def _one(name: str, done: AttachedResponse | ConfirmedWorkflow) -> ActionOutcome:
    return ActionOutcome(effects=[Effect(name=name, state=done.state, objection=done.objection)])


def _effect(done: Intervention) -> Effect:
    return Effect(
        name=done.request_id,
        message_id=done.message_id,
        state=done.state,
        objection=done.objection,
        may_happen=done.may_happen,
        resent_as=done.resent_as,
        also=done.also,
    )
