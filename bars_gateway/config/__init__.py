"""
Every setting with its reason, and what is wrong with it or with what it names.

    bars-gateway.toml ─┐
    BARS_GATEWAY_… ────┼─► load ─► Settings (frozen) ──► problems · doubts · describe
    environment preset ┘
"""

from bars_gateway.config.alerts import AlertSettings
from bars_gateway.config.environments import Environment
from bars_gateway.config.local import CallerSettings, Epr, InboundSettings, Status, StoreSettings
from bars_gateway.config.outbound import OutboundSettings, TimingSettings
from bars_gateway.config.provider import Onboarding, Provider, Software
from bars_gateway.config.settings import (
    DEFAULT_CONFIG,
    Described,
    Settings,
    describe,
    in_words,
    load,
    values,
)
from bars_gateway.config.sources import SettingsProblem
from bars_gateway.config.values import Address

__all__ = [
    "DEFAULT_CONFIG",
    "Address",
    "AlertSettings",
    "CallerSettings",
    "Described",
    "Environment",
    "Epr",
    "InboundSettings",
    "Onboarding",
    "OutboundSettings",
    "Provider",
    "Settings",
    "SettingsProblem",
    "Software",
    "Status",
    "StoreSettings",
    "TimingSettings",
    "describe",
    "in_words",
    "load",
    "values",
]
