"""What this side offers: its services, Applications and their versions."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The services that a provider answers to, and what it has switched on."""

    services: frozenset[str]  # system|value, normalised
    applications: Mapping[str, frozenset[int]]  # a4 → the major versions accepted
