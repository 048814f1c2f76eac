"""Runs the sandbox until it is told to stop, and says how to point a gateway at it."""

import asyncio
import json
import signal

import typer

from bars_gateway.errors import SandboxError
from bars_gateway.sandbox.authorities import PROXY_NAME
from bars_gateway.sandbox.counterparty.services import SERVICES
from bars_gateway.sandbox.registry import Registered
from bars_gateway.sandbox.server import Sandbox, SandboxSettings


async def serve(settings: SandboxSettings, gateways: dict[str, tuple[list[str], str]]) -> None:
    """Serve until SIGINT or SIGTERM; *gateways* maps a name to its services and its URL."""
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
{_counterparty(national)}
Ctrl-C ends it."""
    )


def _counterparty(national: Sandbox) -> str:
    """Return what to know of the counterparty, where there is one."""
    if not national.counterparty.url:
        return ""
    own = [each for each in SERVICES.values() if not each.official]
    listed = "\n".join(f"  {each.value}  {each.applications[0]}  {each.title}" for each in own)
    return f"""
Services behind the proxy to write to, by Application; see docs/sandbox.md:

{listed}

  curl {national.admin_url}/counterparty/held
"""


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
