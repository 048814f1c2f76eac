"""
Plays every scene, one after the other, and keeps what it brought.

    ground ─► scenes before the EPR is there ─► scenes with it ─► pages, figures, what the EPR heard

A scene that takes too long, or that a connection breaks off, ends alone; what it got is kept.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import structlog

from bars_gateway import log
from bars_gateway.evidence.ground import ProvingGround, epr_answering, proving_ground
from bars_gateway.evidence.pieces import EXCHANGES, PIECES, SCENES
from bars_gateway.evidence.receiving import BEFORE_THE_EPR
from bars_gateway.evidence.scene import Scene
from bars_gateway.evidence.screenshots import PAGES, browser, photographed
from bars_gateway.evidence.tape import Tape
from bars_gateway.frozen import frozen

SCENE_SECONDS = 20.0
_EVERY_LINE = 100_000


@frozen(kw_only=True)
class PlayedScene:
    """What became of a scene."""

    name: str
    title: str
    answers: Sequence[str]  # of each exchange, in short
    missing: Sequence[str]  # those that it must have got and did not; empty: it shows what it says
    files: Sequence[str]  # requests and answers, below the export


@dataclass(slots=True, kw_only=True)
class Played:
    """What a run brought."""

    tape: Tape = field(default_factory=Tape)
    scenes: list[PlayedScene] = field(default_factory=list)


async def play(export: Path, scratch: Path) -> Played:
    """Play all scenes on a ground in *scratch*, and write what they brought into *export*."""
    played = Played()
    for piece in PIECES.values():
        (export / piece.file).parent.mkdir(exist_ok=True)
    with _logging_into(export / PIECES["national-log"].file):
        async with proving_ground(scratch, played.tape) as ground:
            await _play_all(ground, BEFORE_THE_EPR)
            async with epr_answering(ground):
                *most, last = [s for s in SCENES.values() if s not in BEFORE_THE_EPR]
                await _play_all(ground, most)
                async with asyncio.TaskGroup() as group:
                    group.create_task(_play_all(ground, [last]))
                    group.create_task(_photograph(ground, export, scratch))
            await _keep(ground, export)
    # The gateway has stopped: its log is whole, and so is its audit trail.
    (export / PIECES["log"].file).write_bytes(ground.log_file.read_bytes())
    await _keep_audit(ground, export)
    played.scenes += [_written(scene, played.tape, export) for scene in SCENES.values()]
    return played


async def _play_all(ground: ProvingGround, scenes: Sequence[Scene]) -> None:
    for scene in scenes:
        ground.tape.scene = scene.name
        try:
            async with asyncio.timeout(SCENE_SECONDS):
                await scene.play(ground)
        except (TimeoutError, aiohttp.ClientError):
            continue  # the answers that are missing tell of it


async def _keep(ground: ProvingGround, export: Path) -> None:
    """Keep the gateway's figures at the end of the run, and what its EPR was told."""
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.get(f"{ground.hospital.status_url}metrics") as response,
    ):
        (export / PIECES["metrics"].file).write_bytes(await response.read())
    told = sorted(ground.epr.told.items())
    lines = "".join(json.dumps(notice) + "\n" for _, notice in told)
    (export / PIECES["notices"].file).write_text(lines, "utf-8")


async def _keep_audit(ground: ProvingGround, export: Path) -> None:
    """Keep the audit trail, as the command prints it."""
    settings = ground.folder / ground.hospital.name / "bars-gateway.toml"
    words = ("audit", "--config", str(settings), "--json", "--limit", str(_EVERY_LINE))
    with (export / PIECES["audit"].file).open("wb") as lines:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bars_gateway", *words, stdout=lines
        )
        await process.wait()


async def _photograph(ground: ProvingGround, export: Path, scratch: Path) -> None:
    chromium = browser()
    if chromium is None:
        return  # there are no pictures, and the gaps say so
    status = ground.hospital.status_url
    async with asyncio.TaskGroup() as group:
        for name, page in PAGES.items():
            picture = export / PIECES[name].file
            group.create_task(photographed(chromium, f"{status}{page}", picture, scratch))


def _written(scene: Scene, tape: Tape, export: Path) -> PlayedScene:
    """Write the exchanges of a scene, and say what became of it."""
    folder = export / EXCHANGES / scene.name
    folder.mkdir(parents=True)
    found = tape.of(scene.name)
    names = []
    for number, each in enumerate(found, 1):
        for end, content in (("request", each.asked_file()), ("response", each.answer_file())):
            file = folder / f"{number:02}.{end}.http"
            file.write_bytes(content)
            names.append(file.relative_to(export).as_posix())
    answers = [each.answered for each in found]
    return PlayedScene(
        name=scene.name,
        title=scene.title,
        answers=answers,
        missing=scene.missing(answers),
        files=names,
    )


@contextmanager
def _logging_into(file: Path) -> Iterator[None]:
    """Let what this process logs, which is the national side's, go into *file*."""
    before = structlog.get_config()
    with file.open("w", encoding="utf-8") as opened:
        log.configure(stream=opened)
        try:
            yield
        finally:
            structlog.configure(**before)
