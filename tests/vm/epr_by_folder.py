"""
An EPR of the folders inside the machine, whose memory is outside: each receipt is told at once.

    bodies/N.json ─► outbox/new        outbox/accepted/N.receipt.json ─► `N X-Request-Id`, printed

    python3 epr_by_folder.py BODIES SPOOL

It begins anew with the machine, knows nothing of before, and prints each receipt that is there:
what was printed before a power cut has to be printed again. On SIGTERM it ends, with the receipt of
what it has handed over. Python's own library is enough.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def drop(body: Path, outbox: Path) -> None:
    """Hand a message over as the contract asks: whole, and by renaming it."""
    half = outbox / "tmp" / body.name
    with half.open("wb") as file:
        file.write(body.read_bytes())
        file.flush()
        os.fsync(file.fileno())  # else a power cut may leave a name with nothing in it
    half.chmod(0o640)
    half.rename(outbox / "new" / body.name)


def receipt(body: Path, outbox: Path) -> str | None:
    """Return the X-Request-Id of a message that was taken; None: it was not, yet."""
    try:
        found = (outbox / "accepted" / f"{body.stem}.receipt.json").read_bytes()
    except FileNotFoundError:
        return None
    return str(json.loads(found)["request_id"])


def main(bodies: Path, spool: Path) -> None:
    """Hand over one after the other, for as long as the machine runs or until it is enough."""
    outbox = spool / "outbox"
    enough: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: enough.append(number))
    while not (outbox / "accepted").is_dir():
        time.sleep(0.2)
    for body in sorted(bodies.iterdir()):
        if enough:
            return
        dropped = False
        while (request_id := receipt(body, outbox)) is None:
            if not dropped and not (outbox / "new" / body.name).exists():
                drop(body, outbox)
            dropped = True
            time.sleep(0.1)
        print(body.stem, request_id, flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
