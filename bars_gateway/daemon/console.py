"""What the console is given: who may come, by which rules, and what does as they ask."""

from datetime import timedelta

from bars_gateway.config import Settings
from bars_gateway.console.access import Rules
from bars_gateway.console.users import UserFile
from bars_gateway.console.visitor import Role


def users_of(settings: Settings) -> UserFile:
    """Return the file of users; one that is named in the settings has to be there."""
    return UserFile(settings.users_file, required=settings.console.users_file is not None)


def rules_of(settings: Settings) -> Rules:
    """Return who may come, and how; the secret is read as it is now."""
    console = settings.console
    file = console.proxy_secret_file
    return Rules(
        idle=timedelta(minutes=console.idle_minutes),
        longest=timedelta(hours=console.session_hours),
        names=console.names,
        proxy=str(console.proxy) if console.proxy else None,
        secret=file.read_text("utf-8").strip() if file else "",
        user_header=console.user_header,
        groups_header=console.groups_header,
        groups={
            Role.VIEWER: console.viewers,
            Role.OPERATOR: console.operators,
            Role.REVEAL: console.reveal,
        },
    )
