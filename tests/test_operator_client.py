"""The command line's hand-over to a running gateway, on a real Unix socket."""

import asyncio
import os
import pwd
from contextlib import asynccontextmanager
from http import HTTPStatus
from unittest.mock import Mock

import pytest
import typer
from aiohttp import web

from bars_gateway import permissions
from bars_gateway.cli import messages
from bars_gateway.cli.messages import as_receipt, signed, submit
from bars_gateway.errors import GatewayBrokeOff, GatewayBusy, GatewayUnreachable

GO_ON = "stay so; of the next, some may be. The same command goes on with the rest\n"
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
    ("dry_run", "told"),
    [
        (
            False,
            f"1500 were done before that, and {GO_ON}",
        ),
        (True, ""),
    ],
)
@pytest.mark.parametrize("broken_off", [GatewayBusy("no answer yet"), KeyboardInterrupt()])
def test_how_far_it_came_is_told_where_it_breaks_off(capsys, dry_run, told, broken_off):
    """Round by round: what was done stays done, and of a dry run nothing was."""
    answers = iter([1000, 500])

    def ask(_path, _order):
        possible = next(answers, None)
        if possible is None:
            raise broken_off
        report = {"messages": [], "objections": {}, "next": {"after": 1}}
        return HTTPStatus.OK, {**report, "dry_run": dry_run, "possible": possible}

    with pytest.raises(type(broken_off)):
        messages._in_bulk(
            ask, {"verb": "hold", "dry_run": dry_run, "messages": {}}, Mock(), as_json=False
        )

    assert told == capsys.readouterr().err


async def test_a_gateway_that_ended_meanwhile_may_be_starting_again(tmp_path):
    """It had the order: what was done stays done, and nobody is told that none was there."""

    async def ending(request):
        request.transport.close()
        return web.Response()

    async with gateway(tmp_path / "trust.sock", 200, ending):
        with pytest.raises(GatewayBrokeOff) as caught:
            await submit(tmp_path / "trust.sock", {tmp_path / "a.json": b"{}"}, *UNHEARD)

    assert "Start it" not in caught.value.advice


def flying(code, state="sending"):
    """Return what the gateway says of the one that was being sent."""
    objection = {"code": code, "problem": "p", "cure": "c"} if code else None
    told = {"resent_as": None, "may_happen": None, "also": [], "objection": objection}
    return {"request_id": "r-1", "done": not code, "state": state, **told}


@pytest.mark.parametrize(
    ("later", "ends", "summed_up"),
    [
        ([flying(None, "held")], 0, "done: 1"),
        ([flying("in_flight"), flying(None, "held")], 0, "done: 1"),
        ([flying("wrong_state", "acknowledged")], 0, "done: 0, 1 meanwhile acknowledged"),
        ([flying("attempted", "queued")], 1, "done: 0, 1 not (attempted)"),
        ([flying("in_flight")] * 9, 1, "done: 0, 1 not (in_flight)"),
    ],
)
def test_what_is_being_sent_is_stopped_once_its_attempt_has_ended(
    monkeypatch, capsys, later, ends, summed_up
):
    """It may come back to the queue: whoever holds all there is would have missed it."""
    monkeypatch.setattr(messages, "_LOOK_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(messages, "IN_FLIGHT_SECONDS", 0.05 if len(later) > 2 else 60)
    answers = iter(later)

    def ask(path, order):
        if path == "/interventions":
            report = {"messages": [flying("in_flight")], "possible": 0, "next": None}
            return HTTPStatus.OK, report
        assert ("/messages/r-1/hold", {"dry_run": False}) == (path, order)
        return HTTPStatus.OK, next(answers, later[-1])

    order = {"verb": "hold", "dry_run": False, "messages": {}}
    code = 0
    try:
        messages._in_bulk(ask, order, Mock(), as_json=False)
    except typer.Exit as ended:
        code = ended.exit_code
    told = capsys.readouterr()

    assert (ends, summed_up) == (code, told.out.splitlines()[-1])
    assert "1 are being sent" in told.err


def test_what_the_gateway_cannot_do_now_is_no_fault_of_the_command(capsys):
    """A full disk ends it with 1 and a cure; 2 would send people to look at what they typed."""
    answer = {"error": "the gateway can take nothing now", "cure": "Make room"}

    with pytest.raises(typer.Exit) as ended:
        list(messages.rounds(lambda *_: (503, answer), "/interventions", {}))

    assert (1, True) == (ended.value.exit_code, "try: Make room" in capsys.readouterr().err)


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
    monkeypatch.setattr(permissions, "_LOGGED_IN", tmp_path / "loginuid")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", sudo)
    monkeypatch.setenv("LOGNAME", "somebody.else")

    assert who == permissions.whoever_types()
