"""How a payload is shown: with a line for each thing, and every value as it is written."""

import pytest
from store_values import payload

from bars_gateway.console.reveal import as_came, in_lines
from bars_gateway.model.messages import Payload


def of(text: str, media_type: str) -> Payload:
    return Payload(media_type=media_type, headers={}, body=text.encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"a":1.10,"b":[true,"x, {y}"]}',
            '{\n  "a": 1.10,\n  "b": [\n    true,\n    "x, {y}"\n  ]\n}',
        ),
        ('{ "a" : {}, "b":[ ] }', '{\n  "a": {},\n  "b": []\n}'),
        ('{"a":"\\"b\\""}', '{\n  "a": "\\"b\\""\n}'),
        ("{broken", "{broken"),
    ],
)
def test_json_has_a_line_for_each_thing(text: str, expected: str) -> None:
    """Numbers keep their digits; what is no JSON stays as it is."""
    assert expected == in_lines(of(text, "application/fhir+json"))


def test_xml_has_a_line_for_each_element() -> None:
    """Nothing is resolved, and no entity is read."""
    text = '<Bundle><id value="1"/><a><b>x &amp; y</b></a></Bundle>'
    expected = '<Bundle>\n  <id value="1"/>\n  <a>\n    <b>x &amp; y</b>\n  </a>\n</Bundle>'

    assert expected == in_lines(of(text, "application/fhir+xml"))


def test_what_cannot_be_seen_stands_as_its_number() -> None:
    """Nobody reads a name backwards, or overlooks a blank."""
    assert "a[U+202E]b[U+0000]c\nd" == as_came(of("a\u202eb\0c\nd", "text/plain"))


def test_bytes_that_are_no_text_are_shown_all_the_same() -> None:
    """With a mark for each that is none."""
    assert "a\ufffdb" == as_came(payload(b"a\xffb"))
