"""
An EPR by folders: drops one message, and takes away what comes until its outcome is here.

    python examples/epr_by_folders.py spool referral.json received

The first folder is the provider's `spool_dir`. Python's own library is enough.
"""

import json
import shutil
import sys
import time
import uuid
from pathlib import Path


def drop(outbox: Path, message: Path) -> str:
    """Hand the message over and return its name. A name is used once."""
    stem = str(uuid.uuid4())
    half = outbox / "tmp" / f"{stem}{message.suffix}"
    shutil.copyfile(message, half)
    half.rename(outbox / "new" / half.name)  # in one instant: nobody reads half a file
    return stem


def receipt(outbox: Path, stem: str) -> str:
    """Wait until the message is on the gateway's disk, and return its request id."""
    accepted = outbox / "accepted" / f"{stem}.receipt.json"
    refused = outbox / "refused" / f"{stem}.reason.json"
    while not accepted.exists():
        if refused.exists():  # it says every rule that is broken, and where
            reason = refused.read_text("utf-8")
            refused.unlink()  # what is left lying counts as unread, and wakes an operator
            sys.exit(reason)
        time.sleep(0.2)
    return json.loads(accepted.read_bytes())["request_id"]


def take(inbox: Path, received: Path, last: Path) -> tuple[str, str]:
    """Take away one notice and what belongs to it; *last* was written last, and goes last."""
    number, what = last.name.split(".")[:2]
    for file in sorted(inbox.glob(f"{number}.*"), key=last.__eq__):
        shutil.move(file, received / file.name)  # a real EPR files it with the patient
    about = f"{number}.notice.json" if what == "message" else last.name
    told = json.loads((received / about).read_bytes())  # after a crash it was here before
    print(f"{told['kind']}: {told['means']}", flush=True)  # people are shown what it means
    return told["kind"], told["request_id"]


def main(spool: Path, message: Path, received: Path) -> None:
    if json.loads((spool / "contract.json").read_bytes())["tells"] != "folder":
        sys.exit('set notices = "folder": they come by the socket')
    received.mkdir(parents=True, exist_ok=True)
    mine = receipt(spool / "outbox", drop(spool / "outbox", message))
    while True:  # a real EPR never ends
        for file in sorted((spool / "inbox" / "new").iterdir()):
            if file.name.split(".")[1] in {"notice", "answer"}:
                continue  # these come first: what they belong to follows
            if take(file.parent, received, file) == ("outcome", mine):
                return
        time.sleep(0.2)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
