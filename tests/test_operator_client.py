"""The command line's hand-over to a running gateway, on a real Unix socket."""

import asyncio
import os
import pwd
from contextlib import asynccontextmanager
from http import HTTPStatus
from unittest.mock import Mock

import pytest
from aiohttp import web

from bars_gateway.cli import messages
from bars_gateway.cli.messages import as_receipt, signed, submit
from bars_gateway.errors import GatewayBusy, GatewayUnreachable
from bars_gateway.onboarding import reported

UNHEARD = (lambda _status, _answer: None, lambda _done, _total: None)


@asynccontextmanager
async def gateway(path, status, instead=None):
    """Yield the bodies that a gateway at *path* was given; it answers each with *status*."""
    heard = []

    async def answer(request):
        heard.append((request.path, request.content_type, await request.read()))
        return web.json_response({"request_id": "some"}, status=status)

    application = web.Application(client_max_size=2**24)
    application.router.add_post("/{rest:.*}", instead or answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        yield heard
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_a_file_is_handed_over_as_it_is(tmp_path, size):
    """The same bytes, also those of a message with a large document in it."""
    body = b"\x00\xff{}\r\n" * (size // 6)
    async with gateway(tmp_path / "trust.sock", 201) as heard:
        await submit(tmp_path / "trust.sock", {tmp_path / "referral.json": body}, *UNHEARD)

    assert [("/messages", "application/fhir+json", body)] == heard


@pytest.mark.parametrize(
    ("status", "refused", "sentence"),
    [
        (201, 0, "accepted"),
        (200, 0, "accepted before; this is the same receipt"),
        (422, 1, "not accepted"),
    ],
)
async def test_each_receipt_is_told(tmp_path, capsys, status, refused, sentence):
    """Whoever submits a file reads what became of it."""
    file = tmp_path / "referral.json"
    async with gateway(tmp_path / "trust.sock", status):
        answers = await submit(
            tmp_path / "trust.sock", {file: b"{}"}, as_receipt, lambda _done, _total: None
        )

    assert (refused, f"{file}: {sentence}") == (
        sum(not each["accepted"] for each in answers),
        capsys.readouterr().out.splitlines()[0],
    )


async def test_how_far_it_is_can_be_shown(tmp_path):
    """Whoever submits a thousand files sees how many are through."""
    heard = []
    files = {tmp_path / f"{number}.json": b"{}" for number in range(3)}
    async with gateway(tmp_path / "trust.sock", 201):
        await submit(tmp_path / "trust.sock", files, UNHEARD[0], lambda *far: heard.append(far))

    assert [(1, 3), (2, 3), (3, 3)] == heard


async def test_no_gateway_is_named(tmp_path):
    """The socket that nobody answers on is in the message."""
    with pytest.raises(GatewayUnreachable, match=r"trust\.sock"):
        await submit(tmp_path / "trust.sock", {tmp_path / "a.json": b"{}"}, *UNHEARD)


async def test_a_gateway_that_is_busy_is_not_to_be_started(tmp_path, monkeypatch):
    """No answer in time is no sign that it does not run: what was asked may be under way."""
    monkeypatch.setattr(messages, "_ANSWER_SECONDS", 0.05)
    ended = asyncio.Event()

    async def silent(_request):
        await ended.wait()
        return web.Response()

    async with gateway(tmp_path / "trust.sock", 200, silent):
        with pytest.raises(GatewayBusy, match="may still be doing") as caught:
            await submit(tmp_path / "trust.sock", {tmp_path / "a.json": b"{}"}, *UNHEARD)
        ended.set()

    assert "Do not start it again" in caught.value.advice


@pytest.mark.parametrize(
    ("dry_run", "told"), [(False, "1500 were done before that, and stay so\n"), (True, "")]
)
def test_how_far_it_came_is_told_where_it_breaks_off(capsys, dry_run, told):
    """Round by round: what was done stays done, and of a dry run nothing was."""
    answers = iter([1000, 500])

    def ask(_path, _order):
        possible = next(answers, None)
        if possible is None:
            raise GatewayBusy("no answer yet")
        report = {"messages": [], "objections": {}, "next": {"after": 1}}
        return HTTPStatus.OK, {**report, "dry_run": dry_run, "possible": possible}

    with pytest.raises(GatewayBusy):
        messages._in_bulk(
            ask, {"verb": "hold", "dry_run": dry_run, "messages": {}}, Mock(), as_json=False
        )

    assert told == capsys.readouterr().err


def test_a_user_without_a_name_signs_with_a_number(monkeypatch):
    """In many a container nobody has a name: an order is signed all the same."""
    monkeypatch.setattr(pwd, "getpwuid", Mock(side_effect=KeyError("uid not found")))

    assert f"uid {os.geteuid()}" == signed("INC-7", None, dry_run=False)["by"]


@pytest.mark.parametrize(
    ("logged_in", "sudo", "who"),
    [
        (b"4294967295", "", "root"),
        (b"4294967295", "jo.bloggs", "jo.bloggs as root"),
        (b"1", "sam", "daemon as root"),
        (b"0", "", "root"),
    ],
)
def test_whoever_logged_in_is_told_beside_the_user_that_they_became(
    monkeypatch, tmp_path, logged_in, sudo, who
):
    """The kernel knows it over `sudo` and `su`; what the environment says comes after that."""
    (tmp_path / "loginuid").write_bytes(logged_in)
    monkeypatch.setattr(reported, "_LOGGED_IN", tmp_path / "loginuid")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", sudo)
    monkeypatch.setenv("LOGNAME", "somebody.else")

    assert who == reported.whoever_types()
