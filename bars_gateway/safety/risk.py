"""
How bad, how likely, and what follows: the scales by which each hazard is judged.

    Harm, Likelihood ──RATINGS──► 1 … 5 ──MEANINGS──► what may be done about it

They are the scales and the matrix of NHS England's guidance to DCB0129 and DCB0160, restated. An
organisation that uses others maps these by their numbers. A judgement is that of whoever signs the
safety case; these are the ones to begin with.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from bars_gateway.frozen import frozen


class Harm(StrEnum):
    """How badly patients are hurt where a hazard comes true, the worst that is credible."""

    MINOR = "minor"  # one patient is upset or put out, or has an injury that heals soon
    SIGNIFICANT = "significant"  # one patient heals slowly, or several are hurt in a minor way
    CONSIDERABLE = "considerable"  # one patient is severely hurt, or several heal slowly
    MAJOR = "major"  # one patient dies or is harmed for life, or several are severely hurt
    CATASTROPHIC = "catastrophic"  # several patients die, or are harmed for life


class Likelihood(StrEnum):
    """How often that is to be expected."""

    VERY_LOW = "very low"  # next to never
    LOW = "low"  # it could be; as a rule it is not
    MEDIUM = "medium"  # it is possible
    HIGH = "high"  # it is to be expected in most cases, though not in each
    VERY_HIGH = "very high"  # certain, or nearly so


# By how likely it is; under it one rating for each harm, the least first.
RATINGS: Mapping[Likelihood, Sequence[int]] = {
    Likelihood.VERY_HIGH: (3, 4, 4, 5, 5),
    Likelihood.HIGH: (2, 3, 3, 4, 5),
    Likelihood.MEDIUM: (2, 2, 3, 3, 4),
    Likelihood.LOW: (1, 2, 2, 3, 4),
    Likelihood.VERY_LOW: (1, 1, 2, 2, 3),
}
MEANINGS: Mapping[int, str] = {
    5: "unacceptable",
    4: "the hazard has to go, or controls have to bring it down, before anything is used",
    3: "undesirable: to be brought down, and borne only where that is not practicable",
    2: "acceptable where bringing it down further costs more than it gains, or cannot be done",
    1: "acceptable: nothing more is asked",
}


@frozen
class Risk:
    """How bad and how likely one hazard is."""

    harm: Harm
    likelihood: Likelihood

    @property
    def rating(self) -> int:
        """From 1 (acceptable) to 5 (unacceptable)."""
        return RATINGS[self.likelihood][list(Harm).index(self.harm)]

    def __str__(self) -> str:
        """Return it as it stands in a table."""
        return f"{self.rating}: {self.harm}, {self.likelihood}"
