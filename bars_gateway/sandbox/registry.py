"""
Who is registered: gateways with their credentials, and services with their addresses.

    folder/gateways/NAME/   certificate, keys, gateway.json
    folder/targets.json     system → value → base URL, or a list: a double entry

The targets are read again for each request, as the live proxy reads its own: edit the
file while the sandbox runs, and the next request goes elsewhere. A list of two URLs is a
mistake in the catalogue, and answered as such.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from yarl import URL

from bars_gateway.errors import SandboxError
from bars_gateway.sandbox.authorities import Authority, make_signing_key, write_private

DOS_SERVICE = "https://fhir.nhs.uk/Id/dos-service-id"

Targets = Mapping[str, Mapping[str, str | list[str]]]  # system → value → base URL, or several


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """One gateway as the national side knows it."""

    name: str
    api_key: str
    key_id: str
    services: Sequence[str]  # system|value
    url: str  # the base URL of its Receiver
    folder: Path
    enabled: bool = True  # False: gets tokens, but BaRS is not among what they are for

    @property
    def private_key_file(self) -> Path:
        """The key that signs its JWTs."""
        return self.folder / "jwt.key"

    @property
    def certificate_file(self) -> Path:
        """Its Receiver certificate, chain included."""
        return self.folder / "server.pem"

    @property
    def certificate_key_file(self) -> Path:
        """The key of that certificate."""
        return self.folder / "server.key"

    def document(self) -> dict[str, object]:
        """Return what gateway.json says."""
        return asdict(self) | {
            "folder": str(self.folder),
            "jwks_file": str(self.folder / "jwks.json"),
        }


class Registry:
    """
    The registered gateways and the targets file.

    Raises SandboxError where the folder holds something that no sandbox wrote.
    """

    def __init__(self, folder: Path, receivers: Authority, *, key_bits: int) -> None:
        self._folder = folder
        self._receivers = receivers
        self._key_bits = key_bits
        self.targets_file = folder / "targets.json"
        self._by_api_key: dict[str, Registered] = {}
        if not self.targets_file.exists():
            self._write_targets({})
        self._making: dict[str, asyncio.Lock] = {}
        for known in sorted((folder / "gateways").glob("*/gateway.json")):
            self._remember(_read(known))

    async def register(
        self,
        name: str,
        services: Sequence[str],
        url: str,
        now: datetime,
        *,
        enabled: bool = True,
        signs: bool = True,
    ) -> Registered:
        """
        Make a gateway's credentials, where it has none, and point its services to *url*.

        One that does not sign JWTs has no key for them, and gets no token at the endpoint.

        Raises SandboxError for a name that makes no folder, or a URL that leads elsewhere
        than to this machine.
        """
        _check(name, url)
        folder = self._folder / "gateways" / name
        registered = Registered(
            name=name,
            api_key=f"{name}-sandbox-api-key",
            key_id=f"{name}-sandbox-1",
            services=[s if "|" in s else f"{DOS_SERVICE}|{s}" for s in services],
            url=url.rstrip("/"),
            folder=folder,
            enabled=enabled,
        )
        self._receivers.issue(folder, "server", f"{name}.sandbox.local", "server", now)
        # Registered twice at once, a gateway still gets one key, and the JWKS of that key.
        async with self._making.setdefault(name, asyncio.Lock()):
            if signs:
                await asyncio.to_thread(make_signing_key, folder, registered.key_id, self._key_bits)
        write_private(folder / "gateway.json", json.dumps(registered.document(), indent=1).encode())
        self._remember(registered)
        self._point(registered)
        return registered

    def certified(self, request: bytes, now: datetime) -> bytes:
        """Return the certificate that a PEM *request* asks for, with its chain: we are the desk."""
        return self._receivers.certify(request, now)

    def application(self, api_key: str) -> Registered | None:
        """Return the gateway with that API key."""
        return self._by_api_key.get(api_key)

    def is_claimed(self, service: str, name: str) -> bool:
        """Tell whether a gateway other than *name* is registered for that `system|value`."""
        others = (each for each in self._by_api_key.values() if each.name != name)
        return any(service in other.services for other in others)

    def public_keys(self, registered: Registered) -> Mapping[str, Mapping[str, str]]:
        """Return the JWKS of a gateway by key id."""
        found = json.loads((registered.folder / "jwks.json").read_text("utf-8"))
        return {key["kid"]: key for key in found["keys"]}

    def targets(self) -> Targets:
        """Return system → value → base URL; raise ValueError where the file is no such table."""
        found = json.loads(self.targets_file.read_text("utf-8"))
        table = found.get("NHSD-Target-Identifier") if isinstance(found, dict) else None
        if not isinstance(table, dict) or not all(map(_is_column, table.values())):
            raise ValueError(f"{self.targets_file} is no table of system, value and base URL")
        return table

    def _remember(self, registered: Registered) -> None:
        self._by_api_key[registered.api_key] = registered

    def _point(self, registered: Registered) -> None:
        try:
            table = {system: dict(values) for system, values in self.targets().items()}
        except (OSError, ValueError) as error:
            raise SandboxError(f"{self.targets_file} cannot be used: {error}") from None
        for service in registered.services:
            system, _, value = service.partition("|")
            table.setdefault(system, {})[value] = registered.url
        self._write_targets(table)

    def _write_targets(self, table: Targets) -> None:
        document = {"NHSD-Target-Identifier": table}
        write_private(self.targets_file, json.dumps(document, indent=1).encode())


def is_local(url: str) -> bool:
    """Tell whether *url* leads to this machine, by HTTPS: the sandbox calls nobody else."""
    try:
        found = URL(url)
    except ValueError:
        return False
    return found.scheme == "https" and found.host in {"127.0.0.1", "localhost"}


def _check(name: str, url: str) -> None:
    if not name.replace("-", "").isalnum() or not name.isascii():
        raise SandboxError(f"a gateway's name is letters, digits and hyphens: {name!a}")
    if not is_local(url):
        raise SandboxError(f"a gateway's URL begins with https://127.0.0.1: and is not {url!a}")


def _is_column(values: object) -> bool:
    return isinstance(values, dict) and all(map(_is_place, values.values()))


def _is_place(found: object) -> bool:
    several = found if isinstance(found, list) else [found]
    return bool(several) and all(isinstance(url, str) for url in several)


def _read(file: Path) -> Registered:
    try:
        found = json.loads(file.read_text("utf-8"))
        return Registered(
            name=found["name"],
            api_key=found["api_key"],
            key_id=found["key_id"],
            services=found["services"],
            url=found["url"],
            folder=file.parent,
            enabled=found.get("enabled", True),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise SandboxError(f"{file} is no gateway that the sandbox registered") from None
