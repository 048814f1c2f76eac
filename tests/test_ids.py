"""The ids that the gateway mints."""

import uuid

import pytest

from bars_gateway.daemon.parts import new_id

DRAWN = 1000


def test_an_id_is_a_uuid_as_it_is_written() -> None:
    """It says version 4, in lower case: other systems refuse what is none."""
    ids = [new_id() for _ in range(DRAWN)]
    read = [uuid.UUID(each) for each in ids]

    assert ids == [str(each) for each in read]
    assert {(4, uuid.RFC_4122)} == {(each.version, each.variant) for each in read}
    assert DRAWN == len(set(ids))


def test_an_id_stands_behind_those_of_an_earlier_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of them grows at its end, and what has come lately shares its pages."""
    moments = iter(range(1_795_996_800_000_000_000, 2**63, 1_000_000))
    monkeypatch.setattr("time.time_ns", lambda: next(moments))
    ids = [new_id() for _ in range(DRAWN)]

    assert sorted(ids) == ids
