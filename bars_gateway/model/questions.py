"""
What the EPR is asked while the proxy waits, and what comes of it: values.

    ask_about │ ask ──► QuestionOpen ──► open_questions ──► decide ──► Answered
       (inbound)             │              (the EPR's doors)             │
                             └──────────────── answer_to ◄────────────────┘

A question is committed before the EPR sees it, and its answer before the Sender does. So
it outlives the 408 that its proxy was told, and a restart; a retry meets `Processing`
until the EPR has answered, and that answer afterwards (D-asked-once). The EPR is never asked twice
about what changes something: it may be shown a question again, under the same number.

A read changes nothing and is forgotten after `READ_LIVES`: until then a repeat of the
very same request gets the same answer, and later it is asked again. Another request always
is: slots are never cached.

Whether an EPR is there at all is not on disk, for after a restart nobody is there.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Payload
from bars_gateway.standard.answers import Minted
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import REQUESTER_MOVES, Move

READ_LIVES = timedelta(seconds=60)
ATTENDED = timedelta(seconds=30)  # since an EPR last asked for questions, to count as there

PROCESS_MESSAGE = "$process-message"


@frozen(kw_only=True)
class Terms:
    """Until when an answer is of use, and to whom."""

    answer_by: datetime  # then the proxy gets 408
    alarm_at: datetime  # then the operator is told that nobody has answered


@frozen(kw_only=True)
class ResourceRequest:
    """A request that is not a message: a read, or a preview write."""

    provider: str
    request_id: str
    correlation_id: str
    operation: str  # GET Slot, PUT Appointment, …
    changes: bool  # False: a read
    resource_id: str | None  # of the path
    parameters: Mapping[str, object]  # as they were understood; texts, numbers and lists
    query: str  # as it came
    fingerprint: str  # of all of this: what makes a repeat the same
    body: Payload | None


@frozen(kw_only=True)
class Question:
    """What the EPR is asked, open or answered."""

    question_id: int  # the EPR's key
    provider: str
    operation: str  # $process-message, GET Slot, …
    request_id: str
    correlation_id: str
    about: Mapping[str, object]  # of a message: what it is; of a ResourceRequest: its parameters
    minted: Minted | None  # what we would call what a new message begins
    asked_at: datetime
    answer_by: datetime
    decided_at: datetime | None
    accepted: bool | None
    http_status: int | None
    request: Payload | None  # None: it has no body, or was decided
    modifiers: Sequence[Issue] = ()  # what in the message may change its meaning, while it is here

    @property
    def is_message(self) -> bool:
        """Whether the question is about a message, and not about a resource."""
        return self.operation == "$process-message"

    @property
    def remarks(self) -> Sequence[Remark]:
        """What a person should know about a response, as the workflow was when it came."""
        return [Remark(each) for each in cast("Sequence[str]", self.about.get("remarks", ()))]

    @property
    def is_response(self) -> bool:
        """Whether it is about the answer to what this organisation asked of another."""
        return self.is_message and Move(str(self.about["move"])) not in REQUESTER_MOVES


@frozen(kw_only=True)
class Decision:
    """What the EPR has said, as it is to be answered."""

    accepted: bool
    word: str | None  # of a refusal: slot-taken, …
    http_status: int
    code: str | None  # REC_CONFLICT, …
    answer: Payload  # the resource, the acknowledgement, or the OperationOutcome
    focus_id: str | None  # what the new ServiceRequest or Appointment is called
    reference: str | None  # and its case number
    answered_with: str  # SHA-256 of the EPR's words, however they are written
    answered_in: str  # SHA-256 of the bytes that they came in, which is what 1.0.0 kept


@frozen(kw_only=True)
class Decided:
    """How a question stands after `decide`, the same however often the same answer comes."""

    question: Question
    late: bool  # the Sender had been told 408 by then
    other: bool  # it was answered before, in other words: those stand
    again: bool = False  # it was answered before


@frozen(kw_only=True)
class QuestionOpen:
    """The question is on disk, and the EPR may see it."""

    question_id: int


@frozen(kw_only=True)
class Answered:
    """The EPR has answered: this goes to the Sender."""

    http_status: int
    code: str | None
    answer: Payload


@frozen(kw_only=True)
class Unattended:
    """No EPR is there to be asked: 503, and nothing is kept."""


@frozen(kw_only=True)
class OpenQuestion:
    """One question that an EPR has not answered: ids and times."""

    number: int
    provider: str
    operation: str
    request_id: str
    correlation_id: str
    asked_at: datetime
    answer_by: datetime  # until then its Sender waits
    move: str | None = None  # of a message; None: it reads, or changes a record without one
    request_type: str | None = None
    sender: str | None = None  # system|value


@frozen(kw_only=True)
class OpenQuestions:
    """How many of one provider's questions wait, for the status page."""

    count: int
    late: int  # of those, that no proxy waits for any more
    oldest_at: datetime
