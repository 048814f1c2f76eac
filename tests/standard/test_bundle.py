"""Reading a Bundle: what it says, and what is no Bundle."""

import json
from contextlib import suppress
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import RECEIVER, SENDER, referral, validation_request

from bars_gateway.standard import bundle, xml
from bars_gateway.standard.bundle import (
    MalformedBundle,
    Number,
    bare_id,
    from_json,
    instant,
    read,
    renewed,
)
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.tree import MAX_ELEMENTS, MAX_OBJECTS


def test_a_request_says_what_it_is() -> None:
    """The fields that BaRS steers by, whatever else is in it."""
    needed_by = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    message = read(
        validation_request(bundle_id="A" * 8 + "-0000-4000-8000-" + "B" * 12, needed_by=needed_by)
    )

    assert ("servicerequest-request", "new", "validation", "a4t1") == (
        message.event,
        message.reason,
        message.category,
        message.use_case,
    )
    assert ("ServiceRequest", "active", None) == (
        message.focus_type,
        message.focus_status,
        message.focus_id,
    )
    assert (SENDER, (RECEIVER,)) == (message.source, message.destinations)
    assert needed_by == message.needed_by
    assert "aaaaaaaa-0000-4000-8000-bbbbbbbbbbbb" == message.bundle_id


SUPPLIERS = {"system": "https://supplier.example/reasons", "code": "new"}


@pytest.mark.parametrize("place", [0, 1])
def test_the_reason_is_the_standards_wherever_a_suppliers_stands(place: int) -> None:
    """One that was read by its place would make a second record of what changes the first."""
    tree = json.loads(validation_request(reason="update"))
    tree["entry"][0]["resource"]["reason"]["coding"].insert(place, SUPPLIERS)

    assert "update" == read(json.dumps(tree).encode()).reason


@pytest.mark.parametrize("place", [1, 2])
def test_what_a_message_is_about_is_its_focus_and_no_request_beside_it(place: int) -> None:
    """Another ServiceRequest says nothing of use case, category, time or id, wherever it stands."""
    tree = json.loads(validation_request(needed_by=datetime(2026, 3, 2, 12, 30, tzinfo=UTC)))
    told = read(json.dumps(tree).encode())
    tree["entry"].insert(
        place,
        {
            "fullUrl": "urn:uuid:0d1d0c52-0000-4000-8000-000000000001",
            "resource": {"resourceType": "ServiceRequest", "id": "another"},
        },
    )
    found = read(json.dumps(tree).encode())

    assert [told.use_case, told.category, told.needed_by, told.request_id] == [
        found.use_case,
        found.category,
        found.needed_by,
        found.request_id,
    ]


def test_a_urn_in_capitals_is_the_same() -> None:
    """So RFC 8141 has it, and so some libraries write it."""
    assert "6f1d0c52-0000-4000-8000-00000000000a" == bare_id(
        "URN:UUID:6F1D0C52-0000-4000-8000-00000000000A"
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "not valid JSON", id="empty"),
        pytest.param(b"{", "not valid JSON: line 1", id="cut-off"),
        pytest.param(b'{"x": {"y": 1', "column 14, where it ends before it is", id="cut-in-object"),
        pytest.param(b'{"x": "y', "where it ends before it is complete", id="cut-in-string"),
        pytest.param(b'{"x": y}', "line 1, column 7", id="wrong-within"),
        pytest.param(b"[]", "not a JSON object", id="a-list"),
        pytest.param(b'{"resourceType":"Patient"}', "not a Bundle", id="another-resource"),
        pytest.param(
            b'{"resourceType":"Bundle","id":"a","id":"b"}', "stands twice", id="duplicate-member"
        ),
        pytest.param(b'{"resourceType":"Bundle","x":NaN}', "not valid JSON", id="not-a-number"),
        pytest.param(b'{"resourceType":"Bundle","x":"\\ud800"}', "not valid JSON", id="surrogate"),
        pytest.param(
            b'{\n"resourceType":"Bundle","x":"\x92"}',
            "not in UTF-8 (line 2, byte offset 31); it may be in Windows-1252",
            id="windows-1252",
        ),
        *(
            pytest.param(
                '{"resourceType":"Bundle"}'.encode(name), f"body is in {name[:6]},", id=name
            )
            for name in ("UTF-16", "UTF-16-LE", "UTF-16-BE", "UTF-32", "UTF-32-LE", "UTF-32-BE")
        ),
        pytest.param(b'{"x":' * 70 + b"1" + b"}" * 70, "deeper than 64", id="deep"),
        pytest.param(
            b'{"x":' * 300 + b"1" + b"}" * 300, "deeper than 64", id="deeper-than-can-be-written"
        ),
        pytest.param(b'{"x":' * 20000 + b"1" + b"}" * 20000, "", id="very-deep"),
        pytest.param(b'{"resourceType":"Bundle","entry":{}}', "not a list", id="entry-no-list"),
        pytest.param(b'{"resourceType":"Bundle","entry":[{}]}', "no resource", id="entry-empty"),
    ],
)
def test_what_is_no_bundle_is_refused_with_a_reason(body: bytes, words: str) -> None:
    """Malformed input ends in one error that names the place, never in a crash."""
    with pytest.raises(MalformedBundle) as caught:
        read(body)

    assert words in str(caught.value)
    assert "B01" == caught.value.issue.rule


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"resourceType":"Bundle","id":"a","id":"b"}', "Bundle.id"),
        (b'{"id":"a","resourceType":"Patient","id":"b"}', "Patient.id"),
        (b'{"resourceType":"Bundle","entry":[{},{"resource":{"_id":1,"_id":2}}]}',
         "Bundle.entry[1].resource._id"),
        (b'{"entry":[[{"CANARY":{"CANARY":1,"CANARY":2}}]]}', "Bundle.entry[0][0].?.?"),
        (b'{"meta":{"id":1,"id":2},"meta":3}', "Bundle.meta"),
    ],
)  # fmt: skip
def test_a_member_that_stands_twice_is_named(body: bytes, path: str) -> None:
    """The outermost, by its path; a name that R4 does not know is not shown."""
    with pytest.raises(MalformedBundle) as caught:
        read(body)

    assert path == caught.value.issue.path


STRANGE = [
    *(
        "1e999",
        "-1e999",
        "1E+400",
        "1e-999",
        "9" * 400,
        "9" * 300 + ".5",
        "-0",
        "1E5",
        "1.20",
        "1.",
    ),
    *("01", "-", "+1", ".5", "1e", "NaN", "Infinity", "-Infinity", "nan", "tru", "[1,]", "[1]x"),
    *('"\\ud800"', '"\\uDC00\\uD800"', '"\\ud83d\\ude00"', '"\\ud83dx"', '"\\u00e9"', '"\\x"'),
    *('"\x01"', '"\x7f"', '"\u2028"', "\u00a01", "'a'", "{1:2}", '{"a":1', "", "\f1", "/**/1"),
]


@pytest.mark.parametrize("value", STRANGE, ids=ascii)
def test_a_long_body_is_refused_for_what_a_short_one_is(value: str) -> None:
    """Which of the two readers looks at it depends on its length, and what it finds does not."""
    padding = "x" * 2 * MAX_OBJECTS
    bodies = [f'{{"y":"{pad}","x":{value}}}'.encode() for pad in ("", padding)]

    def fate(body: bytes) -> str:
        try:
            return repr(from_json(body)["x"])
        except MalformedBundle as error:
            return str(error).partition(":")[0]

    short, long = map(fate, bodies)

    assert short == long


def test_a_long_body_is_not_read_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever else runs in this process would stand meanwhile."""
    body = b'{"x":"%s"}' % (b"x" * 2 * MAX_OBJECTS)
    monkeypatch.setattr(bundle, "orjson", None)

    assert ["x"] == list(from_json(body))


def test_a_byte_order_mark_is_passed_over() -> None:
    """.NET and PowerShell write one, before JSON too."""
    body = referral()

    assert read(body) == read(b"\xef\xbb\xbf" + body)


def test_a_reason_holds_nothing_of_the_body() -> None:
    """The text of a refusal is read by people who may not see the patient."""
    with pytest.raises(MalformedBundle) as caught:
        read(b'{"resourceType":"Bundle","name":"CANARY" CANARY}')

    assert "CANARY" not in str(caught.value)


def test_numbers_are_kept_as_they_were_written() -> None:
    """1.10 is not 1.1: a clinical decimal has a precision."""
    body = json.loads(referral())
    text = json.dumps(body).replace('"type": "message"', '"type": "message", "total": 1.10')

    assert Number("1.10") == read(text.encode()).root["total"]


def test_xml_is_read_like_json() -> None:
    """The same message in either format: the same fields, the same resources."""
    body = validation_request()
    twin = xml.from_tree(from_json(body))

    assert read(body) == read(twin, "application/fhir+xml; charset=utf-8")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_crash_the_reader(body: bytes) -> None:
    """Whatever comes, it is a message or a refusal."""
    with suppress(MalformedBundle):
        read(body)


def an_object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{name}" :{value}' for name, value in members) + "}"


def each_once(members: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(members)) < len(members):
        raise MalformedBundle("stands twice")
    return dict(members)


NUMBERS = (
    "0 -0 7 -1 1.0 1.20 120.0 -0.0 0.1 1e5 1E5 1e+2 1e-7 1e16 5e-324 1e400 2147483648"
    " 18446744073709551615 18446744073709551616 -9223372036854775809 0.30000000000000004"
).split()
WRITTEN = st.recursive(
    st.sampled_from(
        [*NUMBERS, "true", "null", '"a, 1.20, b"', '"\\u00e9"', '"\\/"', '"\\":"', '"1"']
    )
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6).map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]")
        | st.lists(st.tuples(st.sampled_from("abc"), inner), max_size=3).map(an_object)
    ),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.sampled_from("abc"), WRITTEN), max_size=4).map(an_object))
def test_nothing_is_lost_of_what_was_written(text: str) -> None:
    """Numbers stay as they were written, and nobody chooses between two of one name."""
    exact = None
    with suppress(MalformedBundle, orjson.JSONDecodeError):
        orjson.loads(text)
        exact = json.loads(text, parse_int=Number, parse_float=Number, object_pairs_hook=each_once)
    found = None
    with suppress(MalformedBundle):
        found = from_json(text.encode())

    assert exact == found


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=15,
)


@pytest.mark.exhaustive
@given(
    st.dictionaries(
        st.sampled_from(["id", "meta", "type", "entry", "timestamp"]), JSON_VALUES, max_size=5
    ),
    st.lists(
        st.dictionaries(
            st.sampled_from(
                ["resourceType", "focus", "destination", "source", "reason", "response", "category"]
            ),
            JSON_VALUES,
        ),
        max_size=3,
    ),
)
def test_no_shape_crashes_the_reader(root: dict[str, object], resources: list[object]) -> None:
    """Elements of the wrong type are read as missing: a rule names them later."""
    entries = [{"resource": resource} for resource in resources]
    bundle = root | {"resourceType": "Bundle"}
    if resources:
        bundle["entry"] = entries
    with suppress(MalformedBundle):
        read(json.dumps(bundle).encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02T09:00:00Z", datetime(2026, 3, 2, 9, tzinfo=UTC)),
        ("2026-03-02T10:00:00.8185338+01:00", datetime(2026, 3, 2, 9, 0, 0, 818533, tzinfo=UTC)),
        ("2026-03-02T09:00:00", None),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2017-01-01T00:59:60.5+01:00", datetime(2017, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:60Z", None),
        ("2026-03-02", None),
        ("2026-03", None),
        ("2026-02-30T09:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_instants_have_an_offset_and_any_number_of_digits(
    text: str, expected: datetime | None
) -> None:
    """Seven decimals, as BaRS writes them, are read; a time without an offset is none."""
    assert expected == instant(text)


def test_of_two_entries_with_one_url_the_first_is_meant() -> None:
    """A rule says that there are two; whoever follows the reference needs one."""
    entries = [
        {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Flag", "id": name}}
        for name in ("first", "second")
    ]
    message = read(json.dumps({"resourceType": "Bundle", "entry": entries}).encode())
    found = message.resolve("urn:uuid:1")

    assert found is not None
    assert "first" == found.resource["id"]
    assert message.resolve("") is None


def test_a_reference_means_the_entry_that_it_names_and_no_other() -> None:
    """Ids may have dots, and two servers the same ids: what ends alike is another patient."""
    urls = ["https://a.example/Patient/1-1", "https://a.example/Patient/1.1", "Patient/7"]
    entries = [{"fullUrl": url, "resource": {"resourceType": "Patient", "id": url}} for url in urls]
    message = read(json.dumps({"resourceType": "Bundle", "entry": entries}).encode())
    found = [each and each.full_url for each in map(message.resolve, [*urls, "Patient/1.1"])]

    assert [*urls, None] == found


@pytest.mark.exhaustive
@pytest.mark.parametrize("written", ["json", "xml"])
def test_a_body_that_nobody_could_look_at_in_time_is_refused(written: str) -> None:
    """Before anything follows its references: 413, and what to do."""
    if written == "json":
        body = b'{"resourceType": "Bundle", "entry": [' + b"{}," * MAX_OBJECTS + b"{}]}"
    else:
        many = b'<link><relation value="x"/></link>' * (MAX_ELEMENTS // 2 + 2)
        body = b'<Bundle xmlns="http://hl7.org/fhir">' + many + b"</Bundle>"
    with pytest.raises(MalformedBundle, match="more elements") as refused:
        read(body, f"application/fhir+{written}")

    assert (413, "too-costly") == (refused.value.issue.http_status, refused.value.issue.issue)


NEW = "0b0f3c1e-8a55-4b0a-9d4e-5f7a5f3f1d11"
XML = "application/fhir+xml"
JSON = "application/fhir+json"


def in_xml(body: bytes) -> bytes:
    return to_bytes(from_json(body), Format.XML)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        pytest.param(referral(), JSON, id="json"),
        pytest.param(in_xml(referral()), XML, id="xml"),
        pytest.param(
            b'{ "entry" : [ {"resource": {"id": "inner", "n": 1.10}} ],\n'
            b'  "x": "\\"id\\": {", "id" : "outer", "resourceType": "Bundle" }',
            JSON,
            id="id-after-others",
        ),
    ],
)
def test_nothing_but_the_id_changes(body: bytes, media_type: str) -> None:
    """The old id put back gives the bytes that there were."""
    before = read(body, media_type).root["id"]
    changed = renewed(body, media_type, NEW)

    assert NEW == read(changed, media_type).root["id"]
    assert body == changed.replace(NEW.encode(), str(before).encode(), 1)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        pytest.param(b'{"resourceType":"Bundle","entry":[{"id":"x"}]}', JSON, id="none"),
        pytest.param(b'{"resourceType":"Bundle","id":7}', JSON, id="no-text"),
        pytest.param(
            b'<Bundle xmlns="http://hl7.org/fhir"><!-- <id value="a"/> --><id value="b"/></Bundle>',
            XML,
            id="comment",
        ),
    ],
)
def test_an_id_that_cannot_be_told_is_left_alone(body: bytes, media_type: str) -> None:
    """Rather no resend than one with something else replaced."""
    with pytest.raises(MalformedBundle):
        renewed(body, media_type, NEW)


NAMES = {
    "Bundle.id": lambda tree, name: tree.update(id=name),
    "Bundle.entry[0].resource.source.endpoint": lambda tree, name: header_of(tree).update(
        source={"endpoint": name}
    ),
    "Bundle.entry[0].resource.destination[0].endpoint": lambda tree, name: header_of(tree).update(
        destination=[{"endpoint": name}]
    ),
    "Bundle.entry[0].resource.response.identifier": lambda tree, name: header_of(tree).update(
        response={"identifier": name, "code": "ok"}
    ),
}


def header_of(tree):
    return tree["entry"][0]["resource"]


@pytest.mark.parametrize("name", ["x" * 1001, "ü" * 501, "a\0b"], ids=["long", "wide", "NUL"])
@pytest.mark.parametrize("path", sorted(NAMES))
def test_what_no_database_finds_anything_by_is_refused_with_its_place(path, name):
    """An index holds no more than that; and what is as long as it may be is read."""
    tree = json.loads(referral())
    NAMES[path](tree, name)
    with pytest.raises(MalformedBundle) as refused:
        read(json.dumps(tree).encode())
    NAMES[path](tree, "x" * 1000)

    assert path == refused.value.issue.path
    assert read(json.dumps(tree).encode())
