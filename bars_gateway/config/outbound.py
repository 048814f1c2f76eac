"""
The way out: to whom, how fast, how long to wait, and when to give up.

    OutboundSettings ──► addresses · limits · waits    TimingSettings ──► one Application's patience

Every number has bounds; outside of them it is a slip of the pen and not a wish.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from bars_gateway.config.values import (
    AbsolutePath,
    Bytes,
    EgressProxy,
    Flaw,
    Seconds,
    Section,
    Text,
    Url,
    Words,
    reject,
)
from bars_gateway.standard.timing import AtItsTime

Retry = Annotated[float, Field(ge=0.05, le=86_400)]
Minutes = Annotated[float, Field(ge=0.05, le=10_080)]


class OutboundSettings(Section):
    """The way to the token service and the proxy."""

    token_url: Url
    """
    Where access tokens are asked for; also the audience of the signed request, exactly.

    The environment brings it, but for `local`: there `bars-gateway sandbox` prints it.
    """

    proxy_url: Url
    """
    The base address of the BaRS proxy, without `/$process-message`.

    The environment brings it, but for `local`: there `bars-gateway sandbox` prints it.
    """

    hosts: Words = ()
    """
    The names of the hosts that the two addresses may have; every other is refused at start.

    The environment brings those of the national services; in `local` there are none, and every host
    will do. Name a gateway of your own here, if one stands in between.
    """

    ca_file: AbsolutePath | None = None
    """
    The certificate authorities that the two addresses are checked against, PEM.

    Without it those of the operating system count, which is right for the national services.
    Set it for the local sandbox, or where a gateway of your own stands in between.
    """

    egress_proxy: EgressProxy | None = None
    """
    The web proxy of your own network that leads to the internet, `http://HOST:PORT`.

    Set it where nothing gets out without one. It passes TLS on and sees nothing of it; a variable
    such as `https_proxy` counts for nothing here. It must not open what it passes on.
    """

    egress_user: Text | None = None
    """
    As whom the egress proxy is asked, where it wants a user and a password (basic authentication).

    Set it together with `egress_password_file`.
    """

    egress_password_file: AbsolutePath | None = None
    """
    The file that holds the password for the egress proxy, and nothing else; mode 0600.

    A systemd credential will do. It is read at the start; its content is never shown nor logged.
    """

    token_required: bool = True
    """
    Whether to ask for an access token at all.

    The environment brings it: `false` for the public sandbox only.
    """

    requests_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 300
    """
    The most requests in any 60 seconds of one API key, those for tokens included.

    The environment brings it: 300 in sandbox and int, 1000 in prod. Raise it once a higher
    quota was granted; above the quota, messages are refused with 429 and wait.
    """

    max_in_flight: Annotated[int, Field(ge=1, le=256)] = 32
    """
    The most messages under way at once.

    Raise it if the queue grows while the proxy answers slowly and the quota is not used up.
    """

    max_in_flight_per_receiver: Annotated[int, Field(ge=1, le=256)] = 4
    """
    The most messages under way to one service at once.

    It keeps one slow Receiver from holding up the others; raise it if there is only one.
    """

    connect_seconds: Seconds = 3
    """
    The longest to wait for a connection.

    Raise it on a path that is slow to open connections.
    """

    answer_seconds: Seconds = 45
    """
    The longest to wait for the proxy's answer to one message.

    The proxy itself waits 32 s for the Receiver: below that, messages that arrived look lost
    and are sent again.
    """

    token_seconds: Seconds = 30
    """
    The longest to wait for an access token.

    Lower it only if the token service is known to be quicker: messages wait meanwhile.
    """

    lease_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 90
    """
    How long one attempt may take before the message counts as free again, in seconds.

    It must exceed `answer_seconds` and `token_seconds` together. A crash costs this much
    time at most, on a node that does not come back.
    """

    max_answer_bytes: Bytes = 5 * 1024 * 1024
    """
    The longest answer that is read, in bytes; what is longer counts as no answer.

    Raise it if a Receiver attaches documents to its acknowledgements.
    """

    server_errors_limit: Annotated[int, Field(ge=1, le=100)] = 5
    """
    How many answers of an error (500, or a yes that holds one) make a message *unconfirmed*.

    One counts where the Receiver answered another message meanwhile, or where the message has met
    them for long (docs/answers.md). Raise it if a counterparty's errors are known to pass.
    """

    target_check_seconds: Annotated[float, Field(ge=0, le=20)] = 5
    """
    How long a new request may wait for what its service publishes that it takes, in seconds.

    A request of a kind, version or use case that is not among it is refused at once, while
    somebody is there to refer otherwise. Where no answer comes, the request is sent
    unchecked. 0 checks nothing: for services that publish what is not so.
    """

    read_before_cancel: bool = True
    """
    Whether to read, before a cancellation is sent, that there is still something to cancel.

    The guide asks for it. A Receiver that does not show the record gets the cancellation all
    the same; turn it off only where one leaves reads unanswered, so that it decides alone.
    """

    cache_hours: Annotated[float, Field(ge=0, le=24)] = 12
    """
    How long what others publish about themselves is taken as true, in hours.

    That is their CapabilityStatements and MessageDefinitions. Lower it while a counterparty
    changes what it takes; `bars-gateway cache clear` forgets at once. 0 keeps nothing.
    """

    preview_operations: bool = False
    """
    Whether the EPR may use operations that the guide only previews.

    They are Appointments and ServiceRequests written one by one, DocumentReference pointers and
    entries of the Endpoint Catalogue with its templates, all passed on as they are. Leave it off
    unless you take part in that programme; off, the EPR gets 501.
    """

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        flaws = []
        if self.lease_seconds <= self.answer_seconds + self.token_seconds:
            cure = f"Set it above {self.answer_seconds + self.token_seconds:g}."
            cause = "is not longer than answer_seconds and token_seconds together"
            flaws.append(Flaw(key=("lease_seconds",), cause=cause, cure=cure))
        if self.max_in_flight_per_receiver > self.max_in_flight:
            key, cause = ("max_in_flight_per_receiver",), "is more than max_in_flight"
            cure = f"Set it to {self.max_in_flight} at most, or raise max_in_flight."
            flaws.append(Flaw(key=key, cause=cause, cure=cure))
        flaws += self._of_egress()
        reject(flaws)
        return self

    def _of_egress(self) -> list[Flaw]:
        """Return what is missing of the way out, where a part of it is set."""
        user, file = self.egress_user, self.egress_password_file
        flaws = []
        if (user is None) != (file is None):
            key = "egress_user" if user is None else "egress_password_file"
            cure = "Set egress_user and egress_password_file together, or neither."
            flaws.append(Flaw(key=(key,), cause="is missing beside the other", cure=cure))
        if user is not None and ":" in user:
            cure = "Ask for a user without one: basic authentication ends the user at it."
            flaws.append(Flaw(key=("egress_user",), cause="has a colon", cure=cure))
        if user is not None and self.egress_proxy is None:
            cure = "Set egress_proxy, or take egress_user and egress_password_file out."
            flaws.append(Flaw(key=("egress_proxy",), cause="is missing", cure=cure))
        return flaws


class TimingSettings(Section):
    """What one Application does otherwise than shipped; the safety officer decides."""

    first_retry_seconds: Retry | None = None
    """
    The pause before the first repeat, in seconds; it doubles from there.

    Shipped: 2 for a3, a4 and a6, else 5.
    """

    longest_retry_seconds: Retry | None = None
    """
    The longest pause between two attempts, in seconds.

    Shipped: 30 for a3, a4 and a6, else 300. Until then a Receiver that is back is not asked.
    """

    delayed_after_seconds: Retry | None = None
    """
    When the EPR is told that a message is late, in seconds since it was handed over.

    Shipped: 60 for a3, a4 and a6, else 300. Set it to when a clinician would want to know.
    """

    at_its_time: AtItsTime | None = None
    """
    What the clinical time means for a request or update on its way: `stops`, `ends` or `goes_on`.

    Shipped: `stops` for a4: it ends before its time, less the lead, and is refused once that has
    passed. `goes_on` for a3 and a6: there is no lead, and it goes on past its time. Else `ends`:
    it ends before its time, less the lead; one that is late already is still tried, for
    `at_least_minutes`. Cancellations and responses are never stopped by a clinical time.
    """

    give_up_after_minutes: Minutes | None = None
    """
    How long to go on trying where no clinical time is known, in minutes since it was submitted.

    Shipped: 15 for a3, a4 and a6, else 120. It counts for every cancellation and response too,
    and for what `goes_on` and is needed soon. Set it to the longest that a clinician may be left
    believing that the message is on its way.
    """

    give_up_with_time_after_minutes: Minutes | None = None
    """
    The longest to go on trying where a clinical time is known, in minutes since it was submitted.

    Shipped: 30 for a3 and a6, where it is needed in that time or later; 1440 for a4; else 120.
    """

    give_up_booking_after_minutes: Minutes | None = None
    """
    The longest to go on trying to book a slot, in minutes since it was submitted.

    Shipped: 15. Somebody waits to tell the patient; the slot may be taken meanwhile.
    """

    at_least_minutes: Minutes | None = None
    """
    Where a message `ends` at its time: how long to try however near or past that is, in minutes.

    Shipped: 1. Raise it if your requests often name a time that is over.
    """

    lead_minutes: Annotated[float, Field(ge=0, le=1440)] | None = None
    """
    The longest lead: how long before the clinical time to stop trying, in minutes.

    Shipped: 5. Set it to the time that a telephone call takes. What `goes_on` has no lead.
    """

    lead_share: Annotated[float, Field(ge=0, le=0.9)] | None = None
    """
    The lead where little time is left, as a share of what is left when it is submitted.

    Shipped: 0.25, so that eight minutes before its time it is tried for six.
    """

    unread_after_minutes: Minutes | None = None
    """
    How long a notice may lie until the status page says that the EPR has not taken it, in minutes.

    So long, too, may the reason lie for which a file was refused. Shipped: 5 for a3, a4 and a6,
    else 30. Set it to how soon somebody has to read what came.
    """

    answer_within_minutes: Minutes | None = None
    """
    How soon an answer is owed after a request, in minutes; the clinical time counts if earlier.

    Shipped: 120 for a4t3, 5 for a6t2 and a6t3, else no limit but the clinical time of a4. Set it,
    for a6t1 above all, to what was agreed with a counterparty: when it is over, the EPR and the
    status page say so.
    """

    warning_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """
    When to warn that an answer is due, as the share that is left then of the time for it.

    Shipped: 0.5 for a4, else 0.25.
    """

    @model_validator(mode="after")
    def _grows(self) -> Self:
        first, longest = self.first_retry_seconds, self.longest_retry_seconds
        if first is not None and longest is not None and longest < first:
            cure = f"Set it to {first:g} or more."
            cause = "is shorter than first_retry_seconds"
            reject([Flaw(key=("longest_retry_seconds",), cause=cause, cure=cure)])
        return self
