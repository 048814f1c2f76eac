"""
One hazard: how it comes about, what it does to a patient, and what stands against it.

    causes ─► hazard ─► effect          before: as if nothing stood against it
                │
                ├── controls, each with the tests that show it     after: with all of them
                ├── counters and figures that grow when one of them fails
                └── what is not shown, and what is left to the organisation that deploys it

A control that no test shows is a hope: the tests hold that each names one that runs everywhere.
"""

from collections.abc import Sequence

from bars_gateway.frozen import frozen
from bars_gateway.safety.counters import CounterName
from bars_gateway.safety.risk import Risk


@frozen(kw_only=True)
class Control:
    """One thing that the gateway does against a hazard."""

    says: str
    tests: Sequence[str]  # path below `tests`, `::` and the name


@frozen(kw_only=True)
class Hazard:
    """Something that may come to harm a patient."""

    code: str
    title: str
    causes: str
    effect: str  # what becomes of a patient, at the worst that is credible
    before: Risk
    controls: Sequence[Control]
    after: Risk
    counters: Sequence[CounterName]  # of `bars-gateway safety report`
    figures: Sequence[str]  # of /metrics
    not_shown: str  # what no test here shows, and what no control reaches
    left: str  # what the organisation that deploys it has to do
    borne: str = ""  # of what is left with a 3: why this program can bring it down no further
