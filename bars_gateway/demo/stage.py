"""What every chapter of the demo is played on: organisations, their EPRs, the national side."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from bars_gateway.demo.eprs import FolderEpr, SocketEpr
from bars_gateway.demo.processes import Organisation
from bars_gateway.demo.timeline import Timeline
from bars_gateway.errors import SandboxError

CALLER = "ambulance EPR"
DEPARTMENT = "hospital EPR"
NEIGHBOUR = "neighbour EPR"
_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Those who take part, and what lies between them."""

    ambulance: Organisation
    hospital: Organisation
    neighbour: Organisation  # another ambulance service
    caller: FolderEpr
    caller_socket: SocketEpr  # where it asks others
    department: SocketEpr
    neighbour_epr: SocketEpr
    timeline: Timeline
    admin_url: str  # of the sandbox

    @property
    def ends(self) -> dict[str, str]:
        """Return *sender* and *receiver* of a message from the ambulance to the hospital."""
        return self.ends_with(self.hospital)

    def ends_with(self, receiver: Organisation) -> dict[str, str]:
        """Return *sender* and *receiver* of a message from the ambulance to *receiver*."""
        return {
            "sender": f"{_SYSTEM}|{self.ambulance.service}",
            "receiver": f"{_SYSTEM}|{receiver.service}",
        }

    async def arm(self, **fault: object) -> None:
        """Let the national side do that to the next calls."""
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.post(f"{self.admin_url}/faults", json=fault) as response,
        ):
            if not response.ok:
                raise SandboxError(f"the sandbox takes no fault {fault['kind']}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One thing that is shown."""

    name: str
    title: str
    steps: frozenset[str]  # each must be seen
    play: Callable[[Stage], Awaitable[None]]
