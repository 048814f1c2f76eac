"""
Settings that are right one by one and wrong together.

    names of another environment, doors left open in prod, one service for two providers ──► Fault
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from bars_gateway.config.callers import Callers
from bars_gateway.config.environments import (
    Environment,
    environment_of_host,
    environment_of_key_id,
    environment_of_own_name,
    environment_of_service,
    strange,
)
from bars_gateway.config.provider import Provider
from bars_gateway.config.values import Fault, reject

Marks = Iterable[tuple[tuple[str, ...], Environment | None]]  # a setting, and whose it is


def refuse_strangers(marks: Marks, info: Any) -> None:
    """Refuse settings that are known to belong to another environment."""
    own = info.data.get("environment")
    if own is None:
        return  # refused already, and nothing can be compared with it
    reject(
        Fault(
            key=key,
            cause=f"belongs to the environment {other}, and this gateway is in {own}",
            cure=f'Write one of {own}, or set environment = "{other}".',
        )
        for key, other in marks
        if strange(other, own)
    )


def of_urls(urls: Mapping[str, str | None]) -> Marks:
    """Return whose these addresses (by setting) are, of the national side or of a Receiver."""
    hosts = {key: urlsplit(url or "").hostname or "" for key, url in urls.items()}
    return [
        ((key,), environment_of_host(host) or environment_of_own_name(host))
        for key, host in hosts.items()
    ]


def elsewhere(urls: Mapping[str, str], hosts: Collection[str]) -> Iterator[Fault]:
    """Yield the addresses (by setting) that are on none of *hosts*; without any, none is."""
    for key, url in urls.items():
        host = (urlsplit(url).hostname or "").rstrip(".")
        if hosts and host not in hosts:
            cause = f"is on the host {host}, and outbound.hosts has {', '.join(hosts)} only"
            yield Fault(key=(key,), cause=cause, cure="Write one of them, or name the host there.")


def of_providers(providers: Mapping[str, Provider]) -> Marks:
    """Return whose the key ids and services of these providers are."""
    for name, provider in providers.items():
        yield (name, "key_id"), environment_of_key_id(provider.key_id)
        for key_id in provider.former_keys:
            yield (name, "former_keys"), environment_of_key_id(key_id)
        for service in provider.services:
            yield (name, "services"), environment_of_service(service)


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
