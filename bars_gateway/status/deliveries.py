"""
Tells people of alerts: by the log, by a command, by mail. Each way goes on by itself.

    store.alerts.due ─► Courier ─► Journal │ Command │ Mail ─► delivered
                           └── refused, or took too long ──► again later, with a longer pause

Each way has a loop of its own, and what leaves the process has a timeout: a mail server that is
away delays neither the log nor the command, and no message. Nothing is given up: what could not be
told is told later, with the time at which it was decided.

At least once: what was told, and not yet written down as told when the process died, is told again.
Each telling has a number that stays the same (`delivery`), by which whoever receives it can know
that. What is told holds codes, counts, times and names from the settings.

A mail server may take a mail for one address and refuse it for another, for now or for good: whom
it refused is told later, alone, and until then the page says that the mails do not reach everybody.
Who has such a mail is known in memory alone: after a restart it goes to everybody once more. And as
long as an address has not been told of an alert, what follows of that alert waits for the next try.

Decisions: D-alerts.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

import orjson
import structlog

from bars_gateway.errors import IdentityError, StoreUnavailable
from bars_gateway.frozen import frozen
from bars_gateway.model.alerts import AlertStep, Channel, Delivery
from bars_gateway.status.runbooks import RUNBOOKS
from bars_gateway.stopping import pause, unless_stopped
from bars_gateway.tls.contexts import client_context

log = structlog.get_logger(__name__)

LONGEST_SLEEP = 30.0
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=15)
TROUBLE_AFTER = timedelta(minutes=1)
_MAX_DOUBLINGS = 10
_ADVICE = (
    "It is kept, and told later. See that [alerts] names what works; look at the page meanwhile."
)


class Tellings(Protocol):
    """Where it is kept what is to be told: the store, or memory while that is away."""

    async def due(self, channel: Channel, now: datetime, /) -> list[Delivery]:
        """Return what *channel* is to tell by now, in the order in which it was decided."""

    async def delivered(self, ids: Sequence[int], now: datetime, /) -> None:
        """Keep that these were told."""

    async def not_delivered(self, ids: Sequence[int], again: datetime, /) -> None:
        """Let these be told later."""

    def wake(self, channel: Channel, /) -> None:
        """Wake whoever tells by it."""

    async def wait_for_work(self, channel: Channel, seconds: float, /) -> None:
        """Return when *channel* may have something to tell, after *seconds* at the latest."""


class NotDelivered(Exception):
    """Nobody was told; its text says why, and holds nothing of what was to be told."""


class Way(Protocol):
    """One way of telling people."""

    channel: Channel
    at_once: int  # how many it tells together

    async def tell(self, deliveries: Sequence[Delivery]) -> None:
        """Return once they were told, or raise NotDelivered."""


@frozen(kw_only=True)
class Whence:
    """Which gateway it is that tells."""

    node: str
    environment: str
    page_url: str

    def runbook(self, code: str) -> str:
        """Return where it stands what to do about that code."""
        return f"{self.page_url}{RUNBOOKS[code].anchor}"


class Journal:
    """The log, which the service manager keeps."""

    channel = Channel.JOURNAL
    at_once = 100

    def __init__(self, whence: Whence) -> None:
        self._whence = whence

    async def tell(self, deliveries: Sequence[Delivery]) -> None:
        """Log each."""
        for each in deliveries:
            alert = each.alert
            what = {
                "name": alert.number,
                "kind": alert.code,
                "reason": alert.says,
                "path": self._whence.runbook(alert.code),
            }
            if each.step is AlertStep.RESOLVED:
                log.info("alert.resolved", **what)
            elif each.step is AlertStep.REMINDED:
                log.error("alert.goes_on", **what)
            elif alert.urgent:
                log.error("alert.opened", **what)
            else:
                log.warning("alert.opened", **what)


class Command:
    """A program that is run for each, with JSON on its input, by no shell."""

    channel = Channel.COMMAND
    at_once = 1

    def __init__(self, argv: Sequence[str], seconds: float, whence: Whence) -> None:
        self._argv, self._seconds, self._whence = argv, seconds, whence

    async def tell(self, deliveries: Sequence[Delivery]) -> None:
        """Run it for each, in order."""
        for each in deliveries:
            await self._run(orjson.dumps(document(each, self._whence)))

    async def _run(self, given: bytes) -> None:
        try:
            running = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # so that what it has started can be ended with it
            )
        except OSError as error:
            raise NotDelivered(f"it cannot be run: {error.strerror}") from None
        try:
            async with asyncio.timeout(self._seconds):
                await running.communicate(given)
        except TimeoutError:
            raise NotDelivered(f"it did not end within {self._seconds:g} s") from None
        finally:
            if running.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)
                await running.wait()
        if running.returncode:
            raise NotDelivered(f"it ended with {running.returncode}")


@frozen(kw_only=True)
class MailServer:
    """How it is reached, and as whom."""

    host: str
    port: int
    security: str  # starttls, tls or none
    ca_file: Path | None
    user: str | None
    password_file: Path | None
    sender: str
    recipients: Sequence[str]
    seconds: float


class Mail:
    """One mail for all that is due: what is urgent first, and to nobody who was told of it."""

    channel = Channel.MAIL
    at_once = 200

    def __init__(self, server: MailServer, whence: Whence) -> None:
        self._server, self._whence = server, whence
        self._told: dict[int, set[str]] = {}  # by delivery, who has it while another one has not

    async def tell(self, deliveries: Sequence[Delivery]) -> None:
        """Send a mail to everybody; what fails for one address is told to it the next time."""
        failed: list[str] = []
        for recipients, due in self._lacking(deliveries):
            try:
                refused = await self._sent(replace(self._server, recipients=recipients), due)
            except NotDelivered as error:  # another mail may well be taken
                failed.append(f"{error} (mail to {', '.join(recipients)})")
            else:
                failed += [f"the mail server said {_codes(refused)}"] if refused else []
        if failed:
            raise NotDelivered("; ".join(failed))
        for each in deliveries:
            self._told.pop(each.delivery_id, None)

    def _lacking(
        self, deliveries: Sequence[Delivery]
    ) -> Sequence[tuple[tuple[str, ...], Sequence[Delivery]]]:
        """
        Return what is to be told to whom, the mail to most of them first.

        Of an alert of which a mail has failed, each is told alone: it may have failed for one
        address, and no address is told the end of an alert before its begin.
        """
        singly = {each.alert.number for each in deliveries if each.attempts}
        found: dict[tuple[str, ...], list[Delivery]] = {}
        for each in deliveries:
            told = self._told.get(each.delivery_id, ())
            lacking = tuple(r for r in dict.fromkeys(self._server.recipients) if r not in told)
            groups = [(r,) for r in lacking] if each.alert.number in singly else [lacking]
            for group in groups:
                found.setdefault(group, []).append(each)
        found.pop((), None)  # all have it, and what followed then failed
        return sorted(found.items(), key=lambda item: -len(item[0]))

    async def _sent(self, server: MailServer, due: Sequence[Delivery]) -> Mapping[str, int]:
        """Send one mail, and return whom the server refused, with its codes."""
        import aiosmtplib  # where there is a mail to send, and not at every start

        try:
            async with asyncio.timeout(server.seconds):
                refused = await self._send(mail_of(due, server, self._whence))
        except TimeoutError:
            raise NotDelivered(f"the mail server took longer than {server.seconds:g} s") from None
        except aiosmtplib.SMTPRecipientsRefused as error:
            return {each.recipient: each.code for each in error.recipients}
        except aiosmtplib.SMTPResponseException as error:
            raise NotDelivered(f"the mail server said {error.code}") from None
        except (aiosmtplib.SMTPException, OSError, IdentityError) as error:
            raise NotDelivered(f"the mail server: {type(error).__name__}") from None
        for each in due:
            told = self._told.setdefault(each.delivery_id, set())
            told.update(r for r in server.recipients if r not in refused)
        return refused

    async def _send(self, mail: EmailMessage) -> Mapping[str, int]:
        import aiosmtplib

        server = self._server
        context = (
            None
            if server.security == "none"
            else await asyncio.to_thread(client_context, server.ca_file)
        )
        password = None
        if server.password_file is not None:
            password = (
                await asyncio.to_thread(server.password_file.read_text, "utf-8-sig")
            ).strip()
        refused, _ = await aiosmtplib.send(
            mail,
            hostname=server.host,
            port=server.port,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=context,
            username=server.user,
            password=password,
            timeout=server.seconds,
        )
        return {recipient: response.code for recipient, response in refused.items()}


def _codes(refused: Mapping[str, int]) -> str:
    return ", ".join(f"{code} of {recipient}" for recipient, code in sorted(refused.items()))


def document(delivery: Delivery, whence: Whence) -> dict[str, object]:
    """Return what a program reads of it."""
    alert, book = delivery.alert, RUNBOOKS[delivery.alert.code]
    return {
        "delivery": delivery.delivery_id,
        "alert": alert.number,
        "step": delivery.step,
        "state": alert.state,
        "code": alert.code,
        "says": alert.says,
        "urgent": alert.urgent,
        "opened_at": _text(alert.opened_at),
        "resolved_at": _text(alert.resolved_at),
        "decided_at": _text(delivery.decided_at),
        "for_patients": book.harm,
        "do": book.do,
        "look": book.look,
        "runbook": whence.runbook(alert.code),
        "node": whence.node,
        "environment": whence.environment,
    }


def mail_of(deliveries: Sequence[Delivery], server: MailServer, whence: Whence) -> EmailMessage:
    """Return one mail that tells all of them."""
    ordered = sorted(deliveries, key=lambda each: (not _wakes(each), each.delivery_id))
    first, more = ordered[0], len(ordered) - 1
    mail = EmailMessage()
    mail["From"], mail["To"] = server.sender, ", ".join(server.recipients)
    rest = f" (and {more} more)" if more else ""
    mail["Subject"] = (
        f"[{whence.environment} {whence.node}] {first.step.upper()}: {first.alert.says}{rest}"
    )
    mail["Date"] = format_datetime(first.decided_at)
    domain = server.sender.partition("@")[2]
    ids = f"{min(e.delivery_id for e in ordered)}-{max(e.delivery_id for e in ordered)}"
    mail["Message-ID"] = f"<alert-{ids}.{whence.environment}.{whence.node}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    if any(_wakes(each) for each in ordered):
        mail["X-Priority"] = "1"
    mail.set_content("\n\n".join(_told(each, whence) for each in ordered) + _FOOT)
    return mail


_FOOT = (
    "\n\n-- \nThis mail holds no data of patients, and none belongs into an answer to it. It may"
    "\ncome twice: the same delivery has the same number.\n"
)


def _wakes(delivery: Delivery) -> bool:
    return delivery.alert.urgent and delivery.step is not AlertStep.RESOLVED


def _told(delivery: Delivery, whence: Whence) -> str:
    alert, book = delivery.alert, RUNBOOKS[delivery.alert.code]
    lines = [
        f"{delivery.step.upper()}: {alert.says}",
        f"alert {alert.number}, {alert.code}, since {alert.opened_at:%Y-%m-%d %H:%M} UTC",
    ]
    if alert.resolved_at is not None:
        lines.append(f"resolved {alert.resolved_at:%Y-%m-%d %H:%M} UTC")
    if delivery.step is not AlertStep.RESOLVED:
        lines.append(f"For patients: {book.harm}")
        lines += [f"Do: {book.do}", f"Look first {book.whose}: {book.look}"]
    lines.append(f"Runbook: {whence.runbook(alert.code)}   (delivery {delivery.delivery_id})")
    return "\n".join(lines)


def _text(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


def is_trouble(since: datetime, now: datetime) -> bool:
    """Tell whether somebody is to know that nothing could be told *since* then."""
    return abs(now - since) >= TROUBLE_AFTER


class Courier:
    """Tells by one way, for as long as the gateway runs."""

    def __init__(
        self,
        tellings: Tellings,
        way: Way,
        *,
        now: Callable[[], datetime],
        longest_sleep: float = LONGEST_SLEEP,
        first_pause: timedelta = FIRST_PAUSE,
    ) -> None:
        self._tellings, self._way, self._now = tellings, way, now
        self._longest_sleep, self._first_pause = longest_sleep, first_pause
        self._stopping = asyncio.Event()
        self._failing_since: datetime | None = None
        self._told: Sequence[int] = ()  # and not yet written down as told

    @property
    def channel(self) -> Channel:
        """By which way it tells."""
        return self._way.channel

    def failing_since(self, now: datetime) -> datetime | None:
        """Return since when nothing can be told, once that has lasted; None: all can."""
        since = self._failing_since
        return since if since is not None and is_trouble(since, now) else None

    async def run(self, _beat: Callable[[], None] = lambda: None) -> None:
        """Tell until stopped."""
        while not self._stopping.is_set():
            try:
                told = await self.tell_due()
            except StoreUnavailable as error:
                log.error("store.unavailable", reason=str(error), advice=error.advice)
                await pause(self._stopping, self._longest_sleep)
                continue
            if not told:
                await self._tellings.wait_for_work(self.channel, self._longest_sleep)

    def stop(self) -> None:
        """Begin with no other."""
        self._stopping.set()
        self._tellings.wake(self.channel)

    async def tell_due(self) -> bool:
        """
        Tell what is due, once; return whether there may be more.

        What was told and could not be written down is not told again for that.
        """
        await self._write_down()
        due = (await self._tellings.due(self.channel, self._now()))[: self._way.at_once]
        if not due:
            return False
        ended: list[str | None] = []  # why not, or None; empty: a stop came first
        await unless_stopped(self._stopping, self._tell(due, ended))
        if ended and ended[0] is not None:
            await self._put_off(due, ended[0])
        elif ended:
            self._failing_since = None
            self._told = [each.delivery_id for each in due]
            await self._write_down()
        return True

    async def _write_down(self) -> None:
        if self._told:
            await self._tellings.delivered(self._told, self._now())
            self._told = ()

    async def _tell(self, due: Sequence[Delivery], ended: list[str | None]) -> None:
        try:
            await self._way.tell(due)
        except NotDelivered as error:
            ended.append(str(error))
        else:
            ended.append(None)

    async def _put_off(self, due: Sequence[Delivery], reason: str) -> None:
        now = self._now()
        self._failing_since = self._failing_since or now
        doublings: int = 2 ** min(*(each.attempts for each in due), _MAX_DOUBLINGS)
        wait = min(LONGEST_PAUSE, self._first_pause * doublings)
        ids = [each.delivery_id for each in due]
        await self._tellings.not_delivered(ids, now + wait)
        log.warning(
            "alert.not_delivered",
            name=self.channel,
            count=len(due),
            reason=reason,
            seconds=wait.total_seconds(),
            advice=_ADVICE,
        )
