"""
One installation from nothing, by the commands that a person types, and the desks around it.

    sandbox ─► init ─► the desk takes the JWKS ─► csr ─► the desk signs ─► certificate install
"""

import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from typed import WHY

from bars_gateway.demo.stage import free_ports

NAME = "northshire"
SERVICES = ("2000000101", "2000000202")
API_KEY = f"{NAME}-sandbox-api-key"
FQDN = "gateway.northshire.example"
Typing = Callable[..., object]


@dataclass(frozen=True)
class Installation:
    """Where an installation is, and by which doors it is reached."""

    folder: Path
    national: Path  # the sandbox's folder
    port: int
    status_port: int

    @classmethod
    def in_folder(cls, folder: Path) -> "Installation":
        port, status_port = free_ports(2)
        return cls(folder / "g", folder / "national", port, status_port)

    @property
    def config(self) -> Path:
        return self.folder / "bars-gateway.toml"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/FHIR/R4"

    @property
    def registered(self) -> Path:
        """The folder of what the national side knows of us."""
        return self.national / "gateways" / NAME

    @property
    def spool(self) -> Path:
        return self.folder / "spool" / NAME

    @property
    def key(self) -> Path:
        return self.folder / "keys" / "Northshire-LOCAL-1.pem"

    def begin(self, typing: Typing, *more: str) -> None:
        """Type `init`."""
        typing(
            *("init", "--folder", str(self.folder), "--environment", "local"),
            *("--ods-code", "ZX901", "--name", NAME),
            *(f"--service={service}" for service in SERVICES),
            *("--api-key", API_KEY, "--fqdn", FQDN, "--listen", f"127.0.0.1:{self.port}"),
            *("--sandbox", str(self.national), *more),
        )
        text = self.config.read_text("utf-8")
        status = f'listen = "127.0.0.1:{self.status_port}"'
        self.config.write_text(text.replace('#listen = "127.0.0.1:8480"', status), "utf-8")

    def register_key(self) -> None:
        """Play the desk that registers public keys."""
        jwks = self.folder / "keys" / "Northshire-LOCAL.jwks.json"
        (self.registered / "jwks.json").write_bytes(jwks.read_bytes())

    def sign(self) -> Path:
        """Play the desk that signs certificates; return what it sends back."""
        request = max((self.folder / "tls" / "requests").glob("*.csr"))
        url = f"{self.addresses()['admin_url']}/certificates"
        with urllib.request.urlopen(url, request.read_bytes(), timeout=30) as signed:
            answer = self.folder / "from-the-desk.pem"
            answer.write_bytes(signed.read())
        return answer

    def get_certificate(self, typing: Typing, *more: str) -> None:
        """Type what asks for a certificate, and what installs it."""
        typing("csr", "new", "--config", str(self.config), *WHY, *more)
        typing("certificate", "install", str(self.sign()), "--config", str(self.config), *WHY)

    def addresses(self) -> dict[str, str]:
        """Return what the running sandbox says of itself."""
        found: dict[str, str] = json.loads((self.national / "sandbox.json").read_text("utf-8"))
        return found
