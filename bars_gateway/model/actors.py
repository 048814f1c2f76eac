"""Who does something to what the gateway keeps, and what stands against it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, and why, as the audit trail keeps it."""

    role: str  # operator or epr
    who: str  # as they call themselves; the operating system's user id is in it
    why: str
    after_its_time: bool = False  # they know that its time has passed, and want it all the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why a verb is not carried out."""

    code: str
    text: str
    cure: str
