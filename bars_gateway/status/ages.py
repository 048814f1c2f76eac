"""How old something is, as people read it."""

from datetime import datetime


def lasting(seconds: float) -> str:
    """Return how long that is, in the unit that a person would choose."""
    whole = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def ago(at: datetime | None, now: datetime) -> str:
    """Return how long before *now* something was, in the unit that a person would choose."""
    if at is None:
        return "never"
    return f"{lasting((now - at).total_seconds())} ago"
