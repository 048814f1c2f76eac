"""What the token service's refusals mean: its table, row by row, and what fits no row."""

from datetime import timedelta

import orjson
import pytest
from national_side import NOW

from bars_gateway.errors import CredentialsRefused, TokenServiceDown
from bars_gateway.outbound.refusals import (
    TABLE,
    ApplicationUnknown,
    AudienceRefused,
    ClockRefused,
    KeyUnknown,
    classify,
)

# (status, error, description, kind, our words), as the service and the platform say it.
CASES = {
    "clock-slow": (
        400,
        "invalid_request",
        "Invalid 'exp' claim in client_assertion JWT - JWT has expired",
        ClockRefused,
        "the time in our JWT was refused",
    ),
    "clock-fast": (
        400,
        "invalid_request",
        "Invalid 'exp' claim in client_assertion JWT - more than 5 minutes in future",
        ClockRefused,
        "the time in our JWT was refused",
    ),
    "jti-spent": (
        400,
        "invalid_request",
        "Non-unique 'jti' claim in client_assertion JWT",
        TokenServiceDown,
        "a JWT was used twice",
    ),
    "api-key-of-another-environment": (
        401,
        "invalid_request",
        "Invalid 'iss'/'sub' claims in client_assertion JWT",
        ApplicationUnknown,
        "the API key is unknown here",
    ),
    "audience": (
        401,
        "invalid_request",
        "Missing or invalid 'aud' claim in client_assertion JWT",
        AudienceRefused,
        "the audience was refused",
    ),
    "key-not-seen-yet": (
        401,
        "invalid_request",
        "Invalid 'kid' header in client_assertion JWT - no matching public key",
        KeyUnknown,
        "the key id is not in the registered JWKS",
    ),
    "another-private-key": (
        401,
        "public_key error",
        "JWT signature verification failed",
        KeyUnknown,
        "the signature does not fit the registered key",
    ),
    "no-public-key": (
        403,
        "public_key error",
        "You need to register a public key to use this authentication method",
        KeyUnknown,
        "no public key is registered",
    ),
    "jwks-unreachable": (
        403,
        "public_key error",
        "The JWKS endpoint, for your client_assertion can't be reached",
        TokenServiceDown,
        "our JWKS is unreachable",
    ),
    "jwks-unreachable-in-other-words": (
        403,
        "public_key error",
        "The JWKS endpoint, for your client_assertion can not be reached",
        TokenServiceDown,
        "our JWKS is unreachable",
    ),
    "not-subscribed": (
        401,
        "unauthorized_client",
        "you have tried to request authorization but your application is not configured",
        ApplicationUnknown,
        "the application may not use BaRS",
    ),
    "unknown-client": (
        401,
        "invalid_client",
        "client_id or client_secret is invalid",
        ApplicationUnknown,
        "the application is not known",
    ),
    "revoked": (
        401,
        "access_denied",
        "API Key supplied does not have access",
        ApplicationUnknown,
        "the application is not approved",
    ),
    "revoked-under-another-status": (
        403,
        "access_denied",
        "app not approved or revoked",
        ApplicationUnknown,
        "the application is not approved",
    ),
}


def said(error, description):
    return orjson.dumps({"error": error, "error_description": description, "message_id": "rrt-1-a"})


@pytest.mark.parametrize(
    ("status", "error", "description", "kind", "words"),
    [pytest.param(*case, id=name) for name, case in CASES.items()],
)
def test_a_refusal_is_recognised(status, error, description, kind, words):
    """Each has a class of its own where its cure differs, and is told in our words."""
    refused = classify(status, said(error, description), NOW)

    assert (kind, f"{words} ({status})") == (type(refused.error), refused.reason)


def test_every_row_is_reached():
    """A row that no case reaches is untested, or hidden by one before it."""
    assert {row[-1] for row in TABLE} == {words for *_, words in CASES.values()}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(415, said("invalid_request", "Content-Type header must be"), id="media-type"),
        pytest.param(404, said("invalid_request", "Not Found"), id="path"),
        pytest.param(400, said("unsupported_grant_type", "grant_type is invalid"), id="grant"),
        pytest.param(400, said("invalid_request", "Invalid 'alg' header"), id="algorithm"),
        pytest.param(418, said("new_error", "of a later release"), id="unknown"),
        pytest.param(400, b'{"error":7,"error_description":null}', id="other-types"),
        pytest.param(401, b'{"fault":{"faultstring":"Invalid ApiKey"}}', id="platform"),
    ],
)
def test_any_other_4xx_is_our_configuration(status, body):
    """Nothing mends it by itself, so somebody is told."""
    refused = classify(status, body, NOW)

    assert CredentialsRefused is type(refused.error)
    assert f"the token service refused our request ({status})" == refused.reason


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(None, b"", id="silence"),
        pytest.param(500, said("unknown_error", "An unknown error occurred"), id="500"),
        pytest.param(503, b"<html>", id="page-503"),
        pytest.param(404, b"<html>", id="page-404"),
        pytest.param(405, b"", id="empty"),
        pytest.param(401, b"[]", id="list"),
        pytest.param(400, b"\xff\xfe", id="no-text"),
        pytest.param(400, b"[" * 100_000, id="too-deep"),
        pytest.param(302, b'{"moved":true}', id="redirect"),
        pytest.param(200, b'{"issued_at":"1"}', id="200-without-a-token"),
    ],
)
def test_whatever_else_passes_by_itself(status, body):
    """A service, or something before it, that is in trouble: we ask again."""
    assert TokenServiceDown is type(classify(status, body, NOW).error)


@pytest.mark.parametrize(("seconds", "pause"), [(17, 17), (0.2, 1), (-60, 1), (3600, 120)], ids=str)
def test_a_quota_says_when_it_ends(seconds, pause):
    """We believe the moment that the service names, within two minutes."""
    ends_at = NOW + timedelta(seconds=seconds)
    body = orjson.dumps({"ratelimiting_expiry_time_ms": str(round(ends_at.timestamp() * 1000))})

    assert timedelta(seconds=pause) == classify(429, body, NOW).pause(failures=3)


@pytest.mark.parametrize("stated", [b"null", b'"soon"', b'"nan"', b'"inf"', b"1e300", b"{}"])
def test_a_quota_without_a_readable_end_is_asked_again_soon(stated):
    """As any trouble that passes by itself."""
    refused = classify(429, b'{"ratelimiting_expiry_time_ms":%s}' % stated, NOW)

    assert timedelta(seconds=5) == refused.pause(failures=1)


@pytest.mark.parametrize(
    ("status", "pauses"),
    [
        pytest.param(503, [5, 10, 20, 40, 60, 60], id="passes-by-itself"),
        pytest.param(400, [60, 300, 300, 300, 300, 300], id="somebody-must-mend-it"),
    ],
)
def test_pauses_grow_with_failures_in_a_row(status, pauses):
    """Trouble that passes is asked after often; a wrong key is not."""
    refused = classify(status, said("some_error", ""), NOW)

    assert pauses == [refused.pause(failures).total_seconds() for failures in range(1, 7)]


def test_no_number_of_failures_is_too_many():
    """A weekend without the token service ends like an hour without it."""
    assert timedelta(minutes=1) == classify(None, b"", NOW).pause(failures=10**6)


def test_nothing_of_theirs_is_in_our_words():
    """Error texts reach logs and the status page."""
    refused = classify(401, said("canary", "Invalid 'kid' canary"), NOW)

    assert "canary" not in f"{refused.error} {refused.reason} {refused.error.advice}"


@pytest.mark.parametrize(
    "kind", [ClockRefused, KeyUnknown, ApplicationUnknown, AudienceRefused, TokenServiceDown]
)
def test_each_class_says_what_to_do(kind):
    """Whoever is woken at night reads this and nothing else."""
    others = {ClockRefused, KeyUnknown, ApplicationUnknown, AudienceRefused, TokenServiceDown}

    assert kind.advice
    assert kind.advice not in {other.advice for other in others - {kind}}
