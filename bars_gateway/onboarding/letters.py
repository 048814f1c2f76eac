"""
`bars-gateway letters`: what others have to be told, ready to send: to whom, what, which files.

    settings, keys, request ──write──► Letter ──► NAME.txt, and NAME.eml for a mail program
                                 └───► everything that is still missing, at once

Nothing is sent from here: a person reads it first. Nothing secret is in any of them, and
what its reader needs and the settings do not say is an error, not a gap in the text.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bars_gateway.config import Environment, Provider, Settings, load
from bars_gateway.config.doubts import HOSTED_BELOW, NO_PATH, has_path
from bars_gateway.errors import OnboardingError
from bars_gateway.frozen import frozen
from bars_gateway.onboarding import contacts
from bars_gateway.onboarding.certificates import read_key, requests_in
from bars_gateway.onboarding.contacts import Contact
from bars_gateway.onboarding.files import PRIVATE, make_folder, put_in_place, read
from bars_gateway.onboarding.keys import public_pem
from bars_gateway.options import DEFAULT_CONFIG, Config

ABOUT: Mapping[str, str] = {
    "key": "register the public key, int and prod",
    "certificate": "have the request signed: a form in int, an e-mail in prod",
    "dns": "have the name of the Receiver entered in the DNS",
    "catalogue": "have the services entered in the endpoint catalogue",
    "live": "agree on the days of going live, prod",
}
_NEEDED: Mapping[str, tuple[str, ...]] = {  # settings of [onboarding]
    "key": ("contact", "application_id"),
    "certificate": ("contact", "fqdn"),
    "dns": ("contact", "fqdn", "public_address"),
    "catalogue": ("contact", "receiver_address"),
    "live": ("contact", "receiver_address", "application_id"),
}
# What a letter names that is made of a setting of another name, and that setting.
_SETTING = {"receiver_address": "fqdn"}
_IN_PROD = {"key": ("int_application_id",)}


@frozen(kw_only=True)
class Letter:
    """One letter, complete."""

    name: str  # of its files, without an ending
    to: Contact
    copy_to: Contact | None = None
    subject: str
    body: str
    attachments: Mapping[str, bytes] = field(default_factory=dict)  # by file name; all are text

    def text(self) -> str:
        """Return it for reading, or for copying into a form."""
        head = [f"To: {self.to}"]
        head += [f"Copy to: {self.copy_to}"] if self.copy_to else []
        head += [f"Subject: {self.subject}"]
        head += [f"Attached: {name}" for name in self.attachments]
        return "\n".join(head) + f"\n\n{self.body}"

    def email(self) -> bytes | None:
        """Return it as a draft that mail programs open; None where they have a form."""
        if not self.to.address:
            return None
        message = EmailMessage()
        message["To"] = self.to.address
        if self.copy_to:
            message["Cc"] = self.copy_to.address
        message["Subject"] = self.subject
        message["X-Unsent"] = "1"  # it opens for writing, not for reading
        message.set_content(self.body)
        for name, content in self.attachments.items():
            message.add_attachment(content.decode(), filename=name)
        return message.as_bytes()


def write(kind: str, settings: Settings) -> Letter:
    """Return the letter called *kind*; raise OnboardingError with all that is missing for it."""
    if settings.preset.own_name_prefix is None:
        cure = "Letters are for int and prod; `bars-gateway init` says what is left to do here."
        raise OnboardingError(f"nobody is to be written to in {settings.environment}", cure)
    needed = [*_NEEDED[kind], *(_IN_PROD.get(kind, ()) if _in_prod(settings) else ())]
    missing = [
        f"onboarding.{_SETTING.get(name, name)}"
        for name in needed
        if getattr(settings.onboarding, name) is None
    ]
    if missing:
        cure = "Write it into the settings, as config --describe says, and ask again."
        raise OnboardingError(f"the letter lacks {', '.join(missing)}", cure)
    return KINDS[kind](settings)


def _key(settings: Settings) -> Letter:
    onboarding = settings.onboarding
    keys = {each.key_id: each.private_key_file for each in settings.providers.values()}
    kids = "\n".join(f"Key id (kid): {kid}" for kid in keys)
    hosted = onboarding.jwks_url
    if hosted is not None and not has_path(hosted):
        raise OnboardingError(f"onboarding.jwks_url {NO_PATH}", HOSTED_BELOW)
    how = f"The JWKS is hosted by us: {hosted}" if hosted else "The public half is attached."
    ids = f"Application id ({settings.environment.upper()}): {onboarding.application_id}"
    if _in_prod(settings):
        ids += f"\nApplication id (INT): {onboarding.int_application_id}"
    product = next(iter(settings.providers.values())).software
    body = f"""\
Please register the public {_plural("key", keys)} of our application for signed JWTs.

Environment: {settings.environment.upper()}
{ids}
Product, as in the SCAL: {product.name} {product.version}
{_organisations(settings)}
{kids}
Signed with RS512, RSA of at least {settings.preset.minimum_key_bits} bits.
{how}
"""
    attached = {} if hosted else {f"{kid}.public.pem": _public(file) for kid, file in keys.items()}
    return _letter("key", "registration of a public key", contacts.BARS, settings, body, attached)


def _certificate(settings: Settings) -> Letter:
    requests = [each for each in requests_in(settings) if each.fqdn == settings.onboarding.fqdn]
    if not requests:
        cure = "Make the request first: bars-gateway csr new --why TEXT"
        raise OnboardingError(f"there is no request for {settings.onboarding.fqdn}", cure)
    request = requests[-1]
    asked = {request.file.name: read(request.file)}
    subject, to = "certificate of a BaRS Receiver", contacts.signer_of(settings.environment)
    if not _in_prod(settings):
        body = f"""\
What to write into the form:

Kind of request: certificate only (no endpoint)
Environment: INT
Party key: N/A
FQDN: {request.fqdn}
Public address: {settings.onboarding.public_address or "not needed for the certificate"}
Note: BaRS
{_organisations(settings)}
Request: the content of {request.file.name} (only the common name is filled in, e-mail is blank)
"""
        return _letter("certificate", subject, to, settings, body, asked)
    body = f"""\
Please sign the attached request for the certificate of a BaRS Receiver endpoint in PROD.

FQDN: {request.fqdn}
{_organisations(settings)}
Only the common name is filled in; the key has 4096 bits and stays with us.
The Technical Conformance Certificate has been issued; the live services gate is copied in.
"""
    return _letter("certificate", subject, to, settings, body, asked, copy_to=contacts.GATE)


def _dns(settings: Settings) -> Letter:
    onboarding = settings.onboarding
    kind = "AAAA" if ":" in str(onboarding.public_address) else "A"
    body = f"""\
Please enter the following name for the public internet (section 5 of the form).

Name: {onboarding.fqdn}
Type: {kind}
Address: {onboarding.public_address}
Purpose: Receiver of the Booking and Referral Standard (BaRS), {settings.environment.upper()}
{_organisations(settings)}
"""
    return _letter("dns", f"DNS entry for {onboarding.fqdn}", contacts.DNS, settings, body)


def _catalogue(settings: Settings) -> Letter:
    services = [service for each in settings.providers.values() for service in each.services]
    rows = "\n".join(
        f"  system {system}  value {value}"
        for system, _, value in (service.partition("|") for service in services)
    )
    body = f"""\
Please enter our {_plural("service", services)} in the endpoint catalogue.

Environment: {settings.environment.upper()}
{_organisations(settings)}
{_plural("Service", services)}:
{rows}
Address of the Receiver: {settings.onboarding.receiver_address}

We are ready to test from the day of the entry, and answer GET /metadata at that address.
"""
    subject = "entry in the endpoint catalogue"
    return _letter("catalogue", subject, contacts.BARS, settings, body)


def _live(settings: Settings) -> Letter:
    if not _in_prod(settings):
        cure = "Write it from the settings of prod, once the conformance certificate is there."
        raise OnboardingError("nobody goes live in int", cure)
    onboarding = settings.onboarding
    body = f"""\
We would like to go live with the Booking and Referral Standard in PROD.

{_organisations(settings)}
Receiver: {onboarding.receiver_address}
Application id (PROD): {onboarding.application_id}

In place: Technical Conformance Certificate, Connection Agreement, key registered, certificate
installed, DNS entry, entry in the endpoint catalogue; `doctor` finds nothing wrong.

Please agree with us on the day of
  1. the technical go-live: the happy paths of each use case, in PROD, with both sides present;
  2. the business go-live: the final end-to-end test, if it is on another day.

Incidents after that go to {contacts.SERVICE_DESK},
and to our contact below.
"""
    return _letter("live", "go-live", contacts.BARS, settings, body)


KINDS: Mapping[str, Callable[[Settings], Letter]] = {
    "key": _key,
    "certificate": _certificate,
    "dns": _dns,
    "catalogue": _catalogue,
    "live": _live,
}


def _letter(  # noqa: PLR0917 - in the order of a letter
    name: str,
    subject: str,
    to: Contact,
    settings: Settings,
    body: str,
    attachments: Mapping[str, bytes] | None = None,
    *,
    copy_to: Contact | None = None,
) -> Letter:
    environment = settings.environment.upper()
    own = next(iter(settings.providers.values()))
    whose = settings.onboarding.supplier or f"{own.name} ({own.ods_code})"
    return Letter(
        name=f"{name}-{settings.environment}",
        to=to,
        copy_to=copy_to,
        subject=f"BaRS {environment}: {subject}, {whose}",
        body=f"{body}\nContact: {settings.onboarding.contact}\n",
        attachments=attachments or {},
    )


def _organisations(settings: Settings) -> str:
    return "\n".join(_organised(settings))


def _organised(settings: Settings) -> Iterator[str]:
    if settings.onboarding.supplier:
        yield f"Supplier: {settings.onboarding.supplier}"
    for each in settings.providers.values():
        yield f"Organisation: {_named(each)}"


def _named(provider: Provider) -> str:
    return f"{provider.name}, ODS code {provider.ods_code}"


def _plural(noun: str, things: Mapping[str, object] | list[str]) -> str:
    return noun if len(things) == 1 else f"{noun}s"


def _public(private_key_file: Path) -> bytes:
    key = read_key(private_key_file)
    if not isinstance(key, RSAPrivateKey):
        cure = "Make one that the token service takes: bars-gateway keys new --why TEXT"
        raise OnboardingError(f"{private_key_file} is not an RSA key", cure)
    return public_pem(key.public_key())


def _in_prod(settings: Settings) -> bool:
    return settings.environment is Environment.PROD


def letters(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="KIND", help=f"{', '.join(KINDS)}; else they are listed."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", readable=False, help="Else `letters` beside the settings."),
    ] = None,
) -> None:
    """
    Write a letter to those who have to act, as text and as a draft for a mail program.

    Nothing is sent. What the settings do not say and its reader must know is named, and
    then nothing is written.
    """
    if kind is None:
        for name, about in ABOUT.items():
            typer.echo(f"{name:12}  {about}")
        return
    if kind not in KINDS:
        raise typer.BadParameter(f"there are {', '.join(KINDS)}", param_hint="KIND")
    letter = write(kind, load(config, os.environ))
    typer.echo(letter.text())
    for path in _written(letter, folder or config.absolute().parent / "letters"):
        typer.echo(f"{path}: written")
    typer.echo("Read it, and send it yourself: nothing was sent.")


def _written(letter: Letter, folder: Path) -> list[Path]:
    make_folder(folder)
    contents = {f"{letter.name}.txt": letter.text().encode()} | dict(letter.attachments)
    draft = letter.email()
    if draft is not None:
        contents[f"{letter.name}.eml"] = draft
    for name, content in contents.items():
        put_in_place(folder / name, content, PRIVATE)
    return [folder / name for name in contents]
