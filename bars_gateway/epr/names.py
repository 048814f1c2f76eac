"""
What the EPR calls its files in outbox/new, and what they are called in ours.

    NAME.json, NAME.XML ───────► a message       whatever is in NAME: it is only ever renamed
    NAME.envelope.json ────────► its envelope
    .NAME, NAME.tmp, NAME.part ► being written: left alone
    all else ──────────────────► nothing that is sent

A name is at most 255 bytes to the system, and ours are longer than the EPR's by a ticket or an
ending. What would not fit is cut, and ends in a mark that tells it from others cut alike.
"""

import hashlib
import os
from enum import StrEnum
from typing import Final

ENVELOPES: Final = ".envelope.json"
CUT: Final = "~"  # stands in every name that was cut, before its mark
_MESSAGES = (".json", ".xml")
_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", ".lock", "~")
_LONGEST_STEM, _LONGEST_ENDING = 170, 20  # bytes
_KEPT = 150  # bytes of a stem that is longer


class Sort(StrEnum):
    """What a file is, by its name."""

    MESSAGE = "message"
    ENVELOPE = "envelope"
    UNFINISHED = "unfinished"
    OTHER = "other"


def sort_of(name: str) -> Sort:
    """Return what a file of that name in outbox/new is."""
    plain = name.casefold()
    if plain.startswith(".") or plain.endswith(_UNFINISHED):
        return Sort.UNFINISHED
    if plain.endswith(ENVELOPES):
        return Sort.ENVELOPE
    return Sort.MESSAGE if plain.endswith(_MESSAGES) else Sort.OTHER


def split(name: str) -> tuple[str, str]:
    """Return NAME and its ending with the point: what belongs together has the same NAME."""
    if sort_of(name) is Sort.ENVELOPE:
        return name[: -len(ENVELOPES)], name[-len(ENVELOPES) :]
    stem, point, ending = name.rpartition(".")
    return (stem, point + ending) if stem else (name, "")


def is_xml(name: str) -> bool:
    """Tell whether a message of that name is XML."""
    return name.casefold().endswith(".xml")


def kept(name: str) -> str:
    """Return what *name* is called in our folders: itself, unless that would not fit."""
    stem, ending = split(name)
    if len(os.fsencode(stem)) <= _LONGEST_STEM and len(os.fsencode(ending)) <= _LONGEST_ENDING:
        return name
    mark = hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    cut = os.fsencode(stem)[:_KEPT].decode("utf-8", "ignore")
    return f"{cut}{CUT}{mark}{ending if len(os.fsencode(ending)) <= _LONGEST_ENDING else ''}"


def stem_of(name: str) -> str:
    """Return what is the same of a message and its envelope, as it is kept."""
    return split(kept(name))[0]
