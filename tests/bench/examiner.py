"""
Examines messages with whatever build it is run with (`examining`).

    path, media type, service, times ──► the processor's milliseconds for each, by line

This is the only place where the benchmarks look into the package of another build.
"""

import json
import sys
import time
from pathlib import Path

try:
    from bars_gateway.standard.applications import Offer
    from bars_gateway.standard.examination import examine
    from bars_gateway.standard.rule import Side
except ImportError as error:
    sys.exit(f"This build has its examination elsewhere ({error}): examiner.py has to learn where.")

VERSIONS = {f"a{number}": ("1.0.0", "2.0.0") for number in range(1, 9)}


def milliseconds(path: str, media_type: str, service: str, times: int) -> float:
    """Return what one examination costs."""
    body = Path(path).read_bytes()
    offer = Offer(services=frozenset({service}), applications=VERSIONS)
    if found := examine(body, media_type, Side.RECEIVING, offer).issues:
        sys.exit(f"The message is not sound for this build: {found[0]}")
    started = time.process_time()
    for _ in range(times):
        examine(body, media_type, Side.RECEIVING, offer)
    return (time.process_time() - started) * 1000 / times


for line in sys.stdin:
    print(milliseconds(*json.loads(line)), flush=True)
