"""What `docs/http.md` prints of the socket's OpenAPI document: its operations and its schemas."""

from collections.abc import Iterator, Mapping
from typing import Any

from bars_gateway.epr.openapi import document

Schema = Mapping[str, Any]
EVERYWHERE = {"500", "503"}  # the page says so once


def operations() -> str:
    """Return every operation: what it is for, its parameters, its body and its answers."""
    parts = []
    for path, methods in document()["paths"].items():
        for method, each in methods.items():
            parts.append("\n".join(_operation(f"{method.upper()} {path}", each)))
    return "\n\n".join(parts)


def _operation(name: str, each: Schema) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield f"{each['summary'].rstrip('.')}. {each.get('description', '')}".rstrip()
    if parameters := each.get("parameters", []):
        yield from ("", "| Parameter | In | Needed | What it is |", "|---|---|---|---|")
        for one in parameters:
            needed = "yes" if one["required"] else "-"
            yield f"| `{one['name']}` | {one['in']} | {needed} | {_cell(one['description'])} |"
    if body := each.get("requestBody"):
        yield f"\nBody: {_contents(body['content'])}"
    yield from ("", "| Status | Means | Body |", "|---|---|---|")
    for status, answer in each["responses"].items():
        if status not in EVERYWHERE or "content" not in answer or "theirs" in answer["description"]:
            holds = _contents(answer.get("content", {}))
            yield f"| {status} | {_cell(answer['description'])} | {holds} |"


def _contents(content: Schema) -> str:
    found = {kind: _type(each["schema"]) for kind, each in content.items()}
    if set(found) - {"*/*"} == {"application/json"}:
        return found["application/json"]
    return " or ".join(f"`{kind}`" for kind in found if kind != "*/*")


def schemas() -> str:
    """Return every document: its members, and what each is."""
    parts = [
        "\n".join(_schema(name, each))
        for name, each in sorted(document()["components"]["schemas"].items())
    ]
    return "\n\n".join(parts)


def _schema(name: str, each: Schema) -> Iterator[str]:
    yield f"### {name}\n"
    if said := each.get("description"):
        yield f"{said[0].upper()}{said[1:].rstrip('.')}.\n"
    members = each.get("properties")
    if members is None:
        yield _type(each)
        return
    yield from ("| Member | Type | What it is |", "|---|---|---|")
    optional = set(members) - set(each.get("required", ()))
    for member, one in members.items():
        may = ", may be left out" if member in optional else ""
        yield f"| `{member}` | {_type(one)}{may} | {_cell(_said_of(one))} |"


def _said_of(schema: Schema) -> str:
    """Return what a member is: by its own words, or by those of the document that it is."""
    if "$ref" not in schema:
        return str(schema.get("description", ""))
    said = str(
        document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["description"]
    )
    return f"{said[0].lower()}{said[1:].rstrip('.')}"


def _type(schema: Schema) -> str:
    """Return what a value is, in a few words, with links to the documents that it names."""
    if not schema:
        return "anything"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[several]))
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return ", ".join("null" if each is None else f"`{each}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kinds = schema.get("type", [])
    named = [kinds] if isinstance(kinds, str) else list(kinds)
    if "array" in named:
        listed = _type(schema.get("items", {}))
        named[named.index("array")] = f"list of {listed}" if listed else "list"
    if "string" in named and (form := schema.get("format")):
        named[named.index("string")] = {"date-time": "instant", "uuid": "UUID"}.get(form, form)
    return " or ".join(named)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
