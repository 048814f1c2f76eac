"""
The hazard log: all of the gateway that may come to harm a patient, and what stands against it.

    delivery   a message is lost, late, doubled, sent astray, out of order or altered
    meaning    it is about the wrong patient, misread, unanswered, or never told to anybody
    running    the machine, its clock, its keys, its callers, and the people who work it
    changing   what is removed, how much comes, and what is upgraded or reconfigured

`docs/safety/hazard-log.md` is printed from it. To add one: the next free code, a row in one of the
four, and the tests that show each of its controls.
"""

from collections.abc import Mapping

from bars_gateway.safety.hazard import Hazard
from bars_gateway.safety.hazards.changing import CHANGING
from bars_gateway.safety.hazards.delivery import DELIVERY
from bars_gateway.safety.hazards.meaning import MEANING
from bars_gateway.safety.hazards.running import RUNNING

HAZARDS: Mapping[str, Hazard] = {
    each.code: each for each in (*DELIVERY, *MEANING, *RUNNING, *CHANGING)
}
