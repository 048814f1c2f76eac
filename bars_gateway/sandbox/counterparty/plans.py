"""
Which responses follow a request, and what scripts make of them.

    Application (or sentinel) ──► PLANS ──► scripts ──► steps, in the order in which they go out

Application 4: the clinician begins, and ends. Application 6: a resource is allocated, arrives
and is done. The others end with the acknowledgement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bars_gateway.sandbox.counterparty.scripts import Script, Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One response."""

    encounter: str  # status of the Responder's Encounter
    reason: str = "new"
    rejection: tuple[str, str] | None = None  # code and text
    no_show: bool = False  # the withdrawn response of Applications 1 and 2
    repeat: bool = False  # also once more, under the same ids


_BEGUN = Step(encounter="in-progress")
_ENDED = Step(encounter="finished")

PLANS: Mapping[str, tuple[Step, ...]] = {
    "a4": (_BEGUN, replace(_ENDED, reason="update")),
    "a6": (_BEGUN, Step(encounter="arrived"), _ENDED),
    "full": (_ENDED,),
    "interim": (_BEGUN,),
    "no-show": (Step(encounter="cancelled", no_show=True),),
}


def planned(name: str, scripts: Mapping[Verb, Script]) -> Sequence[Step]:
    """Return the steps of the plan *name*, as the scripts that a request met would have them."""
    steps = PLANS.get(name, ())
    if Verb.NEVER in scripts or not steps:
        return ()
    if Verb.REJECT in scripts:
        rejection = scripts[Verb.REJECT].code, scripts[Verb.REJECT].text
        steps = (Step(encounter="cancelled", rejection=rejection),)
    if Verb.AMEND in scripts:
        steps = (*steps, replace(steps[-1], reason="update"))
    if Verb.DISORDER in scripts:
        steps = steps[::-1]
    return [replace(step, repeat=Verb.TWICE in scripts) for step in steps]
