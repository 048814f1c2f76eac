"""What the pages tell to type in the third terminal is typed, as it stands there, and works."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import PAGES, block, blocks
from terminals import BY_SOCKET, Terminals, three_terminals, with_ports

AT_THE_SOCKET = "at the socket"
BEHIND = 'listen = "127.0.0.1:8443"'
# A question is answered by what is typed here, program after program: in 4.5 s on no busy machine.
UNHURRIED = {**BY_SOCKET, BEHIND: f"{BEHIND}\nanswer_within_seconds = 30"}
# As `init` does it: what is stored of patients is encrypted.
ENCRYPTED = {
    "[outbound]": '[store]\nencryption_keys_file = "$PWD/encryption.keys"\n[outbound]',
    "bars-gateway check": "bars-gateway encryption rotate --why INC-7"
    " && bars-gateway encryption copy copied.keys --why INC-7 && bars-gateway check",
}
# Lines of the first page. What comes by the socket is in no folder; and the gateway asks about what
# ends as a duplicate, so that the first question would be its own.
BY_FOLDER = r"(until )?ls spool/inbox/.*"
LOST = rf"{BY_FOLDER}|curl .*/faults|bars-gateway send another\.json"
pytestmark = [pytest.mark.needs("curl", "jq", "sqlite3"), pytest.mark.long]


def scripts(*, by_socket: bool) -> list[object]:  # pages, each with what it needs
    """Return the pages that have such blocks; last, the one whose programs take away what came."""
    pages = sorted(PAGES, key=lambda page: page.stem == "first-epr")
    return [
        pytest.param(page, id=page.stem, marks=pytest.mark.needs(*needed(typed)))
        for page in pages
        if (typed := script(page, by_socket=by_socket))
    ]


def needed(typed: str) -> list[str]:
    """Return the programs of it that not every page needs."""
    return [each for each in ("node", "mcs", "mono") if f"{each} " in typed]


def script(page: Path, *, by_socket: bool) -> str:
    """Return the blocks of a page as one script."""
    return "".join(
        each.text
        for each in blocks(page)
        if each.what == "run"
        and each.where.startswith(AT_THE_SOCKET if by_socket else "third terminal")
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminals]:
    with three_terminals(tmp_path_factory.mktemp("f"), ENCRYPTED) as opened:
        yield sent(opened, BY_FOLDER)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminals]:
    with three_terminals(tmp_path_factory.mktemp("s"), UNHURRIED) as opened:
        yield sent(opened, LOST)


def sent(terminals: Terminals, left_out: str) -> Terminals:
    """Begin as every page does: with the messages of the first one, but for some lines of it."""
    (first,) = [page for page in PAGES if page.name == "first-message.md"]
    typed = script(first, by_socket=False)
    done = terminals.type(re.sub(rf"^({left_out})\n", "", typed, flags=re.MULTILINE))
    assert done.returncode == 0, done.stdout + done.stderr
    return terminals


@pytest.mark.parametrize("page", scripts(by_socket=False))
def test_what_a_page_tells_to_type_works(folders: Terminals, page: Path) -> None:
    """Each command of it, one after the other, ends well."""
    done = folders.type(script(page, by_socket=False))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", scripts(by_socket=True))
def test_what_a_page_asks_of_the_socket_is_answered(door: Terminals, page: Path) -> None:
    """Each command of it, one after the other, is answered with success."""
    done = door.type(script(page, by_socket=True))

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_line_for_cron_makes_a_backup_that_is_whole(folders: Terminals, tmp_path: Path) -> None:
    """As cron hands it to a shell: without when and who, and with each escaped % as one."""
    *_, command = block("backup.md", "30 2 * * *").replace("\\%", "%").split(maxsplit=6)
    done = folders.type(command.replace("/mnt/backup", str(tmp_path)))

    assert done.returncode == 0, done.stdout + done.stderr
    assert 1 == len(list(tmp_path.glob("gateway-20??-??-??.db")))


ARRIVES = """
bars-gateway send referral.json
until ls spool/inbox/new | grep outcome; do sleep 0.1; done
jq -e '.state == "acknowledged"' spool/inbox/new/*.outcome.json
"""


@pytest.mark.needs("haproxy")
def test_a_message_comes_through_the_balancer_of_the_page(tmp_path: Path) -> None:
    """HAProxy, set as it stands there, passes it on, and the gateway believes for whom."""
    (page,) = [page for page in PAGES if page.name == "load-balancer.md"]
    balancer = block("load-balancer.md", "backend")
    (callers,) = re.findall(r"^\[callers\]\n.+\n", page.read_text("utf-8"), re.MULTILINE)
    (first,) = [page for page in PAGES if page.name == "first-message.md"]
    made = script(first, by_socket=False).partition("bars-gateway send")[0]
    behind = {BEHIND: 'listen = "127.0.0.1:9443"', "[epr]": f"{callers}[epr]"}
    with three_terminals(tmp_path, behind) as terminals:
        ports = terminals.ports
        written = with_ports(balancer.replace("127.0.0.1:8443", "127.0.0.1:9443"), ports)
        written = written.replace(":443", f"127.0.0.1:{ports['8443']}")
        (tmp_path / "haproxy.cfg").write_text(
            written.replace("port 8480", f"port {ports['8480']}"), "utf-8"
        )
        with terminals.running("exec haproxy -db -f haproxy.cfg") as haproxy:
            done = terminals.type(f"{made}{ARRIVES}")
            assert haproxy.poll() is None, (tmp_path / "said").read_text("utf-8")

    assert done.returncode == 0, done.stdout + done.stderr
