"""
Who looks at a page: their name, what they may do, and what their forms carry.

    guard (`access`) ─► VISITING ─► pages: `visitor.may("operator")`

It holds for one request, and whoever renders a page asks for it. Where nobody has said who looks,
it is somebody who may look and do nothing.
"""

from collections.abc import Collection
from contextvars import ContextVar
from enum import StrEnum

from bars_gateway.frozen import frozen


class UserRole(StrEnum):
    """What somebody may do; whoever has any of them may look."""

    VIEWER = "viewer"
    OPERATOR = "operator"  # acts on messages, responses, workflows and alarms
    REVEAL = "reveal"  # has a payload shown


@frozen(kw_only=True)
class Visitor:
    """Who looks at a page."""

    name: str | None = None  # None: nobody has logged in
    roles: Collection[UserRole] = frozenset()
    csrf: str = ""  # goes into every form of theirs
    read_only: bool = False  # nobody can log in here
    by_proxy: bool = False  # the server in front of us has logged them in

    def may(self, role: str) -> bool:
        """Tell whether they have that role; looking is part of each."""
        if role == UserRole.VIEWER:
            return self.read_only or bool(self.roles)
        return role in self.roles

    @property
    def who(self) -> str:
        """Who it was, as the audit trail has it."""
        return f"{self.name or 'nobody'} (console)"


ANYBODY = Visitor(read_only=True)
VISITING: ContextVar[Visitor] = ContextVar("visiting", default=ANYBODY)
