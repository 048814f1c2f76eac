"""
Takes new keys, certificates and lists while the gateway runs, or keeps the old and says why.

    SIGHUP ──► settings, read again ─┐
    files, looked at all the time ───┴─► other than before? ─► read whole ─► taken
                                                                    └─► refused: an alarm

What is taken is met by the next connection and the next request for a token. What is
under way ends with what it began with, so nothing is dropped and nothing is sent twice.
What is refused changes nothing: the old goes on until it ends, and the status page says
what is wrong with the new until something better lies there.

The surprising choice: a file that has changed is left alone until two looks have found it
the same. A certificate and its key are two files, and between the two they do not match.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from bars_gateway.config import Settings, describe
from bars_gateway.errors import ConfigurationError, IdentityError, unforeseen

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
SETTINGS = "the settings"
_SEND_US = "Send us the type and place of the error; SIGHUP has everything read again."
# What is taken without a restart; everything else that a changed file says waits for one.
# What a reload takes, beside all of `callers`; the rest waits for a restart.
OF_PROVIDERS = ("key_id", "private_key_file", "former_keys")
OF_INBOUND = ("certificate_file", "private_key_file", "client_ca_file", "allowed_client_names")

Look = tuple[object, ...]  # what tells one state of some files from another


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Files that are read together, because they only make sense together."""

    name: str  # for people: "the certificate for receiving"
    files: Callable[[Settings], Sequence[Path]]
    take: Callable[[Settings], Awaitable[None]]  # reads and replaces; raises IdentityError


class Renewals:
    """Looks after what can be renewed, from `run` to `stop`."""

    def __init__(
        self,
        settings: Settings,
        materials: Sequence[Material],
        *,
        reread: Callable[[], Settings],
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        """*reread* gives the settings as their file has them now; raises ConfigurationError."""
        self.settings = settings  # as they are in force
        self._materials = materials
        self._reread = reread
        self._every_seconds = every_seconds
        self._looks = {material.name: self._look(material) for material in materials}
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
        for material in self._materials:
            await self._alone(material.name, self._take(material))

    async def look(self) -> None:
        """Take what has changed, and has not changed since the last look."""
        for material in self._materials:
            await self._alone(material.name, self._take_if_changed(material))

    async def _alone(self, name: str, renewing: Awaitable[None]) -> None:
        """Let what fails over one of them in a way that nobody foresaw end that one alone."""
        try:
            await renewing
        except Exception as error:  # unit of work
            what = unforeseen(error)
            reason = f"the gateway itself failed over it ({what.exception} at {what.place})"
            if self._refused.get(name) != reason:  # it may fail at every look
                self._refuse(name, reason, _SEND_US)

    async def _take_if_changed(self, material: Material) -> None:
        found = self._look(material)
        settled = self._settling.pop(material.name, None) == found
        if found == self._looks[material.name]:
            return
        if settled:
            await self._take(material)
        else:
            self._settling[material.name] = found

    async def _read_settings(self) -> None:
        try:
            written = await asyncio.to_thread(self._reread)
        except ConfigurationError as error:
            self._refuse(SETTINGS, str(error).partition("\n")[0], error.advice)
            return
        self.settings = renewed(self.settings, written)
        self._refused.pop(SETTINGS, None)
        waiting = ", ".join(differences(self.settings, written))
        if waiting:
            log.warning("renewal.left_for_restart", name=waiting)

    async def _take(self, material: Material) -> None:
        # Also what is refused is not read again until it changes.
        self._looks[material.name] = self._look(material)
        try:
            await material.take(self.settings)
        except IdentityError as error:
            self._refuse(material.name, str(error), error.advice)
            return
        self._refused.pop(material.name, None)
        log.info("renewal.taken", name=material.name)

    def _refuse(self, name: str, reason: str, advice: str) -> None:
        self._refused[name] = reason
        log.error("renewal.refused", name=name, reason=reason, advice=advice)

    def _look(self, material: Material) -> Look:
        return tuple(_state(path) for path in material.files(self.settings))


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
    if written.environment is not settings.environment:
        return settings
    return settings.model_copy(
        update={"providers": providers, "inbound": inbound, "callers": written.callers}
    )


def differences(settings: Settings, written: Settings) -> list[str]:
    """Return the names of the settings in which the two differ."""
    ours, theirs = ({d.key: d.value for d in describe(each)} for each in (settings, written))
    return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))


def _state(path: Path) -> object:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode
