"""A Bundle that is sent again under another id differs in nothing else."""

import messages
import pytest

from bars_gateway.standard.bundle import read
from bars_gateway.standard.formats import Format, converted
from bars_gateway.standard.renaming import renamed

OLD, NEW = "5b0a7a3e-4f0e-4b0c-9a1d-2f6f3c1d7e01", "c2a6a0c4-93b1-4c77-8c55-0d1b6e0f9a02"
JSON = messages.referral(bundle_id=OLD)
XML = converted(JSON, Format.JSON, Format.XML)


@pytest.mark.parametrize(
    ("body", "written_in"),
    [pytest.param(JSON, Format.JSON, id="json"), pytest.param(XML, Format.XML, id="xml")],
)
def test_nothing_but_the_id_changes(body: bytes, written_in: Format) -> None:
    """Every other byte is the one that the EPR wrote."""
    made = renamed(body, written_in, NEW)

    assert made is not None
    assert body == made.replace(NEW.encode(), OLD.encode())
    assert NEW == read(made, written_in).bundle_id


def test_the_id_is_that_of_the_bundle_wherever_it_stands() -> None:
    """Entries have ids too, and a text may look like one."""
    body = (
        b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"a",'
        b'"name":[{"text":"{\\"id\\": \\"b\\""}]}}], "id" : "c"}'
    )

    assert body.replace(b'"c"', b'"d"') == renamed(body, Format.JSON, "d")


@pytest.mark.parametrize(
    ("body", "written_in"),
    [
        pytest.param(b'{"resourceType":"Bundle"}', Format.JSON, id="has-none"),
        pytest.param(b"{", Format.JSON, id="no-json"),
        pytest.param(b"<Bundle", Format.XML, id="no-xml"),
        pytest.param(b'{"resourceType":"Bundle","\\u0069d":"a"}', Format.JSON, id="escaped"),
    ],
)
def test_what_cannot_be_renamed_safely_is_not(body: bytes, written_in: Format) -> None:
    """Then a person is told to have another message made."""
    assert renamed(body, written_in, NEW) is None
