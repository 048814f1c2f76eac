"""
Makes what tells people of alerts, from the settings: who decides, and each way of telling.

    [alerts] ─► Watch ─┬─► store ───────► Courier of the log, of a command, of mail
                       └─► StoreOutage ─► another Courier of each, while the store is away
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from bars_gateway.config import Settings
from bars_gateway.model.alerts import Channel, Telling
from bars_gateway.status.alerts import AFTER_A_START, EVERY_SECONDS, Silences, Watch
from bars_gateway.status.deliveries import (
    FIRST_PAUSE,
    Command,
    Courier,
    Journal,
    Mail,
    MailServer,
    Way,
    Whence,
    is_trouble,
)
from bars_gateway.status.outage import StoreOutage
from bars_gateway.status.running import RuntimeState
from bars_gateway.store.nodes import others_live
from bars_gateway.store.store import Store

Clock = Callable[[], datetime]
PATIENCE = 1.0  # the share of a runbook's `after` that a condition stands before it is told


class Alerting:
    """Who decides, and who tells."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        store: Store,
        running: Callable[[], RuntimeState],
        now: Clock,
    ) -> None:
        """Make them of *settings*, of which only the maintenance is looked at again later."""
        at_start = settings()
        self._store, self._now = store, now
        ways = list(ways_of(at_start))
        self._watch = Watch(
            store,
            running,
            lambda: telling_of(settings(), self.channels),
            silences_of(at_start),
            now=now,
            first_days=at_start.status.expiry_warning_days,
            every_seconds=EVERY_SECONDS,
            after_a_start=AFTER_A_START,
            patience=PATIENCE,
        )
        courier = partial(Courier, now=now, first_pause=FIRST_PAUSE)
        self._couriers = [courier(store.alerts, way) for way in ways]
        self._from_memory = [courier(self._watch.outage, way) for way in ways]

    @property
    def channels(self) -> Sequence[Channel]:
        """By what people are told."""
        return [each.channel for each in self._couriers]

    @property
    def undelivered(self) -> Mapping[str, datetime]:
        """What does not work of them, and since when."""
        now, from_memory = self._now(), self._watch.outage.failing
        since = {each.channel: each.failing_since(now) for each in self._couriers}
        since |= {channel: at for channel, at in from_memory.items() if is_trouble(at, now)}
        return {str(channel): at for channel, at in since.items() if at is not None}

    @property
    def parts(self) -> Mapping[str, Watch | StoreOutage | Courier]:
        """What runs, by name: where there are several nodes, `couriers` at one of them."""
        from_memory = {f"tell-{each.channel}-from-memory": each for each in self._from_memory}
        return {
            "alerts": self._watch,
            "store-outage": self._watch.outage,
            **self.couriers,
            **from_memory,
        }

    @property
    def couriers(self) -> Mapping[str, Courier]:
        """Those of them who tell what is in the store."""
        return {f"tell-{each.channel}": each for each in self._couriers}

    async def begin(self) -> None:
        """Forget what was to be told by a way that there is no more; another node may have it."""
        if not others_live(self._store.nodes):
            await self._store.alerts.forget_others(self.channels)


def ways_of(settings: Settings) -> Iterator[Way]:
    """Yield each way of telling people that is set."""
    alerts = settings.alerts
    whence = Whence(
        node=settings.node, environment=settings.environment, page_url=settings.page_url
    )
    yield Journal(whence)
    if alerts.command:
        yield Command(alerts.command, alerts.command_seconds, whence)
    if alerts.mail_server is not None and alerts.mail_from is not None:
        server = MailServer(
            host=alerts.mail_server,
            port=alerts.mail_port,
            security=alerts.mail_security,
            ca_file=alerts.mail_ca_file,
            user=alerts.mail_user,
            password_file=alerts.mail_password_file,
            sender=alerts.mail_from,
            recipients=alerts.mail_to,
            seconds=alerts.mail_seconds,
        )
        yield Mail(server, whence)


def telling_of(settings: Settings, channels: Sequence[Channel]) -> Telling:
    """Return by what people are told, and when."""
    alerts = settings.alerts
    begins, ends = alerts.maintenance_from, alerts.maintenance_until
    return Telling(
        channels=channels,
        digest=timedelta(minutes=alerts.digest_minutes),
        remind=timedelta(minutes=alerts.remind_minutes),
        maintenance=(begins, ends) if begins and ends else None,
    )


def silences_of(settings: Settings) -> Silences:
    """Return how long nothing may flow, each way."""
    return Silences(
        received=timedelta(minutes=settings.alerts.nothing_received_minutes),
        acknowledged=timedelta(minutes=settings.alerts.nothing_acknowledged_minutes),
    )
