"""The ids that the gateway mints."""

import uuid

from bars_gateway.daemon.parts import new_id

DRAWN = 1000


def test_an_id_is_a_random_uuid_as_it_is_written() -> None:
    """Version 4, in lower case: other systems refuse what is none."""
    ids = [new_id() for _ in range(DRAWN)]
    read = [uuid.UUID(each) for each in ids]

    assert ids == [str(each) for each in read]
    assert {(4, uuid.RFC_4122)} == {(each.version, each.variant) for each in read}
    assert DRAWN == len(set(ids))
