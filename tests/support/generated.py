"""Resources that R4 allows, made up at random: any type, any element, awkward values."""

from typing import Any

from hypothesis import strategies as st

from bars_gateway.standard.r4 import RESOURCE, Element, Member, elements, members, resources
from bars_gateway.standard.tree import Number

DEEPEST = 3
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'

TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r &<>\"'é\u00a0\U0001f600"),
    min_size=1,
    max_size=12,
)
URIS = st.sampled_from(["https://example.org/a?b=c&d=<e>", "urn:oid:1.2", "[ODS]:[DoS]", "x"])
INSTANTS = st.sampled_from(
    ["2026-03-02T09:00:00.1234567+00:00", "2024-02-29T23:59:60Z", "1999-12-31T00:00:00.0-13:00"]
)
WHOLE = st.integers(1, 2**31 - 1).map(lambda number: Number(str(number)))

PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "base64Binary": st.sampled_from(["QUJD", "QUI=", "QQ==", "QUJD\nQUJD"]),
    "boolean": st.booleans(),
    "canonical": URIS,
    "code": st.sampled_from(["final", "a b", "x-y.z", "<="]),
    "date": st.sampled_from(["2026", "2026-03", "2024-02-29"]),
    "dateTime": st.sampled_from(["2026", "2026-03-02"]) | INSTANTS,
    "decimal": st.sampled_from(
        ["1.10", "-0.0", "53.578960", "1E-3", "100000000000000000000.1"]
    ).map(Number),
    "id": st.sampled_from(["a", "A-1.b", "0" * 64]),
    "instant": INSTANTS,
    "integer": st.integers(-(2**31), 2**31 - 1).map(lambda number: Number(str(number))),
    "markdown": TEXTS,
    "oid": st.just("urn:oid:2.16.840.1"),
    "positiveInt": WHOLE,
    "string": TEXTS,
    "time": st.sampled_from(["00:00:00", "23:59:59.999"]),
    "unsignedInt": WHOLE | st.just(Number("0")),
    "uri": URIS,
    "url": URIS,
    "uuid": st.just("urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e"),
    "xhtml": st.sampled_from(
        [
            f"{DIV}a</div>",
            f"{DIV}<p>a/></p><br/></div>",
            f"{DIV}&#160;é &amp; <!-- b --></div>",
            DIV[:-1] + "/>",
            "<h:div xmlns:h='http://www.w3.org/1999/xhtml'>\r\n<h:b>b</h:b></h:div>",
        ]
    ),
}


@st.composite
def a_resource(draw: st.DrawFn, depth: int = 0) -> dict[str, Any]:
    """Draw a resource of any type."""
    kind = draw(st.sampled_from(sorted(resources())))
    return {"resourceType": kind, **draw(content(kind, depth))}


@st.composite
def content(draw: st.DrawFn, type_name: str, depth: int) -> dict[str, Any]:
    """Draw the members of one object; the deeper, the fewer, and never none."""
    known = [
        each for each in elements(type_name) if depth < DEEPEST or not _recurs(type_name, each)
    ]
    wanted = draw(st.sets(st.sampled_from(known), min_size=1, max_size=4 if depth < DEEPEST else 1))
    found: dict[str, Any] = {}
    for element in known:
        if element.required or element in wanted:
            member = members(type_name)[draw(st.sampled_from(element.names))]
            found |= draw(standing(member, depth))
    return found


def _recurs(type_name: str, element: Element) -> bool:
    types = {members(type_name)[name].type for name in element.names}
    return not element.required and not all(name[0].islower() for name in types)


@st.composite
def standing(draw: st.DrawFn, member: Member, depth: int) -> dict[str, Any]:
    """Draw what stands under a name, and what extends it."""
    if not member.is_primitive:
        one = a_resource(depth + 2) if member.type == RESOURCE else content(member.type, depth + 1)
        return {member.name: draw(st.lists(one, min_size=1, max_size=2) if member.many else one)}
    values = st.sampled_from(sorted(member.codes)) if member.codes else PRIMITIVES[member.type]
    if member.type == "xhtml" or member.is_attribute:
        return {member.name: draw(values)}
    extended = content("Element", max(depth, DEEPEST))
    pair = st.tuples(values, st.none()) | st.tuples(values, extended)
    pairs = draw(st.lists(pair | st.tuples(st.none(), extended), min_size=1, max_size=3))
    if not member.many:
        return _told_apart(member.name, *pairs[0])
    bare, under = zip(*pairs, strict=True)
    return _told_apart(
        member.name,
        None if all(each is None for each in bare) else list(bare),
        None if all(each is None for each in under) else list(under),
    )


def _told_apart(name: str, value: Any, extended: Any) -> dict[str, Any]:
    both = {name: value, f"_{name}": extended}
    return {key: item for key, item in both.items() if item is not None}
