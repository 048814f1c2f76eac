"""`bars-gateway letters`: what the desks have to be told, ready to send."""

import os
from pathlib import Path
from typing import Annotated

import typer

from bars_gateway.config import load
from bars_gateway.onboarding.files import PRIVATE, make_folder, put_in_place
from bars_gateway.onboarding.letters import ABOUT, KINDS, Letter, write
from bars_gateway.options import DEFAULT_CONFIG, Config


def letters(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="KIND", help=f"{', '.join(KINDS)}; else they are listed."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", readable=False, help="Else `letters` beside the settings."),
    ] = None,
) -> None:
    """
    Write a letter to a desk, as text and as a draft for a mail program.

    Nothing is sent. What the settings do not say and the desk must know is named, and
    then nothing is written.
    """
    if kind is None:
        for name, about in ABOUT.items():
            typer.echo(f"{name:12}  {about}")
        return
    if kind not in KINDS:
        raise typer.BadParameter(f"there are {', '.join(KINDS)}", param_hint="KIND")
    letter = write(kind, load(config, os.environ))
    typer.echo(letter.text())
    for path in _written(letter, folder or config.absolute().parent / "letters"):
        typer.echo(f"{path}: written")
    typer.echo("Read it, and send it yourself: nothing was sent.")


def _written(letter: Letter, folder: Path) -> list[Path]:
    make_folder(folder)
    contents = {f"{letter.name}.txt": letter.text().encode()} | dict(letter.attachments)
    draft = letter.email()
    if draft is not None:
        contents[f"{letter.name}.eml"] = draft
    for name, content in contents.items():
        put_in_place(folder / name, content, PRIVATE)
    return [folder / name for name in contents]
