"""
Finds NHS numbers where they are written: in the bytes of a message, and in what somebody types.

    bytes ─► escapes of JSON, references of XML, as what they stand for ─► ten digits that check

A number is looked for in the bytes, wherever it stands: in an identifier, or in what somebody
wrote. A tidy-minded reader would take the identifiers from the tree. That passes over the sentence
that names a mother, and over a message that cannot be read. So the bytes are read as both formats
are at once: in JSON any character may stand as its code (some libraries write all but letters so),
in XML and in a narrative as a reference. What belongs to the other format does no harm.

People write the ten digits in groups of any length, with spaces or hyphens of any kind between. A
number that is split by markup, or stands in an attachment, is found by nobody.

Decisions: D-subject-hash.
"""

import html
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache

from bars_gateway.standard.patients import is_nhs_number

MOST_NUMBERS = 64  # in one text: what has more is a list of people, and is read when one is sought
MANY = "*"  # what stands for the numbers of such a text
NUMBER_IN_TEXT = (
    "holds what may be an NHS number, and is kept in clear for years: leave it out, and name a"
    " ticket or the X-Request-Id; the number of a ticket is told apart by letters before it, as in"
    " INC1234567890"
)
_ESCAPE = re.compile(rb"\\u([0-9a-fA-F]{4})")
_REFERENCE = re.compile(rb"&#?[0-9A-Za-z]{1,40};")
_LONGEST_REFERENCE = len("&#") + 40 + len(";")
# Single bytes that may be a part of what stands between two digits: which of them are, is asked of
# the few that are found. `re` looks for sets of bytes much faster than for alternatives. Where the
# letters of \n, \r and \t stand before a digit, that may be the first as well.
_BETWEEN = rb"[ \t\n\r\\nrt\x80-\xff-]{0,6}"
_NUMBER = re.compile(
    rb"[0-9](?<![0-9A-MO-QSU-Za-moqsu-z].)(?=("
    + (_BETWEEN + rb"[0-9]") * 9
    + rb")(?![0-9A-Za-z]))",
    re.DOTALL,
)
_IS_BETWEEN = re.compile(r"\\[nrt]|[\s\u00ad\u200b\u2010-\u2015\u2212-]")
_LONGEST = 10 + 9 * 6 + 1  # bytes: what a number takes, with the sign that follows it
_PIECE = 32 * 1024  # bytes: looked through within a millisecond
_ESCAPES = (b"\\n", b"\\r", b"\\t")  # of JSON: the letter belongs to no word
_DOTS = re.compile(r"(?<=[0-9])\s*[./_\s-]\s*(?=[0-9])")
_BESIDE_NHS = re.compile(r"nhs_?(?:no|num|number)?[.:_#]*(?=[0-9])", re.IGNORECASE)
# A day among the digits that somebody types makes them no number: reasons tell of days.
_A_DAY = re.compile(
    r"(?<![0-9])(?:[12][0-9]{3}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}-[0-9]{1,2}-[12][0-9]{3})(?![0-9])"
)


def numbers_in(*texts: bytes) -> set[str]:
    """Return the NHS numbers that stand in *texts*; `MANY` where there are too many to tell."""
    return together(_each_in(text) for text in texts)


def together(found: Iterable[Collection[str]]) -> set[str]:
    """Return the numbers that were found in several texts, as if these were one."""
    numbers = {number for each in found for number in each}
    return {MANY} if MANY in numbers or len(numbers) > MOST_NUMBERS else numbers


def names(number: str, text: bytes) -> bool:
    """Tell whether that NHS number stands in *text*, however many do."""
    return any(_digits(written) == number for written in _written_in(text))


def holds_nhs_number(typed: str) -> bool:
    """
    Tell whether a person has typed an NHS number, in whatever groups, or next to "NHS".

    Next to other letters it is something else: INC1234567890 is the number of a ticket.
    """
    plain = _BESIDE_NHS.sub(" ", _DOTS.sub("-", unicodedata.normalize("NFKC", typed)))
    return bool(_each_in(_A_DAY.sub("x", plain).encode()))


def _each_in(text: bytes) -> set[str]:
    return set(filter(is_nhs_number, map(_digits, set(_written_in(text)))))


def _written_in(text: bytes) -> Iterator[bytes]:
    """Yield what looks like a number. `re` stops all of Python until it has one: so, in pieces."""
    plain = _plain(text)
    for begin in range(0, len(plain), _PIECE):
        end = begin + _PIECE
        for match in _NUMBER.finditer(plain, begin, end + _LONGEST):
            if match.start() < end and not _is_of_a_word(plain, match.start()):
                yield match[0] + match[1]


def _plain(text: bytes) -> bytes:
    """Return *text* with every character as itself. Where nothing is escaped, it is that."""
    found = b"".join(
        _ESCAPE.sub(lambda escape: _escaped(escape[1]), piece) for piece in _pieces(text, b"\\")
    )
    return b"".join(
        _REFERENCE.sub(lambda reference: _referred_to(reference[0]), piece)
        for piece in _pieces(found, b"&")
    )


def _pieces(text: bytes, begins: bytes) -> Iterator[bytes]:
    """Yield *text* in pieces, none of which ends within what that sign *begins*."""
    begin = 0
    while begin < len(text):
        end = begin + _PIECE
        cut = text.rfind(begins, end - _LONGEST_REFERENCE, end) if end < len(text) else -1
        end = end if cut < 0 else cut
        yield text[begin:end]
        begin = end


@lru_cache(256)  # they are few, and each stands in a text many times
def _escaped(code: bytes) -> bytes:
    return chr(int(code, 16)).encode("utf-8", "replace")


@lru_cache(256)
def _referred_to(reference: bytes) -> bytes:
    return html.unescape(reference.decode("ascii")).encode("utf-8", "replace")


def _digits(written: bytes) -> str:
    return _IS_BETWEEN.sub("", written.decode("utf-8", "replace"))


def _is_of_a_word(text: bytes, begin: int) -> bool:
    """Tell whether what begins there goes on with a number or word: an attachment is nobody's."""
    return text[begin - 1 : begin].isalnum() and text[max(0, begin - 2) : begin] not in _ESCAPES
