"""
Writes to the gateway under trial: the responses that are planned, and what it is told to send.

    held ─► plan ─► scripts ─► steps, with a pause before each ─► Sender ─► proxy
    admin port ─► request, update, cancellation, response ────────► Sender ─► proxy

Each conversation is a task of its own: one that waits for its gateway holds up no other.
"""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime

from bars_gateway.demo import responses
from bars_gateway.sandbox.counterparty import requests
from bars_gateway.sandbox.counterparty.holdings import Direction, Held, Holdings
from bars_gateway.sandbox.counterparty.plans import Step, planned
from bars_gateway.sandbox.counterparty.reception import held_for
from bars_gateway.sandbox.counterparty.scripts import Of, Scripts, Verb
from bars_gateway.sandbox.counterparty.sender import Sender, Sent
from bars_gateway.standard import bundle
from bars_gateway.standard.bundle import MalformedBundle, Message
from bars_gateway.standard.formats import Format, to_tree
from bars_gateway.standard.meaning import move_of
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import Move, State

RESPONSE_ATTEMPTS = 12  # with their pauses, some minutes
_FATES = {Verdict.ACKNOWLEDGED: Move.REQUEST, Verdict.REFUSED: Move.REFUSE}


class Correspondence:
    """Sends what the counterparty has to say."""

    def __init__(
        self,
        holdings: Holdings,
        scripts: Scripts,
        sender: Sender,
        *,
        pause_seconds: float,
        now: Callable[[], datetime],
    ) -> None:
        self._holdings = holdings
        self._scripts = scripts
        self._sender = sender
        self._pause = pause_seconds
        self._now = now
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Let conversations go on, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await asyncio.Event().wait()

    def begin(self, held: Held, plan: str) -> None:
        """Begin the responses to what was taken, by the plan of that name."""
        met = self._scripts.use(Of.RESPONSES, application_of(held.use_case))
        steps = planned(plan, met)
        pause = met[Verb.DELAY].seconds if Verb.DELAY in met else self._pause
        if steps and self._tasks is not None:
            self._tasks.create_task(self._follow(held, steps, pause))

    async def request(self, body: bytes) -> tuple[Sent, Held]:
        """Send a new request. It is held before it leaves: its response may overtake its answer."""
        message, correlation_id = bundle.read(body), str(uuid.uuid4())
        held = held_for(message, message.root, Direction.SENT, correlation_id)
        held.focus_id, held.state = message.bundle_id, State.REQUESTED
        held.bundle_ids.append(message.bundle_id)
        self._holdings.keep(held)
        sent = await self._sender.send(body, correlation_id, attempts=1)
        if sent.verdict is Verdict.ACKNOWLEDGED:
            self._learn(held, message, sent.body)
        held.move(_FATES.get(sent.verdict, Move.LAPSE))
        held.note(f"sent {Move.REQUEST}", self._now(), **sent.document())
        return sent, held

    def _learn(self, held: Held, message: Message, acknowledgement: bytes) -> None:
        try:
            tree = to_tree(acknowledgement, Format.JSON)
            acknowledged = held_for(message, tree, Direction.SENT, held.correlation_id)
        except MalformedBundle:
            return  # taken all the same; what was given to it is not known
        self._holdings.learn(held, acknowledged)

    async def change(self, held: Held, *, cancel: bool) -> Sent:
        """Update or cancel what was sent."""
        make = requests.cancellation if cancel else requests.update
        body = make(held.acknowledgement)
        return await self._send(held, body, attempts=1)

    async def respond(self, held: Held, step: Step, attempts: int = 1) -> Sent:
        """Send one response to what was received."""
        body = _response(held, step)
        sent = await self._send(held, body, attempts)
        if step.repeat:
            await self._send(held, body, attempts, request_id=sent.request_id)
        return sent

    async def _follow(self, held: Held, steps: Sequence[Step], pause: float) -> None:
        for step in steps:
            await asyncio.sleep(pause)
            if held.state is State.CANCELLED:
                return
            await self.respond(held, step, RESPONSE_ATTEMPTS)

    async def _send(
        self, held: Held, body: bytes, attempts: int, request_id: str | None = None
    ) -> Sent:
        message = bundle.read(body)
        move = move_of(message)
        assert move is not None
        if message.bundle_id not in held.bundle_ids:
            held.bundle_ids.append(message.bundle_id)
        sent = await self._sender.send(
            body, held.correlation_id, attempts=attempts, request_id=request_id
        )
        if sent.verdict is Verdict.ACKNOWLEDGED:
            held.move(move)
        held.note(f"sent {move}", self._now(), **sent.document())
        return sent


def _response(held: Held, step: Step) -> bytes:
    if step.no_show:
        return responses.no_show(held.acknowledgement)
    return responses.response(
        held.acknowledgement,
        encounter=step.encounter,
        reason=step.reason,
        rejection=step.rejection,
    )
