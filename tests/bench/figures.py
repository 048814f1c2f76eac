"""
What is printed: each figure with its spread, and its ratio to the other build in the same round.

A ratio is this build's figure by the other's of the same round, so that what slows a round down
slows both; a median of them is printed with the lowest and the highest.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

THIS = "this build"
BASE = "base"
COMPILED = "compiled"


@dataclass(frozen=True)
class Figure:
    """One thing that is measured."""

    name: str
    unit: str
    must: str = ""  # what it has to be, or its ratio to the base
    digits: int = 1


@dataclass(frozen=True)
class Ratio:
    """One figure by another of the same round."""

    name: str
    one: str
    other: str
    must: str = ""


@dataclass
class Samples:
    """What was measured, in the order of the rounds."""

    of: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, side: str, figure: str, value: float) -> None:
        """Note one value of one side."""
        self.of[figure][side].append(value)

    def sides(self, figure: str) -> Mapping[str, Sequence[float]]:
        """Return what was measured of it."""
        return self.of[figure]


def table(figures: Iterable[Figure], samples: Samples) -> list[str]:
    """Return the lines of a table of those figures; without a base there is no ratio."""
    shown = list(figures)
    known = {
        side for figure in shown for side, values in samples.sides(figure.name).items() if values
    }
    columns = ["This build"]
    columns += ["Base", "Ratio to it"] if BASE in known else []
    columns += ["Compiled", "Its ratio"] if COMPILED in known else []
    lines = _head(["Figure", *columns, "Must be"])
    for figure in shown:
        sides = samples.sides(figure.name)
        this, base, compiled = (sides.get(each, []) for each in (THIS, BASE, COMPILED))
        cells = [figure.name, _spread(this, figure)]
        cells += [_spread(base, figure), _ratio(this, base)] if BASE in known else []
        if COMPILED in known:
            cells += [_spread(compiled, figure), _ratio(compiled, base or this)]
        lines.append(_row([*cells, figure.must or "-"]))
    return lines


def ratios(wanted: Iterable[Ratio], samples: Samples) -> list[str]:
    """Return the lines of a table of ratios of this build's figures to what ran beside it."""
    lines = _head(["Ratio", "This build", "Must be"])
    for ratio in wanted:
        one, other = (samples.sides(name).get(THIS, []) for name in (ratio.one, ratio.other))
        lines.append(_row([ratio.name, _ratio(one, other), ratio.must or "-"]))
    return lines


def plain(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [*_head(head), *map(_row, rows)]


def _head(cells: Sequence[str]) -> list[str]:
    return [_row(cells), "|" + "---|" * len(cells)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float], figure: Figure) -> str:
    if not values:
        return "-"
    low, middle, high = min(values), statistics.median(values), max(values)
    shown = [f"{value:,.{figure.digits}f}" for value in (middle, low, high)]
    unit = figure.unit if figure.unit.startswith("/") else f" {figure.unit}".rstrip()
    return f"{shown[0]}{unit}" + (f" ({shown[1]} to {shown[2]})" if len(values) > 1 else "")


def _ratio(one: Sequence[float], other: Sequence[float]) -> str:
    pairs = [a / b for a, b in zip(one, other, strict=False) if b]
    if not pairs:
        return "-"
    return f"{statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})"
