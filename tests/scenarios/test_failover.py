"""
The primary killed under two gateways, and its synchronous standby promoted.

The whole drill is a program (`tests/support/failover.py`); here is as much of it as finds a fault
at once. The seed is printed with every run; `BARS_SEED=… make test` repeats one.
"""

import os
import random
from pathlib import Path

import pytest
from failover import Sent, drill, require_each_once
from two_nodes import Strain

FEW = Strain(conversations=12, kills=0, stops=0, cuts=0, seconds=60)
_TAKEN = Sent(correlation_id="c", bundle_id="taken", taken_at=1.0)
_REFUSED = Sent(correlation_id="d", bundle_id="refused", taken_at=None)


@pytest.mark.needs("postgres")
@pytest.mark.long
async def test_a_promoted_standby_has_all_that_was_acknowledged_and_nothing_twice(
    tmp_path: Path,
) -> None:
    """And both nodes go on with it, by themselves."""
    seed = int(os.environ.get("BARS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"BARS_SEED={seed}")
    done = await drill(tmp_path, seed, FEW)
    print(done)

    assert done["acknowledged"] > 0  # and by then it has looked for each, and for a second of it


@pytest.mark.parametrize(
    ("there", "word"), [(["refused"], "LOST"), (["taken", "taken"], "DOUBLED")]
)
def test_a_drill_fails_over_what_is_lost_or_doubled(there: list[str], word: str) -> None:
    """It says which; what was never acknowledged may be there or not."""
    require_each_once([_TAKEN, _REFUSED], ["taken"])

    with pytest.raises(AssertionError, match=f"FAILED: {word}: 1"):
        require_each_once([_TAKEN, _REFUSED], there)
