"""What the pages tell to type in the third terminal is typed, as it stands there, and works."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import PAGES, blocks
from terminals import Terminals, three_terminals

AT_THE_SOCKET = "at the socket"
pytestmark = [pytest.mark.needs("curl", "jq", "sqlite3"), pytest.mark.timeout(240)]


def scripts(what: str, *, by_socket: bool) -> list[Path]:
    """Return the pages that have such blocks."""
    return [page for page in PAGES if script(page, what, by_socket=by_socket)]


def script(page: Path, what: str, *, by_socket: bool) -> str:
    """Return the blocks of a page as one script."""
    return "".join(
        each.text
        for each in blocks(page)
        if each.what == what
        and each.where.startswith(AT_THE_SOCKET if by_socket else "third terminal")
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminals]:
    with three_terminals(tmp_path_factory.mktemp("f"), by_socket=False) as opened:
        yield sent(opened)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminals]:
    with three_terminals(tmp_path_factory.mktemp("s"), by_socket=True) as opened:
        yield sent(opened)


def sent(terminals: Terminals) -> Terminals:
    """Begin as every page does: with the messages of the first one."""
    (first,) = [page for page in PAGES if page.name == "first-message.md"]
    done = terminals.type(script(first, "run", by_socket=False).replace("ls spool/inbox/new", ":"))
    assert done.returncode == 0, done.stdout + done.stderr
    return terminals


@pytest.mark.parametrize("page", scripts("run", by_socket=False), ids=lambda page: page.stem)
def test_what_a_page_tells_to_type_works(folders: Terminals, page: Path) -> None:
    """Each command of it, one after the other, ends well."""
    done = folders.type(script(page, "run", by_socket=False))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", scripts("run", by_socket=True), ids=lambda page: page.stem)
def test_what_a_page_asks_of_the_socket_is_answered(door: Terminals, page: Path) -> None:
    """Each command of it, one after the other, is answered with success."""
    done = door.type(script(page, "run", by_socket=True))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", scripts("understood", by_socket=False), ids=lambda page: page.stem)
def test_what_a_page_tells_to_type_is_understood(folders: Terminals, page: Path) -> None:
    """A message of another state than this one may be needed: then the command says so."""
    done = folders.type(script(page, "understood", by_socket=False), may_be_told_no=True)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", scripts("understood", by_socket=True), ids=lambda page: page.stem)
def test_what_a_page_asks_of_the_socket_is_understood(door: Terminals, page: Path) -> None:
    """A message of another state than this one may be needed: then the answer says so."""
    done = door.type(script(page, "understood", by_socket=True), may_be_told_no=True)

    assert done.returncode == 0, done.stdout + done.stderr
