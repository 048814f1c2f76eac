"""What this side offers: its services, Applications and their versions."""

from collections.abc import Mapping
from dataclasses import dataclass

from bars_gateway.standard.headers import normalised
from bars_gateway.standard.timing import application_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """
    The services that a provider answers to, and what it has switched on.

    The same value is enforced by the rules and advertised by `capability` and
    `message_definitions`.
    """

    services: frozenset[str]  # system|value, normalised
    applications: Mapping[str, tuple[str, ...]]  # a4 → the versions switched on; none: any will do
    refused_use_cases: frozenset[str] = frozenset()  # a4t3, …: off, though their Application is on
    for_anybody: bool = False  # whether whatever service a message names is taken for ours
    booking_required: bool = False  # whether a new referral must name the booking made for it

    def is_ours(self, service: str) -> bool:
        """Tell whether *service* is one of them."""
        return self.for_anybody or normalised(service) in self.services

    def takes(self, use_case: str) -> bool:
        """Tell whether a new request of a known *use_case* is taken."""
        return application_of(use_case) in self.applications and (
            use_case not in self.refused_use_cases
        )

    def majors(self, application: str) -> frozenset[int]:
        """Return the major versions accepted of *application*."""
        versions = self.applications.get(application, ())
        return frozenset(int(version.partition(".")[0]) for version in versions)


EVERYTHING: Mapping[str, tuple[str, ...]] = {f"a{number}": () for number in range(1, 9)}
