"""New files are taken whole or not at all, and the old go on meanwhile."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bars_gateway.config import Settings, load, sources
from bars_gateway.daemon.reload import SETTINGS, Reloadable, Reloader, differences
from bars_gateway.errors import ConfigurationError, DatabaseAway, IdentityError

KEY_ID = "PROVIDERS__TRUST__KEY_ID"
WRITTEN = """
environment = "int"
[providers.trust]
ods_code = "RAE"
name = "Example NHS Trust"
services = ["https://fhir.nhs.uk/Id/dos-service-id|2000099999"]
key_id = "Trust-INT-1"
api_key = "key"
private_key_file = "/keys/int-1.pem"
spool_dir = "/spool/trust"
[inbound]
allowed_client_names = ["proxy.example"]
"""


class Reading:
    """Two files that belong together, and what was made of them."""

    def __init__(self, folder: Path) -> None:
        self._config = folder / "bars-gateway.toml"
        self._config.write_text(WRITTEN, "utf-8")
        self.files = [folder / "certificate", folder / "key"]
        self.settings = self.load()
        self.written: Callable[[], Settings] = lambda: self.settings
        self.taken: list[tuple[bytes, ...]] = []
        self.key_ids: list[str] = []
        self.put(b"1", b"1")
        reloadable = Reloadable(name="the pair", files=lambda _settings: self.files, take=self.take)
        self.reloader = Reloader(
            self.settings, [reloadable], reread=self.reread, every_seconds=0.01
        )

    def reread(self) -> Settings:
        return self.written()

    def load(self, **variables: str) -> Settings:
        """Return the settings, some of them written otherwise."""
        return load(
            self._config, {f"BARS_GATEWAY_{key}": value for key, value in variables.items()}
        )

    def put(self, *contents: bytes) -> None:
        for file, content in zip(self.files, contents, strict=False):
            half = file.with_suffix(".new")
            half.write_bytes(content)
            half.rename(file)

    async def take(self, settings: Settings) -> None:
        found = tuple(file.read_bytes() for file in self.files)
        if len(set(found)) > 1:
            raise IdentityError("they do not belong together")
        self.taken.append(found)
        self.key_ids.append(settings.providers["trust"].key_id)


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    return Reading(tmp_path)


async def looked(reading: Reading, times: int = 1) -> list[str]:
    """Look so often, and return the events that were logged."""
    with capture_logs() as logs:
        for _ in range(times):
            await reading.reloader.look()
    return [entry["event"] for entry in logs]


async def test_what_has_not_changed_is_not_read(reading):
    """A gateway at rest reads no keys."""
    await looked(reading, 3)

    assert [] == reading.taken


async def test_what_has_changed_is_taken_once(reading):
    """Two looks find it the same; after that it is the one in use."""
    reading.put(b"2", b"2")
    events = await looked(reading, 4)

    assert ["renewal.taken"] == events
    assert [(b"2", b"2")] == reading.taken


async def test_a_pair_is_left_alone_until_both_lie_there(reading):
    """Between the renaming of a certificate and that of its key, nothing is read or alarmed."""
    reading.put(b"2")
    events = await looked(reading)
    reading.put(b"2", b"2")
    events += await looked(reading, 2)

    assert ["renewal.taken"] == events


async def test_what_is_bad_changes_nothing_and_is_told(reading):
    """The reason is there for the status page, and in the log, once."""
    reading.put(b"2", b"3")
    events = await looked(reading, 4)

    assert ["renewal.refused"] == events
    assert {"the pair": "they do not belong together"} == reading.reloader.refused
    assert [] == reading.taken


async def test_what_a_database_that_is_away_keeps_from_being_taken_is_taken_later(reading):
    """A key ring is entered there; nothing is wrong with it, and nobody is to touch it again."""
    away = [DatabaseAway("it is away")]

    async def take(settings: Settings) -> None:
        if away:
            raise away.pop()
        await reading.take(settings)

    ring = Reloadable(name="the key ring", files=lambda _settings: reading.files, take=take)
    reloader = Reloader(reading.settings, [ring], reread=lambda: reading.settings)
    reading.put(b"2", b"2")
    refused = []
    for _ in range(6):
        await reloader.look()
        refused += reloader.refused

    assert [] == refused
    assert [(b"2", b"2")] == reading.taken


async def test_what_is_gone_is_told_as_well(reading):
    """The next start would fail, and somebody is to hear of it before."""
    material_gone = IdentityError("certificate: No such file or directory")

    async def take(_settings: Settings) -> None:
        raise material_gone

    reloader = Reloader(
        reading.settings,
        [Reloadable(name="the pair", files=lambda _settings: reading.files, take=take)],
        reread=lambda: reading.settings,
    )
    reading.files[0].unlink()
    for _ in range(2):
        await reloader.look()

    assert {"the pair": str(material_gone)} == reloader.refused


@pytest.mark.parametrize("fails", ["files", "take"])
@pytest.mark.parametrize("asked", [True, False])
async def test_what_nobody_foresaw_keeps_nothing_else_from_renewal(reading, fails, asked):
    """The first hits an internal error; the next is taken, and the page names the first."""
    armed = []

    def stumble(_settings: Settings) -> list[Path]:
        if armed and fails == "files":
            raise ZeroDivisionError("canary")
        return reading.files

    async def take(_settings: Settings) -> None:
        raise ZeroDivisionError("canary")

    first = Reloadable(name="the first", files=stumble, take=take)
    second = Reloadable(name="the pair", files=lambda _settings: reading.files, take=reading.take)
    reloader = Reloader(reading.settings, [first, second], reread=lambda: reading.settings)
    armed.append(True)
    reading.put(b"2", b"2")
    with capture_logs() as logs:
        for _ in range(4):
            await (reloader.renew() if asked else reloader.look())

    assert {(b"2", b"2")} == set(reading.taken)
    assert ["the first"] == list(reloader.refused)
    assert "ZeroDivisionError at " in reloader.refused["the first"]
    assert "canary" not in str(logs)
    assert 1 == [entry["event"] for entry in logs].count("renewal.refused")


async def test_settings_that_nobody_can_read_keep_nothing_from_renewal(reading):
    """The keys and certificates are read all the same."""

    def stumble() -> Settings:
        raise ZeroDivisionError("canary")

    reading.written = stumble
    reading.put(b"2", b"2")
    await reading.reloader.renew()

    assert [(b"2", b"2")] == reading.taken
    assert [SETTINGS] == list(reading.reloader.refused)


async def test_something_better_ends_the_alarm(reading):
    """Nobody has to take it back by hand."""
    reading.put(b"2", b"3")
    await looked(reading, 2)
    reading.put(b"3", b"3")
    await looked(reading, 2)

    assert {} == reading.reloader.refused
    assert [(b"3", b"3")] == reading.taken


async def test_asked_it_reads_everything_at_once(reading):
    """SIGHUP takes what is there, changed or not, with the settings as they are written now."""
    reading.written = lambda: reading.load(**{KEY_ID: "Trust-INT-2"})
    await reading.reloader.renew()

    assert ["Trust-INT-2"] == reading.key_ids


async def test_settings_with_a_mistake_stay_as_they_were(reading):
    """What is wrong in the file is told, and the files are read by the old settings."""

    def mistaken() -> Settings:
        raise ConfigurationError(
            "bars-gateway.toml:3: log_levle is not a setting\n   try: log_level"
        )

    reading.written = mistaken
    await reading.reloader.renew()

    assert {SETTINGS: "bars-gateway.toml:3: log_levle is not a setting"} == reading.reloader.refused
    assert [reading.settings.providers["trust"].key_id] == reading.key_ids


async def test_what_needs_a_restart_is_named_and_left(reading):
    """An address of the listener cannot change under its callers."""
    reading.written = lambda: reading.load(INBOUND__LISTEN="127.0.0.1:9", LOG_LEVEL="debug")
    with capture_logs() as logs:
        await reading.reloader.renew()

    assert reading.settings.inbound.listen == reading.reloader.settings.inbound.listen
    assert ["inbound.listen, log_level"] == [
        entry["name"] for entry in logs if entry["event"] == "renewal.left_for_restart"
    ]


async def test_callers_are_taken_without_a_restart(reading):
    """The name that was learned on the first day lets its bearer in from then on."""
    names = "proxy.example,second.example"
    reading.written = lambda: reading.load(INBOUND__ALLOWED_CLIENT_NAMES=names)
    await reading.reloader.renew()

    assert tuple(names.split(",")) == reading.reloader.settings.inbound.allowed_client_names


async def test_it_runs_until_it_is_stopped(reading):
    """It looks by itself, and beats for the watchdog each time."""
    beats = asyncio.Event()
    running = asyncio.create_task(reading.reloader.run(beats.set))
    reading.put(b"2", b"2")
    async with asyncio.timeout(20):
        while not reading.taken:
            await asyncio.sleep(0.01)
        reading.reloader.stop()
        await running

    assert beats.is_set()


async def test_a_maintenance_window_is_taken_by_a_reload(reading: Reading) -> None:
    """Planned work begins in an hour, and no restart is wanted for it; the rest waits for one."""
    window = {
        "ALERTS__MAINTENANCE_FROM": "2026-12-01T22:00:00Z",
        "ALERTS__MAINTENANCE_UNTIL": "2026-12-02T04:00:00Z",
    }
    reading.written = lambda: reading.load(**window, ALERTS__DIGEST_MINUTES="5")
    await reading.reloader.renew()
    alerts = reading.reloader.settings.alerts

    assert (True, 60) == (alerts.maintenance_from is not None, alerts.digest_minutes)


def test_settings_are_compared_without_reading_why_each_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is read from the source of every table of them: the loop would stand meanwhile."""
    reading = Reading(tmp_path)
    other = reading.load(**{KEY_ID: "Trust-INT-2"})

    def never(*_: object) -> None:
        raise AssertionError("the source was read")

    sources._texts.cache_clear()
    monkeypatch.setattr(sources.inspect, "getsource", never)

    assert ["providers.trust.key_id"] == differences(reading.settings, other)
