"""
The providers that we receive for: which of them a request is for (H06).

    headers ──► ids ──► target ──► end-user organisation ──► Accept ──► Addressed
                400     400│404    401                       406

Every handler begins with this, whatever is asked for. Certificates are looked at before
(`connection`); here it is about whom a request says that it is from. BaRS is open to all of its
members, and a provider refuses by explicit exception only (CS-198), whatever is asked for. 401
and never 403, whose body the proxy would replace (D-lost-statuses).

Decisions: D-open-to-members.
"""

from collections.abc import Callable, Mapping, Sequence

import structlog
from structlog.contextvars import bind_contextvars

from bars_gateway.frozen import frozen
from bars_gateway.inbound.exchange import (
    InboundRequest,
    Reply,
    refused,
)
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.formats import Format
from bars_gateway.standard.headers import (
    ORGANISATION,
    TARGET,
    HeaderProblem,
    Ids,
    TargetIdentifier,
    normalised,
    organisation_code,
    read_ids,
)
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.rule import NOTHING_AGREED, Overrides, sender_codes
from bars_gateway.standard.timing import Timing, shipped_timing

log = structlog.get_logger(__name__)
OTHER_SENDER = Issue(
    rule="H08",
    path=f"header {ORGANISATION}",
    text="this names another organisation than MessageHeader.sender: name the same in both",
    http_status=401,
    code="REC_UNAUTHORIZED",
    issue="security",
)
NOT_LET_IN = Issue(
    rule="H08",
    path=f"header {ORGANISATION}",
    text="this Receiver takes nothing from that organisation: ask its people why, by telephone",
    http_status=401,
    code="REC_UNAUTHORIZED",
    issue="security",
)


@frozen(kw_only=True)
class Hosted:
    """One provider that we receive for."""

    provider: str
    ods_code: str
    offer: Offer
    case_number_system: str  # whose numbers the references are
    overrides: Overrides = NOTHING_AGREED
    timing: Callable[[str], Timing] = shipped_timing  # by use case
    asks: bool = False  # whether its EPR answers questions; else what needs it is 501
    asked_about_all: frozenset[str] = frozenset()  # services whose every message the EPR decides
    earlier_records: bool = False  # whether its EPR has records whose ids this gateway never gave
    refused_organisations: frozenset[str] = frozenset()  # ODS codes from which nothing is taken
    same_organisation: bool = False  # whether header and message have to name the same Sender


@frozen(kw_only=True)
class Addressed:
    """A request for one of the providers, which may be answered."""

    request: InboundRequest
    ids: Ids
    host: Hosted
    answer_in: Format


class Providers:
    """Finds the provider that a request is for."""

    def __init__(self, hosted: Sequence[Hosted]) -> None:
        self._by_service = {service: host for host in hosted for service in host.offer.services}

    def addressed(
        self, request: InboundRequest, *, without_target: Hosted | None = None
    ) -> Addressed | Reply:
        """
        Return whom *request* is for, or the refusal; from then on the log names the provider.

        *without_target*: whom it is for where it has no such header.
        """
        headers = request.headers
        ids = read_ids(headers)
        if not isinstance(ids, Ids):
            return refused(ids)
        default = None if TARGET.lower() in headers else without_target
        host = default or self.open_to(headers)
        if isinstance(host, Issue):
            return refused([host])
        bind_contextvars(provider=host.provider)
        if isinstance(request.answer_in, Issue):
            return refused([request.answer_in])
        return Addressed(request=request, ids=ids, host=host, answer_in=request.answer_in)

    def open_to(self, headers: Mapping[str, str]) -> Hosted | Issue:
        """Return the provider that the request is for, or why there is none for its Sender."""
        host = self._named_by(headers)
        if isinstance(host, Issue):
            return host
        sender = organisation_code(headers.get(ORGANISATION.lower(), ""))
        if sender not in host.refused_organisations:
            return host
        log.warning("inbound.organisation_refused", provider=host.provider, sender=sender)
        return NOT_LET_IN

    def _named_by(self, headers: Mapping[str, str]) -> Hosted | Issue:
        path = f"header {TARGET}"
        try:
            target = TargetIdentifier.decode(headers.get(TARGET.lower(), ""))
        except HeaderProblem as problem:
            return Issue(rule="H06", path=path, text=str(problem), issue="structure")
        return self._by_service.get(normalised(target.text)) or Issue(
            rule="H06",
            path=path,
            text="no such service here",
            http_status=404,
            code="REC_NOT_FOUND",
            issue="not-found",
        )


def strange_sender(headers: Mapping[str, str], message: Message, host: Hosted) -> Issue | None:
    """
    Return why *message* is refused whose header names another organisation than it does itself.

    That is only where the provider asks for it; elsewhere the log says so, and it is taken: a
    supplier that sends for several is easily wrong in one of the two.
    """
    named, inside = organisation_code(headers.get(ORGANISATION.lower(), "")), sender_codes(message)
    if named is None or not inside or named in inside:
        return None
    log.warning("inbound.organisations_differ", provider=host.provider, sender=named)
    return OTHER_SENDER if host.same_organisation else None
