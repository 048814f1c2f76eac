"""
Who may call, beside the names of their certificates.

    address ──► load balancer? on the list? ──TLS──► issuer, revocation, name ──► let in

The surprising choice: `addresses` has no default of its own. INT and PROD bring the
proxy's, which differ; an empty list, which lets every address try, has to be written.
"""

from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import AwareDatetime, BeforeValidator, Field

from bars_gateway.config.values import AbsolutePath, Names, Section, listed

Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(listed)]
Files = Annotated[tuple[AbsolutePath, ...], BeforeValidator(listed)]


class Callers(Section):
    """Who may call, beside the names in `inbound.allowed_client_names`."""

    addresses: Networks | None = None
    """
    The addresses or networks that may connect; those of the environment's proxy by default.

    Add the checks of your own monitoring. An empty list lets every address try, except in prod.
    """

    proxy_protocol_from: Networks = ()
    """
    The addresses of load balancers that say for whom they connect (PROXY protocol, version 2).

    From these it is demanded, from others never read. TLS must be passed through.
    """

    max_connections_per_address: Annotated[int, Field(ge=1, le=10_000)] = 128
    """
    The most connections at once from one address.

    The proxy calls from two; lower it where many others may call.
    """

    issuers: Names = ()
    """
    The common names of the authorities whose certificates may call; empty: all in the chain file.

    Set it where the chain file holds authorities that others are certified by as well.
    """

    observe_until: AwareDatetime | None = None
    """
    Until when names that are not on the list are let in, and logged; never in prod.

    Set it for the first connection, to learn the proxy's name: 24 hours ahead at most.
    """

    revocation_list_files: Files = ()
    """
    Revocation lists of the callers' authorities, PEM or DER; another program fetches them.

    Set it where a job keeps them up to date.
    """

    revocation: Literal["soft", "hard"] = "soft"
    """
    What becomes of a caller whose authority's list is missing or out of date.

    `soft` lets it in with a warning; `hard` does not, and needs lists that never are late.
    """

    def observes(self, now: datetime) -> bool:
        """Tell whether names that are not on the list are let in at *now*."""
        return self.observe_until is not None and now < self.observe_until
