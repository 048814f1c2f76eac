"""
The kinds of value that settings are made of, and how one is refused.

    text of a file or a variable ──► Address, AbsolutePath, Words, Url … or a Fault

A Fault says what is wrong and what cures it, for the operator; it never repeats the
value, because somebody will one day paste a key where a path belongs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a setting."""

    key: tuple[str, ...] = ()  # below the setting that was looked at; empty: that setting itself
    cause: str
    cure: str


def reject(faults: Iterable[Fault]) -> None:
    """Refuse a setting for *faults*, each of which is reported; do nothing if there is none."""
    found = tuple(faults)
    if found:
        text = "; ".join(fault.cause for fault in found)
        raise PydanticCustomError("faults", "{text}", {"text": text, "faults": found})


class Section(BaseModel):
    """A table of settings: frozen, every key known, every key documented."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )


@dataclass(frozen=True, slots=True)
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
        reject([Fault(cause="is no address to listen on", cure=cure)])
    return Address(host, number)


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        cure = "Write the whole path, from /: a service has no current folder to start from."
        reject([Fault(cause="is no absolute path", cure=cure)])
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
        reject([Fault(cause="is no address of a service", cure=cure)])
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback_host(host)):
        cure = "Write https://; plain http is taken only towards this machine itself."
        reject([Fault(cause="is not protected by TLS", cure=cure)])
    return text.rstrip("/")


def _egress(text: str) -> str:
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname and parts.port)
    except ValueError:
        named = False
    if not named or parts.scheme != "http" or parts.path.strip("/") or parts.username:
        cure = "Write http://, the host and the port, such as http://proxy.trust.example:3128."
        reject([Fault(cause="is no address of an egress proxy", cure=cure)])
    return text.rstrip("/")


_ONE_LINE = StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")

Text = Annotated[str, _ONE_LINE]
Listen = Annotated[Address, BeforeValidator(_address)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Words = Annotated[tuple[Text, ...], BeforeValidator(listed)]
Url = Annotated[Text, AfterValidator(_url)]
EgressProxy = Annotated[Text, AfterValidator(_egress)]
Bytes = Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)]
Seconds = Annotated[float, Field(ge=0.1, le=300)]
