"""
What an export is made of, beside the scenes: one name and one file each.

    name ─► PIECES ─► file, and what it is      the tables of statements and questions use the names
"""

from collections.abc import Mapping

from bars_gateway.evidence.receiving import BEFORE_THE_EPR, RECEIVING
from bars_gateway.evidence.scene import Scene
from bars_gateway.evidence.sending import SENDING
from bars_gateway.frozen import frozen

SUMMARY = "summary.json"
INDEX = "index.html"
EXCHANGES = "exchanges"
ATTACHED = "attached"


@frozen(kw_only=True)
class Piece:
    """One file of an export."""

    file: str
    title: str
    about: str  # the run, the installation, or the product


PIECES: Mapping[str, Piece] = {
    "log": Piece(file="run/gateway.jsonl", title="The gateway's log", about="run"),
    "national-log": Piece(
        file="run/national.jsonl", title="The log of the sandbox's national side", about="run"
    ),
    "audit": Piece(
        file="run/audit.jsonl", title="The gateway's audit trail, line by line", about="run"
    ),
    "notices": Piece(file="run/notices.jsonl", title="What the EPR was told", about="run"),
    "metrics": Piece(file="run/metrics.txt", title="The gateway's figures at the end", about="run"),
    "figures": Piece(file="figures.json", title="How long answers took", about="both"),
    "versions": Piece(file="versions.json", title="What it is made of", about="installation"),
    "certificates": Piece(
        file="certificates.json", title="The names of its certificates", about="installation"
    ),
    "hazards": Piece(
        file="hazards.json", title="The hazard log, which nobody has signed", about="product"
    ),
    "configuration": Piece(
        file="configuration.txt", title="Its settings, without secrets", about="installation"
    ),
    "page-overview": Piece(file="pages/overview.png", title="The console: overview", about="run"),
    "page-messages": Piece(file="pages/messages.png", title="The console: messages", about="run"),
    "page-alarms": Piece(file="pages/alarms.png", title="The console: alarms", about="run"),
}
SCENES: Mapping[str, Scene] = {
    scene.name: scene for scene in (*BEFORE_THE_EPR, *RECEIVING, *SENDING)
}
