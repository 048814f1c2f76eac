"""`bars-gateway sandbox`: runs the national side until it is told to stop."""

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bars_gateway import log
from bars_gateway.errors import SandboxError
from bars_gateway.sandbox.authorities import PROXY_NAME
from bars_gateway.sandbox.registry import Registered
from bars_gateway.sandbox.server import Sandbox, SandboxSettings


def sandbox(
    folder: Annotated[Path, typer.Argument(help="Where keys, certificates and targets are kept.")],
    port: Annotated[int, typer.Option(help="Of token service and proxy; 0: any free one.")] = 8440,
    admin_port: Annotated[int, typer.Option(help="Of faults and calls; 0: any free one.")] = 8441,
    gateway: Annotated[
        list[str] | None,
        typer.Option(
            help="A gateway to register, NAME=SERVICE@URL, such as"
            " trust=2000099999@https://127.0.0.1:8443/FHIR/R4; may be repeated."
        ),
    ] = None,
    key_bits: Annotated[
        int, typer.Option(min=2048, max=8192, help="Of the keys that sign JWTs.")
    ] = 4096,
) -> None:
    """Run token service and proxy on this machine, with faults on demand."""
    settings = SandboxSettings(
        folder=folder.resolve(), port=port, admin_port=admin_port, key_bits=key_bits
    )
    wanted = _by_name([_parsed(text) for text in gateway or []])
    log.configure(stream=sys.stderr)  # standard output is for the person who started it
    asyncio.run(_serve(settings, wanted))


def _by_name(parsed: Sequence[tuple[str, str, str]]) -> dict[str, tuple[list[str], str]]:
    """Return services and URL of each gateway: named twice, it has two services."""
    found: dict[str, tuple[list[str], str]] = {}
    for name, service, url in parsed:
        services, known = found.setdefault(name, ([], url))
        if known != url:
            raise SandboxError(f"--gateway names two URLs for {name}; a gateway has one")
        services.append(service)
    return found


def _parsed(text: str) -> tuple[str, str, str]:
    name, equals, rest = text.partition("=")
    service, at, url = rest.partition("@")
    if not (equals and at and name and service and url.startswith("https://127.0.0.1:")):
        raise SandboxError(
            f"--gateway is NAME=SERVICE@URL with a URL below https://127.0.0.1:, not {text!a}"
        )
    return name, service, url


async def _serve(settings: SandboxSettings, gateways: dict[str, tuple[list[str], str]]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    national = Sandbox(settings)
    made = await _registered(national, gateways)
    async with national:
        _introduce(national, made)
        await stop.wait()
    typer.echo("Stopped.")


async def _registered(
    national: Sandbox, gateways: dict[str, tuple[list[str], str]]
) -> list[Registered]:
    """Register all at once, because their keys take seconds each."""
    try:
        async with asyncio.TaskGroup() as group:
            made = [
                group.create_task(national.register(name, services, url))
                for name, (services, url) in gateways.items()
            ]
    except* SandboxError as errors:
        raise SandboxError("; ".join(map(str, errors.exceptions))) from None
    return [task.result() for task in made]


def _introduce(national: Sandbox, gateways: list[Registered]) -> None:
    typer.echo(f"token service  {national.token_url}")
    typer.echo(f"proxy          {national.proxy_url}")
    typer.echo(f"admin          {national.admin_url}")
    typer.echo(f"targets        {national.registry.targets_file}, read at every request")
    for gateway in gateways:
        typer.echo(_settings_for(gateway, national))
    typer.echo(
        f"""
Faults, for the next three calls:

  curl -d '{{"kind": "drop_after", "count": 3}}' {national.admin_url}/faults
  curl -d '{{"kind": "status", "status": 503, "count": 3}}' {national.admin_url}/faults
  curl -d '{{"kind": "token_outage", "count": 3}}' {national.admin_url}/faults
  curl -X DELETE {national.admin_url}/faults
  curl {national.admin_url}/calls

Ctrl-C ends it."""
    )


def _settings_for(gateway: Registered, national: Sandbox) -> str:
    """Return what to write into the gateway's settings, as TOML."""
    return f"""
Settings for {gateway.name}, which receives at {gateway.url}:

  environment = "local"

  [providers.{gateway.name}]
  services = {json.dumps(list(gateway.services))}
  key_id = "{gateway.key_id}"
  api_key = "{gateway.api_key}"
  private_key_file = {json.dumps(str(gateway.private_key_file))}

  [outbound]
  token_url = "{national.token_url}"
  proxy_url = "{national.proxy_url}"
  ca_file = {json.dumps(str(national.ca_file))}

  [inbound]
  certificate_file = {json.dumps(str(gateway.certificate_file))}
  private_key_file = {json.dumps(str(gateway.certificate_key_file))}
  client_ca_file = {json.dumps(str(national.client_ca_file))}
  allowed_client_names = ["{PROXY_NAME}"]"""
