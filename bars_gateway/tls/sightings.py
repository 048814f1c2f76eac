"""
Who has called recently, so that new authorities are judged by what they would do to them.

    caller, let in ──note──► Sightings ──► callers.json, over a restart
                                 └─shut_out─► who would be refused under other files, and why

A file of authorities can be sound and still be the wrong one: nobody notices until the national
proxy calls, and then every message to this organisation is lost. So before a new file is taken,
the certificates of those who got in under the old one are held against it, as a handshake would.

A certificate counts for a month after its last call, and for a day only once its holder has
shown another: a caller renews it as well, and its old authority may then go. The
file holds certificates, which are public; it may be deleted at any time, and is then begun again.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bars_gateway.frozen import frozen
from bars_gateway.tls.certificates import Revocations, RevocationStatus, flaw
from bars_gateway.tls.contexts import Caller, allowed, caller_from

log = structlog.get_logger(__name__)

COUNTS_FOR = timedelta(days=30)
REPLACED_COUNTS_FOR = timedelta(days=1)
_MOST = 64  # certificates: the proxy shows one or two, and the file is to stay small
_KEPT_EVERY = timedelta(hours=1)


@frozen(kw_only=True)
class Sighting:
    """A caller that was let in, and when last."""

    caller: Caller
    seen_at: datetime

    @property
    def name(self) -> str:
        """What to call it."""
        return ", ".join(sorted(self.caller.names)) or "a caller without a name"

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What it presented, leaf first."""
        return tuple(map(x509.load_der_x509_certificate, self.caller.presented))


@frozen(kw_only=True)
class Trust:
    """What a caller's certificate is held against."""

    names: Sequence[str]
    issuers: frozenset[str]
    authorities: Sequence[x509.Certificate]
    revocations: Revocations
    revocation_is_required: bool

    def refusal(self, seen: Sighting, now: datetime) -> str | None:
        """Return why *seen* would not get in, or None; whether its name is listed is no matter."""
        caller = seen.caller
        if self.issuers and caller.issuer_name not in self.issuers:
            return f"callers.issuers does not name {caller.issuer_name!a}, which certified it"
        found = flaw(seen.chain, self.authorities, now)
        if found is not None:
            return found
        status = self.revocations.status_of(caller.issuer, caller.serial, caller.points, now)
        if status is RevocationStatus.UNKNOWN and self.revocation_is_required:
            return "no certificate revocation list covers it, and callers.revocation is hard"
        return None


@frozen(kw_only=True)
class ShutOut:
    """Somebody who called recently, and would not get in."""

    seen: Sighting
    reason: str

    def __str__(self) -> str:
        """Return it as a sentence's end."""
        called = f"{self.seen.seen_at:%d %b %H:%M} UTC"
        return f"{self.seen.name}, which called on {called}: {self.reason}"


class Sightings:
    """Who was let in, in memory and in a file."""

    def __init__(self, file: Path | None, now: Callable[[], datetime]) -> None:
        """Read *file*, where there is one; without a place, what is known ends with the process."""
        self._file = file
        self._now = now
        self._seen = {} if file is None else {_leaf(each): each for each in read(file)}
        self._kept_at = {leaf: each.seen_at for leaf, each in self._seen.items()}
        self._writing = asyncio.Lock()

    @property
    def lately(self) -> list[Sighting]:
        """Those that count now."""
        return counting(self._seen.values(), self._now())

    async def note(self, caller: Caller) -> None:
        """Remember that *caller* was let in now."""
        if not caller.presented:
            return
        now, leaf = self._now(), caller.presented[0]
        self._seen[leaf] = Sighting(caller=caller, seen_at=now)
        if leaf in self._kept_at and now - self._kept_at[leaf] < _KEPT_EVERY:
            return
        self._kept_at[leaf] = now
        newest = sorted(self.lately, key=lambda each: each.seen_at)[-_MOST:]
        self._seen = {_leaf(each): each for each in newest}
        self._kept_at = {each: self._kept_at[each] for each in self._seen if each in self._kept_at}
        if self._file is not None:
            async with self._writing:
                await asyncio.to_thread(_write, self._file, newest)


def counting(seen: Iterable[Sighting], now: datetime) -> list[Sighting]:
    """Return those of *seen* that count at *now*: called recently, in force, and not replaced."""
    in_force = [
        each
        for each in seen
        if now - each.seen_at < COUNTS_FOR and each.chain[0].not_valid_after_utc > now
    ]
    latest: dict[frozenset[str], datetime] = {}
    for each in in_force:
        names = each.caller.names
        latest[names] = max(each.seen_at, latest.get(names, each.seen_at))
    return [
        each
        for each in in_force
        if each.seen_at == latest[each.caller.names] or now - each.seen_at < REPLACED_COUNTS_FOR
    ]


def shut_out(seen: Iterable[Sighting], trust: Trust, now: datetime) -> list[ShutOut]:
    """
    Return who of *seen* would be refused under *trust*, although their names are on its list.

    A certificate that was withdrawn is none of them: that is meant.
    """
    found = [(each, trust.refusal(each, now)) for each in seen if _listed(each, trust)]
    return [ShutOut(seen=each, reason=reason) for each, reason in found if reason is not None]


def _listed(seen: Sighting, trust: Trust) -> bool:
    return allowed(seen.caller.names, trust.names)


def read(file: Path) -> list[Sighting]:
    """Return what is in *file*; what cannot be read counts as nothing."""
    try:
        return [_sighting(each) for each in json.loads(file.read_bytes())["callers"]]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return []


def _sighting(written: Mapping[str, Any]) -> Sighting:
    chain = x509.load_pem_x509_certificates("".join(written["chain"]).encode())
    presented = tuple(each.public_bytes(Encoding.DER) for each in chain)
    seen_at = datetime.fromisoformat(written["seen_at"])
    if seen_at.tzinfo is None:
        raise ValueError("an instant without its zone")
    return Sighting(caller=caller_from(frozenset(written["names"]), presented), seen_at=seen_at)


def _write(file: Path, seen: Iterable[Sighting]) -> None:
    written = [
        {
            "names": sorted(each.caller.names),
            "seen_at": each.seen_at.isoformat(),
            "chain": [one.public_bytes(Encoding.PEM).decode() for one in each.chain],
        }
        for each in seen
    ]
    half = file.with_suffix(".half")
    try:
        half.write_text(json.dumps({"callers": written}, indent=1), "utf-8")
        half.replace(file)
    except OSError as error:  # a full disk has an alarm of its own
        log.warning("tls.callers_not_kept", reason=error.strerror)


def _leaf(seen: Sighting) -> bytes:
    return seen.caller.presented[0]
