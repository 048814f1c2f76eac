"""
What is not right, and yet no reason to stand still: a gateway starts with it.

    Settings ──doubts──► file, key, cause and cure of each: for `check`, `doctor` and the log

A key that nobody has told us yet stops nothing from being received, and a gateway that did not
start for it would do harm. `problems` is about what nothing can be done with.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bars_gateway.chains import names_of, rootless
from bars_gateway.config.placeholders import placeholders
from bars_gateway.config.problems import certificates_in, placed
from bars_gateway.config.sources import Problem
from bars_gateway.config.values import Fault

if TYPE_CHECKING:
    from bars_gateway.config import Settings


def doubts(settings: "Settings") -> list[Problem]:
    """Return what is not right in *settings* and in what they name, and stops no start."""
    found = [*placeholders(settings), *(_inbound(settings) if settings.inbound.enabled else ())]
    return [placed(settings, fault) for fault in found]


def _inbound(settings: "Settings") -> Iterator[Fault]:
    orphans = rootless(certificates_in(settings.inbound.client_ca_file))
    if orphans:
        cause = f"has no root for {names_of(orphans)}: whoever it certified is not let in"
        cure = "Add its root, or take it out."
        yield Fault(key=("inbound", "client_ca_file"), cause=cause, cure=cure)
