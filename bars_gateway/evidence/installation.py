"""
What an export tells of the installation: what it is made of, its certificates' names, its figures.

Keys are never opened, and of a certificate come subject, issuer, serial number and dates. The
figures are counts of answers and how fast they came: nothing of a message.
"""

import platform
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path

from bars_gateway import __version__
from bars_gateway.config import Settings, describe, in_words
from bars_gateway.errors import IdentityError, StoreError
from bars_gateway.evidence.tape import Leg, RecordedExchange
from bars_gateway.store.figures import traffic
from bars_gateway.store.sqlite import VERSION, open_reader, read_with
from bars_gateway.tls.certificates import decoded, dns_names, from_pem

_PERCENTILES = (50, 90, 99)
_WITHIN = (2.1, 5.0)  # seconds: the guide's two limits
_WAITED = frozenset({"receive-too-early", "send-too-early"})  # scenes in which a wait is the point


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
    except IdentityError as error:
        yield {"problem": str(error)}
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


def figures_of_run(exchanges: Sequence[RecordedExchange]) -> Mapping[str, object]:
    """Return how long answers took in a run, for each way; where waiting was the point, not."""
    counted = [e for e in exchanges if e.status is not None and e.scene not in _WAITED]
    ways = {
        "$process-message, answered by the gateway": [
            e for e in counted if e.leg is Leg.RECEIVER and e.method == "POST"
        ],
        "reads, answered by the gateway": [
            e for e in counted if e.leg is Leg.RECEIVER and e.method == "GET"
        ],
        "everything, answered by the sandbox's national side": [
            e for e in counted if e.leg is Leg.NATIONAL
        ],
    }
    return {name: _times([each.seconds for each in found]) for name, found in ways.items()}


def _times(seconds: Sequence[float]) -> Mapping[str, object]:
    ordered = sorted(seconds)
    if not ordered:
        return {"answers": 0}
    last = len(ordered) - 1
    return {
        "answers": len(ordered),
        **{
            f"p{share}_ms": round(1000 * ordered[min(last, len(ordered) * share // 100)], 1)
            for share in _PERCENTILES
        },
        "longest_ms": round(1000 * ordered[-1], 1),
        **{
            f"within_{limit:g}_s": sum(each <= limit for each in ordered) / len(ordered)
            for limit in _WITHIN
        },
    }


async def figures_of_installation(settings: Settings, now: datetime) -> Mapping[str, object]:
    """Return how fast others answered this installation, and how much went each way."""
    if not settings.database_path.is_file():
        return {"database": "there is none: no gateway ran with these settings"}
    try:
        async with open_reader(settings.database_path) as reader:
            found = await read_with(reader, lambda connection: traffic(connection, now))
    except StoreError as error:
        return {"database": f"it cannot be read: {error}"}
    return {
        "sent_in_24_hours": found.outbound.total,
        "received_in_24_hours": found.inbound.total,
        "answers_to_us_in_24_hours": asdict(found.day),
        "answers_to_us_in_30_days": asdict(found.month),
    }
