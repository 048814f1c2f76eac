"""
What an answer to one of our messages means.

    ProxyAnswer ──judge──► Judgement(verdict, row, fault)

The HTTP status comes first, then the code, then the rest (D-verdict). Rows of `ROWS` are
tried in order and the first that fits decides; its name is stored with the attempt,
so that anybody can look up here why a message was retried or refused. The order is
the meaning: what is not order is data.

Whatever is not proof is a reason to ask again. A 200 that does not repeat our two
ids did not come from the Receiver, and neither did an error without an
OperationOutcome; but the proxy's own refusals never repeat the ids, so their
absence says nothing about a 4xx.

What an answer proves depends on what came before it. Once an attempt may have arrived,
no refusal shows that the Receiver does not have the message: a *conflict* may be with our
own record. And a *duplicate* of what was never sent before is no proof that it is there.
What the body of a 2xx says (`answers`) counts only where it contradicts: an answer
about somebody else proves nothing.

The platform in front of BaRS refuses us in shapes of its own, before anybody reads a message.
Its fault names what failed as `family.part.What`: the families differ between policies and
releases, and so does the case of letters, so that only the beginning of the last part counts.
"""

from collections.abc import Collection, Mapping
from dataclasses import field
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.standard.answers import AnswerSubject

# Our access token: it ran out, or is not known.
OF_OUR_TOKEN = ("access_token_expired", "invalid_access_token", "InvalidAccessToken")


# Our application: its API key, or what that key may use.
OF_OUR_APPLICATION = (
    "InvalidAPICallAsNoApiProductMatchFound",
    "InvalidApiKey",
    "FailedToResolveAPIKey",
    "InvalidClientIdentifier",
    "invalid_client-app_not_approved",
)
ACCESS_DENIED = "ACCESS_DENIED"  # its OperationOutcome: no prefix says whose fault it is
TABLE_VERSION = 5  # grows with every change of ROWS, and is kept with each attempt
UNFIT = "unfit-on-the-way"  # of one message, and nothing of who gets it
# That something went wrong there, with whatever status: it proves nothing, and may be said of all.
SERVER_ERRORS = frozenset({"server-error", "other-5xx", "quota-as-500", "ok-with-an-error"})
_NO_ANSWER = frozenset(
    {"silence", "timeout", "unavailable", "intermediary", "redirect", "unknown-status"}
)


class Verdict(StrEnum):
    """What becomes of the message."""

    ACKNOWLEDGED = "acknowledged"  # the Receiver has it
    RETRY = "retry"  # nothing is proven: ask again, until its clinical time is over
    RETRY_LIMITED = "retry_limited"  # as retry, for `server_errors_limit` attempts at most
    UNCONFIRMED = "unconfirmed"  # asking again would prove no more: a person has to ask
    REFUSED = "refused"  # the Receiver or BaRS said no
    UNAUTHORIZED = "unauthorized"  # our token: a new one once, then our trouble
    FORBIDDEN = "forbidden"  # our registration: our trouble, not the message's


class Before(StrEnum):
    """What the attempts before this one have left open."""

    NOTHING = "nothing"  # none can have arrived
    UNKNOWN = "unknown"  # one may have arrived
    FOREIGN = "foreign"  # one was answered about another patient, case or event


IN_DOUBT = (Before.UNKNOWN, Before.FOREIGN)


class FaultSide(StrEnum):
    """On whose side the cause lies: BaRS's own prefixes, and ours."""

    SEND = "SEND"  # ours: what was sent, or how
    PROXY = "PROXY"  # BaRS's own proxy, or the network on the way
    REC = "REC"  # at the Receiver
    HERE = "HERE"  # our token, our registration or our own network, as it is seen from here


@frozen(kw_only=True)
class ProxyAnswer:
    """What came back over HTTP for one POST. Silence is `status=None`."""

    status: int | None
    request_id: str | None = None  # as echoed
    correlation_id: str | None = None
    code: str | None = None  # OperationOutcome.issue.details.coding.code, upper case
    issue: str | None = None  # OperationOutcome.issue.code
    is_outcome: bool = False  # the body is an OperationOutcome
    media_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # those worth keeping
    body: bytes = b""
    retry_after: float | None = None  # seconds, from Retry-After

    @property
    def word(self) -> str:
        """The code without the prefix that says whose fault it is."""
        code = self.code or ""
        prefix, _, rest = code.partition("_")
        return rest if prefix in FaultSide.__members__ else code


@frozen(kw_only=True)
class VerdictRow:
    """One line of the table: an answer with all of these is judged so."""

    name: str
    verdict: Verdict
    status: tuple[int, ...] = ()  # empty: any
    at_least: int = 0  # for whole classes of status
    word: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    platform: tuple[str, ...] = ()  # how the last part of the platform's own code begins
    issue: tuple[str, ...] = ()
    echoed: bool | None = None
    outcome: bool | None = None
    said: tuple[AnswerSubject, ...] = ()  # of the body of a 2xx
    before: tuple[Before, ...] = ()
    fault: FaultSide | None = None  # None: as the code's prefix says
    kept_out: bool = False  # it shows that the Receiver does not have what it answers


@frozen(kw_only=True)
class Judgement:
    """The verdict, the row that it was read from, and whose fault it was."""

    verdict: Verdict
    row: str
    fault: FaultSide | None
    ids_echoed: bool

    @property
    def is_server_error(self) -> bool:
        """Whether it is a 500 or its like, which may be said of every message."""
        return self.row in SERVER_ERRORS

    @property
    def is_of_receiver(self) -> bool:
        """Whether the Receiver itself has taken the message, or said no to it."""
        said_no = self.verdict in {Verdict.REFUSED, Verdict.UNCONFIRMED}
        in_doubt = self.row == "refused-in-doubt"
        return self.verdict is Verdict.ACKNOWLEDGED or (
            self.fault is FaultSide.REC and (said_no or in_doubt)
        )

    @property
    def is_silence(self) -> bool:
        """Whether nobody at the Receiver's has said anything, now or in time."""
        return self.row in _NO_ANSWER


ROWS: tuple[VerdictRow, ...] = (
    # 2xx: only the Receiver can repeat our ids. But if it speaks of somebody else, it gets one
    # more chance to speak of us, and then a person has to ask it.
    VerdictRow(
        name="foreign-ack-again",
        verdict=Verdict.UNCONFIRMED,
        status=(2,),
        echoed=True,
        said=(AnswerSubject.FOREIGN,),
        before=(Before.FOREIGN,),
        fault=FaultSide.REC,
    ),
    VerdictRow(
        name="foreign-ack",
        verdict=Verdict.RETRY,
        status=(2,),
        echoed=True,
        said=(AnswerSubject.FOREIGN,),
        fault=FaultSide.REC,
    ),
    # A yes that holds an error is none: whether the message was taken, nobody can tell from it.
    VerdictRow(
        name="ok-with-an-error",
        verdict=Verdict.RETRY_LIMITED,
        status=(2,),
        echoed=True,
        said=(AnswerSubject.ERROR,),
        fault=FaultSide.REC,
    ),
    VerdictRow(
        name="acknowledged-by-another-bundle",
        verdict=Verdict.ACKNOWLEDGED,
        status=(2,),
        echoed=True,
        said=(AnswerSubject.OTHER,),
    ),
    VerdictRow(name="acknowledged", verdict=Verdict.ACKNOWLEDGED, status=(2,), echoed=True),
    VerdictRow(
        name="ok-without-our-ids", verdict=Verdict.RETRY, status=(2,), fault=FaultSide.PROXY
    ),
    # 409: an earlier attempt arrived and only its answer was lost; where there was one.
    VerdictRow(
        name="duplicate-after-foreign-ack",
        verdict=Verdict.UNCONFIRMED,
        status=(409,),
        issue=("duplicate",),
        before=(Before.FOREIGN,),
    ),
    VerdictRow(
        name="duplicate-at-first",
        verdict=Verdict.UNCONFIRMED,
        status=(409,),
        issue=("duplicate",),
        before=(Before.NOTHING,),
    ),
    VerdictRow(name="duplicate", verdict=Verdict.ACKNOWLEDGED, status=(409,), issue=("duplicate",)),
    # The platform in front of BaRS refuses a token or an application in shapes of its own. A
    # Receiver that writes the same repeats our two ids.
    VerdictRow(
        name="token-refused-by-platform",
        verdict=Verdict.UNAUTHORIZED,
        status=(401,),
        outcome=False,
        platform=OF_OUR_TOKEN,
        fault=FaultSide.HERE,
        kept_out=True,
    ),
    VerdictRow(
        name="application-refused-by-platform",
        verdict=Verdict.FORBIDDEN,
        at_least=400,
        outcome=False,
        platform=OF_OUR_APPLICATION,
        fault=FaultSide.HERE,
        kept_out=True,
    ),
    VerdictRow(
        name="access-denied",
        verdict=Verdict.UNAUTHORIZED,
        status=(401,),
        word=(ACCESS_DENIED,),
        prefix=("ACCESS",),
        echoed=False,
        fault=FaultSide.HERE,
        kept_out=True,
    ),
    VerdictRow(
        name="access-forbidden",
        verdict=Verdict.FORBIDDEN,
        status=(403,),
        word=(ACCESS_DENIED,),
        prefix=("ACCESS",),
        echoed=False,
        fault=FaultSide.HERE,
        kept_out=True,
    ),
    # No OperationOutcome on an error: something in between answered. Where it minds the size or the
    # form of what is sent, it will mind it each time: whoever submitted it is told at once.
    VerdictRow(
        name=UNFIT,
        verdict=Verdict.RETRY,
        status=(413, 414, 415, 431),
        outcome=False,
        fault=FaultSide.PROXY,
    ),
    VerdictRow(
        name="intermediary",
        verdict=Verdict.RETRY,
        at_least=300,
        outcome=False,
        fault=FaultSide.PROXY,
    ),
    VerdictRow(name="too-early", verdict=Verdict.RETRY, status=(425,), fault=FaultSide.REC),
    VerdictRow(name="timeout", verdict=Verdict.RETRY, status=(408, 504)),
    VerdictRow(name="too-many-requests", verdict=Verdict.RETRY, status=(429,), kept_out=True),
    VerdictRow(name="unavailable", verdict=Verdict.RETRY, status=(502, 503)),
    # The proxy may hide a quota answer in a 500.
    VerdictRow(
        name="quota-as-500",
        verdict=Verdict.RETRY_LIMITED,
        status=(500,),
        word=("TOO_MANY_REQUESTS",),
        fault=FaultSide.PROXY,
        kept_out=True,
    ),
    # It also turns every 500 that it cannot read into REC_SERVER_ERROR: no proof of anything.
    VerdictRow(name="server-error", verdict=Verdict.RETRY_LIMITED, status=(500,)),
    VerdictRow(
        name="not-implemented-in-doubt",
        verdict=Verdict.RETRY_LIMITED,
        status=(501,),
        before=IN_DOUBT,
    ),
    VerdictRow(name="not-implemented", verdict=Verdict.REFUSED, status=(501,), kept_out=True),
    VerdictRow(name="other-5xx", verdict=Verdict.RETRY_LIMITED, at_least=500),
    VerdictRow(
        name="token-refused",
        verdict=Verdict.UNAUTHORIZED,
        status=(401,),
        prefix=("SEND",),
        fault=FaultSide.HERE,
        kept_out=True,
    ),
    VerdictRow(
        name="not-enabled",
        verdict=Verdict.FORBIDDEN,
        status=(403,),
        prefix=("SEND",),
        fault=FaultSide.HERE,
        kept_out=True,
    ),
    # A no to this attempt says nothing of one before it that may have arrived.
    VerdictRow(
        name="refused-in-doubt", verdict=Verdict.RETRY_LIMITED, at_least=400, before=IN_DOUBT
    ),
    VerdictRow(name="conflict", verdict=Verdict.REFUSED, status=(409,), kept_out=True),
    VerdictRow(
        name="receiver-unauthorized",
        verdict=Verdict.REFUSED,
        status=(401,),
        fault=FaultSide.REC,
        kept_out=True,
    ),
    VerdictRow(name="refused", verdict=Verdict.REFUSED, at_least=400, kept_out=True),
    VerdictRow(name="redirect", verdict=Verdict.RETRY, at_least=300, fault=FaultSide.PROXY),
    VerdictRow(name="unknown-status", verdict=Verdict.RETRY, fault=FaultSide.PROXY),
)

SILENCE = VerdictRow(name="silence", verdict=Verdict.RETRY, fault=FaultSide.PROXY)


KEPT_OUT = frozenset(row.name for row in ROWS if row.kept_out)


FOREIGN = frozenset(row.name for row in ROWS if AnswerSubject.FOREIGN in row.said)


def judge(
    answer: ProxyAnswer,
    *,
    request_id: str,
    correlation_id: str,
    said: AnswerSubject = AnswerSubject.NOTHING,
    before: Before = Before.NOTHING,
) -> Judgement:
    """
    Decide what becomes of the message with those two ids that *answer* answers.

    *said*: what the body of a 2xx is about. *before*: what earlier attempts have left open.
    """
    echoed = (answer.request_id, answer.correlation_id) == (request_id, correlation_id)
    row = SILENCE
    if answer.status is not None:
        row = next(r for r in ROWS if _fits(r, answer, echoed) and _is_met(r, said, before))
    return Judgement(
        verdict=row.verdict, row=row.name, fault=_fault(row, answer), ids_echoed=echoed
    )


def _is_met(row: VerdictRow, said: AnswerSubject, before: Before) -> bool:
    return (not row.said or said in row.said) and (not row.before or before in row.before)


def _fits(row: VerdictRow, answer: ProxyAnswer, echoed: bool) -> bool:  # noqa: FBT001
    status = answer.status or 0
    return (
        (not row.status or status in row.status or (row.status == (2,) and 200 <= status < 300))  # noqa: PLR2004
        and status >= row.at_least
        and (not row.word or answer.word in row.word)
        and (not row.prefix or (answer.code or "").partition("_")[0] in row.prefix)
        and (not row.platform or is_fault(answer.code, row.platform))
        and (not row.issue or answer.issue in row.issue)
        and (row.echoed is None or row.echoed == echoed)
        and (row.outcome is None or row.outcome == answer.is_outcome)
    )


def _fault(row: VerdictRow, answer: ProxyAnswer) -> FaultSide | None:
    if row.verdict is Verdict.ACKNOWLEDGED:
        return None
    prefix = (answer.code or "").partition("_")[0]
    return row.fault or (FaultSide(prefix) if prefix in FaultSide.__members__ else FaultSide.PROXY)


def is_fault(code: str | None, beginnings: Collection[str]) -> bool:
    """Tell whether *code*, of a fault of the platform, is one of those that begin so."""
    last = (code or "").rpartition(".")[2].casefold()
    return any(last.startswith(beginning.casefold()) for beginning in beginnings)
