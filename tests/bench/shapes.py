"""Messages of a given size, for what grows with it: the demo's own, with more in them."""

import json

from bars_gateway.demo.messages import referral
from bars_gateway.standard.formats import Format, to_bytes, to_tree


def message_of(size: int, written_in: Format) -> bytes:
    """Return a message of about *size* bytes: resources are added until it has them."""
    tree = json.loads(referral())
    body = b""
    while len(body) < size:
        for entry in json.loads(referral())["entry"][1:]:
            tree["entry"].append(entry)
            body = json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()
            if written_in is Format.XML:
                body = to_bytes(to_tree(body, Format.JSON), Format.XML)
            if len(body) >= size:
                break
    return body
