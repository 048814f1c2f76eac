"""The token endpoint: what it grants, each refusal in its own words, and their order."""

import json

import pytest
from sandbox.around import segment


async def test_a_token_is_granted_in_strings(box):
    """Every member of the answer is a string, lifetime and time of issue included."""
    reply = await box.ask_token()

    assert 200 == reply.status
    assert ["access_token", "expires_in", "issued_at", "token_type"] == sorted(reply.json)
    assert {str} == {type(value) for value in reply.json.values()}
    assert ("599", "Bearer") == (reply.json["expires_in"], reply.json["token_type"])


@pytest.mark.parametrize("form", [{}, {"grant_type": None}])
async def test_the_media_type_stands_alone(box, form):
    """Granted or refused, the answer is JSON without a charset."""
    reply = await box.ask_token(**form)

    assert "application/json" == reply.headers["Content-Type"]


async def test_a_client_may_ask_for_a_shorter_life(box):
    """An integration engineer sees a token expire without waiting for ten minutes."""
    shorter = await box.ask_token(_access_token_expiry_ms="5000")
    longer = await box.ask_token(_access_token_expiry_ms="5000000")

    assert ("5", "599") == (shorter.json["expires_in"], longer.json["expires_in"])


async def test_another_verb_is_not_allowed(box):
    """A GET is answered with the verb that is, and without a body."""
    reply = await box.ask("GET", box.sandbox.token_url)

    assert (405, "POST", b"") == (reply.status, reply.headers["Allow"], reply.body)


async def test_a_media_type_with_a_parameter_is_refused(box):
    """The Content-Type is compared letter by letter."""
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    reply = await box.ask("POST", box.sandbox.token_url, data=b"", headers=headers)

    assert (415, "invalid_request") == (reply.status, reply.json["error"])


async def test_beside_the_endpoint_there_is_nothing(box):
    """A wrong path below /oauth2 is answered in the token service's form."""
    reply = await box.ask("POST", box.sandbox.token_url + "s")

    assert (404, "Not Found") == (reply.status, reply.json["error_description"])


async def test_a_ping_needs_no_credentials(box):
    """The first step of every ladder of checks."""
    reply = await box.ask("GET", box.sandbox.token_url.replace("/token", "/_ping"))

    assert (200, {"version", "revision", "releaseId", "commitId"}) == (
        reply.status,
        set(reply.json),
    )


@pytest.mark.parametrize(
    ("form", "status", "error", "description"),
    [
        pytest.param(
            {"grant_type": None}, 400, "invalid_request", "grant_type is missing", id="no-grant"
        ),
        pytest.param(
            {"grant_type": "password"},
            400,
            "unsupported_grant_type",
            "grant_type is invalid",
            id="grant",
        ),
        pytest.param(
            {"client_assertion_type": None},
            400,
            "invalid_request",
            "Missing or invalid client_assertion_type",
            id="no-type",
        ),
        pytest.param(
            {"client_assertion_type": "jwt"},
            400,
            "invalid_request",
            "Missing or invalid client_assertion_type",
            id="type",
        ),
        pytest.param(
            {"client_assertion": None},
            400,
            "invalid_request",
            "Missing client_assertion",
            id="no-jwt",
        ),
        pytest.param(
            {"client_assertion": "a.b"}, 400, "invalid_request", "Malformed JWT", id="two-parts"
        ),
        pytest.param(
            {"client_assertion": "a.b.c"}, 400, "invalid_request", "Malformed JWT", id="no-json"
        ),
    ],
)
async def test_form(box, form, status, error, description):
    """Each flaw of the form has its own refusal."""
    reply = await box.ask_token(**form)

    assert (status, error) == (reply.status, reply.json["error"])
    assert reply.json["error_description"].startswith(description)
    assert reply.json["message_id"].startswith("rrt-")


@pytest.mark.parametrize(
    ("form", "first"),
    [
        ({"grant_type": None, "client_assertion_type": None}, "grant_type is missing"),
        ({"grant_type": "password", "client_assertion_type": None}, "grant_type is invalid"),
        (
            {"client_assertion_type": None, "client_assertion": None},
            "Missing or invalid client_assertion_type",
        ),
    ],
)
async def test_of_two_flaws_of_the_form_the_first_is_named(box, form, first):
    """The order of the fields is the live service's."""
    reply = await box.ask_token(**form)

    assert reply.json["error_description"].startswith(first)


async def test_the_verb_comes_before_the_media_type(box):
    """A PUT of JSON is told about its verb."""
    reply = await box.ask("PUT", box.sandbox.token_url, json={})

    assert 405 == reply.status


@pytest.mark.parametrize(
    ("header", "claims", "status", "description"),
    [
        pytest.param({"alg": None}, {}, 400, "Malformed JWT", id="no-alg"),
        pytest.param({"alg": "RS256"}, {}, 400, "Invalid 'alg'", id="alg"),
        pytest.param(
            {}, {"exp": 1}, 400, "Invalid 'exp' claim in JWT - JWT has expired", id="expired"
        ),
        pytest.param({"kid": None}, {}, 400, "Missing 'kid'", id="no-kid"),
        pytest.param({"kid": ""}, {}, 400, "Missing 'kid'", id="empty-kid"),
        pytest.param({}, {"jti": ""}, 400, "Missing 'jti'", id="empty-jti"),
        pytest.param({"typ": None}, {}, 400, "Invalid 'typ'", id="no-typ"),
        pytest.param({"typ": "JOSE"}, {}, 400, "Invalid 'typ'", id="typ"),
        pytest.param({}, {"exp": None}, 400, "Missing 'exp'", id="no-exp"),
        pytest.param(
            {},
            {"exp": "1999999999"},
            400,
            "Invalid 'exp' claim in JWT - must be an integer",
            id="exp-text",
        ),
        pytest.param(
            {},
            {"exp": True},
            400,
            "Invalid 'exp' claim in JWT - must be an integer",
            id="exp-boolean",
        ),
        pytest.param({}, {"exp": float("nan")}, 400, "Malformed JWT", id="exp-nan"),
        pytest.param(
            {},
            {"exp": 10**400},
            400,
            "Invalid 'exp' claim in JWT - more than 5 minutes",
            id="exp-huge",
        ),
        pytest.param({}, {"iss": None}, 400, "Missing or non-matching 'iss'/'sub'", id="no-iss"),
        pytest.param(
            {}, {"sub": "other"}, 400, "Missing or non-matching 'iss'/'sub'", id="iss-sub"
        ),
        pytest.param(
            {},
            {"iss": ["a"], "sub": ["a"]},
            400,
            "Missing or non-matching 'iss'/'sub'",
            id="iss-list",
        ),
        pytest.param({}, {"jti": None}, 400, "Missing 'jti'", id="no-jti"),
        pytest.param({}, {"jti": 7}, 400, "Invalid 'jti'", id="jti-number"),
        pytest.param({}, {"jti": ["a"]}, 400, "Invalid 'jti'", id="jti-list"),
        pytest.param(
            {},
            {"iss": "x", "sub": "x"},
            401,
            "Invalid 'iss'/'sub' claims in client_assertion JWT",
            id="unknown-client",
        ),
        pytest.param({"kid": "other"}, {}, 401, "Invalid 'kid'", id="unknown-key"),
        pytest.param({}, {"aud": None}, 401, "Missing or invalid 'aud'", id="no-aud"),
    ],
)
async def test_jwt(box, header, claims, status, description):
    """Each flaw of the JWT has its own refusal."""
    reply = await box.ask_token(box.jwt(header, claims))

    assert (status, "invalid_request") == (reply.status, reply.json["error"])
    assert reply.json["error_description"].startswith(description)


@pytest.mark.parametrize(
    ("header", "claims", "first"),
    [
        ({"alg": "RS256"}, {"exp": 1}, "Invalid 'alg'"),
        ({"kid": None}, {"exp": 1}, "Invalid 'exp'"),
        ({"kid": None, "typ": None}, {}, "Missing 'kid'"),
        ({"typ": None}, {"exp": None}, "Invalid 'typ'"),
        ({}, {"exp": None, "iss": None}, "Missing 'exp'"),
        ({}, {"iss": None, "jti": None}, "Missing or non-matching"),
        ({}, {"exp": 1999999999, "jti": None}, "Missing 'jti'"),
        ({"kid": "other"}, {"iss": "x", "sub": "x"}, "Invalid 'iss'/'sub'"),
        ({"kid": "other"}, {"aud": "x"}, "Invalid 'kid'"),
    ],
)
async def test_of_two_flaws_the_first_is_named(box, header, claims, first):
    """The order of the checks is the live service's."""
    reply = await box.ask_token(box.jwt(header, claims))

    assert reply.json["error_description"].startswith(first)


@pytest.mark.parametrize(("ahead", "status"), [(310, 200), (311, 400)])
async def test_expiry_may_lie_310_seconds_ahead(box, ahead, status):
    """Five minutes, and ten seconds for a clock that is fast."""
    exp = box.clock.now().timestamp() + ahead
    reply = await box.ask_token(box.jwt(claims={"exp": exp}))

    assert status == reply.status


@pytest.mark.parametrize(("ahead", "status"), [(9, 200), (11, 401)])
async def test_not_before_has_ten_seconds(box, ahead, status):
    """A client with a fast clock that says `nbf` is refused by the platform."""
    nbf = box.clock.now().timestamp() + ahead
    reply = await box.ask_token(box.jwt(claims={"nbf": nbf}))

    assert status == reply.status


async def test_a_jti_is_spent_even_by_a_refusal(box):
    """It is remembered before the key is looked at: each attempt needs a new one."""
    refused = await box.ask_token(box.jwt({"kid": "other"}, {"jti": "one"}))
    again = await box.ask_token(box.jwt(claims={"jti": "one"}))

    assert (401, 400) == (refused.status, again.status)
    assert again.json["error_description"].startswith("Non-unique 'jti'")


async def test_a_jti_is_spent_by_a_token(box):
    """A JWT is good for one token."""
    assertion = box.jwt()
    granted = await box.ask_token(assertion)
    again = await box.ask_token(assertion)

    assert (200, 400) == (granted.status, again.status)
    assert again.json["error_description"].startswith("Non-unique 'jti'")


async def test_a_jti_is_not_spent_by_an_early_refusal(box):
    """An expiry too far ahead is found before the `jti` is remembered."""
    far = int(box.clock.now().timestamp()) + 600
    refused = await box.ask_token(box.jwt(claims={"jti": "one", "exp": far}))
    again = await box.ask_token(box.jwt(claims={"jti": "one"}))

    assert (400, 200) == (refused.status, again.status)


async def test_a_spent_jti_comes_before_an_expiry_too_far_ahead(box):
    """Of these two flaws the first is the `jti`."""
    far = int(box.clock.now().timestamp()) + 600
    await box.ask_token(box.jwt(claims={"jti": "one"}))
    reply = await box.ask_token(box.jwt(claims={"jti": "one", "exp": far}))

    assert reply.json["error_description"].startswith("Non-unique 'jti'")


async def test_a_jti_belongs_to_a_client(box):
    """Another client may use the same one."""
    await box.ask_token(box.jwt(claims={"iss": "x", "sub": "x", "jti": "one"}))
    reply = await box.ask_token(box.jwt(claims={"jti": "one"}))

    assert 200 == reply.status


async def test_a_jti_is_forgotten_after_thirty_days(box):
    """As long as the live service remembers it."""
    await box.ask_token(box.jwt(claims={"jti": "one"}))
    box.clock.advance(30 * 86400)
    reply = await box.ask_token(box.jwt(claims={"jti": "one"}))

    assert 200 == reply.status


async def test_the_audience_is_compared_letter_by_letter(box):
    """A slash too many is another address."""
    reply = await box.ask_token(box.jwt(claims={"aud": box.sandbox.token_url + "/"}))

    assert (401, "invalid_request") == (reply.status, reply.json["error"])


async def test_a_foreign_signature_is_refused(box):
    """Who signs with another key than the registered one is told about the signature."""
    other = await box.sandbox.register("other", [], "https://127.0.0.1:1")
    reply = await box.ask_token(box.jwt(key_file=other.private_key_file))

    assert (401, "public_key error") == (reply.status, reply.json["error"])


async def test_the_signature_comes_before_the_audience(box):
    """Who signs with a foreign key is not told that the audience was wrong as well."""
    other = await box.sandbox.register("other", [], "https://127.0.0.1:1")
    reply = await box.ask_token(box.jwt(claims={"aud": "x"}, key_file=other.private_key_file))

    assert (401, "public_key error") == (reply.status, reply.json["error"])


async def test_tampering_is_refused(box):
    """Claims that were not signed are worth nothing."""
    first, second, third = box.jwt().split(".")
    other = box.jwt(claims={"exp": int(box.clock.now().timestamp()) + 300}).split(".")[1]
    assert other != second
    reply = await box.ask_token(f"{first}.{other}.{third}")

    assert (401, "public_key error") == (reply.status, reply.json["error"])


async def test_none_is_no_algorithm(box):
    """A JWT without a signature is refused for its algorithm."""
    header, claims = (segment(json.dumps(part).encode()) for part in ({"alg": "none"}, {}))
    reply = await box.ask_token(f"{header.decode()}.{claims.decode()}.")

    assert reply.json["error_description"].startswith("Invalid 'alg'")


@pytest.fixture
def jwks(box):
    """Return the JWKS file; it is as before when the test is over."""
    file = box.trust.folder / "jwks.json"
    before = file.read_bytes()
    yield file
    if file.is_dir():
        file.rmdir()
    file.write_bytes(before)


async def test_no_public_key_was_registered(box, jwks):
    """A client without a JWKS is told to register one."""
    jwks.unlink()
    reply = await box.ask_token()

    assert (403, "public_key error") == (reply.status, reply.json["error"])
    assert reply.json["error_description"].startswith("You need to register a public key")


async def test_the_public_key_cannot_be_read(box, jwks):
    """A JWKS that cannot be fetched is another matter than none."""
    jwks.unlink()
    jwks.mkdir()
    reply = await box.ask_token()

    assert 403 == reply.status
    assert reply.json["error_description"].startswith("The JWKS endpoint, for your")


async def test_a_single_key_is_no_jwks(box, jwks):
    """A JWK where a set belongs fails in the platform, and with the platform's own body."""
    jwks.write_text(json.dumps(json.loads(jwks.read_bytes())["keys"][0]))
    reply = await box.ask_token()

    assert 401 == reply.status
    assert "steps.jwt.InvalidKeyConfiguration" == reply.json["fault"]["detail"]["errorcode"]


@pytest.mark.parametrize("members", [{"kty": "EC"}, {"e": "AQAA", "n": "AQAB"}, {"e": 7, "n": 7}])
async def test_a_key_of_another_kind_is_no_jwks(box, jwks, members):
    """A set whose key is no RSA key fails in the same way."""
    jwks.write_text(json.dumps({"keys": [{"kid": box.trust.key_id} | members]}))
    reply = await box.ask_token()

    assert 401 == reply.status
    assert "steps.jwt.InvalidKeyConfiguration" == reply.json["fault"]["detail"]["errorcode"]


async def test_a_key_of_another_kind_does_no_harm_beside_ours(box, jwks):
    """Only the key that the JWT names is looked at."""
    keys = json.loads(jwks.read_bytes())["keys"]
    jwks.write_text(json.dumps({"keys": [{"kid": "other", "kty": "EC"}, *keys]}))
    reply = await box.ask_token()

    assert 200 == reply.status
