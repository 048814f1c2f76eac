"""What others publish about themselves is kept for a while, and nothing else is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asked_proxy import IDS

from bars_gateway.outbound.cache import Cache, clear, listed
from bars_gateway.standard.headers import TargetIdentifier
from bars_gateway.standard.reads import BarsAnswer, BarsRequest

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BODY = b'{"resourceType":\n"CapabilityStatement"}\r\n'
TARGET = "https://fhir.nhs.uk/Id/dos-service-id|2000000202"


def bars_request(**changes: object) -> BarsRequest:
    values: dict[str, object] = {
        "provider": "trust",
        "method": "GET",
        "resource": "metadata",
        "resource_id": None,
        "query": "",
        "target": TargetIdentifier.parse(TARGET),
        "headers": {**IDS, "Accept": "application/fhir+json; version=1.5.0"},
    }
    return BarsRequest(**(values | changes))  # type: ignore[arg-type]


def answer(http_status: int = 200, body: bytes = BODY) -> BarsAnswer:
    return BarsAnswer(
        http_status=http_status, media_type="application/fhir+json", body=body, headers=IDS
    )


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", timedelta(hours=12))


@pytest.mark.parametrize(("hours", "expected"), [(0, BODY), (11.9, BODY), (12, None), (-1, None)])
def test_an_answer_is_good_for_its_time(cache: Cache, hours: float, expected: bytes | None) -> None:
    """Not longer, and not where the clock says that it is yet to come."""
    cache.keep(bars_request(), answer(), NOW)
    found = cache.find(bars_request(), NOW + timedelta(hours=hours))

    assert expected == (found and found.body)


def test_nothing_is_good_for_more_than_a_day(tmp_path: Path) -> None:
    """Whatever the settings come to allow."""
    cache = Cache(tmp_path, timedelta(days=9))
    cache.keep(bars_request(), answer(), NOW)

    assert cache.find(bars_request(), NOW + timedelta(hours=24)) is None


def test_a_refusal_is_not_kept(cache: Cache) -> None:
    """The service may be there in a minute."""
    cache.keep(bars_request(), answer(503), NOW)

    assert cache.find(bars_request(), NOW) is None


JUNK = {
    "nothing": b"",
    "a page": b"<html>",
    "another resource": b'{"resourceType": "Patient"}',
    "a refusal": b'{"resourceType": "OperationOutcome"}',
    "an empty searchset": b'{"resourceType": "Bundle", "type": "searchset", "total": 0}',
}


@pytest.mark.parametrize("resource", ["metadata", "MessageDefinition"])
@pytest.mark.parametrize("body", JUNK.values(), ids=JUNK.keys())
def test_junk_is_not_kept(cache: Cache, resource: str, body: bytes) -> None:
    """It would switch the check off for half a day."""
    asked = bars_request(resource=resource)
    cache.keep(asked, answer(body=body), NOW)

    assert cache.find(asked, NOW) is None


def test_the_answer_to_another_request_is_not_kept(cache: Cache) -> None:
    """Whose it is, nobody knows."""
    cache.keep(bars_request(), replace(answer(), headers={}), NOW)

    assert cache.find(bars_request(), NOW) is None


@pytest.mark.parametrize("body", JUNK.values(), ids=JUNK.keys())
def test_junk_that_was_kept_before_counts_as_none(
    cache: Cache, tmp_path: Path, body: bytes
) -> None:
    """A release before this one kept whatever came with 200."""
    cache.keep(bars_request(), answer(), NOW)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes().removesuffix(BODY) + body)

    assert cache.find(bars_request(), NOW) is None


def test_nothing_is_kept_where_it_is_switched_off(tmp_path: Path) -> None:
    """Not even a folder."""
    Cache(tmp_path / "cache", timedelta(0)).keep(bars_request(), answer(), NOW)

    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "other",
    [
        {"provider": "another"},
        {"resource": "MessageDefinition"},
        {"query": "_format=xml"},
        {"headers": {**IDS, "Accept": "application/fhir+xml; version=1.5.0"}},
        {"target": TargetIdentifier.parse(TARGET.replace("202", "303"))},
    ],
)
def test_another_question_has_another_answer(cache: Cache, other: dict[str, object]) -> None:
    """By provider, service, resource, query and format."""
    cache.keep(bars_request(), answer(), NOW)

    assert cache.find(bars_request(**other), NOW) is None


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"[]\n", b'{"kept_at": 1}\n', b"\xff\n"])
def test_a_damaged_file_counts_as_none(cache: Cache, tmp_path: Path, damage: bytes) -> None:
    """The answer is then asked for again."""
    cache.keep(bars_request(), answer(), NOW)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(damage)

    assert cache.find(bars_request(), NOW) is None
    assert [] == list(listed(tmp_path / "cache"))


def test_what_one_service_said_can_be_forgotten(cache: Cache, tmp_path: Path) -> None:
    """And what others said stays."""
    other = bars_request(target=TargetIdentifier.parse("s|1"))
    for each in (bars_request(), other):
        cache.keep(each, answer(), NOW)

    assert 1 == clear(tmp_path / "cache", TARGET)
    assert ["s|1"] == [kept.target for kept in listed(tmp_path / "cache")]
