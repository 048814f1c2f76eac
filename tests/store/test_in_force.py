"""The audit trail tells of each start and stop, and of what changed: which, and never what."""

import json
from collections.abc import Mapping

import pytest
from own_words import said
from store_values import NOW

from bars_gateway.store.in_force import CERTIFICATE, KEY, SETTING, USER, Facts
from bars_gateway.store.sqlite.database import SqliteDatabase
from bars_gateway.store.store import Store

FIRST = {(SETTING, "a.b"): "1", (SETTING, "providers.trust.api_key"): "2", (USER, "jo"): "3"}
PUBLIC = {(KEY, "trust"): "k1", (CERTIFICATE, "for receiving"): "c1"}


def facts(of: Mapping[tuple[str, str], str], by: str = "key") -> Facts:
    details = {name: {"fingerprint": what} for name, what in of.items() if name in PUBLIC}
    return Facts(of=of, compared_by=by, details=details)


@pytest.fixture
def lines(database: SqliteDatabase):
    async def told(kind: str) -> list[object]:
        query = "SELECT detail FROM events WHERE kind = ? ORDER BY id"
        return [json.loads(detail) for (detail,) in await said(database, query, kind)]

    return told


async def test_a_start_is_told_and_the_first_compares_with_nothing(store: Store, lines) -> None:
    """What is there for the first time has not changed."""
    await store.in_force.started(facts(FIRST | PUBLIC), {"after_orderly_stop": True}, NOW)
    await store.in_force.stopped(NOW)

    assert [{"after_orderly_stop": True}] == await lines("gateway.started")
    assert [{}] == await lines("gateway.stopped")
    assert [] == await lines("settings.changed") + await lines("key.changed") + await lines(
        "users.changed"
    )


async def test_which_setting_changed_is_told_and_not_into_what(store: Store, lines) -> None:
    """Added, taken out, other than before: by their keys, in one line, and no other."""
    await store.in_force.started(facts(FIRST), {}, NOW)
    changed = {(SETTING, "a.b"): "9", (SETTING, "new"): "1", (USER, "jo"): "3"}
    await store.in_force.started(facts(changed), {}, NOW)
    await store.in_force.renewed(facts(changed), NOW)

    names = ["a.b", "new", "providers.trust.api_key"]
    assert [{"by": "start", "names": names}] == await lines("settings.changed")
    assert [] == await lines("users.changed")


async def test_a_key_and_a_certificate_are_told_by_their_fingerprints(store: Store, lines) -> None:
    """Each in a line of its own, while the gateway runs; one that is gone is said to be."""
    await store.in_force.started(facts(PUBLIC), {}, NOW)
    await store.in_force.renewed(facts({(KEY, "trust"): "k2"}), NOW)

    assert [{"by": "reload", "name": "trust", "fingerprint": "k2"}] == await lines("key.changed")
    assert [{"by": "reload", "name": "for receiving", "gone": True}] == await lines(
        "certificate.changed"
    )


async def test_users_are_told_by_name(store: Store, lines) -> None:
    """Whoever wrote the file by hand as well."""
    await store.in_force.started(facts(FIRST), {}, NOW)
    await store.in_force.renewed(facts({**FIRST, (USER, "jo"): "4", (USER, "al"): "5"}), NOW)

    assert [{"by": "reload", "names": ["al", "jo"]}] == await lines("users.changed")


async def test_what_cannot_be_compared_is_said_to_be_unknown(store: Store, lines) -> None:
    """Taking away the key of the comparison hides no change without a word."""
    await store.in_force.started(facts(FIRST), {}, NOW)
    await store.in_force.started(facts(dict.fromkeys(FIRST, "x"), by="another"), {}, NOW)

    (told,) = await lines("settings.changed")
    assert {"by", "unknown"} == set(told)
