"""What `docs/safety` prints of the hazard log: its scales, each hazard, and who shows what."""

from collections.abc import Iterator

from closed_sets import meanings

from bars_gateway.safety.counters import COUNTERS
from bars_gateway.safety.desks import DESKS, FAULT_WORDS, ROUTES
from bars_gateway.safety.hazard import Hazard
from bars_gateway.safety.hazards import HAZARDS
from bars_gateway.safety.risk import MEANINGS, RATINGS, Harm, Likelihood, Risk


def scales() -> str:
    """Return what each word of the two scales means."""
    lines = ["| Harm | Meaning |", "|---|---|"]
    lines += [f"| `{word}` | {meaning} |" for word, meaning in meanings(Harm)]
    lines += ["", "| Likelihood | Meaning |", "|---|---|"]
    lines += [f"| `{word}` | {meaning} |" for word, meaning in meanings(Likelihood)]
    return "\n".join(lines)


def matrix() -> str:
    """Return how harm and likelihood are rated together, and what follows."""
    lines = [f"| | {' | '.join(Harm)} |", f"|---|{'---|' * len(Harm)}"]
    lines += [f"| {row} | {' | '.join(map(str, RATINGS[row]))} |" for row in RATINGS]
    lines += ["", "| Rating | What follows |", "|---|---|"]
    lines += [f"| {rating} | {meaning} |" for rating, meaning in MEANINGS.items()]
    return "\n".join(lines)


def summary() -> str:
    """Return every hazard in a line: before and after, and by how many tests its controls stand."""
    lines = ["| Hazard | What | Before | After | Controls | Tests |", "|---|---|---|---|---|---|"]
    for each in HAZARDS.values():
        tests = {test for control in each.controls for test in control.tests}
        counts = f"{len(each.controls)} | {len(tests)}"
        lines.append(
            f"| [{each.code}](#{each.code.lower()}) | {each.title} | {each.before} | {each.after}"
            f" | {counts} |"
        )
    return "\n".join(lines)


def hazards() -> str:
    """Return each hazard whole."""
    return "\n\n".join("\n".join(_hazard(each)) for each in HAZARDS.values())


def _hazard(hazard: Hazard) -> Iterator[str]:
    yield f'<a id="{hazard.code.lower()}"></a>'
    yield f"### {hazard.code} {hazard.title}"
    yield ""
    yield f"- **Causes:** {hazard.causes}"
    yield f"- **For a patient:** {hazard.effect}"
    yield f"- **Before:** {_risk(hazard.before)}. **After:** {_risk(hazard.after)}."
    yield f"- **Counters** of `bars-gateway safety report`: {_words(hazard.counters)}"
    yield f"- **Figures** of `/metrics`: {_words(hazard.figures)}"
    yield f"- **Not shown:** {hazard.not_shown}"
    yield f"- **Left to whoever deploys it:** {hazard.left}"
    if hazard.borne:
        yield f"- **Why no less is left:** {hazard.borne}"
    yield ""
    yield "| Control | Shown by |"
    yield "|---|---|"
    for control in hazard.controls:
        yield f"| {control.says} | {'<br>'.join(f'`{test}`' for test in control.tests)} |"


def _risk(risk: Risk) -> str:
    return f"{risk.harm}, {risk.likelihood}: **{risk.rating}**"


def _words(names: object) -> str:
    return ", ".join(f"`{name}`" for name in names)


def desks() -> str:
    """Return each desk, how it is reached, and what it asks for."""
    lines = ["| Desk | Who | How it is reached | It asks for |", "|---|---|---|---|"]
    for name, entry in DESKS.items():
        contact = entry.contact
        reached = contact.address or contact.how
        telephone = f", telephone {contact.telephone}" if contact.telephone else ""
        lines.append(f"| `{name}` | {contact.name} | {reached}{telephone} | {entry.asks} |")
    return "\n".join(lines)


def routes() -> str:
    """Return which desks are told, by whose fault it was."""
    lines = ["| The message | Whose fault | Told, after your clinical safety officer |"]
    lines.append("|---|---|---|")
    for (direction, fault), names in ROUTES.items():
        told = ", then ".join(f"`{name}`" for name in names)
        lines.append(f"| {direction} | {FAULT_WORDS[direction, fault]} | {told} |")
    return "\n".join(lines)


def counters() -> str:
    """Return what each counter counts, and in which hazards it stands."""
    lines = ["| Counter | What it counts | Read from | Hazards |", "|---|---|---|---|"]
    for name, each in COUNTERS.items():
        events = [f"`{kind}`" for kind in each.events]
        events += [f"attempts judged `{row}`" for row in each.rows]
        stands = [hazard.code for hazard in HAZARDS.values() if name in hazard.counters]
        lines.append(
            f"| `{name}` | {each.says} | {', '.join(events)} | {', '.join(stands) or 'all'} |"
        )
    return "\n".join(lines)
