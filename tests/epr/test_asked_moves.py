"""What the EPR writes when it asks for a move."""

import json

from bars_gateway.epr.moves import AskedMove, read_asked

MOVE = {"submission_id": "1", "in_reply_to": "4711", "move": "progress"}


def test_a_byte_order_mark_is_passed_over() -> None:
    """PowerShell writes one."""
    body = json.dumps(MOVE).encode()

    assert isinstance(read_asked(body), AskedMove)
    assert read_asked(body) == read_asked(b"\xef\xbb\xbf" + body)


def test_a_member_that_stands_twice_is_named() -> None:
    """By its path within the move; what is no word of FHIR's is not shown."""
    found = read_asked(b'{"resources": [{"id": "a", "id": "b"}]}')

    assert not isinstance(found, AskedMove)
    assert ["move.?[0].id"] == [issue.path for issue in found]
