"""
The two formats that BaRS speaks, the way from one to the other, and the choice between them.

    bytes ──to_tree──► tree ──to_bytes──► bytes, in either format, every value as written
    bytes of an answer ──answered──► tree, whichever of the two it is, and in which encoding
    _format, else Accept ──negotiate──► Format │ Issue (406)

A message is stored and sent as the bytes that came (D-lossless). What we compose ourselves is
composed in JSON and converted only for a caller who asked for XML.

What is sent to us has to be in UTF-8. What is *answered* to us is read where it can be: servlets of
Java write Latin-1 where nobody has told them otherwise, and an answer with a Siân in it would be
none. A refusal would count as silence, and another patient's record as no record.

`_format` wins over the Accept header, whose media types then mean nothing (H11, D-formats). Two
kinds of version travel with a message and are never mixed: this one is of BaRS Core, stands in
the Accept header, and is compared on its major number alone.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import lru_cache

import orjson

from bars_gateway.standard import xml
from bars_gateway.standard.bundle import from_json
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.tree import Json, MalformedBundle, Number, Resource, unmarked

# Bytes: to read, judge or write so much holds up whatever else waits on a loop. Below, a thread
# costs more than it frees.
LONG = 64 * 1024
CORE_MAJOR = 1
_ANY = ("*/*", "application/*")
_VERSION = re.compile(r"\s*version\s*=\s*\"?(\d+)(?:\.\d+)*", re.ASCII | re.IGNORECASE)
_QUALITY = re.compile(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", re.ASCII | re.IGNORECASE)


# What says in XML in which encoding it is.
_ENCODING = re.compile(rb"""(<\?xml[^>]*?)\s+encoding\s*=\s*(?:"[^"]*"|'[^']*')""")
_WESTERN = "cp1252"  # Latin-1, and what Windows has where that has nothing


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


def answered(body: bytes) -> Resource:
    """Return the resource in the *body* of an answer, or raise MalformedBundle."""
    written = unmarked(body).strip()
    try:
        return to_tree(written, _format_in(written))
    except MalformedBundle:
        again = in_utf8(body)
        if again == written:
            raise
    return to_tree(again, _format_in(again))


def _format_in(written: bytes) -> Format:
    return Format.XML if written.startswith(b"<") else Format.JSON


def in_utf8(body: bytes) -> bytes:
    """Return the *body* of an answer in UTF-8, without what it says of its own encoding."""
    encoding = json.detect_encoding(body)  # by its mark, or its zeros
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError:
        text = body.decode(_WESTERN, "replace")
    return _ENCODING.sub(rb"\1", unmarked(text.encode("utf-8", "replace")).strip(), count=1)


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


def digest(tree: Mapping[str, object]) -> str:
    """Return what tells what *tree* says from all else, in hex: in any order, with any blanks."""
    how = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
    return hashlib.sha256(orjson.dumps(tree, default=_as_written, option=how)).hexdigest()


def _as_written(value: object) -> orjson.Fragment:
    if not isinstance(value, Number):
        raise TypeError(type(value).__name__)
    return orjson.Fragment(value.text)


_NAMES = {
    **dict.fromkeys((Format.JSON, "application/json", "text/json", *_ANY), Format.JSON),
    **dict.fromkeys((Format.XML, "application/xml", "text/xml"), Format.XML),
}
_FORMATS = {**_NAMES, "json": Format.JSON, "xml": Format.XML}


@lru_cache(64)  # who asks, asks alike each time
def negotiate(accept: str | None, asked: str | None = None) -> Format | Issue:
    """
    Return the format to answer in, or what is wrong with the request for one.

    *accept* is the header, *asked* the decoded parameter `_format`; None where there is none.
    """
    choices = list(_choices(accept or "")) or [("*/*", [])]
    if not any(_is_ours(parameters) for _, parameters in choices):
        return _not_acceptable("header Accept")
    if asked is not None:
        # A plus sign in a query is a blank to those who decode it by the book.
        name = asked.partition(";")[0].strip().lower().replace(" ", "+")
        return _FORMATS.get(name) or _not_acceptable("parameter _format")
    acceptable = [
        (quality, known)
        for name, parameters in choices
        if (known := _NAMES.get(name)) and _is_ours(parameters)
        if (quality := _quality(parameters)) > 0
    ]
    if not acceptable:
        return _not_acceptable("header Accept")
    return max(acceptable, key=lambda choice: choice[0])[1]  # of equals, the first


def _choices(accept: str) -> Iterator[tuple[str, list[str]]]:
    for choice in accept.split(","):
        media_type, *parameters = choice.split(";")
        if media_type.strip():
            yield media_type.strip().lower(), parameters


def _is_ours(parameters: list[str]) -> bool:
    versions = [found[1] for parameter in parameters if (found := _VERSION.match(parameter))]
    return all(int(version) == CORE_MAJOR for version in versions)


def _quality(parameters: list[str]) -> float:
    said = [found[1] for parameter in parameters if (found := _QUALITY.fullmatch(parameter))]
    return float(said[0]) if said else 1.0


def _not_acceptable(where: str) -> Issue:
    return Issue(
        rule="H11",
        path=where,
        text=f"answers are {Format.JSON} or {Format.XML} of BaRS Core {CORE_MAJOR}",
        http_status=406,
        code="REC_NOT_ACCEPTABLE",
        issue="processing",
    )
