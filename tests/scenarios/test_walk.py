"""What the pages tell to type is typed, as it stands there, and works."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import block, quoted
from terminals import own_environment, own_ports, with_ports

PAGE = "connecting.md"
IN_FRONT = "set -eum\nexec > >(tee said)\n"  # with jobs, as a terminal has them
# What a sentence has typed later: the gateway reads a setting that wants a restart, and then ends.
LATER = """
sed -i '1i log_level = "debug"' $BARS_GATEWAY_CONFIG
{renew}
for _ in $(seq 300); do ! grep -q '"renewal.left_for_restart"' said || break; sleep 0.1; done
{end}
wait %1
trap - EXIT
"""
# Each waits for what a person would look at before they type on.
UNTIL_READY = "until curl -s http://127.0.0.1:{status}/readyz > ready.json; do sleep 0.1; done\n"


@pytest.fixture
def ports() -> dict[str, int]:
    """Stand in for those of the page, which somebody else may use."""
    return own_ports()


@pytest.fixture
def environment() -> dict[str, str]:
    return own_environment()


@pytest.fixture
def first_terminal(
    tmp_path: Path, ports: dict[str, int], environment: dict[str, str]
) -> Iterator[list[str]]:
    """Type the first block, wait for what it prints, and return the others."""
    first, *others = (
        with_ports(each, ports)
        for each in (
            block(PAGE, "bars-gateway sandbox national"),
            block(PAGE, "bars-gateway keys probe"),
            block(PAGE, "bars-gateway send referral.json"),
        )
    )
    command = f"exec {first.strip()} --port {ports['8440']} --admin-port {ports['8441']}"
    with subprocess.Popen(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert any(line.startswith("Settings for trust") for line in running.stdout)
        yield others
        running.send_signal(signal.SIGINT)


def typed(second: str, third: str, ports: dict[str, int]) -> str:
    """Return both blocks as one script that ends what it began."""
    before, run, after = second.partition("bars-gateway run &\n")
    assert run
    listen = f'listen = "127.0.0.1:{ports["8480"]}"'
    elsewhere = f"sed -i 's/^#listen = .*:8480\"/{listen}/' $BARS_GATEWAY_CONFIG\n"
    until_ready = UNTIL_READY.format(status=ports["8480"])
    after = after.replace("bars-gateway doctor\n", "bars-gateway doctor || [ $? = 1 ]\n")
    end = "trap 'kill -TERM $gateway; wait $gateway' EXIT\n"
    later = LATER.format(renew=quoted(PAGE, "kill -HUP %1"), end=quoted(PAGE, "kill %1"))
    return f"{IN_FRONT}{before}{elsewhere}{run}gateway=$!\n{end}{until_ready}{after}{third}{later}"


@pytest.mark.needs("curl")
@pytest.mark.long
def test_the_walk_with_the_sandbox_works_as_it_is_written(
    first_terminal: list[str], tmp_path: Path, ports: dict[str, int], environment: dict[str, str]
) -> None:
    """From no settings to a message that is acknowledged, with no word that is not on the page."""
    script = typed(*first_terminal, ports)

    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 failed" in ended.stdout
    assert "referral.json: accepted" in ended.stdout
    (outcome,) = (tmp_path / "gateway/spool/trust/inbox/new").glob("*.outcome.json")
    assert '"renewal.left_for_restart"' in ended.stdout
    assert '"daemon.stopped"' in ended.stdout
    assert '"state": "acknowledged"' in outcome.read_text("utf-8").replace('":"', '": "')
