"""
What listens and what is kept on this machine, and who may call.

    others ──mutual TLS──► InboundSettings      the EPR ──► Epr
    people and monitoring ──► Status            what was promised ──► StoreSettings
    who may act on its pages ──► Console

    address ──► load balancer? on the list? ──TLS──► issuer, revocation, name ──► let in
    (CallerSettings)

The surprising choices: the files of `inbound` have default places rather than being
required, so that a settings file says what is particular to it and `bars-gateway check`
says which file is not there. `callers.addresses` has no default of its own: INT and PROD bring
the proxy's, which differ; an empty list, which lets every address try, has to be written.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from bars_gateway.config.values import (
    AbsolutePath,
    Address,
    Bytes,
    Flaw,
    Listen,
    Names,
    Seconds,
    Section,
    ServerUrl,
    Url,
    listed,
    reject,
)

_MIB = 1024 * 1024
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(listed)]
Files = Annotated[tuple[AbsolutePath, ...], BeforeValidator(listed)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]


class InboundSettings(Section):
    """The door for messages from others: mutual TLS, and limits in time and size."""

    enabled: bool = True
    """
    Whether the gateway receives at all.

    Set it to false for an organisation that sends only, and needs no answers.
    """

    listen: Listen = Address("0.0.0.0", 8443)  # noqa: S104 - the proxy calls from outside
    """
    The IP address and port to receive on.

    Change it to the one address that the firewall forwards to.
    """

    public_url: Url | None = None
    """
    The base address at which the proxy reaches this gateway; what `/metadata` publishes.

    Set it to the address in your endpoint catalogue entry; without it, `listen` is published.
    """

    certificate_file: AbsolutePath = Path("/etc/bars-gateway/tls/certificate.pem")
    """
    Our certificate with the intermediates below it, PEM, leaf first.

    Change it to where your certificates are kept.
    """

    private_key_file: AbsolutePath = Path("/etc/bars-gateway/tls/key.pem")
    """
    The key of `certificate_file`: PEM, mode 0600, without passphrase.

    Change it to where your keys are kept.
    """

    client_ca_file: AbsolutePath = Path("/etc/bars-gateway/tls/client-ca.pem")
    """
    The certificate authorities of those who may call, PEM; what the system trusts is no matter.

    It holds the NHS chain of this environment, and of this one only.
    """

    allowed_client_names: Names = ()
    """
    The names of the certificates that may call, as in the common name or the alternative names.

    Required where `enabled`: the NHS chain alone would let in every other organisation.
    """

    answer_within_seconds: Annotated[float, Field(ge=0.5, le=30)] = 4.5
    """
    The longest from the last byte of a request to our answer, in seconds.

    The standard gives a Receiver 5 s; lower it if the path to the proxy takes long.
    """

    handshake_seconds: Seconds = 10
    """
    The longest that a caller may take for the TLS handshake.

    Lower it when under attack.
    """

    header_seconds: Seconds = 15
    """
    The longest from a connection, or the first byte of the next request, to its whole header.

    Lower it when under attack.
    """

    body_seconds: Seconds = 10
    """
    The longest that a caller may take for the body.

    Raise it if large messages come over a slow line.
    """

    idle_seconds: Annotated[float, Field(ge=1, le=600)] = 75
    """
    How long a connection without a request is kept, in seconds.

    Keep it above the 60 s after which the proxy drops one itself, or requests are lost between.
    """

    max_body_bytes: Bytes = 5 * _MIB
    """
    The longest message that is taken, in bytes, after decompression.

    Raise it if counterparties attach documents; each request may take this much memory.
    """

    max_connections: Annotated[int, Field(ge=1, le=10_000)] = 256
    """
    The most connections at once, those that have not finished the handshake included.

    Raise it if the status page shows that callers were turned away.
    """

    longest_slot_search_days: Annotated[int, Field(ge=1, le=366)] = 31
    """
    The longest range of days that a search for slots may span; more is answered with 422.

    Lower it if the EPR cannot list that many slots within 4 s.
    """

    preview_writes: bool = False
    """
    Whether others may write Appointments and ServiceRequests as resources (alpha in the guide).

    Leave it off unless you take part in that programme; off, they get 501. On, the EPR is also
    asked about ids that this gateway does not know, as with `earlier_records`.
    """

    @model_validator(mode="after")
    def _names_its_callers(self) -> Self:
        if self.enabled and not self.allowed_client_names:
            cure = "Name the proxy's certificate, or set inbound.enabled = false to send only."
            cause = "is required: nobody may call"
            reject([Flaw(key=("allowed_client_names",), cause=cause, cure=cure)])
        return self

    @property
    def is_one_file(self) -> bool:
        """Whether certificate and key stand in one file, as other servers have them."""
        return self.private_key_file == self.certificate_file


class StoreSettings(Section):
    """The database: what was promised is in it."""

    path: AbsolutePath | None = None
    """
    The database file; `gateway.db` in `state_dir` by default.

    Change it to put the database on a faster disk, never on a network share.
    """

    url: ServerUrl | None = None
    """
    A PostgreSQL database in place of the file: `postgresql://USER@HOST/DATABASE`.

    Use it where the database is to outlive this machine. It needs the extra `postgres` and
    PostgreSQL 15 or later, and never holds the password. A server on another machine must prove who
    it is: add `?sslrootcert=FILE`, the authority that has signed its certificate.
    """

    several_nodes: bool = False
    """
    Whether other gateways work on the database of `url` at the same time.

    Set it on all of them, with one set of settings but for `node`, addresses and files: see
    `docs/several-nodes.md`. Without it a second gateway is refused.
    """

    password_file: AbsolutePath | None = None
    """
    The file with the password of the database of `url`, one line, mode 0600.

    A systemd credential will do. Leave it out where the server knows the gateway without one, or
    where PGPASSFILE names a file of PostgreSQL's own kind.
    """

    minimum_free_bytes: Annotated[int, Field(ge=0, le=1024**4)] = 256 * _MIB
    """
    Below this much free disk, in bytes, nothing more is accepted; 0 switches the guard off.

    A full database cannot even delete. Raise it if other programs write to the same disk.
    """

    encryption_keys_file: AbsolutePath | None = None
    """
    The key ring by which what is stored of patients is encrypted; without one it is in clear.

    `bars-gateway encryption rotate` makes it, mode 0600; a systemd credential will do. Keep a copy
    elsewhere: without it nobody can read the database or its backups (`docs/records.md`).
    """

    encrypts: bool = True
    """
    Whether what is stored is encrypted, where there is a key ring.

    Set it to false to have everything decrypted, in the background, before the key ring goes.
    """

    group_limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """
    The most changes that share one write to the disk.

    1 gives each its own, which is slower and no safer; it is here for comparing.
    """

    @model_validator(mode="after")
    def _shares_a_server(self) -> Self:
        if self.several_nodes and self.url is None:
            cure = "Name the server's database in store.url, or leave this out: a file is of one."
            cause = "is for a database on a server"
            reject([Flaw(key=("several_nodes",), cause=cause, cure=cure)])
        return self


class Epr(Section):
    """The door for the EPR, on this machine."""

    socket_dir: AbsolutePath = Path("/run/bars-gateway")
    """
    The folder of the Unix sockets, one for each provider: `NAME.sock`.

    Change it for a second gateway on one machine.
    """

    scan_seconds: Annotated[float, Field(ge=0.05, le=60)] = 2.0
    """
    How often the outbox folders are looked through, in seconds.

    Lower it if a message must leave sooner; every scan lists the folder.
    """

    max_submission_bytes: Bytes = 5 * _MIB
    """
    The longest message that the EPR may hand over, in bytes.

    The proxy takes 10 MB at most; raise it if documents are attached.
    """

    question_alarm_minutes: Annotated[float, Field(ge=0.1, le=1440)] = 15
    """
    How long a question may wait for the EPR's answer until an alarm says so, in minutes.

    The Sender is told after 4.5 s that no answer came, and does not know what became of it.
    Lower it if somebody is there to look at once.
    """

    def socket_of(self, provider: str) -> Path:
        """Return the socket of the EPR of *provider*, and of its operators."""
        return self.socket_dir / f"{provider}.sock"


class Status(Section):
    """The page that tells how things stand, for people and for monitoring."""

    listen: Listen = Address("127.0.0.1", 8480)
    """
    The IP address and port of the status page, of this machine only.

    Change the port if another program has it. To show the page elsewhere, put a server with TLS
    in front of it, on this machine: see `console`.
    """

    expiry_warning_days: Annotated[int, Field(ge=1, le=365)] = 90
    """
    How many days before a certificate, key or list ends the first warning is given.

    More follow at 60, 30, 14, 7 and 1. Raise it to the time that a new certificate takes.
    """

    @model_validator(mode="after")
    def _stays_here(self) -> Self:
        if not self.listen.loopback:
            cure = "Listen on 127.0.0.1, and put a server with a log-in in front of it."
            cause = "would show the page to other machines"
            reject([Flaw(key=("listen",), cause=cause, cure=cure)])
        return self


class Console(Section):
    """Who may see the console's pages, and act there."""

    users_file: AbsolutePath | None = None
    """
    The file of users and what they may do; `users.json` in `state_dir` by default.

    `bars-gateway users` writes it. While there is none at the default place, and no `proxy`,
    everybody on this machine may look, and nobody may act or see a payload.
    """

    idle_minutes: Annotated[int, Field(ge=1, le=720)] = 30
    """
    After how many minutes without a request somebody is logged out.

    Lower it where screens are left alone.
    """

    session_hours: Annotated[int, Field(ge=1, le=24)] = 12
    """
    After how many hours somebody is logged out in any case.

    Set it to the length of a shift.
    """

    names: Names = ()
    """
    The host names under which browsers ask for the console through the server in front of it.

    Name each; a page asked for under another name is refused, for it may be somebody else's.
    """

    proxy: IPv4Address | IPv6Address | None = None
    """
    The address from which a server with a log-in of its own connects, on this machine.

    From there alone, and with the secret, `user_header` and `groups_header` are believed.
    """

    proxy_secret_file: AbsolutePath | None = None
    """
    A file of mode 0600 with what that server sends as `X-Gateway-Secret`, in one line.

    Required with `proxy`: every program of this machine connects from the same address.
    """

    user_header: HeaderName = "X-Remote-User"
    """
    The header in which that server says who has logged in.

    It must take the header from nobody else.
    """

    groups_header: HeaderName = "X-Remote-Groups"
    """
    The header in which that server names their groups, with commas between them.

    It must take the header from nobody else.
    """

    viewers: Names = ()
    """
    The groups whose members may look; those of `operators` and `reveal` may as well.

    Name those who watch and do not act.
    """

    operators: Names = ()
    """
    The groups whose members may act on messages, responses, workflows and alarms.

    Name those who are on call.
    """

    reveal: Names = ()
    """
    The groups whose members may have a payload shown, with a reason that is kept.

    Name as few as will do: what is shown there is about patients.
    """

    @field_validator("names")
    @classmethod
    def _in_small_letters(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.lower() for name in names)

    @model_validator(mode="after")
    def _proxy_has_a_secret(self) -> Self:
        if (self.proxy is None) != (self.proxy_secret_file is None):
            cure = "Set both, or none: the address alone could be anybody's on this machine."
            cause = "goes with console.proxy_secret_file, and that with it"
            reject([Flaw(key=("proxy",), cause=cause, cure=cure)])
        return self


class CallerSettings(Section):
    """Who may call, beside the names in `inbound.allowed_client_names`."""

    addresses: Networks | None = None
    """
    The addresses or networks that may connect; those of the environment's proxy by default.

    Add the checks of your own monitoring. An empty list lets every address try, except in prod.
    """

    proxy_protocol_from: Networks = ()
    """
    The addresses of load balancers that say for whom they connect (PROXY protocol, version 2).

    From these it is demanded, from others never read. TLS must be passed through.
    """

    max_connections_per_address: Annotated[int, Field(ge=1, le=10_000)] = 128
    """
    The most connections at once from one address.

    The proxy calls from two; lower it where many others may call.
    """

    issuers: Names = ()
    """
    The common names of the authorities whose certificates may call; empty: all in the chain file.

    Set it where the chain file holds authorities that others are certified by as well.
    """

    observe_until: AwareDatetime | None = None
    """
    Until when names that are not on the list are let in, and logged; never in prod.

    Set it for the first connection, to learn the proxy's name: 24 hours ahead at most.
    """

    revocation_list_files: Files = ()
    """
    Revocation lists of the callers' authorities, PEM or DER; another program fetches them.

    Set it where a job keeps them up to date.
    """

    revocation: Literal["soft", "hard"] = "soft"
    """
    What becomes of a caller whose authority's list is missing or out of date.

    `soft` lets it in with a warning; `hard` does not, and needs lists that never are late.
    """
