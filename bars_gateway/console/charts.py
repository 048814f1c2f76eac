"""
Drawings as SVG, made of figures alone: no script, no style of their own, and each with its words.

    how many in each hour ──Bars────► columns, the highest as high as the drawing
    who did what to whom ───Course──► lifelines, and an arrow for each step, downwards in time

A drawing never says anything that its text does not: whoever hears a page, or prints it, misses
nothing. Colours come of the style sheet, so that they follow light and dark.
"""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from bars_gateway.frozen import frozen

_HEIGHT = 48
_STEP = 10  # one column with its gap
_GAP = 2


@frozen(kw_only=True)
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


_LANE = 220  # between two lifelines
_ROW = 46
_TOP = 44
_EDGE = 90


@frozen(kw_only=True)
class Arrow:
    """One thing that goes from one lifeline to another, or stays with one."""

    source: int  # which lifeline, from 0
    target: int
    label: str


@frozen(kw_only=True)
class Course:
    """Who did what towards whom, downwards in time: each arrow has the number of its line."""

    lanes: Sequence[str]
    arrows: Sequence[Arrow]
    first: int  # the number of the first arrow
    title: str

    def svg(self) -> Markup:
        """Return the drawing."""
        width = 2 * _EDGE + (len(self.lanes) - 1) * _LANE
        height = _TOP + _ROW * len(self.arrows) + 20
        parts = [*self._lifelines(height), *self._steps()]
        return Markup(
            '<svg class="sequence" role="img" viewBox="0 0 {0} {1}" width="{0}" height="{1}">'
            "<title>{2}</title>{3}</svg>"
        ).format(width, height, self.title, Markup("").join(parts))

    def _lifelines(self, height: int) -> Iterator[Markup]:
        for place, name in enumerate(self.lanes):
            x = _EDGE + place * _LANE
            yield Markup(
                '<rect class="lane" x="{}" y="2" width="170" height="28"/>'
                '<text class="lane" x="{}" y="21">{}</text>'
                '<path class="life" d="M{} 30V{}"/>'
            ).format(x - 85, x, name, x, height)

    def _steps(self) -> Iterator[Markup]:
        for place, arrow in enumerate(self.arrows):
            y = _TOP + place * _ROW + 22
            start, end = (_EDGE + lane * _LANE for lane in (arrow.source, arrow.target))
            text = f"{self.first + place}. {arrow.label}"
            yield _note(start, y, text) if start == end else _flight(start, end, y, text)


def _note(x: int, y: int, text: str) -> Markup:
    return Markup(
        '<circle class="note" cx="{}" cy="{}" r="5"/><text x="{}" y="{}">{}</text>'
    ).format(x, y, x + 12, y + 5, text)


def _flight(start: int, end: int, y: int, text: str) -> Markup:
    """Return an arrow; its text stands above it, in the middle."""
    back = 8 if end > start else -8
    return Markup(
        '<path class="flight" d="M{} {}H{}"/><path class="tip" d="M{} {}l{} -5v10z"/>'
        '<text class="middle" x="{}" y="{}">{}</text>'
    ).format(start, y, end, end, y, -back, (start + end) // 2, y - 6, text)
