"""What the proxy refuses by itself: each row of its table, its order, its fixed ids."""

import pytest
from national_side import REQUEST_ID
from sandbox.around import encoded, target

from bars_gateway.sandbox.proxy import accepted_version

BASE64, SCHEMA = "76825bab-2cab-432a-b881-66ec070981d8", "da38f50a-160a-4e5d-8e77-117b0759053a"
SCRIPT, NO_IDS = "b38b875b-a1cf-4104-a900-3a5d3ce474db", "42c78e78-c06a-462a-8194-956e6a8dc4a2"
COMMON = "531e073a-3295-4e67-ae90-e00bd96a9cdd"
TARGET = "NHSD-Target-Identifier"


async def revoked(box):
    await box.token()
    box.sandbox.tokens.revoke_all()


async def expired(box):
    await box.token()
    box.clock.advance(599)


async def not_enabled(box):
    registry = box.sandbox.registry
    await registry.register("trust", [], box.trust.url, box.clock.now(), enabled=False)


async def as_it_is(_box):
    pass


@pytest.mark.parametrize(
    ("before", "arguments", "expected", "fixed_id"),
    [
        pytest.param(
            as_it_is,
            {"without": ["Authorization"]},
            (401, "unknown", "SEND_UNAUTHORIZED"),
            "e1112dbd-7aaf-412e-9b94-ef6e047d2d92",
            id="1-no-token",
        ),
        pytest.param(
            as_it_is,
            {"Authorization": ""},
            (401, "unknown", "SEND_UNAUTHORIZED"),
            "e1112dbd-7aaf-412e-9b94-ef6e047d2d92",
            id="1-empty",
        ),
        pytest.param(
            as_it_is,
            {"Authorization": "Basic YTpi"},
            (401, "unknown", "SEND_UNAUTHORIZED"),
            "e1112dbd-7aaf-412e-9b94-ef6e047d2d92",
            id="1-not-bearer",
        ),
        pytest.param(
            revoked,
            {},
            (401, "security", "SEND_UNAUTHORIZED"),
            "d7aaf12e-7b94-4ef6-b047-d2d92981b1cd",
            id="2-unknown-token",
        ),
        pytest.param(
            expired,
            {},
            (401, "security", "SEND_UNAUTHORIZED"),
            "d7aaf12e-7b94-4ef6-b047-d2d92981b1cd",
            id="3-expired",
        ),
        pytest.param(
            not_enabled,
            {},
            (403, "forbidden", "SEND_FORBIDDEN"),
            "3ce474db-cbc8-4682-a5ab-ca2a4eda1dae",
            id="4-no-product",
        ),
        pytest.param(
            as_it_is,
            {"Accept": "application/fhir+json; version"},
            (500, "exception", "REC_SERVER_ERROR"),
            SCRIPT,
            id="5-version-alone",
        ),
        pytest.param(
            as_it_is,
            {"without": ["X-Request-Id"]},
            (400, "invalid", "BAD_REQUEST"),
            NO_IDS,
            id="6-no-request-id",
        ),
        pytest.param(
            as_it_is,
            {"without": ["X-Correlation-Id"]},
            (400, "invalid", "BAD_REQUEST"),
            NO_IDS,
            id="6-no-correlation-id",
        ),
        pytest.param(
            as_it_is,
            {"path": "/DocumentReference", "Accept": "application/fhir+json; version=1.0.9"},
            (406, "processing", "SEND_NOT_ACCEPTABLE"),
            COMMON,
            id="7-old-version",
        ),
        pytest.param(
            as_it_is,
            {"path": "/DocumentReference", "Accept": ""},
            (406, "processing", "SEND_NOT_ACCEPTABLE"),
            COMMON,
            id="7-no-version",
        ),
        pytest.param(
            as_it_is,
            {"without": [TARGET]},
            (400, "400", "PROXY_BAD_REQUEST"),
            BASE64,
            id="8-no-target",
        ),
        pytest.param(
            as_it_is,
            {TARGET: target().rstrip("=")[:-1]},
            (400, "400", "PROXY_BAD_REQUEST"),
            BASE64,
            id="8-padding",
        ),
        pytest.param(
            as_it_is,
            {TARGET: encoded("no JSON")},
            (500, "exception", "REC_SERVER_ERROR"),
            SCRIPT,
            id="9-no-json",
        ),
        pytest.param(
            as_it_is,
            {TARGET: "-___"},
            (500, "exception", "REC_SERVER_ERROR"),
            SCRIPT,
            id="9-foreign-alphabet",
        ),
        pytest.param(
            as_it_is,
            {TARGET: encoded("[" * 5000)},
            (500, "exception", "REC_SERVER_ERROR"),
            SCRIPT,
            id="9-deep",
        ),
        pytest.param(
            as_it_is,
            {TARGET: encoded("NaN")},
            (500, "exception", "REC_SERVER_ERROR"),
            SCRIPT,
            id="9-nan",
        ),
        pytest.param(
            as_it_is, {TARGET: ""}, (500, "exception", "REC_SERVER_ERROR"), SCRIPT, id="9-empty"
        ),
        pytest.param(
            as_it_is,
            {TARGET: encoded("null")},
            (400, "structure", "PROXY_BAD_REQUEST"),
            SCHEMA,
            id="10-null",
        ),
        pytest.param(
            as_it_is,
            {TARGET: encoded("7")},
            (400, "structure", "PROXY_BAD_REQUEST"),
            SCHEMA,
            id="10-number",
        ),
        pytest.param(
            as_it_is,
            {TARGET: target(value="")},
            (400, "structure", "PROXY_BAD_REQUEST"),
            SCHEMA,
            id="10-no-value",
        ),
        pytest.param(
            as_it_is,
            {TARGET: target(system="https://fhir.nhs.uk/id/dos-service-id")},
            (500, "exception", "REC_SERVER_ERROR"),
            SCRIPT,
            id="11-other-case",
        ),
        pytest.param(
            as_it_is,
            {TARGET: target(value="2000000999")},
            (404, "not-found", "PROXY_NOT_FOUND"),
            COMMON,
            id="12-unknown-service",
        ),
    ],
)
async def test_row(box, before, arguments, expected, fixed_id):
    """Each row of the table is refused in its own words, and nothing is forwarded."""
    await box.token()
    await before(box)
    reply = await box.call(**arguments)

    assert expected == reply.outcome
    assert fixed_id == reply.json["id"]
    assert [] == box.receiver.heard


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        ({"Authorization": "Bearer x", "Accept": "a; version"}, 401),
        ({"without": ["Authorization", "X-Request-Id", TARGET]}, 401),
        ({"Authorization": "Bearer x", TARGET: target(value="2000000999")}, 401),
        ({"Accept": "a; version", "without": ["X-Request-Id"]}, 500),
        ({"Accept": "a; version", "path": "/DocumentReference"}, 500),
        ({"path": "/DocumentReference", "Accept": "", "without": ["X-Request-Id"]}, 400),
        ({"without": ["X-Request-Id", TARGET]}, 400),
        ({"path": "/DocumentReference", "Accept": "a; version=1.0.0", "without": [TARGET]}, 406),
    ],
)
async def test_of_two_flaws_the_first_is_named(box, arguments, first):
    """The order of the checks is the live proxy's."""
    reply = await box.call(**arguments)

    assert first == reply.status
    assert reply.json["id"] not in {BASE64, SCHEMA}


async def test_refusals_look_like_the_live_ones(box):
    """They are plain JSON in white space, carry no display, and do not echo the ids."""
    reply = await box.call(without=["X-Request-Id"])

    assert "application/json" == reply.headers["Content-Type"]
    assert reply.body[:1].isspace()
    assert reply.body[-1:].isspace()
    assert {"system", "code"} == set(reply.json["issue"][0]["details"]["coding"][0])
    assert "X-Correlation-Id" not in reply.headers


@pytest.mark.parametrize("value", ["", "not a UUID"])
async def test_ids_need_only_be_there(box, value):
    """The proxy looks at presence alone; the form of the ids is the Receiver's to check."""
    reply = await box.call(X_Request_Id=value)

    assert (200, value) == (reply.status, box.receiver.heard[0].headers["X-Request-Id"])


async def test_foreign_characters_in_base64_are_skipped(box):
    """Line breaks and spaces in the target do no harm."""
    text = target()
    reply = await box.call(**{TARGET: f"{text[:8]} - {text[8:]}"})

    assert 200 == reply.status


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        ("application/fhir+json", 1_00_00),
        ("application/fhir+json; version=1.4.0", 1_04_00),
        ("application/fhir+json; VERSION=1.4.0", 1_04_00),
        ("application/fhir+json; versions=1.4.0", 1_04_00),
        ("application/fhir+json; version=1.2.0; version=1.3.0", 1_03_00),
        ("application/fhir+json; version=1.4", 1_00_00),
        ('application/fhir+json; version="1.4.0"', 1_00_00),
        ("application/fhir+json; version=0.9.0", 1_00_00),
        ("application/json, application/fhir+json; version=1.4.0", 1_00_00),
    ],
)
def test_accepted_version(accept, version):
    """The highest of three numbers in the first media type counts, and 1.0.0 is the floor."""
    assert version == accepted_version(accept)


@pytest.mark.parametrize(
    ("path", "method"), [("/_status", "GET"), ("/_cache", "GET"), ("/_ping", "POST")]
)
async def test_some_paths_are_forwarded_without_a_token(box, path, method):
    """The live proxy checks nothing there and forwards all the same."""
    reply = await box.call(path, method, without=["Authorization", "X-Request-Id"])

    assert (200, f"/base{path}") == (reply.status, box.receiver.heard[0].target)


async def test_those_paths_still_need_a_target(box):
    """Without one there is nowhere to forward to."""
    reply = await box.call("/_status", "GET", without=["Authorization", TARGET])

    assert (400, "400", "PROXY_BAD_REQUEST") == reply.outcome


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_ping_is_answered_by_the_proxy(box, method):
    """Nothing is needed for it, and nobody else hears of it."""
    reply = await box.ask(method, f"{box.sandbox.proxy_url}/_ping")

    assert (200, []) == (reply.status, box.receiver.heard)
    assert "application/json" == reply.headers["Content-Type"]


async def test_metadata_without_a_target_is_the_proxys_own(box):
    """It needs neither token nor ids."""
    reply = await box.ask("GET", f"{box.sandbox.proxy_url}/metadata")

    assert "CapabilityStatement" == reply.json["resourceType"]
    assert "application/json" == reply.headers["Content-Type"]


async def test_metadata_with_a_target_is_the_receivers(box):
    """Then it is a call like any other."""
    reply = await box.call("/metadata", "GET")

    assert (b"taken", REQUEST_ID) == (reply.body, box.receiver.heard[0].headers["X-Request-Id"])


async def test_a_browsers_first_question_is_answered(box):
    """OPTIONS with both headers of a browser needs no token."""
    asking = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"}
    reply = await box.ask("OPTIONS", f"{box.sandbox.proxy_url}/Slot", headers=asking)

    assert "GET, PUT, POST, DELETE" == reply.headers["Access-Control-Allow-Methods"]


async def test_other_options_are_calls_like_any_other(box):
    """Without an Origin it is no browser's question."""
    asking = {"Access-Control-Request-Method": "GET"}
    reply = await box.ask("OPTIONS", f"{box.sandbox.proxy_url}/Slot", headers=asking)

    assert (401, "unknown", "SEND_UNAUTHORIZED") == reply.outcome


async def test_documents_do_not_reach_a_receiver(box):
    """They belong to a record locator, which the sandbox has not."""
    reply = await box.call("/DocumentReference", "GET")

    assert (503, []) == (reply.status, box.receiver.heard)
    assert "fault" in reply.json


async def test_another_base_path_belongs_to_nobody(box):
    """The platform says so in its own form."""
    reply = await box.ask("GET", box.sandbox.proxy_url.replace("/R4", "/R5"))

    assert (404, ["fault"]) == (reply.status, list(reply.json))
