"""The ids that the gateway mints, and the numbers by which its rows are named."""

import uuid

import pytest

from bars_gateway.daemon.parts import new_id
from bars_gateway.model.numbers import number_in

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


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param("7", 7, id="a-digit"),
        pytest.param("9" * 18, 10**18 - 1, id="as-many-as-fit"),
        pytest.param("9" * 19, None, id="too-many"),
        pytest.param("", None, id="nothing"),
        pytest.param("-7", None, id="below-zero"),
        pytest.param("\u0667", None, id="of-another-script"),
        pytest.param("7²", None, id="raised"),
    ],
)
def test_a_row_is_named_by_so_many_digits_as_fit(text: str, number: int | None) -> None:
    """No engine is asked for a number that it cannot hold."""
    assert number == number_in(text)
