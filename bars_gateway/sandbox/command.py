"""`bars-gateway sandbox`, as the command line reads it; what it runs is loaded when it runs."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bars_gateway.errors import SandboxError

_Gateways = Annotated[
    list[str] | None,
    typer.Option(
        help="A gateway to register, NAME=SERVICE@URL, such as"
        " trust=2000099999@https://127.0.0.1:8443/FHIR/R4; may be repeated."
    ),
]
_Scripts = Annotated[
    list[str] | None,
    typer.Option(
        help="What the counterparty does otherwise, such as"
        ' \'{"verb": "reject", "code": "FC", "count": 1}\'; may be repeated.'
    ),
]


def sandbox(
    folder: Annotated[
        Path, typer.Argument(readable=False, help="Where keys, certificates and targets are kept.")
    ],
    *,
    port: Annotated[int, typer.Option(help="Of token service and proxy; 0: any free one.")] = 8440,
    admin_port: Annotated[int, typer.Option(help="Of faults and calls; 0: any free one.")] = 8441,
    gateway: _Gateways = None,
    key_bits: Annotated[
        int, typer.Option(min=2048, max=8192, help="Of the keys that sign JWTs.")
    ] = 4096,
    counterparty: Annotated[
        bool, typer.Option(help="Whether somebody stands behind the proxy to write to.")
    ] = True,
    pause_seconds: Annotated[
        float, typer.Option(min=0, max=600, help="Of the counterparty, before each response.")
    ] = 2.0,
    script: _Scripts = None,
) -> None:
    """Run token service, proxy and a counterparty on this machine, with faults on demand."""
    from bars_gateway import log
    from bars_gateway.sandbox.server import SandboxSettings, run

    settings = SandboxSettings(
        folder=folder.resolve(),
        port=port,
        admin_port=admin_port,
        key_bits=key_bits,
        counterparty=counterparty,
        pause_seconds=pause_seconds,
        scripts=[_script(text) for text in script or []],
    )
    wanted = _by_name([_parsed(text) for text in gateway or []])
    log.configure(stream=sys.stderr)  # standard output is for the person who started it
    asyncio.run(run(settings, wanted))


def _script(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SandboxError(f"--script {text!a} is not JSON: {error}") from None


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
