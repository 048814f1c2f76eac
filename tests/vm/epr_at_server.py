"""
An EPR on the machine that a share is of: it works in the folder itself, and not through the share.

    bodies/N.json ─► outbox/new     outbox/accepted/N.receipt.json ─► `receipt N X-Request-Id`
                                    inbox/new/N.KIND.json ──────────► `KIND N X-Request-Id`, removed

    python3 epr_at_server.py BODIES SPOOL PAUSE

It hands over one body after the other, with a pause between, and prints each thing once. On SIGTERM
it hands over no more, and ends once it has the receipt and the outcome of each.
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
        os.fsync(file.fileno())
    half.chmod(0o640)
    half.rename(outbox / "new" / body.name)


class Told:
    """What the EPR has been told, by name of the file; each is printed once."""

    def __init__(self, spool: Path) -> None:
        self._accepted, self._inbox = spool / "outbox" / "accepted", spool / "inbox" / "new"
        self.receipts: dict[str, str] = {}
        self.outcomes: set[str] = set()

    def look(self) -> None:
        """Take what is new."""
        for file in self._accepted.glob("*.receipt.json"):
            if file.name not in self.receipts:
                self.receipts[file.name] = str(json.loads(file.read_bytes())["request_id"])
                print("receipt", file.name.split(".")[0], self.receipts[file.name], flush=True)
        for file in sorted(self._inbox.glob("*.json")):
            number, kind, _ = file.name.split(".")
            if kind in {"notice", "outcome"}:
                told = json.loads(file.read_bytes())
                print(told["kind"], number, told["request_id"], flush=True)
                if kind == "outcome":
                    self.outcomes.add(str(told["request_id"]))
            file.unlink()


def main(bodies: Path, spool: Path, pause: float) -> None:
    """Hand over until it is enough, and until everything was told."""
    enough: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: enough.append(number))
    while not (spool / "inbox" / "new").is_dir():
        time.sleep(0.2)
    told, waiting, next_at = Told(spool), sorted(bodies.iterdir()), 0.0
    while waiting and not enough:
        if time.monotonic() >= next_at:
            drop(waiting.pop(0), spool / "outbox")
            next_at = time.monotonic() + pause
        told.look()
        time.sleep(0.2)
    handed_over = len(list(bodies.iterdir())) - len(waiting)
    while len(told.receipts) < handed_over or not told.outcomes.issuperset(told.receipts.values()):
        told.look()
        time.sleep(0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
