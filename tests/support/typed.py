"""The operator at the keyboard: commands in this process, what they print, how they exit."""

import asyncio
import contextlib
import io
import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from unittest import mock

import structlog

from bars_gateway.cli import begin

WHY = ("--why", "INC-7")  # of whatever the audit trail has to tell the reason of


@dataclass(frozen=True)
class Done:
    """What a command printed, and how it exited."""

    code: int
    out: str
    err: str


class Printed(io.StringIO):
    """What the thread that made it prints; what others print goes where it always went."""

    def __init__(self, elsewhere: TextIO) -> None:
        super().__init__()
        self._elsewhere, self._mine = elsewhere, threading.get_ident()

    def write(self, text: str) -> int:
        """Keep it, or pass it on."""
        here = threading.get_ident() == self._mine
        return super().write(text) if here else self._elsewhere.write(text)


def typed(*arguments: object, said: str = "", environ: Mapping[str, str] | None = None) -> Done:
    """
    Run one command as a terminal would, without its window; *said* is typed in.

    With an *environ*, nothing else is in the environment. The log is afterwards what it was: a
    command that lets warnings alone be logged would hide what the tests behind it look for.
    """
    log = structlog.get_config()
    out, err = Printed(sys.stdout), Printed(sys.stderr)
    argv = ["bars-gateway", *map(str, arguments)]
    code = 0
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "stdin", io.StringIO(said)),
        mock.patch.dict(os.environ, environ or {}, clear=environ is not None),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            begin.main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        finally:
            structlog.configure(**log)
    return Done(code, out.getvalue(), err.getvalue())


async def typed_beside(*arguments: object) -> Done:
    """Run one command in a thread of its own: what answers it runs in the loop of this one."""
    return await asyncio.to_thread(typed, *arguments)


def told_by(state_dir: Path) -> list[dict[str, Any]]:
    """Return what commands have reported to the audit trail, and no gateway has entered yet."""
    found = [json.loads(file.read_bytes()) for file in state_dir.glob("reports/*.json")]
    each = [{"kind": one["kind"], **one["detail"]} for one in found]
    return sorted(each, key=lambda one: one["at"])


def settings_text(folder: Path, **changes: str) -> str:
    """Return settings of an organisation that only sends, for the local environment."""
    values = {
        "environment": "local",
        "state_dir": f"{folder}/state",
        "key_id": "Northshire-LOCAL-1",
        "private_key_file": f"{folder}/keys/Northshire-LOCAL-1.pem",
        "token_url": "https://127.0.0.1:1/oauth2/token",
        "proxy_url": "https://127.0.0.1:1/booking-and-referral/FHIR/R4",
        "rest": "[inbound]\nenabled = false\n",
    } | changes
    return f"""\
environment = "{values["environment"]}"
state_dir = "{values["state_dir"]}"

[providers.trust]
ods_code = "ZX901"
name = "Northshire General Hospital"
services = ["https://fhir.nhs.uk/Id/dos-service-id|2000000101"]
key_id = "{values["key_id"]}"
api_key = "an-api-key"
private_key_file = "{values["private_key_file"]}"
spool_dir = "{folder}/spool"

[outbound]
token_url = "{values["token_url"]}"
proxy_url = "{values["proxy_url"]}"

[epr]
socket_dir = "{folder}/run"

{values["rest"]}"""
