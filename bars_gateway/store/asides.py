"""
What was set aside because the gateway itself failed over it, and what a person hears of it.

    outbound message ─► held: nothing of it leaves until somebody releases it   alarm, notice
    notice           ─► not given to the EPR until the next start               alarm
    file, answer     ─► refused beside, with a reason                           alarm
    request          ─► 500, and nothing is kept of it                          alarm
    what fell due ─► left as it was, and tried again after five minutes         alarm
    what goes on by itself ─► it goes on with the next                          alarm

What dies between a failure and its being told has told nothing: the unit is as it was, is met
again, and is told then. What cannot be told, because the database takes nothing, is in the log.

Decisions: D-set-aside.
"""

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bars_gateway.store.values import Claim


class Aside(StrEnum):
    """What failed: each is a kind of event, with a row in ALARMS."""

    MESSAGE = "message.set_aside"
    DAMAGED = "payload.damaged"  # the stored bytes of a message are not those that were stored
    NOTICE = "notice.set_aside"
    FILE = "file.set_aside"
    ANSWER = "answer.set_aside"  # the EPR's to a question, or a question that it cannot be asked
    REQUEST = "request.failed"  # the EPR's, on the socket
    ARRIVAL = "inbound.failed"
    WORK = "work.failed"  # what the gateway does by itself


class Asides(Protocol):
    """What may be done with a unit that failed. None of it raises: it is the last resort."""

    async def tell(
        self,
        kind: Aside,
        error: BaseException,
        now: datetime,
        *,
        provider: str | None = None,
        request_id: str | None = None,
        message_id: int | None = None,
    ) -> None:
        """Raise an alarm, and log type and place of *error*; the same place once a minute."""

    async def hold(
        self,
        message_id: int,
        error: BaseException,
        now: datetime,
        *,
        claim: Claim | None = None,
        began: bool = False,
    ) -> None:
        """
        Hold an outbound message that waits, or that *claim* is for; tell EPR and operator.

        *began*: a POST of this claim may have left, so that it stays an attempt.
        """

    async def keep_back(self, provider: str, notice_id: int, error: BaseException) -> None:
        """Give the EPR that notice no more until the next start, and tell the operator."""

    async def begin_anew(self) -> int:
        """Try again each notice that was kept back; return how many: the gateway has started."""
