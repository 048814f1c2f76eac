"""Whom a request is for, and whether its Sender is let in."""

import pytest
from messages import RECEIVER
from structlog.testing import capture_logs

from bars_gateway.inbound.providers import Hosted, Providers
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.headers import ODS, TargetIdentifier, encode

PROVIDERS = Providers(
    [
        Hosted(
            provider="trust",
            ods_code="ZX902",
            offer=Offer(services=frozenset({RECEIVER}), applications={}),
            case_number_system="urn:x",
            refused_organisations=frozenset({"ZX905"}),
        )
    ]
)


TARGET = TargetIdentifier.parse(RECEIVER).encode()


def by(system: str, value: str) -> str:
    return encode({"identifier": [{"system": system, "value": value}]})


@pytest.mark.parametrize(
    ("sender", "let_in"),
    [
        pytest.param(by(ODS, "ZX905"), False, id="refused"),
        pytest.param(by(ODS, "zx905"), False, id="in-small-letters"),
        pytest.param(by(ODS, "ZX906"), True, id="another"),
        pytest.param(by("https://example.org", "ZX905"), True, id="another-system"),
        pytest.param("?", True, id="unreadable"),
        pytest.param("", True, id="empty"),
    ],
)
def test_only_who_is_named_is_refused(sender: str, *, let_in: bool) -> None:
    """By explicit exception: whoever does not say who it is was let in by its certificate."""
    headers = {"nhsd-target-identifier": TARGET, "nhsd-end-user-organisation": sender}

    assert let_in is isinstance(PROVIDERS.open_to(headers), Hosted)


def test_the_operator_reads_who_was_refused() -> None:
    """A patient may be behind it: the list is looked at again by somebody."""
    sender = by(ODS, "ZX905")
    with capture_logs() as lines:
        PROVIDERS.open_to({"nhsd-target-identifier": TARGET, "nhsd-end-user-organisation": sender})

    assert [("inbound.organisation_refused", "trust", "ZX905")] == [
        (line["event"], line["provider"], line["sender"]) for line in lines
    ]
