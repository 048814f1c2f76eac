"""What a release has promised by name is there in every later one with its first figure."""

import json

import pytest
from kept_release import KEPT, released
from promised import broken, promised

from bars_gateway import __version__

FIRST = __version__.partition(".")[0]
OF_THIS_FIGURE = [each for each in released() if FIRST == each.partition(".")[0] != "0"]


@pytest.mark.parametrize("version", OF_THIS_FIGURE)
def test_what_was_promised_is_kept(version: str) -> None:
    """A name that goes raises the first figure, or comes back."""
    then = json.loads((KEPT / version / "promised.json").read_bytes())

    assert [] == broken(then, promised())


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ({"settings": ["node"]}, {"settings": ["node", "state_dir"]}, []),
        ({"settings": ["node"]}, {"settings": ["nodes"]}, ["settings: node"]),
        ({"settings": ["node"]}, {}, ["settings: node"]),
        ({"commands": ["queue"]}, {"settings": ["queue"]}, ["commands: queue"]),
    ],
    ids=["something is new", "renamed", "a list is gone", "of another list"],
)
def test_a_promise_that_is_broken_is_named(then, now, expected) -> None:
    """With what it was a name of."""
    assert expected == broken(then, now)


def test_each_list_has_what_people_rely_on() -> None:
    """An empty list would promise nothing, and hold for ever."""
    names = promised()

    assert {
        "commands": "queue --json",
        "documents of the contract": "Receipt.request_id",
        "figures": "bars_alarms kind",
        "log events": "alarm.raised",
        "members of --json": "queue state",
        "rules": "B02",
        "runbooks": "workflow.overdue",
        "settings": "providers.NAME.ods_code",
    }.items() <= {(of, name) for of in names for name in names[of]}
