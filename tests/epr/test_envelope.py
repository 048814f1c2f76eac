import base64
import json
import re
from datetime import UTC, datetime

import pytest

from bars_gateway.epr.envelope import (
    Envelope,
    EnvelopeProblem,
    envelope_from_headers,
    read_envelope,
)

CORRELATION = "7f3f7c1e-3f3e-4b57-9f4c-2a2b0a3e9d10"


def test_a_whole_envelope_is_read() -> None:
    """An envelope file may say three things."""
    found = read_envelope(
        b'{"correlation_id": "%s", "needed_by": "2026-03-02T09:00:00+00:00",'
        b' "practitioner": {"resourceType": "PractitionerRole"}}' % CORRELATION.encode()
    )

    assert found == Envelope(
        correlation_id=CORRELATION,
        needed_by=datetime(2026, 3, 2, 9, tzinfo=UTC),
        practitioner={"resourceType": "PractitionerRole"},
    )


def test_a_byte_order_mark_is_passed_over() -> None:
    """In the file, and in the header's Base64: PowerShell writes one."""
    practitioner = base64.b64encode(b'\xef\xbb\xbf{"resourceType":"PractitionerRole"}').decode()
    found = envelope_from_headers({"Bars-Practitioner": practitioner})

    assert found == read_envelope(
        b'\xef\xbb\xbf{"practitioner": {"resourceType": "PractitionerRole"}}'
    )


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-16", "the envelope is in UTF-16, from line 1: write it in UTF-8"),
        ("utf-16-le", "the envelope is in UTF-16, from line 1: write it in UTF-8"),
        ("utf-32", "the envelope is in UTF-32, from line 1: write it in UTF-8"),
        ("cp1252", "byte offset 5"),
    ],
)
def test_an_envelope_in_another_encoding_is_told_in_which_to_write_it(
    encoding: str, said: str
) -> None:
    """`Out-File` of Windows PowerShell writes UTF-16, and nothing in it looks wrong."""
    with pytest.raises(EnvelopeProblem, match=re.escape(said)) as refused:
        read_envelope('{"caf\u00e9": 1}'.encode(encoding))

    assert ["E01"] == [each.rule for each in refused.value.issues]


def of_bytes(length: int) -> dict[str, str]:
    """Return a PractitionerRole whose JSON is so long."""
    role = {"resourceType": "PractitionerRole", "id": ""}
    return role | {"id": "x" * (length - len(json.dumps(role, separators=(",", ":"))))}


def test_a_practitioner_that_just_fits_in_a_header_is_taken() -> None:
    """3072 bytes of JSON are 4096 as a header."""
    role = of_bytes(3072)

    assert role == read_envelope(json.dumps({"practitioner": role}).encode()).practitioner


def test_a_practitioner_that_no_hop_would_let_through_is_refused() -> None:
    """Each try would end in a 431, or in silence: the bound is named instead."""
    with pytest.raises(EnvelopeProblem, match="3072 bytes of JSON at most"):
        read_envelope(json.dumps({"practitioner": of_bytes(3073)}).encode())


def test_headers_say_the_same() -> None:
    """What an envelope file says, the headers of a POST can say."""
    practitioner = base64.b64encode(b'{"resourceType":"PractitionerRole"}').decode()
    found = envelope_from_headers(
        {
            "X-Correlation-Id": CORRELATION,
            "Bars-Needed-By": "2026-03-02T09:00:00Z",
            "Bars-Practitioner": practitioner,
        }
    )

    assert found == Envelope(
        correlation_id=CORRELATION,
        needed_by=datetime(2026, 3, 2, 9, tzinfo=UTC),
        practitioner={"resourceType": "PractitionerRole"},
    )


def test_saying_nothing_is_allowed() -> None:
    """Everything in an envelope is optional."""
    assert Envelope() == read_envelope(b"{}")


@pytest.mark.parametrize(
    ("content", "path"),
    [
        pytest.param(b'{"needed_bye": "x"}', "envelope.needed_bye", id="misspelt-key"),
        pytest.param(b'{"submission_id": "x"}', "envelope.submission_id", id="reserved-key"),
        pytest.param(b'{"Mary TESTCASE": 1}', "envelope.…", id="key-that-is-content"),
        pytest.param(b'{"needed_by": "tomorrow"}', "envelope.needed_by", id="no-instant"),
        pytest.param(b'{"needed_by": "2026-03-02T09:00:00"}', "envelope.needed_by", id="no-zone"),
        pytest.param(b'{"correlation_id": "1"}', "envelope.correlation_id", id="no-uuid"),
        pytest.param(b'{"practitioner": []}', "envelope.practitioner", id="no-object"),
        pytest.param(b"[]", "envelope", id="no-envelope"),
        pytest.param(b"{", "envelope", id="no-json"),
    ],
)
def test_a_wrong_envelope_is_refused(content: bytes, path: str) -> None:
    """A mistake in an envelope is named by its place and never passed over."""
    with pytest.raises(EnvelopeProblem) as caught:
        read_envelope(content)

    assert [path] == [issue.path for issue in caught.value.issues]


def test_a_wrong_header_is_named() -> None:
    """A header that cannot be read is refused by its name."""
    with pytest.raises(EnvelopeProblem) as caught:
        envelope_from_headers({"Bars-Practitioner": "%%%"})

    assert ["header Bars-Practitioner"] == [issue.path for issue in caught.value.issues]


@pytest.mark.parametrize(
    "content",
    [
        b'{"needed_by": "2026-03-02T09:00:00Z", "needed_by": "2027-03-02T09:00:00Z"}',
        b'{"practitioner": {"resourceType": "PractitionerRole", "id": "a", "id": "b"}}',
    ],
)
def test_a_member_that_stands_twice_is_refused(content: bytes) -> None:
    """The later would win unseen: an appointment might pass before anybody is told."""
    with pytest.raises(EnvelopeProblem, match="a member twice") as caught:
        read_envelope(content)

    assert ["envelope"] == [issue.path for issue in caught.value.issues]


def test_a_practitioner_that_cannot_be_written_again_is_refused() -> None:
    """Nested 254 levels deep it can be read, and would then fail at every attempt."""
    content = b'{"practitioner": {"resourceType": "PractitionerRole", "a": %s}}'
    deep = b'{"a":' * 254 + b"1" + b"}" * 254
    with pytest.raises(EnvelopeProblem) as caught:
        read_envelope(content % deep)

    assert ["envelope.practitioner"] == [issue.path for issue in caught.value.issues]
