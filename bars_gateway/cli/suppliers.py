"""What a supplier of an EPR needs: the contract's schemas, and a rehearsal of the EPR with it."""

import asyncio
import signal
import threading
from collections.abc import Coroutine, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bars_gateway.cli.output import document_of, print_lines, print_table, terminal
from bars_gateway.options import Json

if TYPE_CHECKING:
    from bars_gateway.epr_check.findings import EprFinding


def add_to(app: typer.Typer) -> None:
    """Put these commands on the command line."""
    app.command()(schemas)
    app.command(name="epr-check")(epr_check)


def schemas(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", readable=False, help="Where to write them; made if missing."),
    ],
) -> None:
    """
    Write the JSON Schema of every document that an EPR reads or writes.

    Draft 2020-12, one file each, which refers to nothing outside itself: for the folders and for
    the socket alike. docs/epr-contract.md is the contract that they belong to.
    """
    from bars_gateway.epr.contract import write_schemas
    from bars_gateway.epr.documents import CONTRACT_VERSION
    from bars_gateway.onboarding.files import explained

    with explained(folder, "written"):
        written = write_schemas(folder)
    typer.echo(f"{folder}: {len(written)} schemas of contract {CONTRACT_VERSION}")


class CheckDoor(StrEnum):
    """Where the EPR that is checked gets notices and questions."""

    FOLDER = "folder"
    SOCKET = "socket"


Door = Annotated[CheckDoor, typer.Option(help="Where notices and questions come.")]
Minutes = Annotated[
    float, typer.Option(min=0.05, max=240, help="How long, from when the EPR is seen.")
]
Asked = Annotated[bool, typer.Option(help="Whether the EPR is asked to decide.")]
Sends = Annotated[bool, typer.Option(help="Whether the EPR sends messages itself.")]
OwnService = Annotated[str, typer.Option(help="The value of the EPR's own target identifier.")]
OwnCode = Annotated[str, typer.Option(help="The code of its organisation.")]
Where = Annotated[
    Path | None,
    typer.Option(metavar="DIR", readable=False, help="Where to work; temporary otherwise."),
]


def epr_check(
    *,
    by: Door = CheckDoor.FOLDER,
    minutes: Minutes = 10,
    questions: Asked = True,
    sends: Sends = True,
    service: OwnService = "2000000101",
    ods_code: OwnCode = "ZX901",
    folder: Where = None,
    as_json: Json = False,
) -> None:
    """
    Play the national side and a counterparty at an EPR, and say what it did right and wrong.

    Starts a gateway and a sandbox of its own, says where the EPR connects and what to send, and
    watches the doors. Everything is invented, and nothing leaves this machine. Exits with 1 where
    something was wrong. What the doors cannot show is listed, to be looked for on screens.
    """
    from rich.console import Console

    from bars_gateway.epr_check.play import CheckSettings, check

    _require_new(folder)
    settings = CheckSettings(
        minutes=minutes,
        by_socket=by is CheckDoor.SOCKET,
        asks=questions,
        sends=sends,
        service=service,
        ods_code=ods_code,
        folder=folder,
    )
    console = Console(soft_wrap=True, highlight=False, stderr=as_json)
    findings = asyncio.run(_until_ended(check(settings, console)))
    if as_json:
        print_lines(document_of(each) for each in findings)
    else:
        _print(findings)
    if any(each.result == "wrong" for each in findings):
        raise typer.Exit(1)


async def _until_ended(
    checking: Coroutine[object, object, list["EprFinding"]],
) -> list["EprFinding"]:
    """Return what was found, also where SIGTERM ends it early, as Ctrl-C does by itself."""
    task = asyncio.current_task()
    assert task is not None
    if threading.current_thread() is threading.main_thread():  # no other hears signals
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await checking


def _require_new(folder: Path | None) -> None:
    if folder is not None and folder.is_dir() and any(folder.iterdir()):
        raise typer.BadParameter("is not empty: a check starts afresh", param_hint="--folder")


def _print(findings: Sequence["EprFinding"]) -> None:
    rows = [(each.result.upper(), each.clause, each.title, each.says) for each in findings]
    typer.echo()
    print_table(("Result", "Clause", "What", "What was seen"), rows, terminal())
    looks = [look for each in findings for look in each.look]
    if looks:
        typer.echo("\nLook at your screens, for the doors do not show it:")
    for look in looks:
        typer.echo(f"  [ ] {look}")
    typer.echo("\ndocs/epr-contract.md says what each clause asks.")
