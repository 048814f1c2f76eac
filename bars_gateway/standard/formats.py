"""
The two formats that BaRS speaks, and the way from one to the other (D-formats, D-lossless).

    bytes ──to_tree──► tree ──to_bytes──► bytes, in either format, every value as written

A message is stored and sent as the bytes that came. What we compose ourselves is
composed in JSON and converted only for a caller who asked for XML.
"""

from enum import StrEnum

import orjson

from bars_gateway.standard import xml
from bars_gateway.standard.bundle import from_json
from bars_gateway.standard.tree import Json, MalformedBundle, Number, Resource

# Bytes: to read, judge or write so much holds up whatever else waits on a loop. Below, a thread
# costs more than it frees.
LONG = 64 * 1024


class Format(StrEnum):
    """How a resource is written, by its media type."""

    JSON = "application/fhir+json"
    XML = "application/fhir+xml"


# Plain JSON is what many HTTP libraries say. Plain XML is refused: official tests demand it.
_BODIES = {Format.JSON: Format.JSON, "application/json": Format.JSON, Format.XML: Format.XML}


def format_of(media_type: str) -> Format | None:
    """Return the format that a Content-Type names, whatever its parameters, or None."""
    return _BODIES.get(media_type.partition(";")[0].strip().lower())


def to_tree(body: bytes, written_in: Format) -> Resource:
    """Return the resource in *body*, or raise MalformedBundle."""
    return xml.to_tree(body).tree if written_in is Format.XML else from_json(body)


def to_bytes(tree: Json, wanted: Format) -> bytes:
    """Return *tree* in that format; raise MalformedBundle where XML cannot carry it."""
    if wanted is Format.XML:
        return xml.from_tree(tree)
    # Otherwise orjson would write a Number as the dataclass that it is.
    return orjson.dumps(tree, default=_as_written, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def as_asked(tree: Json, wanted: Format) -> tuple[bytes, Format]:
    """Return *tree* in the format that was asked for, or in JSON where XML cannot carry it."""
    try:
        return to_bytes(tree, wanted), wanted
    except MalformedBundle:
        return to_bytes(tree, Format.JSON), Format.JSON


def converted(body: bytes, written_in: Format, wanted: Format) -> bytes:
    """Return the resource in *body* in the wanted format; the same bytes if it is in it already."""
    return body if written_in is wanted else to_bytes(to_tree(body, written_in), wanted)


def _as_written(value: object) -> orjson.Fragment:
    if not isinstance(value, Number):
        raise TypeError(type(value).__name__)
    return orjson.Fragment(value.text)
