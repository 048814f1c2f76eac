"""
Who may call: by address before TLS, and by certificate after it and with each request.

    address ──► on the list? not too many? ──TLS──► issuer? name? revoked? ──► let in
                                                                 └─► let in, with a remark

An NHS chain proves membership and no more: thousands of systems have one. So the list
of names is the access control, the issuer is pinned beside it, and the address list
keeps strangers away from TLS itself.

While connecting for the first time nobody knows what name the proxy will show. Until
`observe_until` a name that is not on the list is let in with a remark that tells it;
chain and issuer are required all the same.

Decisions: D-who-may-call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address

from bars_gateway.inbound.failures import Failure
from bars_gateway.tls.contexts import Caller, CurrentIdentity, allowed
from bars_gateway.tls.revocation import Standing

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """Who may call, as the settings have it."""

    names: tuple[str, ...]
    issuers: frozenset[str] = frozenset()  # common names; empty: every one of the chain file
    addresses: tuple[Network, ...] = ()  # empty: every one
    load_balancers: tuple[Network, ...] = ()  # who must say for whom they call
    connections_per_address: int = 128
    observe_until: datetime | None = None  # UTC
    revocation_is_required: bool = False  # whether an unknown standing keeps a caller out


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a caller is let in."""

    refusal: Failure | None = None
    remark: Failure | None = None  # what would keep it out under stricter settings


class Admission:
    """Judges callers by the settings and by the identity of the moment."""

    def __init__(
        self, callers: Callers, identity: CurrentIdentity, now: Callable[[], datetime]
    ) -> None:
        self.callers = callers  # looked at again for each request
        self._identity = identity
        self._now = now

    def admits_address(self, address: str) -> bool:
        """Tell whether connections from *address* get as far as TLS."""
        return not self.callers.addresses or _is_within(address, self.callers.addresses)

    def speaks_for_others(self, address: str) -> bool:
        """Tell whether *address* is a load balancer's, which must say for whom it calls."""
        return _is_within(address, self.callers.load_balancers)

    def judge(self, caller: Caller) -> Judgement:
        """Return whether the holder of this certificate, whose chain is good, is let in."""
        callers, now = self.callers, self._now()
        if callers.issuers and caller.issuer_name not in callers.issuers:
            return Judgement(Failure.WRONG_ISSUER)
        revocations = self._identity.identity.revocations
        standing = revocations.standing(caller.issuer, caller.serial, caller.points, now)
        if standing is Standing.REVOKED:
            return Judgement(Failure.REVOKED)
        if standing is Standing.UNKNOWN and callers.revocation_is_required:
            return Judgement(Failure.REVOCATION_UNKNOWN)
        if not allowed(caller.names, callers.names):
            observed = callers.observe_until is not None and now < callers.observe_until
            return Judgement(remark=Failure.REFUSED) if observed else Judgement(Failure.REFUSED)
        unknown = standing is Standing.UNKNOWN and revocations.lists
        return Judgement(remark=Failure.REVOCATION_UNKNOWN if unknown else None)


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    found = ip_address(address.partition("%")[0])  # a link-local address names its interface
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in networks)
