"""From a clean machine to the first message delivered, by what a person types."""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from installation import NAME, SERVICES, Installation
from messages import referral
from typed import typed

PATIENCE = 60.0


def typing(*arguments: str, expected: tuple[int, ...] = (0,)) -> str:
    """Run one command to its end, and return what it printed."""
    done = typed(*arguments)
    assert done.code in expected, done.out + done.err
    return done.out


@contextmanager
def running(log: Path, *arguments: str):
    """Run one command until the block ends."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "bars_gateway", *arguments], stdout=out, stderr=out
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def waited_for(condition):
    """Return what *condition* gives once that is true: of other processes, which wake nobody."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_from_nothing_to_the_first_message(tmp_path):
    """The sandbox, init, a key, a certificate, a doctor without a complaint, and a referral."""
    site = Installation.in_folder(tmp_path)
    gateways = [f"--gateway={NAME}={service}@{site.url}" for service in SERVICES]
    ports = ("--port=0", "--admin-port=0", "--key-bits=2048")
    with running(tmp_path / "sandbox.log", "sandbox", str(site.national), *ports, *gateways):
        waited_for((site.national / "sandbox.json").exists)
        site.begin(typing, "--key-bits", "2048")
        site.register_key()
        typing("keys", "probe", "--config", str(site.config))
        site.get_certificate(typing, "--bits", "2048")
        with running(tmp_path / "gateway.log", "run", "--config", str(site.config)):
            socket = site.folder / "run" / f"{NAME}.sock"
            waited_for(socket.exists)
            message = tmp_path / "referral.json"
            message.write_bytes(referral())
            typing("send", str(message), "--config", str(site.config))
            waited_for(lambda: list(site.spool.glob("inbox/new/*.outcome.json")))
            report = typing("doctor", "--config", str(site.config), "--all", expected=(0, 1))
    (outcome,) = site.spool.glob("inbox/new/*.outcome.json")

    assert '"acknowledged"' in outcome.read_text()
    assert " 0 failed" in report
    # Whether somebody sets this machine's clock is the one thing that is not ours.
    assert [] == [
        line
        for line in report.splitlines()
        if line.startswith(("WARN ", "FAIL ")) and "clock.synchronised" not in line
    ]
    assert "ok             proxy.ourselves: the proxy reaches us" in report
