"""
Measures what it costs to say everything that is wrong with a message: `make bench`.

Of messages on which nothing is wrong, which is what nearly all are: every look is taken
then, and none ends early. Reading is shown beside it, for the time that it takes is
not the rules'.
"""

import json
import statistics
import time
from collections.abc import Callable

from bars_gateway.demo.messages import RECEIVER, SENDER, referral
from bars_gateway.standard import bundle, rules, structure, xml
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.examination import examine
from bars_gateway.standard.rule import Side

ROUNDS = 200
SERVICES = frozenset({RECEIVER, SENDER})
OFFER = Offer(services=SERVICES, applications={f"a{n}": ("1.0.0", "2.0.0") for n in range(1, 9)})


def message_of(size: int) -> bytes:
    """Return a referral of that many bytes as compact JSON, with observations to fill it."""
    document = json.loads(referral())
    pattern = {
        "resourceType": "Observation",
        "meta": {
            "lastUpdated": document["meta"]["lastUpdated"],
            "profile": ["https://fhir.hl7.org.uk/StructureDefinition/UKCore-Observation"],
        },
        "status": "final",
        "code": {
            "coding": [{"system": "http://snomed.info/sct", "code": "75367002", "display": "x"}]
        },
        "subject": {"reference": document["entry"][4]["fullUrl"]},
        "effectiveDateTime": "2026-11-23T09:00:00+00:00",
        "valueQuantity": {"value": 120.0, "unit": "mmHg", "system": "http://unitsofmeasure.org"},
    }
    while len(json.dumps(document)) < size:
        url = f"urn:uuid:{len(document['entry']):08d}-0000-4000-8000-000000000001"
        document["entry"].append({"fullUrl": url, "resource": pattern})
    return json.dumps(document).encode()


def milliseconds(work: Callable[[], object]) -> str:
    spent = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        spent.append((time.perf_counter() - started) * 1000)
    spent.sort()
    return f"{statistics.median(spent):6.2f} ms p50  {spent[int(ROUNDS * 0.99)]:6.2f} ms p99"


def measure(title: str, body: bytes, media_type: str) -> None:
    is_xml = "xml" in media_type
    tree = xml.to_tree(body).tree if is_xml else bundle.from_json(body)
    assert not examine(body, media_type, Side.RECEIVING, OFFER).issues, "the message is not sound"

    def structure_alone() -> None:
        structure.check(xml.to_tree(body).tree if is_xml else tree)

    def structure_and_rules() -> None:
        structure.check(tree)
        rules.check(bundle.said_by(tree), Side.RECEIVING, OFFER)

    def everything() -> None:
        examine(body, media_type, Side.RECEIVING, OFFER)

    size = f"{title}, {len(body) / 1000:.0f} kB"
    what = "reading and structure" if is_xml else "structure"
    print(f"  {size:14} {what:21} {milliseconds(structure_alone)}")
    print(f"  {size:14} structure and rules   {milliseconds(structure_and_rules)}")
    print(f"  {size:14} with reading          {milliseconds(everything)}")


def main() -> None:
    print(f"Everything that is wrong with a message, {ROUNDS} times each")
    measure("JSON", message_of(30_000), "application/fhir+json")
    tree = bundle.from_json(message_of(52_000))
    measure("XML", xml.from_tree(tree), "application/fhir+xml")


if __name__ == "__main__":
    main()
