"""
The rules, as data: id, text, severity on either side, source, and the answer.

Ids are those of the rule list that assessors use; a letter behind one tells a variant
that holds otherwise, or on one side only (S sending, R receiving, U unswapped, …).
"""

from bars_gateway.standard.checks.rule import Rule
from bars_gateway.standard.rule_table import (
    bookings,
    bundles,
    headers,
    patients,
    requests,
    substance,
)

RULES: tuple[Rule, ...] = (
    *bundles.RULES,
    *headers.RULES,
    *requests.RULES,
    *bookings.RULES,
    *substance.RULES,
    *patients.RULES,
)
