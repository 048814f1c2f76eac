"""
Takes new keys, certificates and lists while the gateway runs, or keeps the old and says why.

    SIGHUP ──► settings, read again ─┐
    files, looked at all the time ───┴─► other than before? ─► read whole ─► taken
                                                                    └─► refused: an alarm

    certificate, key, authorities, lists ──► CurrentIdentity, callers
    each provider's signing key ───────────► its TokenSource
    the key ring ──────────────────────────► what encrypts, and all that is stored

What is taken is met by the next connection and the next request for a token. What is
under way ends with what it began with, so nothing is dropped and nothing is sent twice.
What is refused changes nothing: the old goes on until it ends or a restart takes what lies there,
and the status page says what is wrong with the new until something better does.

What lies there is judged as at start, so that nothing is taken now with which the next
start would fail; and by what it would do: whoever called recently, and whose name is still on
the list, has to get in with it.

The surprising choice: a file that has changed is left alone until two looks have found it
the same. A certificate and its key are two files, and between the two they do not match.

Decisions: D-renewal.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import structlog

from bars_gateway.config import Settings, values
from bars_gateway.config.problems import (
    problems_of_inbound,
    problems_of_key_ring,
    problems_of_keys,
)
from bars_gateway.config.sources import SettingsProblem
from bars_gateway.daemon.parts import Clock, callers_of, identity_of, keys_of
from bars_gateway.errors import (
    CallersShutOut,
    ConfigurationError,
    IdentityError,
    KeyMissing,
    KeyRingRefused,
    KeyRingUnusable,
    StoreUnavailable,
    unforeseen,
)
from bars_gateway.frozen import frozen
from bars_gateway.inbound.connection import Callers
from bars_gateway.inbound.server import InboundServer
from bars_gateway.keyring import EncryptionRing
from bars_gateway.outbound.token import Tokens, TokenSource
from bars_gateway.store.encryption import Encryption
from bars_gateway.tls.certificates import names_of, rootless
from bars_gateway.tls.contexts import Identity, allowed
from bars_gateway.tls.sightings import Trust, shut_out

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
SETTINGS = "the settings"
_SEND_US = "Send us the type and place of the error; SIGHUP has everything read again."
# What a reload takes, beside all of `callers`; the rest waits for a restart.
OF_PROVIDERS = ("key_id", "private_key_file", "former_keys")
OF_INBOUND = ("certificate_file", "private_key_file", "client_ca_file", "allowed_client_names")

OF_ALERTS = ("maintenance_from", "maintenance_until")

Look = tuple[object, ...]  # what tells one state of some files from another


@frozen(kw_only=True)
class Reloadable:
    """Files that are read together, because they only make sense together."""

    name: str  # for people: "the certificate for receiving"
    files: Callable[[Settings], Sequence[Path]]
    take: Callable[[Settings], Awaitable[None]]  # reads and replaces; raises IdentityError


class Reloader:
    """Looks after what can be renewed, from `run` to `stop`."""

    def __init__(
        self,
        settings: Settings,
        reloadables: Sequence[Reloadable],
        *,
        reread: Callable[[], Settings],
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        """*reread* gives the settings as their file has them now; raises ConfigurationError."""
        self.settings = settings  # as they are in force
        self._reloadables = reloadables
        self._reread = reread
        self.taken: Callable[[], Awaitable[None]] | None = None  # is told once something was
        self._every_seconds = every_seconds
        self._looks: dict[str, Look | None] = {each.name: self._look(each) for each in reloadables}
        self._settling: dict[str, Look] = {}
        self._refused: dict[str, str] = {}
        self._asked = asyncio.Event()
        self._stopping = False

    @property
    def refused(self) -> Mapping[str, str]:
        """What is there and was not taken, and why."""
        return self._refused

    def ask(self) -> None:
        """Read everything again soon: settings and files."""
        self._asked.set()

    def stop(self) -> None:
        """Look no more."""
        self._stopping = True
        self._asked.set()

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Look until stopped."""
        while not self._stopping:
            beat()
            try:
                async with asyncio.timeout(self._every_seconds):
                    await self._asked.wait()
            except TimeoutError:
                await self.look()
                continue
            self._asked.clear()
            if not self._stopping:
                await self.renew()

    async def renew(self) -> None:
        """Read the settings and everything that they name, changed or not."""
        await self._alone(SETTINGS, self._read_settings())
        for reloadable in self._reloadables:
            await self._alone(reloadable.name, self._take(reloadable))

    async def look(self) -> None:
        """Take what has changed, and has not changed since the last look."""
        for reloadable in self._reloadables:
            await self._alone(reloadable.name, self._take_if_changed(reloadable))

    async def _alone(self, name: str, renewing: Awaitable[None]) -> None:
        """Let an internal error in one of them, which nobody foresaw, end that one alone."""
        try:
            await renewing
        except Exception as error:  # unit of work
            what = unforeseen(error)
            reason = f"the gateway hit an internal error with it ({what.exception} at {what.place})"
            if self._refused.get(name) != reason:  # it may fail at every look
                self._refuse(name, reason, _SEND_US)

    async def _take_if_changed(self, reloadable: Reloadable) -> None:
        found = self._look(reloadable)
        settled = self._settling.pop(reloadable.name, None) == found
        if found == self._looks[reloadable.name]:
            return
        if settled:
            await self._take(reloadable)
        else:
            self._settling[reloadable.name] = found

    async def _read_settings(self) -> None:
        try:
            written = await asyncio.to_thread(self._reread)
        except ConfigurationError as error:
            self._refuse(SETTINGS, str(error).partition("\n")[0], error.advice)
            return
        self.settings = renewed(self.settings, written)
        self._refused.pop(SETTINGS, None)
        await self._tell_taken()
        waiting = ", ".join(differences(self.settings, written))
        if waiting:
            log.warning("renewal.left_for_restart", name=waiting)

    async def _take(self, reloadable: Reloadable) -> None:
        # Also what is refused is not read again until it changes.
        self._looks[reloadable.name] = self._look(reloadable)
        try:
            await reloadable.take(self.settings)
        except IdentityError as error:
            self._refuse(reloadable.name, str(error), error.advice)
            return
        except StoreUnavailable as error:  # nothing is wrong with it: it is asked for again
            self._looks[reloadable.name] = None
            log.error("store.unavailable", reason=str(error), advice=error.advice)
            return
        self._refused.pop(reloadable.name, None)
        await self._tell_taken()
        log.info("renewal.taken", name=reloadable.name)

    async def _tell_taken(self) -> None:
        if self.taken is not None:
            await self.taken()

    def _refuse(self, name: str, reason: str, advice: str) -> None:
        self._refused[name] = reason
        log.error("renewal.refused", name=name, reason=reason, advice=advice)

    def _look(self, reloadable: Reloadable) -> Look:
        return tuple(_state(path) for path in reloadable.files(self.settings))


def renewed(settings: Settings, written: Settings) -> Settings:
    """Return *settings* with what may change while the gateway runs, as *written* has it."""
    providers = {
        name: provider.model_copy(
            update={key: getattr(written.providers[name], key) for key in OF_PROVIDERS}
        )
        if name in written.providers
        else provider
        for name, provider in settings.providers.items()
    }
    inbound = settings.inbound.model_copy(
        update={key: getattr(written.inbound, key) for key in OF_INBOUND}
    )
    alerts = settings.alerts.model_copy(
        update={key: getattr(written.alerts, key) for key in OF_ALERTS}
    )
    if written.environment is not settings.environment:
        return settings
    return settings.model_copy(
        update={
            "providers": providers,
            "inbound": inbound,
            "callers": written.callers,
            "alerts": alerts,
        }
    )


def differences(settings: Settings, written: Settings) -> list[str]:
    """Return the names of the settings in which the two differ."""
    ours, theirs = values(settings), values(written)
    return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))


def _state(path: Path) -> object:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode


def reloadables(
    tokens: Mapping[str, Tokens],
    inbound: InboundServer | None,
    now: Clock,
    wake_outbound: Callable[[], None],
) -> list[Reloadable]:
    """Return everything that is renewed, in the order in which it is read; a new key is tried."""
    found = [
        Reloadable(
            name=f"the signing key of {provider}",
            files=partial(_key_files, provider),
            take=partial(_take_key, provider, source, wake_outbound),
        )
        for provider, source in tokens.items()
        if isinstance(source, TokenSource)
    ]
    if inbound is not None:
        take = partial(_take_identity, inbound, now)
        found.append(
            Reloadable(name="the certificate for receiving", files=_trust_files, take=take)
        )
    return found


def key_ring(
    settings: Settings, encryption: Encryption, taken: Callable[[], None]
) -> list[Reloadable]:
    """Return the key ring, if there is one: a key that was added to it encrypts from now on."""
    file = settings.store.encryption_keys_file
    if file is None:
        return []

    async def take(_settings: Settings) -> None:
        for each in await asyncio.to_thread(problems_of_key_ring, settings):
            raise KeyRingRefused(f"{each.key} {each.cause} ({each.cure.rstrip('.')})")
        try:
            ring = await asyncio.to_thread(EncryptionRing.read, file)
            await encryption.use(ring, encrypts=settings.store.encrypts)
        except (KeyRingUnusable, KeyMissing) as error:
            raise KeyRingRefused(str(error)) from None
        taken()

    return [Reloadable(name="the key ring", files=lambda _settings: [file], take=take)]


def _key_files(provider: str, settings: Settings) -> Sequence[Path]:
    own = settings.providers[provider]
    return [own.private_key_file, *own.former_keys.values()]


async def _take_key(
    provider: str, source: TokenSource, wake_outbound: Callable[[], None], settings: Settings
) -> None:
    _require_none(await asyncio.to_thread(problems_of_keys, settings, provider))
    bits = settings.preset.minimum_key_bits
    source.use(await asyncio.to_thread(keys_of, settings.providers[provider], bits))
    wake_outbound()


def _trust_files(settings: Settings) -> Sequence[Path]:
    inbound = settings.inbound
    lists = settings.callers.revocation_list_files
    return [inbound.certificate_file, inbound.private_key_file, inbound.client_ca_file, *lists]


async def _take_identity(inbound: InboundServer, now: Clock, settings: Settings) -> None:
    identity, callers = await asyncio.to_thread(_identity, settings, now), callers_of(settings)
    known = rootless(inbound.identity.identity.authorities)
    orphans = [each for each in rootless(identity.authorities) if each not in known]
    if orphans:
        raise CallersShutOut(f"inbound.client_ca_file lacks the root of {names_of(orphans)}")
    before, after = _in_force(inbound), _trust(identity, callers)
    lost = [
        each
        for each in shut_out(inbound.sightings.lately, after, now())
        if before.refusal(each.seen, now()) is None
    ]
    if lost:
        raise CallersShutOut(f"inbound.client_ca_file would shut out {lost[0]}")
    for seen in inbound.sightings.lately:
        names = seen.caller.names
        if allowed(names, before.names) and not allowed(names, after.names):
            log.warning("tls.caller_taken_off", name=seen.name)
    inbound.identity.identity, inbound.admission.callers = identity, callers


def callers_shut_out(inbound: InboundServer, now: datetime) -> list[str]:
    """Return who called recently, is on the list, and would not get in with what is in force."""
    return [str(each) for each in shut_out(inbound.sightings.lately, _in_force(inbound), now)]


def _in_force(inbound: InboundServer) -> Trust:
    return _trust(inbound.identity.identity, inbound.admission.callers)


def _trust(identity: Identity, callers: Callers) -> Trust:
    return Trust(
        names=callers.names,
        issuers=callers.issuers,
        authorities=identity.authorities,
        revocations=identity.revocations,
        revocation_is_required=callers.revocation_is_required,
    )


def _identity(settings: Settings, now: Clock) -> Identity:
    _require_none(problems_of_inbound(settings, now()))
    return identity_of(settings, now())


def _require_none(problems: Sequence[SettingsProblem]) -> None:
    if problems:
        first = problems[0]
        raise IdentityError(f"{first.key} {first.cause} ({first.cure.rstrip('.')})")
