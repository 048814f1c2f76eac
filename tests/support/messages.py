"""The demo's messages about people who do not exist, for every test that needs one."""

from bars_gateway.demo.messages import (
    FAMILY,
    GIVEN,
    NHS_NUMBER,
    RECEIVER,
    SENDER,
    referral,
    validation_request,
)

__all__ = [
    "FAMILY",
    "GIVEN",
    "NHS_NUMBER",
    "RECEIVER",
    "SENDER",
    "referral",
    "validation_request",
]
