"""
What makes a message unacceptable: every rule of the table, run over one message.

    Message ──check(SENDING │ RECEIVING)──► every Issue, errors and warnings

Strict before sending, lenient on receipt (S10): on receipt a rule stops a message
only where the guide's receiver rules or the official receiver tests demand it, and
otherwise warns. Many MUSTs of the guide are broken by its own examples; a gateway
that refused on every one of them would, in the end, refuse patients.

A rule yields the FHIR paths at which it is broken. What is answered, and how
gravely, is data in its row (`rule_table.py`).
"""

from bars_gateway.standard.bundle import Message
from bars_gateway.standard.checks.offer import Offer
from bars_gateway.standard.checks.rule import Rule, Side
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.rule_table import RULES

__all__ = ["NO_MEANING", "RULES", "Issue", "Offer", "Rule", "Severity", "Side", "check", "errors"]

# What none of the rows says on its own: the words together mean nothing in the standard.
NO_MEANING = Issue(
    rule="W01",
    path="Bundle.entry[0].resource",
    text="event, reason, category and status together are no move that the standard knows",
)


def check(message: Message, side: Side, offer: Offer) -> list[Issue]:
    """Return everything that is wrong with *message*, errors first."""
    issues = [
        Issue(
            rule=rule.rule,
            path=path,
            text=rule.text,
            severity=severity,
            http_status=rule.http_status,
            code=rule.code,
            issue=rule.issue,
        )
        for rule in RULES
        if (severity := rule.severity(side)) is not None
        for path in rule.broken(message, offer)
    ]
    return sorted(issues, key=lambda found: found.severity is not Severity.ERROR)


def errors(issues: list[Issue]) -> list[Issue]:
    """Return those of *issues* that stop the message."""
    return [found for found in issues if found.severity is Severity.ERROR]
