"""
How the platform in front of BaRS refuses us in shapes of its own, before anybody reads a message.

Its fault names what failed as `family.part.What`: the families differ between policies and
releases, and so does the case of letters, so that only the beginning of the last part counts.
"""

from collections.abc import Collection

# Our access token: it ran out, or is not known.
OF_OUR_TOKEN = ("access_token_expired", "invalid_access_token", "InvalidAccessToken")
# Our application: its API key, or what that key may use.
OF_OUR_APPLICATION = (
    "InvalidAPICallAsNoApiProductMatchFound",
    "InvalidApiKey",
    "FailedToResolveAPIKey",
    "InvalidClientIdentifier",
    "invalid_client-app_not_approved",
)
ACCESS_DENIED = "ACCESS_DENIED"  # its OperationOutcome: no prefix says whose fault it is


def is_fault(code: str | None, beginnings: Collection[str]) -> bool:
    """Tell whether *code*, of a fault of the platform, is one of those that begin so."""
    last = (code or "").rpartition(".")[2].casefold()
    return any(last.startswith(beginning.casefold()) for beginning in beginnings)
