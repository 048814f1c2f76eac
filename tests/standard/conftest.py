"""What the pure tests do without."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def gateways_engine() -> None:
    """Choose no engine: here is no gateway, and nothing is kept."""


@pytest.fixture(scope="session", autouse=True)
def _the_contract_is_kept() -> None:
    """Hold nothing against the contract: nothing is written for an EPR."""


@pytest.fixture(scope="session", autouse=True)
def _keys_are_proven_once() -> None:
    """Load nothing that reads keys: here are none, and each process would take a second for it."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Count what draws its examples as exhaustive: `make quick` does without; and all as pure."""
    item.add_marker("pure")
    if getattr(getattr(item, "function", None), "is_hypothesis_test", False):
        item.add_marker("exhaustive")
