"""A request that is only remarked upon may lack much: what is made of it must not fail."""

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sandbox.corresponding import asking, corresponding, post

from bars_gateway.demo.messages import no_show, response
from bars_gateway.sandbox.counterparty.correspondence import cancellation, update
from bars_gateway.sandbox.counterparty.services import own_service
from bars_gateway.standard.answers import Minted, acknowledge
from bars_gateway.standard.examination import examine
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.rule import Side
from bars_gateway.standard.workflow import Move

MADE: list[Callable[[bytes], bytes]] = [
    lambda body: response(body, encounter="in-progress"),
    lambda body: response(body, encounter="finished", reason="update"),
    lambda body: response(body, encounter="cancelled", rejection=("FC", "Busy.")),
    no_show,
    update,
    cancellation,
]


def new_id() -> str:
    return str(uuid.uuid4())


def places(node: Any, path: tuple = ()) -> Iterator[tuple]:
    """Yield the path to each element, as keys and indexes."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def without(tree: Any, path: tuple) -> Any:
    """Return a copy without the element at *path*."""
    copy = node = json.loads(json.dumps(tree))
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    return copy


@pytest.mark.parametrize("use_case", ["a1t1", "a4t1", "a6t1"])
def test_whatever_is_missing(use_case):
    """Each element is taken away in turn; what the rules let through can be responded to."""
    service = own_service(use_case[:2])
    whole = json.loads(asking(use_case, service.value))
    tried = 0
    for path in places(whole):
        body = json.dumps(without(whole, path)).encode()
        examined = examine(body, Format.JSON, Side.RECEIVING, service.offer())
        if examined.message is None or examined.move is not Move.REQUEST:
            continue
        minted = Minted(
            focus_id=new_id(),
            encounter_id=new_id(),
            reference="ZX909-1",
            reference_system="https://counterparty.sandbox.local/Id/case-number",
        )
        tree = acknowledge(examined.message, minted, new_id, datetime.now(UTC))
        for make in MADE:
            assert make(to_bytes(tree, Format.JSON)), path
        tried += 1

    assert tried > 100


async def test_an_endpoint_that_no_response_could_go_to_is_refused(settings):
    """What is taken can be answered."""
    async with corresponding(settings) as box:
        bundle = json.loads(asking("a4t1", "2000000904"))
        bundle["entry"][0]["resource"]["source"]["endpoint"] = "https://sender.example/"

        assert 400 == (await post(box, json.dumps(bundle).encode())).status
