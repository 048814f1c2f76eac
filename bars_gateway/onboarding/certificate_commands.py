"""`bars-gateway csr` and `bars-gateway certificate`: ask for one, judge it, put it in place."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bars_gateway.config import Environment, Settings, load
from bars_gateway.errors import OnboardingError
from bars_gateway.onboarding import csr, desks
from bars_gateway.onboarding.certificates import Delivered, Grade, verdicts, worst
from bars_gateway.onboarding.delivery import install, is_locked, read_delivered
from bars_gateway.onboarding.files import read
from bars_gateway.onboarding.keys import BITS
from bars_gateway.onboarding.names import form_for
from bars_gateway.options import DEFAULT_CONFIG, Config

requests = typer.Typer(
    name="csr", help="Make the request for the Receiver's certificate.", no_args_is_help=True
)
certificates = typer.Typer(
    name="certificate", help="Judge a certificate, and put it in place.", no_args_is_help=True
)

Delivery = Annotated[
    Path, typer.Argument(metavar="FILE", readable=False, help="PEM, DER, PKCS#7 or PKCS#12.")
]
Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", readable=False, help="Its key; else the request's."),
]
Password = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        readable=False,
        help="Of PKCS#12; asked for at a terminal.",
    ),
]


@requests.callback()
def _requests() -> None:
    """Make the request for the Receiver's certificate."""


@requests.command()
def new(
    config: Config = DEFAULT_CONFIG,
    fqdn: Annotated[
        str | None, typer.Option("--fqdn", metavar="NAME", help="Else onboarding.fqdn.")
    ] = None,
    bits: Annotated[int, typer.Option(min=2048, max=8192, help="Of its key.")] = BITS,
) -> None:
    """
    Make a key and a request for a certificate, and say where the request goes.

    Only the common name is in it. The key stays here, and what is in use is not touched.
    """
    settings = load(config, os.environ)
    name = fqdn or settings.onboarding.fqdn
    if name is None:
        cure = f"Add --fqdn, or set onboarding.fqdn; its form is {form_for(settings)}."
        raise OnboardingError("the name of this Receiver is not known", cure)
    made = csr.new_request(settings, name, bits)
    typer.echo(f"{made.key_file}: {bits} bits, mode 0600; it never leaves this machine")
    typer.echo(f"{made.file}: the request; nothing but CN={made.fqdn} is in it")
    if settings.environment is Environment.LOCAL:
        typer.echo("It goes to the sandbox: post it to /certificates of its admin port")
    else:
        desk = desks.certificates(settings.environment)
        typer.echo(f"It goes to {desk}: bars-gateway letters certificate")


@certificates.command()
def check(
    file: Delivery,
    config: Config = DEFAULT_CONFIG,
    key: Key = None,
    password_file: Password = None,
) -> None:
    """
    Say all that is right and wrong with a certificate, without using it.

    Exits with 1 if anything is wrong with it.
    """
    settings = load(config, os.environ)
    delivered = read_delivered(settings, file, key, _password(file, password_file))
    if _report(delivered, settings) is Grade.FAIL:
        raise typer.Exit(1)


@certificates.command(name="install")
def put_in_place(
    file: Delivery,
    config: Config = DEFAULT_CONFIG,
    key: Key = None,
    password_file: Password = None,
) -> None:
    """
    Judge a certificate, and put it with its key where the gateway reads them.

    Nothing is changed if anything is wrong. What was there is kept, and a gateway that
    runs takes the new one within seconds, without dropping a connection.
    """
    settings = load(config, os.environ)
    delivered = read_delivered(settings, file, key, _password(file, password_file))
    if _report(delivered, settings) is Grade.FAIL:
        cure = "Cure what is named above, and run the same command again."
        raise OnboardingError(f"{file} was not installed; nothing was changed", cure)
    for kept in install(delivered, settings, datetime.now(UTC)):
        typer.echo(f"{kept}: what was there before")
    typer.echo(f"{settings.inbound.certificate_file}: installed, with its key beside it")


def _report(delivered: Delivered, settings: Settings) -> Grade:
    found = verdicts(delivered, settings, datetime.now(UTC))
    for verdict in found:
        typer.echo(f"{verdict.grade:4}  {verdict.rule:11}  {verdict.seen}")
        if verdict.cure:
            typer.echo(f"      try: {verdict.cure}")
    return worst(found)


def _password(file: Path, password_file: Path | None) -> bytes | None:
    if password_file is not None:
        return read(password_file).rstrip(b"\r\n")
    if sys.stdin.isatty() and is_locked(file):
        return str(typer.prompt("Password of the file", hide_input=True)).encode()
    return None
