"""
What an export tells of the installation: what it is made of, its settings, its certificates' names.

Keys are never opened, and of a certificate come subject, issuer, serial number and dates.
"""

import platform
import ssl
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

from bars_gateway import __version__
from bars_gateway.config import Settings, describe, in_words
from bars_gateway.store.sqlite import VERSION
from bars_gateway.tls.certificates import NoPem, decoded, dns_names, from_pem


def versions() -> Mapping[str, object]:
    """Return the versions of the gateway and of everything that it runs on."""
    packages = {each.name: each.version for each in distributions()}
    return {
        "bars_gateway": __version__,
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "sqlite": ".".join(map(str, VERSION)),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": dict(sorted(packages.items(), key=lambda each: each[0].lower())),
    }


def configuration(settings: Settings) -> str:
    """Return every setting that is in force, and where it came from; no secret."""
    return "".join(
        f"{each.key} = {in_words(each)}    # {each.origin}\n" for each in describe(settings)
    )


def certificates(settings: Settings) -> Sequence[Mapping[str, object]]:
    """Return the names of the certificates in the files that the settings name."""
    named = {
        "inbound.certificate_file": settings.inbound.certificate_file,
        "inbound.client_ca_file": settings.inbound.client_ca_file,
        "outbound.ca_file": settings.outbound.ca_file,
    }
    return [
        {"setting": key, **each}
        for key, file in named.items()
        if file is not None
        for each in _certificates_in(file)
    ]


def _certificates_in(file: Path) -> Iterator[Mapping[str, object]]:
    try:
        found = from_pem(decoded(file.read_bytes()), file)
    except OSError as error:
        yield {"problem": f"{file} cannot be read: {error.strerror}"}
        return
    except NoPem as error:
        yield {"problem": f"{file} {error.cause}"}
        return
    for each in found:
        yield {
            "subject": each.subject.rfc4514_string(),
            "dns_names": dns_names(each),
            "issuer": each.issuer.rfc4514_string(),
            "serial_number": f"{each.serial_number:x}",
            "valid_from": each.not_valid_before_utc.isoformat(),
            "valid_until": each.not_valid_after_utc.isoformat(),
        }
