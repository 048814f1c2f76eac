"""The published messages, put to the counterparty: each is decided, and the sandbox goes on."""

import json
import os
import uuid
from pathlib import Path

import pytest
from sandbox.corresponding import SENDER, corresponding, heard, post

from bars_gateway.sandbox.counterparty.services import own_service
from bars_gateway.standard import bundle
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.timing import application_of

FORMATS = {".json": Format.JSON, ".xml": Format.XML}
# New requests that stand on their own; the others are about what is not there.
TAKEN = ("BOOKREQ01", "REFREQ03", "REFREQ04", "REFREQ06", "REFREQ8A", "VALREQ01")
# Two requests of control rooms with three responses each, and one validation with two.
RESPONSES = 2 * 3 + 2


def published() -> list[Path]:
    folder = Path(os.environ["BARS_REFERENCE_DATA"]) / "examples" / "messages"
    return sorted(file for file in folder.rglob("*") if file.suffix in FORMATS)


def addressed(file: Path) -> bytes:
    """Return the message as the test's own organisation sends it to the counterparty, again."""
    message = bundle.read(file.read_bytes(), FORMATS[file.suffix])
    tree = json.loads(to_bytes(message.root, Format.JSON))
    header = tree["entry"][0]["resource"]
    own = own_service(application_of(message.use_case) or "a1")
    header["source"]["endpoint"], header["destination"][0]["endpoint"] = SENDER, own.identifier
    return json.dumps(tree | {"id": str(uuid.uuid4())}).encode()


@pytest.mark.reference_data
async def test_every_published_message_is_decided(settings):
    """Taken or refused, and never a failure of the sandbox's own."""
    async with corresponding(settings) as box:
        statuses = {file.name: (await post(box, addressed(file))).status for file in published()}

    assert 40 < len(statuses)
    assert set() == set(statuses.values()) - {200, 400, 404, 409, 422}


@pytest.mark.reference_data
async def test_published_requests_are_taken_and_responded_to(settings):
    """Those in JSON that need nothing to be there before them."""
    async with corresponding(settings, pause_seconds=0.0) as box:
        requests = [f for f in published() if f.name.startswith(TAKEN) and f.suffix == ".json"]
        statuses = {file.name: (await post(box, addressed(file))).status for file in requests}
        responses = await heard(box, RESPONSES)

    assert len(TAKEN) == len(statuses)
    assert {200} == set(statuses.values())
    assert RESPONSES == len(responses)
