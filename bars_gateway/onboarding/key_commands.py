"""`bars-gateway keys`: make the next key, see which there are, try one, put one away."""

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from bars_gateway.config import Provider, Settings, load
from bars_gateway.errors import OnboardingError
from bars_gateway.onboarding import keys
from bars_gateway.onboarding.choices import provider_of
from bars_gateway.onboarding.key_ids import KeyId
from bars_gateway.options import DEFAULT_CONFIG, Config, Whose

app = typer.Typer(
    name="keys",
    help="Make, list, try and retire the keys that sign for access tokens.",
    no_args_is_help=True,
)

Named = Annotated[
    str | None,
    typer.Option("--key-id", metavar="ID", help="Such as Northshire-INT-2; else the next one."),
]


@app.command()
def new(
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    key_id: Named = None,
    bits: Annotated[
        int, typer.Option(min=2048, max=8192, help="4096 in int and prod.")
    ] = keys.BITS,
) -> None:
    """
    Make the next key, with its public half and the JWKS to publish.

    Nothing is written over, and the gateway goes on with the key that it has. Publish the
    JWKS, wait, try the key with `keys probe`, and only then name it in the settings.
    """
    settings = load(config, os.environ)
    whose = provider_of(settings, provider)
    wanted = KeyId.parse(key_id) if key_id else _next(whose)
    _require_fit(settings, wanted, bits)
    files = keys.new_key(whose.private_key_file.parent, wanted, bits)
    typer.echo(f"{files.private}: {bits} bits, mode 0600; it never leaves this machine")
    typer.echo(f"{files.public}: to attach to the letter, where NHS England hosts the JWKS")
    typer.echo(f"{files.jwks}: to host yourself; it has every key that is not retired")
    hours = keys.NOT_BEFORE // timedelta(hours=1)
    typer.echo(
        f"\nPublish it. After {hours} hours: bars-gateway keys probe --key-id {wanted}\n"
        "When that gets a token, set key_id and private_key_file: systemctl reload bars-gateway"
    )


@app.command(name="list")
def list_keys(config: Config = DEFAULT_CONFIG, provider: Whose = None) -> None:
    """List the keys: which is in use, which may be used from when, which is old."""
    settings = load(config, os.environ)
    whose = provider_of(settings, provider)
    now = datetime.now(UTC)
    folder = whose.private_key_file.parent
    found = keys.kept_in(folder)
    for kept in found:
        made = f"{kept.made_at:%Y-%m-%d %H:%M}"
        typer.echo(
            f"{kept.key_id}  {kept.bits} bits  made {made} UTC  {_standing(kept, whose, now)}"
        )
    if not found:
        typer.echo(f"{folder}: no key that `bars-gateway keys new` made")


@app.command()
def retire(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key id.")],
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    *,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Even if the settings changed within the hour.")
    ] = False,
) -> None:
    """
    Take a key out of the JWKS and put its file away; nothing is deleted.

    Refuses the key that is in use, and any key until 70 minutes after the settings were
    last changed: tokens and copies of the JWKS live that long.
    """
    settings = load(config, os.environ)
    whose = provider_of(settings, provider)
    _require_unused(settings, key_id)
    _require_patience(config, at_once=at_once)
    folder = whose.private_key_file.parent
    wanted = KeyId.parse(key_id)
    target = keys.retire(folder, wanted)
    typer.echo(f"{target}: put away")
    typer.echo(f"{keys.KeyFiles.of(folder, wanted).jwks}: without it; publish that now")


@app.command()
def probe(config: Config = DEFAULT_CONFIG, provider: Whose = None, key_id: Named = None) -> None:
    """
    Ask for an access token with a key, before the gateway depends on it.

    Takes the key of the settings unless another is named. Exits with 1 if it is refused.
    """
    from bars_gateway.onboarding.probing import credentials_of
    from bars_gateway.onboarding.probing import probe as ask

    settings = load(config, os.environ)
    whose = provider_of(settings, provider)
    if key_id is not None:
        file = keys.KeyFiles.of(whose.private_key_file.parent, KeyId.parse(key_id)).private
        whose = whose.model_copy(update={"key_id": key_id, "private_key_file": file})
    found = asyncio.run(ask(settings, *credentials_of(settings, whose), datetime.now(UTC)))
    if found.refused is not None:
        raise OnboardingError(f"{whose.key_id}: {found.refused.reason}", found.refused.advice)
    typer.echo(f"{whose.key_id}: {settings.outbound.token_url} gave a token")


def _next(provider: Provider) -> KeyId:
    """Return the id after the last one of the family of the key that is in use."""
    current = KeyId.parse(provider.key_id)
    there = keys.family(keys.KeyFiles.of(provider.private_key_file.parent, current))
    last = max([current.rotation, *(kept.key_id.rotation for kept in there)])
    if current.rotation == last and not provider.private_key_file.exists():
        return current  # the settings were written first
    return replace(current, rotation=last + 1)


def _require_fit(settings: Settings, key_id: KeyId, bits: int) -> None:
    if key_id.environment is not settings.environment:
        fitting = replace(key_id, environment=settings.environment)
        cure = f"Name one of {settings.environment}, such as {fitting}."
        raise OnboardingError(
            f"the key id {key_id} is of {key_id.environment}, and the settings are of"
            f" {settings.environment}",
            cure,
        )
    minimum = settings.bundle.minimum_key_bits
    if bits < minimum:
        cure = f"Leave out --bits, or write --bits {minimum}."
        raise OnboardingError(f"{settings.environment} takes keys of {minimum} bits", cure)


def _require_unused(settings: Settings, key_id: str) -> None:
    users = [
        name
        for name, other in settings.providers.items()
        if key_id in {other.key_id, *other.former_keys}
    ]
    if users:
        cure = (
            "Name its successor in the settings, and it in former_keys no more; reload, and come"
            " back after 70 minutes."
        )
        raise OnboardingError(f"{key_id} is in use by {', '.join(users)}", cure)


def _require_patience(config: Path, *, at_once: bool) -> None:
    changed = datetime.fromtimestamp(config.stat().st_mtime, UTC)
    over = changed + keys.NOT_RETIRED_BEFORE
    if not at_once and datetime.now(UTC) < over:
        cure = f"Come back at {over:%H:%M} UTC, or add --at-once if the key was stolen."
        raise OnboardingError(f"{config} was changed at {changed:%H:%M} UTC: too early", cure)


def _standing(kept: keys.Kept, provider: Provider, now: datetime) -> str:
    if kept.retired:
        return "retired"
    if str(kept.key_id) == provider.key_id:
        old = now - kept.made_at > keys.OLD
        return "in use" + ("; over a year old, make its successor" if old else "")
    usable = kept.made_at + keys.NOT_BEFORE
    if now < usable:
        return f"wait until {usable:%H:%M} UTC after publishing it"
    return "not in use; try it with keys probe"
