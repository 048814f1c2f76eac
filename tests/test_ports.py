"""A port that something stops on and starts again on is nobody else's meanwhile."""

import subprocess
import sys
from pathlib import Path

from world import World, world_in

from bars_gateway.demo.stage import free_ports

COUNT = 59
SAYING = f"""
from bars_gateway.demo.stage import free_ports
print(*free_ports({COUNT}), flush=True)
input()
"""


def given_by_chance() -> range:
    """Return the ports that the kernel gives to whoever asks for any, and to who calls out."""
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()
    return range(int(first), int(last) + 1)


def port_of(world: World) -> int:
    return int(world.hospital.url.split(":")[2].partition("/")[0])


def test_processes_that_look_for_ports_at_once_find_different_ones() -> None:
    """So two runs of these tests on one machine, or two demonstrations, never meet."""
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", SAYING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    said = []
    for each in begun:
        assert each.stdout is not None
        said.append(each.stdout.readline().split())
    for each in begun:
        each.communicate("\n")

    assert [COUNT] * 4 == [len(each) for each in said]
    assert 4 * COUNT == len({port for each in said for port in each})


def test_a_port_that_was_found_is_given_to_nobody_by_chance() -> None:
    """As the local end of a connection, say, while what is to listen there is not yet there."""
    assert not {*free_ports(COUNT)} & {*given_by_chance()}


async def test_a_gateway_that_is_started_again_in_a_test_keeps_its_port(tmp_path: Path) -> None:
    """The registry of the national side has the address; and no other process may take it."""
    async with world_in(tmp_path) as world:
        before = port_of(world)
        await world.hospital.restart()
        listener = world.hospital.gateway._inbound
        assert listener is not None
        ports = listener.port, port_of(world)

    assert (before, before) == ports
    assert before not in given_by_chance()
