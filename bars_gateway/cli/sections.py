"""
Under which title `bars-gateway --help` lists each command: by what somebody wants to do.

    SECTIONS ──► Sections, the class of the command line's group ──► --help

A command that is in no section would be shown nowhere: a test holds that each is in one.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from typer.core import TyperGroup

SECTIONS: Mapping[str, Sequence[str]] = {
    "Running": ("run", "check", "config", "doctor"),
    "Looking": ("queue", "show", "alarms", "cache"),
    "Acting on messages": ("lint", "send", "hold", "release", "withdraw", "retry", "resend"),
    "What needs a person": ("mark-handled", "quarantine", "attach", "confirm"),
    "Keeping the database": ("backup", "restore", "verify"),
    "Connecting": ("init", "keys", "csr", "certificate", "letters"),
    "Trying out": ("demo", "sandbox"),
}
_MARGINS = 6  # around names and what they are for, as typer has it


class _Formatter(Protocol):
    width: int

    def section(self, name: str) -> AbstractContextManager[None]: ...

    def write_dl(self, rows: list[tuple[str, str]]) -> None: ...


class Sections(TyperGroup):
    """Lists its commands under titles, in plain text."""

    def format_commands(self, ctx: object, formatter: _Formatter) -> None:  # noqa: ARG002
        """Write each section: its title, and its commands."""
        longest = max(map(len, self.commands))
        room = formatter.width - _MARGINS - longest
        for title, names in SECTIONS.items():
            rows = [
                (name.ljust(longest), self.commands[name].get_short_help_str(room))
                for name in names
            ]
            with formatter.section(title):
                formatter.write_dl(rows)
