"""`bars-gateway sandbox` as a process: what it prints, what it writes, how it ends."""

import asyncio
import json
import os
import signal
import socket
import sys
import tomllib
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from bars_gateway.cli.main import _gateway_of, _gateways_of
from bars_gateway.errors import SandboxError
from bars_gateway.sandbox.server import Sandbox, _introduce

GATEWAY = "--gateway=trust=2000000202@https://127.0.0.1:8443/FHIR/R4"


@asynccontextmanager
async def started(folder, *arguments):
    """Yield the process once it serves; it is ended by its number."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bars_gateway", "sandbox", str(folder)),
        *("--port=0", "--admin-port=0", "--key-bits=2048", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def told(folder, process):
    async with asyncio.timeout(20):
        while not (folder / "sandbox.json").exists():
            assert process.returncode is None
            await asyncio.sleep(0.02)
    return json.loads((folder / "sandbox.json").read_bytes())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_it_is_told_to_stop(folder, number):
    """It says where everything is, and a signal ends it with 0."""
    async with started(folder, GATEWAY) as process:
        found = await told(folder, process)
        async with (
            aiohttp.ClientSession() as session,
            session.get(found["admin_url"] + "/calls") as got,
        ):
            listed = await got.json()
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 20)
    said = out.decode()

    assert (0, process.pid, {"calls": []}) == (process.returncode, found["pid"], listed)
    for expected in (*(found[name] for name in ("token_url", "proxy_url", "ca_file")), "curl -d"):
        assert expected in said
    assert ["sandbox.started"] == [json.loads(line)["event"] for line in err.splitlines()]


async def test_what_it_prints_is_settings(box, capsys):
    """The lines for a gateway can be copied as they are: they are TOML."""
    trust = box.sandbox.registry.application(box.trust.api_key)
    capsys.readouterr()
    _introduce(box.sandbox, [trust])
    printed = capsys.readouterr().out
    settings = tomllib.loads(printed.partition("/base:\n")[2].partition("Faults,")[0])

    assert box.sandbox.token_url == settings["outbound"]["token_url"]
    assert ["bars-proxy.sandbox.local"] == settings["inbound"]["allowed_client_names"]
    assert ["https://fhir.nhs.uk/Id/dos-service-id|2000000202"] == (
        settings["providers"]["trust"]["services"]
    )


async def test_it_names_the_counterparty(settings, capsys):
    """Whoever has no partner reads whom to write to; without a counterparty, nothing of it."""
    for with_party in (True, False):
        async with Sandbox(replace(settings, counterparty=with_party)) as national:
            _introduce(national, [])
    told, untold = capsys.readouterr().out.split("Ctrl-C ends it.")[:2]

    assert "2000000904  a4  Validation desk, invented" in told
    assert "2000000904" not in untold


@pytest.mark.parametrize("text", ["{", '{"verb": "sing"}'])
async def test_a_wrong_script_ends_it_in_two_lines(folder, text):
    """What is wrong and what to do, and no traceback."""
    async with started(folder, f"--script={text}") as process:
        _, err = await asyncio.wait_for(process.communicate(), 20)
    first, second = err.decode().splitlines()

    assert 1 == process.returncode
    assert "script" in first
    assert second.startswith("   try: ")


async def test_a_wrong_gateway_ends_it_in_two_lines(tmp_path):
    """What is wrong and what to do, and no traceback."""
    async with started(tmp_path / "s", "--gateway=a_b=1@https://127.0.0.1:1") as process:
        _, err = await asyncio.wait_for(process.communicate(), 20)
    first, second = err.decode().splitlines()

    assert 1 == process.returncode
    assert first.startswith("error: a gateway's name is letters")
    assert second.startswith("   try: ")


async def test_a_taken_port_ends_it_in_two_lines(tmp_path):
    """Which port, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with started(tmp_path / "s", f"--port={port}") as process:
            _, err = await asyncio.wait_for(process.communicate(), 20)
    first, second = err.decode().splitlines()

    assert 1 == process.returncode
    assert first.startswith(f"error: port {port} of 127.0.0.1")
    assert second.startswith("   try: Choose free ports")


@pytest.mark.parametrize(
    "text",
    ["", "trust", "trust=2000000202", "=1@https://127.0.0.1:1", "t=@https://127.0.0.1:1", "t=1@x"],
)
def test_a_gateway_is_name_service_and_url(text):
    """Anything else is refused with the form that it should have."""
    with pytest.raises(SandboxError, match="NAME=SERVICE@URL"):
        _gateway_of(text)


def test_a_gateway_may_have_several_services():
    """Named again with another service, it has both."""
    url = "https://127.0.0.1:1/R4"

    assert {"t": (["1", "s|2"], url)} == _gateways_of([("t", "1", url), ("t", "s|2", url)])


def test_a_gateway_has_one_url():
    """Which of two was meant cannot be known."""
    with pytest.raises(SandboxError, match="two URLs for t"):
        _gateways_of([("t", "1", "https://127.0.0.1:1"), ("t", "2", "https://127.0.0.1:2")])
