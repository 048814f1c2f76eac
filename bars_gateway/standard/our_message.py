"""
A message of ours that was sent, read again as far as an answer to it asks for that.

    bytes ──names────► its Bundle.id and its focus: enough for most answers
          └─message──► all that it says: its patient, case and event, where an answer names any

To read it is the dearest step of a POST. For the two names it need not be read: its bytes were,
when they were taken, and each member stands in them once.
"""

from functools import cached_property

import orjson

from bars_gateway.standard.bundle import (
    Message,
    bare_id,
    focus_url_in,
    map_of,
    maps_of,
    read,
    text_of,
)
from bars_gateway.standard.tree import unmarked


class OurMessage:
    """The bytes of one message, in whichever format."""

    def __init__(self, body: bytes, media_type: str = "application/fhir+json") -> None:
        self._body, self._media_type = body, media_type

    @cached_property
    def message(self) -> Message:
        """All that it says; raises MalformedBundle where a disk has spoilt it."""
        return read(self._body, self._media_type)

    @cached_property
    def names(self) -> tuple[str, str]:
        """Its Bundle.id, and the fullUrl of its focus; raises MalformedBundle."""
        if "message" in vars(self) or "xml" in self._media_type:
            return self.message.bundle_id, self.message.focus_url
        try:
            root = orjson.loads(unmarked(self._body))
        except orjson.JSONDecodeError:
            return self.message.bundle_id, self.message.focus_url
        first = map_of(next(iter(maps_of(root, "entry")), {}), "resource")
        header = first if text_of(first, "resourceType") == "MessageHeader" else {}
        return bare_id(text_of(root, "id")), focus_url_in(header)
