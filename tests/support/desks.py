"""An operator's desk: the real commands, typed beside a gateway's socket."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from epr_side import (
    ON_SOCKET,
    PROVIDER,
    at_work,
    attendance,
    question_requests,
    read_requests,
    record_requests,
    utc_now,
    verb_requests,
)
from typed import settings_text, typed_beside

from bars_gateway.epr.intake import Intake
from bars_gateway.epr.intervention_requests import AlarmRequests, AlertRequests
from bars_gateway.epr.socket import EprSocket
from bars_gateway.store.store import Store

AT_ONCE = 2


@dataclass(frozen=True)
class Desk:
    """An operator, beside a gateway that does two at once."""

    settings: Path

    async def types(self, *arguments: str) -> tuple[int, list[str]]:
        """Return how the command exits, and the lines that it prints."""
        done = await typed_beside(*arguments, "-c", self.settings)
        return done.code, done.out.splitlines()

    async def is_told(self, *arguments: str) -> tuple[int, str]:
        """Return how the command exits, and what it complains of, without the box around it."""
        done = await typed_beside(*arguments, "-c", self.settings)
        return done.code, " ".join(done.err.replace("│", " ").split())


@asynccontextmanager
async def desk_of(
    store: Store, intake: Intake, database: Path | None = None
) -> AsyncIterator[Desk]:
    """Open the socket where the settings have it, in a folder with a short name."""
    with tempfile.TemporaryDirectory(prefix="epr") as name:
        folder = Path(name)
        (folder / "run").mkdir()
        settings = folder / "gateway.toml"
        kept = f'[store]\npath = "{database}"\n' if database else ""
        settings.write_text(settings_text(folder, rest=f"[inbound]\nenabled = false\n{kept}"))
        opened = EprSocket(
            store,
            intake,
            question_requests(store),
            verb_requests(store, AT_ONCE),
            AlarmRequests(store.alarms, provider=PROVIDER, now=utc_now, at_once=AT_ONCE),
            AlertRequests(store.alerts, now=utc_now),
            record_requests(store),
            read_requests(),
            attendance=attendance(store),
            ways=ON_SOCKET,
            path=folder / "run" / f"{PROVIDER}.sock",
            now=utc_now,
        )
        await opened.open()
        async with at_work(opened.stop, opened.run()):
            yield Desk(settings)
