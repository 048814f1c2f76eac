"""
Settings that are right one by one and wrong together.

    names of another environment, doors left open in prod, one service for two providers ──► Fault
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bars_gateway.config.callers import Callers
from bars_gateway.config.environments import environment_of_host
from bars_gateway.config.provider import Provider
from bars_gateway.config.values import Fault, reject


def refuse_strangers(names: Mapping[str, Any], info: Any) -> None:
    """Refuse names (by setting) that are known to belong to another environment."""
    own = info.data.get("environment")
    if own is None:
        return  # refused already, and nothing can be compared with it
    reject(
        Fault(
            key=(key,),
            cause=f"belongs to the environment {other}, and this gateway is in {own}",
            cure=f'Write one of {own}, or set environment = "{other}".',
        )
        for key, hosts in names.items()
        for other in {environment_of_host(host) for host in hosts} - {None, own}
    )


def open_doors(callers: Callers) -> Iterator[Fault]:
    """Yield what may not stand in the settings of a gateway in prod."""
    if callers.addresses == ():
        cure = "Leave it out for the addresses of the proxy, or name those that may connect."
        yield Fault(key=("addresses",), cause="lets every address connect, in prod", cure=cure)
    if callers.observe_until is not None:
        cause = "would let in certificates that nobody has listed, in prod"
        cure = "Learn the name in int, and write it into inbound.allowed_client_names."
        yield Fault(key=("observe_until",), cause=cause, cure=cure)


def shared(providers: Mapping[str, Provider]) -> list[Fault]:
    """Return what two providers have in common and may not."""
    faults: list[Fault] = []
    owners: dict[str, str] = {}
    for name, provider in providers.items():
        own = [("services", service) for service in provider.services]
        for key, value in [*own, ("spool_dir", str(provider.spool_dir))]:
            if owners.setdefault(value, name) != name:
                cause = f"is shared with the provider {owners[value]}"
                cure = "Give each provider services and a folder of its own."
                faults.append(Fault(key=(name, key), cause=cause, cure=cure))
    return faults
