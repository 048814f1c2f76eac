"""
Who is told of what needs a person, beyond the page: by a command, by mail.

    [alerts] ─► channels · digest · reminders · maintenance · what silence is news

Without a channel all of it is in the log and on the page. Nothing secret stands here: a password is
in a file of its own.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, Field, StringConstraints, model_validator

from bars_gateway.config.values import AbsolutePath, Flaw, Section, Text, Url, Words, listed, reject

_Minutes = Annotated[float, Field(ge=0, le=10_080)]


Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:_-]{1,253}$")]
Mailbox = Annotated[Text, StringConstraints(pattern=r"^[^\s@,<>]+@[^\s@,<>]+$")]
Mailboxes = Annotated[tuple[Mailbox, ...], BeforeValidator(listed)]


class AlertSettings(Section):
    """Who is told of what needs a person, beyond the page."""

    command: Words = ()
    """
    A program, with its arguments, that is run for each thing to be told; it gets JSON on its input.

    Set it to what pages people here. It is run as the gateway's user, and by no shell.
    """

    command_seconds: Annotated[float, Field(ge=0.5, le=300)] = 20
    """
    How long that program may take, in seconds; then it is ended, and run again later.

    Raise it if it waits for others.
    """

    mail_server: Host | None = None
    """
    The mail server that takes our mails, without its port.

    Set it, with `mail_from` and `mail_to`, to be told by mail.
    """

    mail_port: Annotated[int, Field(ge=1, le=65535)] = 587
    """
    The port of the mail server.

    Mostly 587 with `starttls`, 465 with `tls`, 25 with `none`.
    """

    mail_security: Literal["starttls", "tls", "none"] = "starttls"
    """
    How the way to the mail server is secured: `starttls`, `tls` from the first byte, or `none`.

    `none` is refused unless the mail server is on this machine.
    """

    mail_ca_file: AbsolutePath | None = None
    """
    The certificate authorities of the mail server, PEM; those of the operating system by default.

    Set it where the hospital has an authority of its own.
    """

    mail_user: Text | None = None
    """
    As whom the mail server is asked, where it wants a user and a password.

    Set it together with `mail_password_file`.
    """

    mail_password_file: AbsolutePath | None = None
    """
    The file that holds the password for the mail server, and nothing else; mode 0600.

    Set it together with `mail_user`.
    """

    mail_from: Mailbox | None = None
    """
    The address from which we send.

    Set it to one that the mail server takes from this machine.
    """

    mail_to: Mailboxes = ()
    """
    The addresses to which we send.

    Set it to a list that somebody reads at any hour; what is told holds nothing of a patient.
    """

    mail_seconds: Annotated[float, Field(ge=1, le=300)] = 30
    """
    How long one mail may take, in seconds; then it is sent again later.

    Raise it for a slow mail server; nothing else waits for it.
    """

    digest_minutes: _Minutes = 60
    """
    How long what is not urgent waits, in minutes, to be told together; 0: it is told at once.

    Set it to how often somebody wants to hear of what can wait until the morning.
    """

    remind_minutes: _Minutes = 60
    """
    How long until what is urgent is told again if not acknowledged, in minutes; 0: never.

    Lower it where a first mail may be missed.
    """

    nothing_received_minutes: _Minutes = 0
    """
    After how many minutes without a message from outside somebody is told; 0: never.

    Set it to the longest quiet that you know, nights and holidays included.
    """

    nothing_acknowledged_minutes: _Minutes = 0
    """
    After how many minutes in which none of our messages was acknowledged; 0: never.

    Likewise. An EPR that sends nothing is silent, too: somebody should look.
    """

    maintenance_from: AwareDatetime | None = None
    """
    From when what is wrong with the machine or the network waits to be told.

    Set it before planned work. What may touch a patient is told all the same.
    """

    maintenance_until: AwareDatetime | None = None
    """
    Until when it waits: what still stands then is told.

    Set it together with `maintenance_from`.
    """

    page_url: Url | None = None
    """
    The address of the status page, for the links in what is told; where it listens by default.

    Set it to where people reach the page, if that is through a server with a log-in.
    """

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        reject([*_mail(self), *_together(self)])
        return self


def _mail(alerts: AlertSettings) -> Iterator[Flaw]:
    if alerts.mail_server is None:
        return
    for key, given in (("mail_from", alerts.mail_from), ("mail_to", alerts.mail_to)):
        if not given:
            yield Flaw(
                key=(key,),
                cause="is required where a mail server is named",
                cure="Set it, or take alerts.mail_server out.",
            )
    if alerts.mail_security == "none" and not _is_here(alerts.mail_server):
        yield Flaw(
            key=("mail_security",),
            cause="would send in the clear to another machine",
            cure='Write "starttls" or "tls".',
        )


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _together(alerts: AlertSettings) -> Iterator[Flaw]:
    for first, second in (
        ("mail_user", "mail_password_file"),
        ("maintenance_from", "maintenance_until"),
    ):
        if (getattr(alerts, first) is None) != (getattr(alerts, second) is None):
            lacking = first if getattr(alerts, first) is None else second
            cure = f"Set {first} and {second} together, or neither."
            yield Flaw(key=(lacking,), cause="is missing", cure=cure)
    begins, ends = alerts.maintenance_from, alerts.maintenance_until
    if begins and ends and begins >= ends:
        cause = "is not after maintenance_from"
        yield Flaw(key=("maintenance_until",), cause=cause, cure="Write a later time.")
