"""
The kinds of value that settings are made of, and how one is refused.

    text of a file or a variable ──► Address, AbsolutePath, Words, Url … or a Flaw

A Flaw says what is wrong and what cures it, for the operator; it never repeats the
value, because somebody will one day paste a key where a path belongs.
"""

import unicodedata
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from bars_gateway.frozen import frozen

# They look like nothing, and are of no class that says so.
_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs", "Cn", "Co", "Cs"})
_CALLED = {
    "\n": "a line break",
    "\r": "a carriage return",
    "\t": "a tab",
    "\ufeff": "a byte order mark",
}
_NAMED = 5
_ONE_LINE = StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")
Text = Annotated[str, _ONE_LINE]
Bytes = Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)]
Seconds = Annotated[float, Field(ge=0.1, le=300)]


@frozen(kw_only=True)
class Flaw:
    """One thing that is wrong with a setting."""

    key: tuple[str, ...] = ()  # below the setting that was looked at; empty: that setting itself
    cause: str
    cure: str
    stops_start: bool = True  # False: a gateway starts all the same


def reject(flaws: Iterable[Flaw]) -> None:
    """Refuse a setting for *flaws*, each of which is reported; do nothing if there is none."""
    found = tuple(flaws)
    if found:
        text = "; ".join(flaw.cause for flaw in found)
        raise PydanticCustomError("flaws", "{text}", {"text": text, "flaws": found})


class Section(BaseModel):
    """A table of settings: frozen, every key known, every key documented."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )


@frozen
class Address:
    """Where to listen: an IP address, and a port (0: any free one)."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as the settings file has it: IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ip_address(self.host).is_loopback


def _address(value: object) -> Address:
    if isinstance(value, Address):
        return value
    host, colon, port = str(value).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ip_address(host)
        number = int(port)
    except ValueError:
        number = -1
    if not (colon and 0 <= number <= 65535):  # noqa: PLR2004 - the range of a port
        cure = 'Write an IP address and a port, such as "127.0.0.1:8480" or "[::]:8443".'
        reject([Flaw(cause="is not an address to listen on", cure=cure)])
    return Address(host, number)


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        cure = "Write the whole path, from /: a service has no current folder to start from."
        reject([Flaw(cause="is not an absolute path", cure=cure)])
    return path


def listed(value: object) -> object:
    """Return a list that was written as one text, with commas, as a variable has it."""
    return (
        tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value
    )


def _loopback_host(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.username or parts.query or parts.fragment or not text.isascii():
        cure = "Write scheme, host and path only, such as https://127.0.0.1:9443/oauth2/token."
        reject([Flaw(cause="is not the address of a service", cure=cure)])
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback_host(host)):
        cure = "Write https://; plain http is taken only towards this machine itself."
        reject([Flaw(cause="is not protected by TLS", cure=cure)])
    return text.rstrip("/")


def _egress(text: str) -> str:
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname and parts.port)
    except ValueError:
        named = False
    if named and (parts.username is not None or parts.password is not None):
        cure = "Write the user into outbound.egress_user, and the password into a file of mode 0600"
        cure += " that outbound.egress_password_file names: settings are shown, and logged."
        reject([Flaw(cause="holds a user or a password", cure=cure)])
    if not named or parts.scheme != "http" or parts.path.strip("/"):
        cure = "Write http://, the host and the port, such as http://proxy.trust.example:3128."
        reject([Flaw(cause="is not the address of an egress proxy", cure=cure)])
    return text.rstrip("/")


_LOCAL_SERVERS = ("", "localhost")
_PROVEN = ("verify-full", "verify-ca")


def _server(text: str) -> str:
    """Return the URL of a database, as its driver reads it, without a secret in it."""
    try:
        parts = urlsplit(text)
        options = dict(parse_qsl(parts.query))
        hosts = [parts.hostname or "", *options.get("host", "").split(",")]
    except ValueError:
        parts, options, hosts = urlsplit(""), {}, []
    if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
        cure = "Write postgresql://USER@HOST:5432/DATABASE."
        reject([Flaw(cause="is not the address of a PostgreSQL database", cure=cure)])
    if parts.password is not None or "password" in options:
        cure = "Put the password into a file of mode 0600 that store.password_file names: settings"
        reject([Flaw(cause="holds a password", cure=f"{cure} are shown, and logged.")])
    here = all(h in _LOCAL_SERVERS or h.startswith("/") or _loopback_host(h) for h in hosts)
    if not here and options.get("sslmode", _PROVEN[0]) not in _PROVEN:
        cure = "Take sslmode out; add ?sslrootcert=FILE, the authority that signed its certificate."
        reject([Flaw(cause="lets the server not prove who it is", cure=cure)])
    if not here and "sslrootcert" not in options:
        cure = "Add ?sslrootcert=FILE, the authority that signed the server's certificate."
        reject([Flaw(cause="does not say by whom the server proves who it is", cure=cure)])
    return text


def is_hidden(character: str) -> bool:
    """Tell whether *character* cannot be seen; a plain blank can."""
    unseen = unicodedata.category(character) in _HIDDEN or character in _BLANKS
    return unseen and character != " "


def _none_hidden(value: object) -> object:
    return _without(value, is_hidden)


def _key_characters(value: object) -> object:
    return _without(value, lambda character: not "!" <= character <= "~")


def _without(value: object, wrong: Callable[[str], bool]) -> object:
    """Return *value*, or refuse it for characters in it, named by place and not with the rest."""
    if isinstance(value, str):
        found = [
            f"character {place} is {_called(character)}"
            for place, character in enumerate(value, 1)
            if wrong(character)
        ]
        if found:
            cure = "Type it again, or copy it without what stands around it."
            cause = "holds what does not belong there: " + ", ".join(found[:_NAMED])
            reject([Flaw(cause=cause, cure=cure)])
    return value


def _called(character: str) -> str:
    name = _CALLED.get(character) or unicodedata.name(character, "").lower()
    return f"{name} (U+{ord(character):04X})" if name else f"U+{ord(character):04X}"


UseCase = Annotated[str, StringConstraints(pattern=r"^a[1-8](t[1-9][0-9]?)?$")]  # or all of them
Listen = Annotated[Address, BeforeValidator(_address)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
ApiKey = Annotated[Text, BeforeValidator(_key_characters)]
Name = Annotated[Text, BeforeValidator(_none_hidden)]  # compared exactly with another's
Names = Annotated[tuple[Name, ...], BeforeValidator(listed)]
Words = Annotated[tuple[Text, ...], BeforeValidator(listed)]
Url = Annotated[Text, AfterValidator(_url)]
ServerUrl = Annotated[str, AfterValidator(_server)]
EgressProxy = Annotated[Text, AfterValidator(_egress)]
