"""
An EPR by the socket: sends a message, takes what comes until its outcome, and answers questions.

    python examples/epr_by_socket.py run/trust.sock referral.json received

Settings of the provider: notices = "socket", questions = "socket". Python's own library is enough.
"""

import contextlib
import http.client
import json
import socket
import sys
import threading
import time
from pathlib import Path


class Gateway(http.client.HTTPConnection):
    """The gateway's HTTP, by a Unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.host)

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "json") -> bytes:
        """Ask until there is an answer: the same bytes are one message, however often they come."""
        while True:
            head = {"Host": "gateway", "Content-Type": f"application/{kind}"}
            try:
                self.request(method, path, body, head)
                content = (answer := self.getresponse()).read()
                if answer.status not in {408, 500, 503}:
                    break
            except (OSError, http.client.HTTPException) as error:  # the gateway is away
                print(f"{method} {path}: {error}", file=sys.stderr, flush=True)
                self.close()
            time.sleep(1)
        if answer.status >= 400:  # the body says what is wrong, and the cure
            raise ValueError(f"{method} {path}: {content.decode()}")
        return content


def answer_questions(gateway: Gateway) -> None:
    """Decide each booking, change and read that others ask for: they wait for 4.5 s."""
    after = 0
    while True:
        asked = gateway.ask("GET", f"/questions?wait=30&after={after}")
        for each in json.loads(asked)["questions"]:
            at, after = f"/questions/{each['question_id']}", each["question_id"]
            decision = {"refuse": "not-supported"}  # here a real EPR looks into its diary
            with contextlib.suppress(ValueError):  # nobody waits for it any more
                if each["media_type"]:  # of what it says yes to, no notice comes: it keeps this
                    gateway.ask("GET", f"{at}/request")
                gateway.ask("POST", f"{at}/answer", json.dumps(decision).encode())


def main(path: str, message: Path, received: Path) -> None:
    if json.loads(Gateway(path).ask("GET", "/contract"))["tells"] != "socket":
        sys.exit('set notices = "socket": they come by folder')
    received.mkdir(parents=True, exist_ok=True)
    threading.Thread(target=answer_questions, args=[Gateway(path)], daemon=True).start()
    gateway, kind = Gateway(path), f"fhir+{message.suffix[1:]}"
    mine = json.loads(gateway.ask("POST", "/messages", message.read_bytes(), kind))["request_id"]
    while True:  # a real EPR never ends
        for each in json.loads(gateway.ask("GET", "/notices?wait=30"))["notices"]:
            number, what = each["notice_id"], each["kind"]
            parts = {"message": what in {"message", "amended"}, "answer": each["answer_media_type"]}
            for part in filter(parts.get, parts):  # on disk first, collected second
                body = gateway.ask("GET", f"/notices/{number}/{part}")
                (received / f"{number}.{part}").write_bytes(body)
            print(f"{what}: {each['means']}", flush=True)  # people are shown what it means
            gateway.ask("POST", f"/notices/{number}/collected")
            if (what, each["request_id"]) == ("outcome", mine):
                return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
