"""
Two gateways of one organisation on one database: killed, cut off, and without their server.

The whole proof is a program (`tests/support/two_nodes.py`); here is as much of it as finds a fault
at once. The seed is printed with every run; `BARS_SEED=… make test` repeats one.
"""

import os
import random
from pathlib import Path

import pytest
from postgres_server import postgres_server, programs
from two_nodes import Strain, proof

pytestmark = pytest.mark.needs("postgres")
if (folder := programs()) is not None:  # Debian keeps it off everybody's path
    os.environ["PATH"] += f":{folder}"
FEW = Strain(conversations=12, kills=2, stops=1, cuts=4, seconds=150)


@pytest.mark.long
async def test_two_nodes_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """One record for each message, in order, and one outcome, whoever dies over it."""
    seed = int(os.environ.get("BARS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"BARS_SEED={seed}")
    with postgres_server() as server:
        done = await proof(tmp_path, server, seed, FEW)
    print(done)

    assert min(done["kills"].values()) >= FEW.kills
