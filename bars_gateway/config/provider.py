"""
The organisation that the gateway speaks for: who it is, what it answers to, and as whom it signs.

    Provider ──► every message      Onboarding ──► `csr`, `certificate`, `letters`, `doctor`

One provider is a list of length one: nothing else in the settings depends on how many
there are, and nothing of a provider is shared with another, its folders least of all.

What others are told of the installation changes nothing in the running gateway. It is written
down once, so that a request, a letter and a check never name three different machines.

Decisions: D-providers.
"""

import re
from difflib import get_close_matches
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from bars_gateway import __version__
from bars_gateway.config.retention import ProviderRetention
from bars_gateway.config.values import (
    AbsolutePath,
    ApiKey,
    Flaw,
    Name,
    Section,
    Text,
    Url,
    Words,
    reject,
)
from bars_gateway.standard.applications import USE_CASE_NAMES, VERSIONS
from bars_gateway.standard.headers import HeaderProblem, TargetIdentifier, normalised
from bars_gateway.standard.rule import EVERYBODY, AgreedSeverity, Rule

SERVICE_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id"  # what numbers services

Application = Annotated[str, StringConstraints(pattern=r"^a[1-8]$")]
OdsCode = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{3,12}$")]
_ODS_CODE = re.compile(r"[A-Z0-9]{3,12}")
_VERSION = r"^\d{1,3}\.\d{1,3}\.\d{1,3}$"
Versions = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=_VERSION)], ...],
    Field(min_length=1),
]
Fqdn = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
        r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$"
    ),
]


def _services(services: tuple[str, ...]) -> tuple[str, ...]:
    flaws = []
    for number, text in enumerate(services, 1):
        try:
            TargetIdentifier.parse(text)
        except HeaderProblem as error:
            cure = f'Write it as "{SERVICE_SYSTEM}|2000099999".'
            flaws.append(Flaw(cause=f"entry {number} is not a service: {error}", cure=cure))
    if len(set(services)) < len(services):
        flaws.append(Flaw(cause="names a service twice", cure="Remove the second one."))
    reject(flaws)
    return services


Services = Annotated[Words, Field(min_length=1), AfterValidator(_services)]


def _counterparty(name: str) -> str:
    if name == EVERYBODY or _ODS_CODE.fullmatch(name):
        return name
    try:
        return normalised(TargetIdentifier.parse(name).text)
    except HeaderProblem as error:
        cause = f"is not a counterparty: {error}"
        cure = "Write a service as system|value, an ODS code in capitals, or * for everybody."
        reject([Flaw(cause=cause, cure=cure)])
    raise AssertionError  # reject raises


def _agreement(agreement: dict[str, AgreedSeverity]) -> dict[str, AgreedSeverity]:
    # Most agree on nothing, and no command that only looks needs a rule.
    from bars_gateway.standard.guards import GUARDS
    from bars_gateway.standard.links import LINK_RULES
    from bars_gateway.standard.rules import RULES

    rows: tuple[Rule, ...] = (*RULES, *GUARDS, *LINK_RULES)
    known = {row.rule: row for row in rows}
    flaws = []
    for name in agreement:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            cure = f"Did you mean {near[0]}?" if near else "Take an id from a refusal."
            flaws.append(Flaw(key=(name,), cause="is not a rule that can be agreed on", cure=cure))
        elif known[name].fixed:
            cause = "is fixed: without it nobody could tell what a message is, or whose"
            flaws.append(Flaw(key=(name,), cause=cause, cure="Remove it."))
    reject(flaws)
    return agreement


def _use_case(code: str) -> str:
    if code not in USE_CASE_NAMES:
        near = get_close_matches(code, USE_CASE_NAMES, n=1)
        cure = f"Did you mean {near[0]}?" if near else "Write one such as a4t1."
        reject([Flaw(cause="is not a use case of BaRS", cure=cure)])
    return code


KnownUseCase = Annotated[str, AfterValidator(_use_case)]
Counterparty = Annotated[str, AfterValidator(_counterparty)]
Agreement = Annotated[dict[str, AgreedSeverity], AfterValidator(_agreement)]


class Software(Section):
    """What the gateway says that it is, in NHSD-Requesting-Software (CS-013)."""

    name: Text = "bars_gateway"
    """
    The product's name.

    Set it to the name in your supplier's conformance agreement, if that is another product
    of which the gateway is a part.
    """

    version: Text = __version__
    """
    The product's version; the gateway's own by default.

    Set it together with `name`.
    """

    identifier_system: Text = "https://fhir.nhs.uk/Id/product-id"
    """
    The naming system of `identifier_value`, a URI.

    Change it if the product was registered in another one.
    """

    identifier_value: Text = "bars_gateway"
    """
    Names this product to the other side, the same from every installation of it.

    Set it to the product id that you were given on onboarding, such as `P.GH7-4TY`.
    """


class Provider(Section):
    """One organisation that the gateway speaks for."""

    ods_code: OdsCode
    """
    The organisation's ODS code, in capitals: who sends, in every message.

    Required; it must be the code that the API key was approved for. It stands in `spool_dir`, too:
    where it changes, remove `.provider` there.
    """

    name: Text
    """
    The organisation's name, for the people who read what it sent.

    Required.
    """

    services: Services
    """
    The services that the organisation answers to, and as which it sends: `system|value`.

    Required, at least one. A message for any other service is answered with 404, so add
    one here before the directory of services sends callers to it.
    """

    key_id: Name
    """
    The key id (kid) under which the public half of `private_key_file` is registered.

    Required. Change it together with that file when the key is rotated.
    """

    api_key: ApiKey
    """
    The API key of the application, which the token service calls the client id.

    Required. It is a name and no secret: the private key is what proves it.
    """

    private_key_file: AbsolutePath
    """
    The RSA key that signs the requests for access tokens: PEM, mode 0600, without passphrase.

    Required; 4096 bits in int and prod, at least 2048 elsewhere. With systemd, a path below
    /run/credentials keeps it out of reach of everything else on the machine.
    """

    former_keys: dict[Text, AbsolutePath] = Field(default_factory=dict)
    """
    Keys to sign with where the token service does not know `key_id`: key id = file, best first.

    Name the key before it here when you change `key_id`: the token service notices a new key within
    the hour, and nothing waits for that. Take it out once the status page shows the new one in use.
    """

    spool_dir: AbsolutePath
    """
    The folder with `outbox/` and `inbox/`, where the EPR hands over and collects files.

    Required, one for each provider, on one filesystem: files move in it by renaming. The folder of
    another provider is refused.
    """

    notices: Literal["folder", "socket"] = "folder"
    """
    Where the EPR collects what it is owed: files in `inbox/new`, or requests on the socket.

    Choose `socket` for an EPR that speaks HTTP: it learns of a notice at once.
    """

    questions: Literal["none", "socket", "folder"] = "none"
    """
    How the EPR is asked while another organisation waits: on the socket, in a folder, or not.

    With `none`, bookings, changes, cancellations and reads are answered with 501. Choose `socket`
    for an EPR that can answer within 4 s; a folder costs it half a second of that, or more.
    """

    acknowledged_by_epr: Words = ()
    """
    The services whose EPR decides about new referrals, validation requests and responses, too.

    Elsewhere they are acknowledged once they are on disk. Name a service here (`system|value`)
    whose EPR must be able to say no; while that EPR is away, nobody can refer to it or answer it.
    """

    earlier_records: bool = False
    """
    Whether the EPR keeps records that other organisations made here before this gateway.

    Set it to true while such records may still be changed or cancelled: an id that this gateway
    never gave is then put to the EPR, with `known: false`. Else it is answered with 404.
    """

    core_version: Annotated[str, StringConstraints(pattern=_VERSION)] = "1.5.0"
    """
    The version of BaRS Core that answers are asked for in (the Accept header).

    Change it if a counterparty understands an older one only.
    """

    case_number_system: Text = "urn:bars-gateway:case-number"
    """
    Whose numbers the references are that senders are given for what they sent: a URI.

    Change it to the system under which your EPR's own case numbers are known.
    """

    software: Software = Software()
    """What the gateway says that it is; change it for a product of your own."""

    applications: dict[Application, Versions] = Field(default_factory=lambda: dict(VERSIONS))
    """
    The BaRS Applications that are switched on, each with its versions; only the major counts.

    Leave out what the organisation is not assured for: it is then refused, and not advertised.
    """

    refused_use_cases: tuple[KnownUseCase, ...] = ()
    """
    Use cases that are switched off though their Application is on, such as `["a6t2", "a6t3"]`.

    Name those that the organisation is not assured for: new requests of them are then refused
    with 422, and they are not advertised. What was taken before can still be changed.
    """

    booking_required: bool = False
    """
    Whether a new referral is taken only with the booking that was made for it.

    Set it to true where nobody is seen without an appointment: a referral that names none in
    `supportingInfo` is then refused, and the refusal is announced in `/metadata`.
    """

    refused_organisations: tuple[OdsCode, ...] = ()
    """
    ODS codes of organisations whose messages and reads are all refused, with 401.

    BaRS is open to all: name one only where your organisation has decided so, and tell its people
    how patients reach you otherwise. It goes by what a request says of its Sender.
    """

    same_organisation: bool = False
    """
    Whether NHSD-End-User-Organisation has to name the organisation of `MessageHeader.sender`.

    Where they differ the log says so (`inbound.organisations_differ`), and the message is taken.
    Set it to true to have it refused with 401: then agree on it with those who send for others.
    """

    retention: ProviderRetention = ProviderRetention()
    """What this one keeps for another time than everybody; what each is for stands with it."""

    rules: dict[Counterparty, Agreement] = Field(default_factory=dict)
    """
    The severity of single rules for single counterparties: `error`, `warning` or `off`.

    Name a counterparty by its service (`system|value`) or its ODS code, or everybody by `*`, and
    the rules by the ids in `bars-gateway lint` and in refusals. Use it for as long as another
    supplier needs to put right what it sends, and to hold those to more who can do better.
    """

    @model_validator(mode="after")
    def _asks_whom_it_can(self) -> Self:
        if self.acknowledged_by_epr and self.questions == "none":
            cure = 'Set questions to "socket" or "folder", or leave the services out.'
            cause = "names services whose EPR is not asked"
            reject([Flaw(key=("acknowledged_by_epr",), cause=cause, cure=cure)])
        if not set(self.acknowledged_by_epr) <= set(self.services):
            cure = "Write each as it is written in services."
            cause = "names a service that is none of services"
            reject([Flaw(key=("acknowledged_by_epr",), cause=cause, cure=cure)])
        return self


class Onboarding(Section):
    """Who connects, by what name and address: for requests, letters and checks."""

    hosting: Literal["provider", "supplier"] = "provider"
    """
    Whose machine this is: the provider's own, or a supplier's for one or more providers.

    It decides which form the name in the certificate has. Set it before the first request.
    """

    supplier: Text | None = None
    """
    The supplier's name, as in its conformance agreement.

    Set it where a supplier connects, or hosts, for the provider.
    """

    fqdn: Fqdn | None = None
    """
    The name at which the proxy reaches us, which is the common name of our certificate.

    Set it as soon as it is agreed; `bars-gateway csr new` checks its form.
    """

    public_address: Annotated[str, Field(pattern=r"^[0-9A-Fa-f.:]+$")] | None = None
    """
    The public IP address that `fqdn` is to lead to.

    Set it to the outer address of the firewall; the letter for the DNS entry names it.
    """

    receiver_url: Url | None = None
    """
    The base address of our Receiver in the endpoint catalogue; by default made from `fqdn`.

    Set it where the port is not 443, or the path is another one.
    """

    jwks_url: Url | None = None
    """
    Where our public keys can be read by the token service, if we host them.

    Leave it out where NHS England hosts them: then the letter takes the public key along.
    """

    application_id: Text | None = None
    """
    The id of the application in the portal for developers: no key, and not the API key.

    Set it for the letter that registers the public key.
    """

    int_application_id: Text | None = None
    """
    The id that the same application has in INT.

    Set it in the settings of prod: the letter that registers the public key names both.
    """

    contact: Text | None = None
    """
    Whom the desks may ask: name, e-mail address and telephone number, on one line.

    Set it before letters are written.
    """

    @property
    def receiver_address(self) -> str | None:
        """The base address for the endpoint catalogue, or None where nobody knows it yet."""
        return self.receiver_url or (f"https://{self.fqdn}/FHIR/R4" if self.fqdn else None)
