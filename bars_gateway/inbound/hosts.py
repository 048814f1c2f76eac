"""The organisations that we receive for, and which of them a request is for (H06)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bars_gateway.standard.headers import TARGET, HeaderProblem, TargetIdentifier, normalised
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.overrides import NOTHING_AGREED, Overrides
from bars_gateway.standard.rules import Offer
from bars_gateway.standard.timing import Timing, shipped_timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosted:
    """One provider that we receive for."""

    provider: str
    ods_code: str
    offer: Offer
    case_number_system: str  # whose numbers the references are
    overrides: Overrides = NOTHING_AGREED
    timing: Callable[[str], Timing] = shipped_timing  # by use case
    asks: bool = False  # whether its EPR answers questions; else what needs it is 501
    asked_about_all: frozenset[str] = frozenset()  # services whose every message the EPR decides


class Hosts:
    """Finds the provider that a request is for."""

    def __init__(self, hosted: Sequence[Hosted]) -> None:
        self._by_service = {service: host for host in hosted for service in host.offer.services}

    def named_by(self, headers: Mapping[str, str]) -> Hosted | Issue:
        """Return the provider that the target identifier names, or what is wrong with it."""
        path = f"header {TARGET}"
        try:
            target = TargetIdentifier.decode(headers.get(TARGET.lower(), ""))
        except HeaderProblem as problem:
            return Issue(rule="H06", path=path, text=str(problem), issue="structure")
        return self._by_service.get(normalised(target.text)) or Issue(
            rule="H06",
            path=path,
            text="no such service here",
            http_status=404,
            code="REC_NOT_FOUND",
            issue="not-found",
        )
