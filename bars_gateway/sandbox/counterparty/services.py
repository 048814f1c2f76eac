"""
Who stands behind the proxy: the counterparty's services, and what each of them takes.

The first eight are its own, one for each Application. The others are those of the official
test service (applications page, 6.2), under their own numbers, so that a script that was
written for that one runs against this one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bars_gateway.sandbox.registry import DOS_SERVICE
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.headers import normalised

ODS_CODE = "ZX909"
VERSIONS: Mapping[str, tuple[str, ...]] = {
    "a1": ("1.0.0", "2.0.0"),
    "a2": ("1.0.0", "2.0.0"),
    "a3": ("1.0.0", "2.0.0"),
    "a4": ("1.0.0", "2.0.0"),
    "a5": ("1.0.0",),
    "a6": ("1.0.0",),
    "a7": ("1.0.0",),
    "a8": ("1.0.0",),
}


class Habit(StrEnum):
    """What is particular about an official service."""

    NONE = "none"
    NO_SLOTS = "no slots"  # SLOT-3
    BARE_SLOTS = "slots without practitioner and location"  # SLOT-4
    SLOTS_TIME_OUT = "slots time out"  # SLOT-5
    INVALID_DEFINITIONS = "definitions that are invalid"  # MD-10
    UNAUTHORISED = "401 to whoever asks for its definitions"  # MD-8
    UNKNOWN = "404 to whoever asks for its definitions"  # MD-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service of the counterparty."""

    value: str  # below the system of DoS service ids
    title: str
    applications: tuple[str, ...]
    habit: Habit = Habit.NONE
    official: bool = True

    @property
    def identifier(self) -> str:
        """Return it as MessageHeader endpoints write it."""
        return f"{DOS_SERVICE}|{self.value}"

    def offer(self) -> Offer:
        """Return what it takes, for the rules and for what is published."""
        return Offer(
            services=frozenset({normalised(self.identifier)}),
            applications={name: VERSIONS[name] for name in self.applications},
        )


def _own(number: int, title: str) -> Service:
    value = f"20000009{number:02}"
    return Service(value=value, title=title, applications=(f"a{number}",), official=False)


_EVERY = tuple(VERSIONS)
_BOOKINGS = ("a1", "a2", "a7")

_ALL = (
    _own(1, "Emergency department, invented"),
    _own(2, "Urgent treatment centre, invented"),
    _own(3, "Clinical assessment service, invented"),
    _own(4, "Validation desk, invented"),
    _own(5, "Community pharmacy, invented"),
    _own(6, "Ambulance control room, invented"),
    _own(7, "General practice, invented"),
    _own(8, "Referral broker, invented"),
    Service(value="2000011147", title="Bookings and referrals", applications=_BOOKINGS),
    Service(value="2000076289", title="Referrals", applications=("a1", "a2", "a3", "a5", "a6")),
    Service(value="2000003366", title="Validation, which receives", applications=("a4",)),
    Service(value="1374839566", title="Validation, which sends", applications=("a4",)),
    Service(value="2000070513", title="Pharmacy", applications=("a5",)),
    Service(value="2000159909", title="Out of area", applications=("a6",)),
    Service(value="2000159910", title="Out of area, referrals", applications=("a6",)),
    Service(value="2000072489", title="Free and busy slots", applications=_BOOKINGS),
    Service(value="2000073917", title="No slots", applications=_BOOKINGS, habit=Habit.NO_SLOTS),
    Service(value="1503499715", title="Bare slots", applications=_BOOKINGS, habit=Habit.BARE_SLOTS),
    Service(
        value="2000081230",
        title="Slots that time out",
        applications=_BOOKINGS,
        habit=Habit.SLOTS_TIME_OUT,
    ),
    Service(value="2000093816", title="Digital referral roles", applications=("a5",)),
    Service(value="2000071234", title="No published scenario", applications=_EVERY),
    Service(value="2000076288", title="Any definitions", applications=_EVERY),
    Service(
        value="2000071898",
        title="Invalid definitions",
        applications=_EVERY,
        habit=Habit.INVALID_DEFINITIONS,
    ),
    Service(value="FAIL0401", title="Refuses", applications=_EVERY, habit=Habit.UNAUTHORISED),
    Service(value="FAIL0404", title="Unknown", applications=_EVERY, habit=Habit.UNKNOWN),
)

SERVICES: Mapping[str, Service] = {service.value: service for service in _ALL}


def own_service(application: str) -> Service:
    """Return the counterparty's own service for an Application: where its requests come from."""
    return next(each for each in _ALL if each.applications == (application,))
