"""How people are told: by the log, a command, a mail; each way by itself, and at least once."""

import asyncio
import json
import re
import sys
import tomllib
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from mail_side import Box, mail_server, plain_server
from store_values import NOW
from structlog.testing import capture_logs

from bars_gateway.model.alerts import Channel, Condition, Delivery, StandingConditions, Telling
from bars_gateway.status.deliveries import (
    Command,
    Courier,
    Journal,
    Mail,
    NotDelivered,
    Whence,
)
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store

WHENCE = Whence(node="gateway-1", environment="int", page_url="http://127.0.0.1:8480")
SILENT = Condition(
    code="receiver.silent", about="s|1", says="A Receiver does not answer (bucket 8)", urgent=True
)
OVERDUE = Condition(code="workflow.overdue", says="Overdue: 2 answers owed to us", urgent=True)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_database(tmp_path / "gateway.db") as database:
        yield Store(database, node="here")


async def due(store: Store, channel: Channel, *conditions: Condition) -> Sequence[Delivery]:
    telling = Telling(channels=[channel], digest=timedelta(), remind=timedelta())
    await store.alerts.review(StandingConditions(conditions=conditions), telling, NOW)
    return await store.alerts.due(channel, NOW)


def script(tmp_path: Path, text: str) -> list[str]:
    """Return a command that runs *text* as Python, with a file of its own as `out`."""
    file = tmp_path / "told.py"
    file.write_text(f"import sys, json\nout = {str(tmp_path / 'out')!r}\n{text}\n", "utf-8")
    return [sys.executable, "-I", str(file)]


async def test_a_command_gets_what_is_to_be_told_as_json(store: Store, tmp_path: Path) -> None:
    """A pager needs no parser for prose: code, state, what to do, and a link."""
    argv = script(tmp_path, "open(out, 'w').write(sys.stdin.read())")
    await Command(argv, 20, WHENCE).tell(await due(store, Channel.COMMAND, SILENT))
    told = json.loads((tmp_path / "out").read_text("utf-8"))

    assert ("receiver.silent", "opened", "open") == (told["code"], told["step"], told["state"])
    assert "http://127.0.0.1:8480/runbooks#receiver.silent" == told["runbook"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import time; time.sleep(600)", "it did not end within 0.5 s"),
        ("sys.exit(7)", "it ended with 7"),
    ],
)
async def test_a_command_that_fails_has_told_nobody(
    store: Store, tmp_path: Path, text: str, reason: str
) -> None:
    """One that hangs is ended; why is said, and nothing of what it printed."""
    with pytest.raises(NotDelivered) as caught:
        await Command(script(tmp_path, text), 0.5, WHENCE).tell(
            await due(store, Channel.COMMAND, SILENT)
        )

    assert reason == str(caught.value)


@pytest.mark.needs("curl")
@pytest.mark.parametrize("status", [200, 500])
async def test_a_webhook_is_told_as_the_page_says(store: Store, status: int) -> None:
    """Its command is taken from there as it stands; an error of the other side is one."""
    page = Path(__file__).parents[1].joinpath("docs/alerts.md").read_text("utf-8")
    (settings,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    *argv, _ = tomllib.loads(settings)["alerts"]["command"]
    taken: list[Any] = []

    async def hook(request: web.Request) -> web.Response:
        taken.append(await request.json())
        return web.Response(status=status)

    site = web.Application()
    site.router.add_post("/bars", hook)
    async with TestServer(site) as server:
        telling = Command([*argv, str(server.make_url("/bars"))], 20, WHENCE).tell(
            await due(store, Channel.COMMAND, SILENT)
        )
        with nullcontext() if status == 200 else pytest.raises(NotDelivered, match="ended with 22"):
            await telling

    assert ["receiver.silent"] == [told["code"] for told in taken]


async def test_a_command_that_is_not_there_has_told_nobody(store: Store) -> None:
    """A wrong path is said in words."""
    with pytest.raises(NotDelivered) as caught:
        await Command(["/nowhere"], 5, WHENCE).tell(await due(store, Channel.COMMAND, SILENT))

    assert "it cannot be run: No such file or directory" == str(caught.value)


async def test_no_shell_reads_a_command(store: Store, tmp_path: Path) -> None:
    """What stands in an argument is that argument."""
    argv = [*script(tmp_path, "open(out, 'w').write(json.dumps(sys.argv[1:]))"), "$(id); `x`"]
    await Command(argv, 20, WHENCE).tell(await due(store, Channel.COMMAND, SILENT))

    assert ["$(id); `x`"] == json.loads((tmp_path / "out").read_text("utf-8"))


async def test_the_log_has_each_with_its_runbook(store: Store) -> None:
    """Where nothing else is set, whoever reads the log finds it, and what to do."""
    with capture_logs() as logs:
        await Journal(WHENCE).tell(await due(store, Channel.JOURNAL, SILENT))
    (line,) = [line for line in logs if line["event"] == "alert.opened"]

    assert ("error", "receiver.silent") == (line["log_level"], line["kind"])
    assert "http://127.0.0.1:8480/runbooks#receiver.silent" == line["path"]


async def test_one_mail_tells_all_that_is_due(store: Store, tmp_path: Path) -> None:
    """Whoever is woken reads one mail, with what to do and where it stands; over TLS."""
    box = Box()
    async with mail_server(tmp_path, box) as server:
        await Mail(server, WHENCE).tell(await due(store, Channel.MAIL, SILENT, OVERDUE))
    (mail,) = box.mails
    text = mail.get_content()

    assert [True] == box.secured
    assert (
        "[int gateway-1] OPENED: A Receiver does not answer (bucket 8) (and 1 more)"
        == mail["Subject"].strip()
    )
    assert "Start your fallback now" in text
    assert "http://127.0.0.1:8480/runbooks#workflow.overdue" in text


async def test_a_mail_server_may_want_a_password(store: Store, tmp_path: Path) -> None:
    """It is read from its file each time, and asked for over TLS alone."""
    said: list[tuple[bytes, bytes]] = []

    def known(*about: Any) -> AuthResult:
        said.append((about[4].login, about[4].password))
        return AuthResult(success=True)

    (tmp_path / "password").write_text("sesame\n", "utf-8-sig")
    box = Box()
    async with mail_server(tmp_path, box, authenticator=known, auth_required=True) as server:
        as_us = replace(server, user="gateway", password_file=tmp_path / "password")
        await Mail(as_us, WHENCE).tell(await due(store, Channel.MAIL, SILENT))

    assert [(b"gateway", b"sesame")] == said
    assert 1 == len(box.mails)


async def test_a_mail_server_of_another_authority_gets_nothing(
    store: Store, tmp_path: Path
) -> None:
    """Who cannot prove itself may be anybody."""
    box = Box()
    async with mail_server(tmp_path, box) as server:
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        with pytest.raises(NotDelivered):
            await Mail(server, WHENCE).tell(await due(store, Channel.MAIL, SILENT))

    assert [] == box.mails


ON_CALL, IT = "on-call@example-trust.nhs.uk", "it@example-trust.nhs.uk"


async def test_who_was_refused_by_the_mail_server_gets_it_later_and_nobody_twice(
    store: Store, tmp_path: Path
) -> None:
    """It may be the one who is woken: that the others have it is not that people were told."""
    box, clock = Box(), [NOW]
    await due(store, Channel.MAIL, SILENT)
    async with mail_server(tmp_path, box) as server:
        courier = Courier(store.alerts, Mail(server, WHENCE), now=lambda: clock[0])
        box.refused[ON_CALL] = "450 4.2.0 come again later"
        with capture_logs() as logs:
            await courier.tell_due()
        failing = courier.failing_since(NOW + timedelta(minutes=2))
        del box.refused[ON_CALL]
        clock[0] += timedelta(minutes=1)
        await courier.tell_due()
        left = await store.alerts.due(Channel.MAIL, NOW + timedelta(hours=1))

    assert [[IT], [ON_CALL]] == box.taken_for
    assert [f"the mail server said 450 of {ON_CALL}"] == [line["reason"] for line in logs]
    assert (NOW, []) == (failing, left)


async def test_an_address_that_does_not_exist_keeps_no_later_mail_from_the_others(
    store: Store, tmp_path: Path
) -> None:
    """Each mail to them tells what they have not been told."""
    box, clock = Box(), [NOW]
    box.refused[ON_CALL] = "550 5.1.1 no such user"
    await due(store, Channel.MAIL, SILENT)
    async with mail_server(tmp_path, box) as server:
        courier = Courier(store.alerts, Mail(server, WHENCE), now=lambda: clock[0])
        await courier.tell_due()
        await due(store, Channel.MAIL, SILENT, OVERDUE)
        clock[0] += timedelta(minutes=1)
        await courier.tell_due()

    told = [mail.get_content().count("OPENED:") for mail in box.mails]
    assert [[IT], [IT]] == box.taken_for
    assert [1, 1] == told
    assert courier.failing_since(NOW + timedelta(minutes=2)) == NOW


class Filtering(Box):
    """One that refuses a whole mail, once it has it, for what the policy of an address says."""

    def __init__(self, *spoilt: list[str]) -> None:
        super().__init__()
        self.spoilt = spoilt  # the addresses of the mails that it refuses

    async def handle_DATA(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if envelope.rcpt_tos in self.spoilt:
            return "554 5.7.1 refused by policy"
        return await super().handle_DATA(server, session, envelope)


async def test_a_mail_that_fails_keeps_no_other_mail_from_the_others(
    store: Store, tmp_path: Path
) -> None:
    """What is still owed to one address goes last, and its failure ends nothing."""
    box, clock = Filtering([ON_CALL]), [NOW]
    box.refused[ON_CALL] = "450 4.2.0 come again later"
    await due(store, Channel.MAIL, SILENT)
    async with mail_server(tmp_path, box) as server:
        courier = Courier(store.alerts, Mail(server, WHENCE), now=lambda: clock[0])
        await courier.tell_due()
        del box.refused[ON_CALL]
        await due(store, Channel.MAIL, SILENT, OVERDUE)
        clock[0] += timedelta(minutes=1)
        with capture_logs() as logs:
            await courier.tell_due()

    assert [[IT], [ON_CALL, IT]] == box.taken_for
    assert OVERDUE.says in box.mails[1]["Subject"]
    assert [f"the mail server said 554 (mail to {ON_CALL})"] == [line["reason"] for line in logs]


async def test_an_address_that_spoils_a_mail_to_all_keeps_the_next_from_nobody_else(
    store: Store, tmp_path: Path
) -> None:
    """What has failed once is told to each alone."""
    box, clock = Filtering([ON_CALL], [ON_CALL, IT]), [NOW]
    await due(store, Channel.MAIL, SILENT)
    async with mail_server(tmp_path, box) as server:
        courier = Courier(store.alerts, Mail(server, WHENCE), now=lambda: clock[0])
        for _ in range(3):
            await courier.tell_due()
            clock[0] += timedelta(minutes=2)

    assert [[IT]] == box.taken_for
    assert courier.failing_since(clock[0]) == NOW


async def test_no_address_is_told_the_end_of_an_alert_before_its_begin(
    store: Store, tmp_path: Path
) -> None:
    """Where it was refused at first, both come in one mail."""
    box, clock = Box(), [NOW]
    box.refused[ON_CALL] = "450 4.2.0 come again later"
    await due(store, Channel.MAIL, SILENT)
    async with mail_server(tmp_path, box) as server:
        courier = Courier(store.alerts, Mail(server, WHENCE), now=lambda: clock[0])
        await courier.tell_due()
        del box.refused[ON_CALL]
        await due(store, Channel.MAIL)
        clock[0] += timedelta(minutes=1)
        await courier.tell_due()

    told = [
        re.findall("^(OPENED|RESOLVED):", each.get_content(), re.MULTILINE) for each in box.mails
    ]
    assert [[IT], [ON_CALL], [IT]] == box.taken_for
    assert [["OPENED"], ["OPENED", "RESOLVED"], ["RESOLVED"]] == told


async def test_a_mail_server_that_says_nothing_is_given_up(store: Store, tmp_path: Path) -> None:
    """It may hold up the mails, and nothing else."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with listener:
        server = plain_server(listener, seconds=0.3)
        with pytest.raises(NotDelivered):
            await Mail(server, WHENCE).tell(await due(store, Channel.MAIL, SILENT))


class Flaky:
    """A way that fails so many times, and then tells."""

    channel = Channel.MAIL
    at_once = 10

    def __init__(self, failures: int) -> None:
        self.failures, self.told = failures, list[int]()

    async def tell(self, deliveries: Sequence[Delivery]) -> None:
        if self.failures:
            self.failures -= 1
            raise NotDelivered("it is away")
        self.told += [each.delivery_id for each in deliveries]


async def test_what_could_not_be_told_is_told_later(store: Store) -> None:
    """Nothing is given up; the page says meanwhile that nobody is told."""
    await due(store, Channel.MAIL, SILENT)
    way, clock = Flaky(2), [NOW]
    courier = Courier(store.alerts, way, now=lambda: clock[0])
    troubles = []
    for minutes in (0, 0.5, 2, 9):
        clock[0] = NOW + timedelta(minutes=minutes)
        await courier.tell_due()
        troubles.append(courier.failing_since(NOW + timedelta(minutes=9)))

    assert [1] == way.told
    assert [NOW, NOW, None, None] == troubles


async def test_a_stop_waits_for_no_way(store: Store) -> None:
    """A mail that hangs does not hold up the end of the gateway: the next start tells it."""
    await due(store, Channel.MAIL, SILENT)
    began = asyncio.Event()

    class Hanging(Flaky):
        async def tell(self, deliveries: Sequence[Delivery]) -> None:
            began.set()
            await asyncio.sleep(600)

    courier = Courier(store.alerts, Hanging(0), now=lambda: NOW)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(courier.run())
        await began.wait()
        courier.stop()

    assert 1 == len(await store.alerts.due(Channel.MAIL, NOW))
