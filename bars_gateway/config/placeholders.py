"""
What stands in the settings until somebody writes what is true there.

    `bars-gateway init` ──► to-be-told      the example file ──► a trust that does not exist

Nobody gets a token, or in, by one of these. So they never count as done, nor as right.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bars_gateway.config.values import Fault

if TYPE_CHECKING:
    from bars_gateway.config import Provider, Settings

PENDING = "to-be-told"  # until a desk has told us the API key
PENDING_NAME = f"{PENDING}.invalid"  # no certificate has this name: nobody gets in by it

_API_KEYS = frozenset({PENDING, "the-api-key-of-your-application"})
_CALLERS = frozenset({PENDING_NAME, "bars-proxy.example.nhs.uk"})
_ORGANISATIONS = frozenset({"example nhs trust"})
_SERVICES = frozenset({"https://fhir.nhs.uk/Id/dos-service-id|2000099999"})
_CURE = "Write your own."


def api_key_is_told(settings: "Settings", provider: "Provider") -> bool:
    """Tell whether *provider* has an API key of its own, or needs none."""
    return provider.api_key not in _API_KEYS or not settings.outbound.token_required


def unknown_callers(settings: "Settings") -> list[str]:
    """Return those of `inbound.allowed_client_names` that nobody is called by."""
    return [name for name in settings.inbound.allowed_client_names if name.lower() in _CALLERS]


def placeholders(settings: "Settings") -> Iterator[Fault]:
    """Yield every setting that still has what was shipped."""
    national = settings.bundle.own_name_prefix is not None
    for name, provider in settings.providers.items():
        key = ("providers", name)
        if not api_key_is_told(settings, provider):
            cure = "Set it to what you were told when the application was approved."
            yield Fault(key=(*key, "api_key"), cause="is a placeholder: no token by it", cure=cure)
        if national and provider.name.lower() in _ORGANISATIONS:
            yield Fault(key=(*key, "name"), cause="is that of the example file", cure=_CURE)
        if national and not _SERVICES.isdisjoint(provider.services):
            cause = "has the service of the example file"
            yield Fault(key=(*key, "services"), cause=cause, cure=_CURE)
    if settings.inbound.enabled and unknown_callers(settings):
        cause = "has a placeholder, which no certificate is called by"
        cure = "Write the name in the proxy's certificate, which the BaRS team knows."
        yield Fault(key=("inbound", "allowed_client_names"), cause=cause, cure=cure)
