"""One thing that a run shows: what is done, and which answers show it."""

from collections.abc import Awaitable, Callable, Sequence

from bars_gateway.evidence.ground import ProvingGround
from bars_gateway.frozen import frozen


@frozen(kw_only=True)
class Scene:
    """One thing that is shown, and recorded in a folder of its own."""

    name: str  # of its folder, and in the table of statements
    title: str  # for whoever reads the export
    # The answers that it must have got, in this order; others may come between. An answer is
    # written as far as it matters: `409`, `409 REC_CONFLICT duplicate`, `none`.
    shows: tuple[str, ...]
    play: Callable[[ProvingGround], Awaitable[None]]

    def missing(self, answers: Sequence[str]) -> tuple[str, ...]:
        """Return those answers that the scene must have got and did not, from the first on."""
        left = list(self.shows)
        for each in answers:
            if left and each.startswith(left[0]):
                del left[0]
        return tuple(left)
