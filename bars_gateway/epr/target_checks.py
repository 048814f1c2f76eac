"""
Whether a service takes a request: asked before it is accepted, while somebody is still there.

    Message ─► MessageDefinitions of its service, kept or asked for ─► Issue, Unchecked, or None
                                 └◄─ asked for again ─┘ where the kept ones would refuse

What is kept may be older than the service's last release: nobody is refused for that. So an
objection by what is kept is held against what the service says now, and holds where nothing comes
back. No answer where nothing is kept, and one that nobody can read or believe, are no objection:
then the request is sent, and log and receipt say that it went unchecked: whoever submits it may
want to telephone. A service that gave no answer is not asked again for a minute, and one that gave
an answer of no use for five, so that neither holds up anybody's work. Nothing of that is kept for
longer.
"""

from collections.abc import Awaitable, Callable

import structlog

from bars_gateway.frozen import frozen
from bars_gateway.standard.answers import read_outcome
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.headers import (
    Ids,
    SenderIdentity,
    TargetIdentifier,
    for_asking,
)
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.publications import (
    are_believable,
    objection,
    of_service,
    question,
    unreachable,
)
from bars_gateway.standard.reads import BarsAnswer, BarsRequest, Reads, Unanswered, accept_of, shown

log = structlog.get_logger(__name__)

_SILENT_FOR = 60.0  # seconds
_USELESS_FOR = 300.0
_OK = 200


@frozen
class Unchecked:
    """Nobody knows whether the service takes the request, and it is sent all the same."""

    reason: str  # in words for the EPR's people; nothing of what the service said


TargetCheck = Callable[[Message], Awaitable[Issue | Unchecked | None]]


async def everything_goes(_message: Message) -> Unchecked:
    """Object to nothing: for where the check is switched off."""
    return Unchecked("the check is switched off")


class TargetChecks:
    """Checks one provider's requests."""

    def __init__(
        self,
        reads: Reads,
        *,
        provider: str,
        identity: SenderIdentity,
        new_id: Callable[[], str],
        monotonic: Callable[[], float],
        seconds: float,
    ) -> None:
        self._reads = reads
        self._provider = provider
        self._identity = identity
        self._new_id = new_id
        self._monotonic = monotonic
        self._seconds = seconds
        self._pauses: dict[str, tuple[float, str]] = {}  # by service: until when, and why

    async def __call__(self, message: Message) -> Issue | Unchecked | None:
        """Return what the service of *message* does not take of it; None: it takes it."""
        service = message.destinations[0]
        until, why = self._pauses.get(service, (0.0, ""))
        if until > self._monotonic():
            return self._unchecked(service, why)
        request = self._request(service)
        answer = await self._reads.ask(request, self._seconds)
        if isinstance(answer, Unanswered):
            self._pause(service, _SILENT_FOR, "it gave no answer within the last minute")
            return self._unchecked(service, answer.reason)
        found = self._judged(message, request, answer, service)
        if not isinstance(found, Issue) or answer.kept_since is None:
            return found
        again = await self._reads.ask(request, self._seconds, fresh=True)
        if isinstance(again, Unanswered):
            return found
        return self._judged(message, request, again, service)

    def _judged(
        self, message: Message, request: BarsRequest, answer: BarsAnswer, service: str
    ) -> Issue | Unchecked | None:
        if answer.http_status != _OK:
            address_problem = unreachable(read_outcome(answer.body))
            if address_problem is not None:
                return address_problem
            self._pause(service, _SILENT_FOR, "it gave no answer within the last minute")
            return self._unchecked(service, f"it answered with HTTP {answer.http_status}")
        published = shown(request, answer)
        if published is None:
            reason = "what it answers is not what it was asked for"
            self._pause(service, _USELESS_FOR, reason)
            return self._unchecked(service, reason)
        definitions = of_service(published, [service])
        if not are_believable(definitions):
            reason = "its definitions ask for what no message of BaRS holds"
            return self._unchecked(service, reason)
        return objection(message, definitions)

    def _request(self, service: str) -> BarsRequest:
        target = TargetIdentifier.parse(service)
        return BarsRequest(
            provider=self._provider,
            method="GET",
            resource="MessageDefinition",
            resource_id=None,
            query=question(service),
            target=target,
            headers=for_asking(
                target,
                self._identity,
                ids=Ids(self._new_id(), self._new_id()),
                accept=accept_of("", self._identity.core_version),
            ),
        )

    def _pause(self, service: str, seconds: float, why: str) -> None:
        self._pauses[service] = (self._monotonic() + seconds, why)

    def _unchecked(self, service: str, reason: str) -> Unchecked:
        log.warning(
            "epr.target_unchecked", provider=self._provider, receiver=service, reason=reason
        )
        return Unchecked(reason)
