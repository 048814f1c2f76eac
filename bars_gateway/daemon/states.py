"""
What the running parts know of themselves, in the words of the status page (`status.running`).

Decisions: D-one-process.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from bars_gateway.config import Settings
from bars_gateway.console.desk import Publication
from bars_gateway.errors import StoreUnavailable
from bars_gateway.inbound.server import InboundServer
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.cache import listed
from bars_gateway.outbound.circuit_breaker import KeptOut
from bars_gateway.outbound.egress import Egress
from bars_gateway.outbound.token import Tokens, TokenSource
from bars_gateway.standard.headers import normalised
from bars_gateway.status.running import (
    BudgetState,
    EgressState,
    KeptOutState,
    TokenState,
    UnavailableState,
)
from bars_gateway.store.pacing import EGRESS, token_service_of
from bars_gateway.tls.certificates import last_to_end
from bars_gateway.tls.contexts import Identity
from bars_gateway.upkeep.housekeeping import ExpiringKind, Expiry

KEY_AGE = timedelta(days=365)  # after that a key wants changing, although nothing refuses it


def publications(settings: Settings) -> list[Publication]:
    """Return what is kept of what others say about themselves."""
    lifetime = timedelta(hours=settings.outbound.cache_hours)
    return [
        Publication(
            service=each.target,
            resource=each.resource,
            kept_at=each.kept_at,
            until=each.kept_at + lifetime,
        )
        for each in listed(settings.cache_dir)
    ]


def unavailable_state(error: StoreUnavailable | None) -> UnavailableState | None:
    """Return why nothing can be stored, and the cure."""
    return UnavailableState(reason=str(error), advice=error.advice) if error else None


def token_states(tokens: Mapping[str, Tokens]) -> list[TokenState]:
    """Return how each provider stands with the token service."""
    return [
        TokenState(
            provider=provider,
            key_id=source.status.key_id,
            refused_keys=source.status.refused_keys,
            expires_at=source.status.expires_at,
            failing_since=source.status.failing_since,
            reason=source.status.reason,
            advice=source.status.advice,
            clock_skew_seconds=source.status.clock_skew_seconds,
            retry_at=source.closed_until,
        )
        for provider, source in tokens.items()
        if isinstance(source, TokenSource)
    ]


def our_troubles(egress: Egress | None, tokens: Mapping[str, Tokens]) -> Mapping[str, datetime]:
    """Return what we need ourselves and is out of order, as far as is known, and since when."""
    sources = {name: each for name, each in tokens.items() if isinstance(each, TokenSource)}
    since = {token_service_of(name): each.since for name, each in sources.items()}
    if egress is not None:
        since[EGRESS] = egress.since
    return {name: at for name, at in since.items() if at is not None}


def budget_states(budgets: Mapping[str, Budget]) -> list[BudgetState]:
    """Return how much of each quota is used, once for all providers that share one."""
    owners: dict[int, tuple[Budget, list[str]]] = {}
    for provider, budget in budgets.items():
        owners.setdefault(id(budget), (budget, []))[1].append(provider)
    return [
        BudgetState(
            providers=providers,
            per_minute=budget.per_minute,
            used=budget.used,
            paused_seconds=budget.paused_seconds,
        )
        for budget, providers in owners.values()
    ]


def kept_out_states(kept_out: Sequence[KeptOut]) -> list[KeptOutState]:
    """Return which providers the proxy refuses."""
    return [
        KeptOutState(
            provider=each.provider,
            since=each.since,
            reason=each.trouble.reason,
            advice=each.trouble.advice,
        )
        for each in kept_out
    ]


def egress_state(egress: Egress | None) -> EgressState | None:
    """Return why nothing gets out of our own network; None: it does, as far as is known."""
    if egress is None or egress.trouble is None or egress.since is None:
        return None
    trouble = egress.trouble
    return EgressState(since=egress.since, reason=str(trouble), advice=trouble.advice)


def services_of(settings: Settings) -> frozenset[str]:
    """Return the services that this gateway itself receives for; none where it only sends."""
    found = (each for one in settings.providers.values() for each in map(normalised, one.services))
    return frozenset(found) if settings.inbound.enabled else frozenset()


def expiries(settings: Settings, inbound: InboundServer | None) -> list[Expiry]:
    """Return everything in use that ends, as it is at this moment."""
    received = _of_identity(inbound.identity.identity) if inbound else ()
    return [*received, *_of_keys(settings)]


def _of_identity(identity: Identity) -> Iterator[Expiry]:
    last = last_to_end(identity.authorities)
    ends = last.not_valid_after_utc
    first_to_end = [each for each in identity.authorities if each.not_valid_after_utc < ends]
    for kind, name, certificates in (
        (ExpiringKind.CERTIFICATE, "The certificate for receiving", identity.chain[:1]),
        (ExpiringKind.CHAIN, "The chain of the certificate for receiving", identity.chain[1:]),
        (ExpiringKind.AUTHORITIES, "An authority of the callers", first_to_end),
        (ExpiringKind.LAST_AUTHORITY, "The last authority of the callers", [last]),
    ):
        if certificates:
            first = min(certificates, key=lambda each: each.not_valid_after_utc)
            begins, ends = first.not_valid_before_utc, first.not_valid_after_utc
            yield Expiry(kind=kind, name=name, begins_at=begins, ends_at=ends)
    lists = [each for several in identity.revocations.lists.values() for each in several]
    if lists:
        next_one = min(lists, key=lambda each: each.next_update)
        yield Expiry(
            kind=ExpiringKind.REVOCATION_LIST,
            name="A revocation list of the callers' authorities",
            begins_at=next_one.issued_at,
            ends_at=next_one.next_update,
        )


def _of_keys(settings: Settings) -> Iterator[Expiry]:
    if not settings.outbound.token_required:
        return
    files = {each.key_id: each.private_key_file for each in settings.providers.values()}
    for key_id, file in files.items():
        try:
            made = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        except OSError:  # taken away since: the concern about renewing says so
            continue
        name = f"The year of the signing key {key_id}"
        yield Expiry(kind=ExpiringKind.KEY, name=name, begins_at=made, ends_at=made + KEY_AGE)
