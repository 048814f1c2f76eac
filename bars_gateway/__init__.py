"""The NHS Booking and Referral Standard (BaRS), spoken for an EPR by one small daemon."""

__version__ = "0.1.0"
