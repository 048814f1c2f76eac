"""
In which format we answer, and whether we can at all (H11, D-formats).

    _format, else Accept ──negotiate──► Format │ Issue (406)

`_format` wins over the Accept header, whose media types then mean nothing. Two kinds of
version travel with a message and are never mixed: this one is of BaRS Core, stands in
the Accept header, and is compared on its major number alone.
"""

import re
from collections.abc import Iterator

from bars_gateway.standard.formats import Format
from bars_gateway.standard.issues import Issue

CORE_MAJOR = 1
_ANY = ("*/*", "application/*")
_NAMES = {
    **dict.fromkeys((Format.JSON, "application/json", "text/json", *_ANY), Format.JSON),
    **dict.fromkeys((Format.XML, "application/xml", "text/xml"), Format.XML),
}
_FORMATS = {**_NAMES, "json": Format.JSON, "xml": Format.XML}
_VERSION = re.compile(r"\s*version\s*=\s*\"?(\d+)(?:\.\d+)*", re.ASCII | re.IGNORECASE)
_QUALITY = re.compile(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", re.ASCII | re.IGNORECASE)


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
