"""NHS numbers are found as people and systems write them, and nothing else is taken for one."""

import json
from collections.abc import Mapping
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bars_gateway.standard import nhs_numbers
from bars_gateway.standard.nhs_numbers import (
    MANY,
    MOST_NUMBERS,
    holds_nhs_number,
    names,
    numbers_in,
)

NUMBER = "9434765919"


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (b'"value": "9434765919"', {NUMBER}),
        (b"943 476 5919", {NUMBER}),
        (b"943-476-5919", {NUMBER}),
        ("943\u00a0476\u20115919".encode(), {NUMBER}),
        (b"943&#160;476&#160;5919", {NUMBER}),
        (b"943&nbsp;476&ensp;5919", {NUMBER}),
        (b"94 34 76 59 19", {NUMBER}),
        (b"9434 765 919", {NUMBER}),
        (b"9434-7659-19", {NUMBER}),
        (b"943  476 - 5919", {NUMBER}),
        (b"943\\n\\t476\r\n 5919", {NUMBER}),
        ("943\u2009476\u20135919".encode(), {NUMBER}),
        (b"12 943 476 5919 7", {NUMBER}),
        (b"00 34567890 9434765919", {NUMBER}),
        (b'"NHS No:\\n9434765919"', {NUMBER}),
        (b"<value value='9434765919'/>", {NUMBER}),
        (b"9434765918", set()),  # the check digit is wrong
        (b"0000000000", set()),  # nobody's
        (b"19434765919", set()),
        (b"94347659190", set()),
        (b"QUJD9434765919", set()),
        (b"9434765919QUJD", set()),
        (b"9434-7659-1943-8", set()),
        (b"3f2a9434-7659-1943-4765-919434765919", set()),  # an id
        (b"943n476t5919", set()),
        ("943\u00e94765919".encode(), set()),
        (b"\\u00419434765919", set()),  # A, and not the digit 1
        (b"9434765919&#65;", set()),
        (b"2026-11-29T09:43:47.6591919+00:00", set()),
    ],
)
def test_a_number_is_found_as_people_and_systems_write_it(written: bytes, found: set[str]) -> None:
    """In an identifier or in a narrative, and not within what is something else."""
    assert found == numbers_in(b"before ", written, b" after")


NUMBER_OR_GROUPS = st.sampled_from([NUMBER, "943 476 5919", "94-34-76-59-19", "943\u00a04765919"])
IN_JSON = st.sampled_from(["{0}", "\\u{1:04x}", "\\u{1:04X}"])
IN_XML = st.sampled_from(["{0}", "&#{1};", "&#x{1:x};", "&#{1:012};", "&#x{1:08X};"])
AROUND = st.sampled_from(["", "<b>", "\n", '"', "\u00e9", ">"])


@st.composite
def spelled(draw: st.DrawFn, spellings: st.SearchStrategy[str], plain: Mapping[str, str]) -> str:
    """Return the number as one of the texts that a parser reads as it; *plain*: never escaped."""
    written = draw(AROUND) + draw(NUMBER_OR_GROUPS) + draw(AROUND)
    return "".join(plain.get(each) or draw(spellings).format(each, ord(each)) for each in written)


def digits_of(text: str) -> str:
    return "".join(each for each in text if each.isdigit())


@given(spelled(IN_JSON, {'"': '\\"', "\n": "\\n"}))
def test_a_number_is_found_in_any_spelling_of_json(text: str) -> None:
    """Some libraries write all but letters as codes: the angle bracket before it, too."""
    written = f'{{"value": "{text}"}}'.encode()

    assert NUMBER == digits_of(json.loads(written)["value"])
    assert {NUMBER} == numbers_in(written)
    assert names(NUMBER, written)


@given(spelled(IN_XML, {'"': "&quot;", "<": "&lt;", ">": "&gt;"}))
def test_a_number_is_found_in_any_spelling_of_xml(text: str) -> None:
    """A digit may stand as a reference to it, in an attribute as in a narrative."""
    written = f'<value value="{text}"/>'.encode()

    assert NUMBER == digits_of(ET.fromstring(written).attrib["value"])
    assert {NUMBER} == numbers_in(written)


def test_a_number_is_found_in_a_narrative_within_json() -> None:
    """There both formats meet: the sign that begins the reference may be escaped as well."""
    assert {NUMBER} == numbers_in(rb'{"div": "\u003Cp\u003E943\u0026#52;765919\u003C/p\u003E"}')


def test_a_hostile_reference_is_no_character_and_costs_nothing() -> None:
    """Python reads no integer of five thousand digits, and nothing of that length is kept."""
    assert {NUMBER} == numbers_in(b"&#" + b"9" * 5000 + b"; 9434765919")


@pytest.mark.parametrize("before", range(nhs_numbers._PIECE - 14, nhs_numbers._PIECE + 2))
def test_a_number_is_found_where_two_pieces_of_a_long_text_meet(before: int) -> None:
    """And not there either within what is something else."""
    blank = b" " * before
    found = [
        numbers_in(blank + each) for each in (b"943 476 5919", b"943 476 59190", b"9434765919")
    ]

    assert [{NUMBER}, set(), {NUMBER}] == found


@pytest.mark.parametrize("before", range(nhs_numbers._PIECE - 70, nhs_numbers._PIECE + 2))
def test_no_escape_is_cut_where_two_pieces_of_a_long_text_meet(before: int) -> None:
    """Nor a reference, however long."""
    blank = b" " * before

    assert {NUMBER} == numbers_in(blank + b"\\u003943\\u0034765919")
    assert {NUMBER} == numbers_in(blank + b"943&#0000000000000052;765919 &amp;")


def test_a_text_with_very_many_numbers_is_a_list_of_people() -> None:
    """It stands under one name for all, so that nobody can fill the index with one message."""
    from_one = (f"{n:09d}" for n in range(400_000_000, 400_002_000))
    checked = [n + str(digit) for n in from_one for digit in range(10)]
    numbers = [n for n in checked if numbers_in(n.encode())][: MOST_NUMBERS + 1]

    assert MOST_NUMBERS == len(numbers_in(" ".join(numbers[:-1]).encode()))
    assert {MANY} == numbers_in(" ".join(numbers).encode())


@pytest.mark.parametrize(
    "typed",
    [
        "for 9434765919",
        "943 476 5919",
        "943.476.5919",
        "943 - 476 / 5919.",
        "claim 9434-765-919",
        "94347 65919 of 2026-11-29",
        "94 34 76 59 19",
        "NHS9434765919",
        "nhs no: 9434765919",
        "NHSNumber:9434765919,",
        "\uff19\uff14\uff13\uff14\uff17\uff16\uff15\uff19\uff11\uff19",
    ],
)
def test_a_number_that_somebody_typed_is_seen_however_it_is_written(typed: str) -> None:
    """In any groups, beside the word for it, in the wide digits of another keyboard."""
    assert holds_nhs_number(typed)


@pytest.mark.parametrize(
    "typed",
    [
        "INC9434765919",
        "9434765918",
        "19434765919",
        "messages 943, 476, 5919",
        "07700 900123 on 2026-11-29",
        "29/11/2026 19:30, 2026-01-02 17",
        "3f2a9434-7659-1943-4765-919434765919",
    ],
)
def test_what_is_no_number_of_a_patient_may_be_typed(typed: str) -> None:
    """Of a ticket, of a telephone, an X-Request-Id; or its last digit does not check it."""
    assert not holds_nhs_number(typed)
