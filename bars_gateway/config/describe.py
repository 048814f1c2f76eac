"""
Lists every setting with its value, where that came from, and what it is for.

    bars-gateway config ──► outbound.max_in_flight = 16     /etc/…/bars-gateway.toml:12
                            The most messages under way at once. Raise it if …
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from bars_gateway.config.purposes import purpose
from bars_gateway.config.sources import Sources

if TYPE_CHECKING:
    from bars_gateway.config import Settings

BUNDLED = ("token_url", "proxy_url", "hosts", "token_required", "requests_per_minute")
_FROM_BUNDLE = frozenset(f"outbound.{name}" for name in BUNDLED)


class Described(NamedTuple):
    """One setting as it is in force."""

    key: str  # dotted
    value: object
    origin: str  # "default", "environment", "file:line", or "environment variable NAME"
    description: str  # unit, effect, and the reason to change it; one paragraph per line


def describe(settings: "Settings") -> Iterator[Described]:
    """Yield every setting in the order of the settings file."""
    return _below(settings, "", settings.sources)


def _below(table: BaseModel, prefix: str, sources: Sources) -> Iterator[Described]:
    for name in type(table).model_fields:
        key, value = f"{prefix}{name}", getattr(table, name)
        if isinstance(value, BaseModel):
            yield from _below(value, f"{key}.", sources)
        elif isinstance(value, dict) and _of_tables(value):
            for entry, below in value.items():
                yield from _below(below, f"{key}.{entry}.", sources)
        else:
            brought = "environment" if key in _FROM_BUNDLE else "default"
            origin = sources.origin(key) if sources.written(key) else brought
            yield Described(key, value, origin or brought, _paragraphs(purpose(type(table), name)))


def _of_tables(entries: dict[str, Any]) -> bool:
    return all(isinstance(entry, BaseModel) for entry in entries.values())


def _paragraphs(text: str) -> str:
    return "\n".join(" ".join(part.split()) for part in text.split("\n\n"))
