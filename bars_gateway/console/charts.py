"""
Drawings as SVG, made of figures alone: no script, no style of their own, and each with its words.

    how many in each hour ──bars──► columns, the highest as high as the drawing

A drawing never says anything that its text does not: whoever hears a page, or prints it, misses
nothing. Colours come of the style sheet, so that they follow light and dark.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

_HEIGHT = 48
_STEP = 10  # one column with its gap
_GAP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Columns, the last of them now."""

    counts: Sequence[int]
    title: str

    def svg(self) -> Markup:
        """Return the drawing."""
        width = len(self.counts) * _STEP
        return Markup(
            '<svg class="bars" role="img" viewBox="0 0 {} {}" preserveAspectRatio="none">'
            "<title>{}</title>{}</svg>"
        ).format(width, _HEIGHT, self.title, Markup("").join(self._columns()))

    def _columns(self) -> Iterator[Markup]:
        most = max(self.counts, default=0)
        for place, count in enumerate(self.counts):
            # An hour without any keeps a line, so that nobody takes it for a gap in the record.
            height = max(2, round(count / most * _HEIGHT)) if count else 1
            name = "some" if count else "none"
            yield Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                name, place * _STEP + _GAP, _HEIGHT - height, _STEP - _GAP, height
            )
