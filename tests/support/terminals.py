"""Three terminals, as `docs/first-message.md` has them: what pages tell to type is typed here."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pages import ROOT, blocks

from bars_gateway.demo.stage import free_ports

PAGE = ROOT / "docs" / "first-message.md"
NAMES = ("8440", "8441", "8443", "8480", "9443")  # the last: behind a balancer
SPOOL = 'spool_dir = "$PWD/spool"'
BY_SOCKET = {SPOOL: f'{SPOOL}\nnotices = "socket"\nquestions = "socket"'}
PATIENCE = 60.0  # seconds, for what others of this machine take of the processor
HERE = ". .venv/bin/activate && cd try && export BARS_GATEWAY_CONFIG=$PWD/bars-gateway.toml\n"
# An answer that is an error ends the script, as an exit code does. `newest` is for REQUEST_ID, and
# so on. What asks for an NHS number, where nobody can be asked, is given that of the page's person.
STRICT = """
set -eu
newest() { command bars-gateway audit --json | jq -r '.request_id // empty' | head -n 1; }
copied() { rm -f copied.db; command bars-gateway backup copied.db >&2; echo copied.db; }
head_of_trail() { command bars-gateway audit verify --json | jq -r .hash; }
bars-gateway() {
  if [ /dev/stdin -ef /dev/null ]; then command bars-gateway "$@" <<< 9990000018
  else command bars-gateway "$@"; fi
}
curl() { command curl --silent --show-error --fail-with-body --max-time 40 "$@"; }
"""


def own_ports() -> dict[str, int]:
    """Return ports for those of the pages, which somebody else may use."""
    return dict(zip(NAMES, free_ports(len(NAMES)), strict=True))


def with_ports(text: str, ports: Mapping[str, int]) -> str:
    """Return what a page says, with those ports."""
    for name, port in ports.items():
        text = text.replace(f":{name}", f":{port}")
    return text


def own_environment() -> dict[str, str]:
    """Return this environment, with the gateway's commands and without its variables."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {name: v for name, v in os.environ.items() if not name.startswith("BARS_GATEWAY")}
    return {**own, "PATH": path}


async def typed(script: str) -> tuple[int, str]:
    """Type *script* beside what runs in this process; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"{STRICT}{script}"),
        env=own_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


class Terminals:
    """The sandbox runs in the first, one gateway in the second; the third is typed into."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ports = folder, own_ports()
        listen = f"127.0.0.1:{self.ports['8480']}"
        self._environment = {**own_environment(), "BARS_GATEWAY_STATUS__LISTEN": listen}
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "examples").symlink_to(ROOT / "examples")

    def type(self, text: str) -> subprocess.CompletedProcess[str]:
        """Type *text* in a new third terminal, to its end."""
        where = "" if "cd try" in text else HERE
        return subprocess.run(
            ["bash", "-c", f"{STRICT}{where}{self._filled(text)}"],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE,
        )

    def _filled(self, text: str) -> str:
        """Return it with what a person would put in the place of the words in capitals."""
        words = {"REQUEST_ID": "$(newest)", "WORKFLOW": "1"}
        words |= {"BACKUP": "$(copied)", "HASH": "$(head_of_trail)"}
        for word, value in words.items():
            text = re.sub(rf"\b{word}\b", value, text)
        return with_ports(text, self.ports)

    @contextmanager
    def running(self, script: str) -> Iterator[subprocess.Popen[str]]:
        """Type *script*, and have its last command run until the block ends."""
        with (
            (self.folder / "said").open("a") as log,
            subprocess.Popen(
                ["bash", "-c", with_ports(script, self.ports)],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(PATIENCE)

    def wait_until_ready(self, process: subprocess.Popen[str]) -> None:
        """Wait for what a person would look at before they type on."""
        end = time.monotonic() + PATIENCE
        while not self._answers():
            assert process.poll() is None, (self.folder / "said").read_text("utf-8")
            assert time.monotonic() < end
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['8480']}/readyz") as reply:
                return reply.status == 200
        except OSError:
            return False

    def wait_for(self, file: str, process: subprocess.Popen[str]) -> None:
        """Wait until *file* is there."""
        end = time.monotonic() + PATIENCE
        while not (self.folder / file).exists():
            assert process.poll() is None, (self.folder / "said").read_text("utf-8")
            assert time.monotonic() < end
            time.sleep(0.05)


@contextmanager
def three_terminals(folder: Path, settings: Mapping[str, str]) -> Iterator[Terminals]:
    """
    Type the first two blocks of the page, wait for each, and leave the third to the caller.

    *settings* says what stands in the place of lines of the gateway's settings.
    """
    written = {each.where: each.text for each in blocks(PAGE) if each.what == "run"}
    terminals = Terminals(folder)
    ports = f"--port {terminals.ports['8440']} --admin-port {terminals.ports['8441']}"
    first = written["first terminal"].replace("\nbars-gateway", "\nexec bars-gateway").strip()
    second = written["second terminal"].replace("&& bars-gateway run", "&& exec bars-gateway run")
    for line, instead in settings.items():
        assert line in second
        second = second.replace(line, instead)
    with terminals.running(f"{first} {ports}") as sandbox:
        terminals.wait_for("try/national/sandbox.json", sandbox)
        with terminals.running(second) as gateway:
            terminals.wait_until_ready(gateway)
            yield terminals
