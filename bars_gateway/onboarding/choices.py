"""Which provider the commands of the onboarding are about."""

from bars_gateway.config import Provider, Settings
from bars_gateway.errors import OnboardingError


def provider_of(settings: Settings, name: str | None) -> Provider:
    """Return the provider called *name*, or the only one."""
    known = ", ".join(settings.providers)
    if name is None and len(settings.providers) > 1:
        cure = f"Add --provider with one of: {known}"
        raise OnboardingError("there are several providers, and none was named", cure)
    found = settings.providers.get(name or next(iter(settings.providers)))
    if found is None:
        raise OnboardingError(f"{name!a} is no provider of the settings", f"Name one of: {known}")
    return found
