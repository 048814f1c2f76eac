"""The NHS Booking and Referral Standard (BaRS), spoken for an EPR by one small daemon."""

from importlib.util import find_spec

__version__ = "1.1.1"


def described() -> str:
    """Return the version, and say so where what goes through every element is compiled."""
    found = find_spec("bars_gateway.standard.tree")
    is_compiled = found is not None and not str(found.origin).endswith(".py")
    return f"{__version__} (compiled)" if is_compiled else __version__
