"""The demo's three processes: started with files of their own, waited for, ended by pid."""

import asyncio
import json
import os
import random
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bars_gateway.errors import SandboxError

START_SECONDS = 60.0
_NEVER_BY_CHANCE = (20_000, 32_000)  # Linux gives ports above these to whoever asks for any


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """One of the two who take part."""

    name: str  # in folders and settings
    title: str  # for people
    ods_code: str
    service: str  # value of its target identifier
    notices: str  # folder or socket
    port: int
    status_port: int

    @property
    def url(self) -> str:
        """Where its Receiver answers."""
        return f"https://127.0.0.1:{self.port}/FHIR/R4"

    @property
    def status_url(self) -> str:
        """Where its status page is."""
        return f"http://127.0.0.1:{self.status_port}/"


def free_ports(count: int) -> list[int]:
    """Return *count* free ports on 127.0.0.1 that nobody is given by chance."""
    found: set[int] = set()
    while len(found) < count:
        port = random.SystemRandom().randrange(*_NEVER_BY_CHANCE)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return list(found)


async def start_sandbox(
    folder: Path, organisations: Sequence[Organisation], log: Path
) -> tuple[asyncio.subprocess.Process, Mapping[str, str]]:
    """Start the national side; return it with its addresses once it serves."""
    told = folder / "sandbox.json"
    told.unlink(missing_ok=True)
    gateways = [f"--gateway={o.name}={o.service}@{o.url}" for o in organisations]
    process = await _start(
        # 2048 bits, which `local` allows: nobody waits for a prime in a demonstration.
        [
            *("sandbox", str(folder), "--port=0", "--admin-port=0", "--key-bits=2048"),
            *("--no-counterparty", *gateways),
        ],
        log,
    )
    async with asyncio.timeout(START_SECONDS):
        while not told.exists():
            _still_alive(process, log)
            await asyncio.sleep(0.02)
    addresses: Mapping[str, str] = json.loads(told.read_text("utf-8"))
    return process, addresses


async def start_gateway(
    organisation: Organisation, folder: Path, sandbox: Mapping[str, str]
) -> asyncio.subprocess.Process:
    """Write the organisation's settings and start its gateway; return it once it is ready."""
    settings = _prepared(organisation, folder, sandbox)
    log = folder / "gateway.log"
    process = await _start(["run", "--config", str(settings)], log)
    async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession(trust_env=False) as session:
        while not await _is_ready(session, organisation):
            _still_alive(process, log)
            await asyncio.sleep(0.02)
    return process


def _prepared(organisation: Organisation, folder: Path, sandbox: Mapping[str, str]) -> Path:
    for name in ("state", "run", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = folder / "bars-gateway.toml"
    settings.write_text(_settings(organisation, folder, sandbox), "utf-8")
    return settings


async def _is_ready(session: aiohttp.ClientSession, organisation: Organisation) -> bool:
    try:
        async with session.get(f"{organisation.status_url}readyz") as response:
            return response.status == 200  # noqa: PLR2004
    except aiohttp.ClientError:
        return False


async def _start(arguments: list[str], log: Path) -> asyncio.subprocess.Process:
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bars_gateway",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C is for us: we end the others in order.
            start_new_session=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("BARS_GATEWAY_")},
        )


def _still_alive(process: asyncio.subprocess.Process, log: Path) -> None:
    if process.returncode is not None:
        raise SandboxError(f"a process of the demo ended early; its last words are in {log}")


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask *process* to stop and wait for it; it finishes what is in flight."""
    if process.returncode is None:
        process.terminate()
        await process.wait()


def _settings(organisation: Organisation, folder: Path, sandbox: Mapping[str, str]) -> str:
    theirs = Path(sandbox["targets_file"]).parent / "gateways" / organisation.name
    registered = json.loads((theirs / "gateway.json").read_text("utf-8"))
    return f"""\
environment = "local"
node = "{organisation.name}"
state_dir = "{folder}/state"

[providers.{organisation.name}]
ods_code = "{organisation.ods_code}"
name = "{organisation.title}"
services = ["https://fhir.nhs.uk/Id/dos-service-id|{organisation.service}"]
key_id = "{registered["key_id"]}"
api_key = "{registered["api_key"]}"
private_key_file = "{theirs}/jwt.key"
spool_dir = "{folder}/spool"
notices = "{organisation.notices}"
questions = "{organisation.notices}"

[outbound]
token_url = "{sandbox["token_url"]}"
proxy_url = "{sandbox["proxy_url"]}"
ca_file = "{sandbox["ca_file"]}"

[inbound]
listen = "127.0.0.1:{organisation.port}"
certificate_file = "{theirs}/server.pem"
private_key_file = "{theirs}/server.key"
client_ca_file = "{sandbox["client_ca_file"]}"
allowed_client_names = ["{sandbox["allowed_client_name"]}"]

[epr]
socket_dir = "{folder}/run"
scan_seconds = 0.2
[store]
minimum_free_bytes = 0

[status]
listen = "127.0.0.1:{organisation.status_port}"
"""
