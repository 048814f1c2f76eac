"""docs/sandbox.md: what it tells people to type works, and what it lists is what there is."""

import re
import shlex
from pathlib import Path

import pytest
import pytest_asyncio
from sandbox.around import Reply
from sandbox.corresponding import asking, corresponding, focus_id, post, steer

from bars_gateway.sandbox.counterparty.services import _ABOUT, SERVICES, Deviation

PAGE = Path(__file__).parent.parent.parent / "docs" / "sandbox.md"
ADMIN = "http://127.0.0.1:8441"
COMMANDS = re.findall(r"^curl (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)


@pytest_asyncio.fixture
async def box(settings):
    async with corresponding(settings) as made:
        yield made


async def typed(box, command: str, ids: dict[str, str]) -> Reply:
    """Do what curl does with those words."""
    for name, value in ids.items():
        command = command.replace(f"${name}", value)
    command = command.replace("$PARTY", f"{ADMIN}/counterparty").partition(" > ")[0]
    words = shlex.split(command)
    data = words[words.index("-d") + 1] if "-d" in words else None
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if data else "GET"
    (path,) = [word.removeprefix(ADMIN) for word in words if word.startswith(ADMIN)]
    return await box.ask(method, box.sandbox.admin_url + path, data=data)


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_of_the_page(box, command):
    """It is understood, and done."""
    made = await post(box, asking("a4t1", "2000000904"))
    sent = await steer(box, "/requests", {"use_case": "a4t1", "to": "2000000202"})
    reply = await typed(box, command, {"ID": focus_id(made), "SENT": sent.json["id"]})

    assert 2 == reply.status // 100


def test_every_service_is_on_the_page():
    """Each of its own, with the number of its Application."""
    rows = re.findall(r"^\| `(\d{10})` \| (\d),", PAGE.read_text("utf-8"), re.MULTILINE)
    own = [each for each in SERVICES.values() if not each.official]

    assert [(each.value, each.applications[0][1:]) for each in own] == rows


def test_every_verb_is_on_the_page():
    """With what it may be about, the default first."""
    row = re.compile(r"^\| `([a-z]+)` \| (`[a-z]+`(?:, or `[a-z]+`)?) \|", re.MULTILINE)
    rows = row.findall(PAGE.read_text("utf-8"))
    about = {verb: ", or ".join(f"`{of}`" for of in ofs) for verb, ofs in _ABOUT.items()}

    assert {verb.value: about[verb] for verb in Deviation} == dict(rows)
