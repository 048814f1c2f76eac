"""What the token service's refusals mean: its table, row by row, and what fits no row."""

from datetime import timedelta

import orjson
import pytest
from national_side import NOW

from bars_gateway.errors import CredentialsRefused, TokenServiceDown
from bars_gateway.outbound.token_refusals import (
    TABLE,
    ApplicationUnknown,
    AudienceRefused,
    ClockRefused,
    JwtUsedTwice,
    KeySetRefused,
    KeySetUnreachable,
    KeyUnknown,
    Remedy,
    RequestMalformed,
    classify,
)

# status, error, description as the service and the platform say it → the row of the table.
CASES = {
    "clock-slow": (400, "invalid_request", "Invalid 'exp' claim in JWT - JWT has expired", "clock"),
    "clock-fast": (
        400,
        "invalid_request",
        "Invalid 'exp' claim in client_assertion JWT - more than 5 minutes in future",
        "clock-fast",
    ),
    "jwks-in-other-words": (
        403,
        "public_key error",
        "The JWKS endpoint, for your client_assertion can not be reached",
        "jwks-unreachable",
    ),
    "revoked": (403, "access_denied", "app not approved or revoked", "not-approved"),
    "kid": (
        401,
        "invalid_request",
        "Invalid 'kid' header in client_assertion JWT - no matching public key",
        "kid",
    ),
    "exp": (400, "invalid_request", "Invalid 'exp' claim in JWT - must be an integer", "exp"),
}


def said(error, description):
    return orjson.dumps({"error": error, "error_description": description, "message_id": "rrt-1-a"})


@pytest.mark.parametrize(
    ("status", "error", "description", "row"),
    [pytest.param(*case, id=name) for name, case in CASES.items()],
)
def test_a_refusal_is_recognised_by_how_it_begins(status, error, description, row):
    """The wording differs between releases of the service."""
    assert row == classify(status, said(error, description), NOW).row.name


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_no_row_hides_another(row):
    """What a row is made for is met by that row, in our words and with the status."""
    description = f"{row.beginning} {row.containing}".strip()
    error = next(iter(row.platform), row.error)
    body = b"" if error == "" else said(error, description)
    refused = classify(row.status or 401, body, NOW)

    assert (row.name, f"{row.reason} ({row.status or 401})") == (refused.row.name, refused.reason)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_what_mends_itself_is_told_from_what_somebody_must_mend(row):
    """A row's remedy and its class of error say the same."""
    passes = row.remedy is Remedy.RETRY

    assert passes == issubclass(row.kind, TokenServiceDown)
    assert passes != issubclass(row.kind, CredentialsRefused)


def test_a_fault_of_the_platform_is_read_too():
    """Its shape is another: the code is in the detail."""
    body = orjson.dumps(
        {
            "fault": {
                "faultstring": "x",
                "detail": {"errorcode": "steps.jwt.InvalidKeyConfiguration"},
            }
        }
    )

    assert KeySetRefused is type(classify(401, body, NOW).error)


def outcome(code):
    issue = {"severity": "error", "code": "forbidden", "details": {"coding": [{"code": code}]}}
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": [issue]})


def fault(code):
    return orjson.dumps({"fault": {"faultstring": "x", "detail": {"errorcode": code}}})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, fault("oauth.v2.InvalidClientIdentifier")),
        (401, fault("keymanagement.service.InvalidAPICallAsNoApiProductMatchFound")),
        (401, fault("oauth.v2.InvalidApiKeyForGivenResource")),
        (401, fault("oauth.v2.InvalidApiKey")),
        (401, outcome("ACCESS_DENIED")),
    ],
)
def test_the_platform_refuses_an_application_in_its_own_shapes(status, body):
    """Whatever the status: it is ours to mend, and no later request helps."""
    refused = classify(status, body, NOW)

    assert (ApplicationUnknown, Remedy.CONFIGURATION) == (type(refused.error), refused.row.remedy)


@pytest.mark.parametrize(
    ("told", "kept"),
    [("rrt-6215f4c0-a-geu2-1", None), ("rrt-62-0a-1", "rrt-62-0a-1"), (7, None), ("Ann", None)],
)
def test_their_reference_is_kept_where_it_has_the_form_of_one(told, kept):
    """The service desk asks for it; anything else stays out of our logs."""
    body = orjson.dumps({"error": "x", "message_id": told})

    assert kept == classify(400, body, NOW).support_id


@pytest.mark.parametrize(
    ("status", "body"),
    [
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
        pytest.param(404, b"", id="empty"),
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
        pytest.param(400, [60, 120, 240, 480, 900, 900], id="somebody-must-mend-it"),
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


KINDS = {
    ClockRefused,
    KeyUnknown,
    KeySetRefused,
    KeySetUnreachable,
    ApplicationUnknown,
    AudienceRefused,
    RequestMalformed,
    JwtUsedTwice,
    TokenServiceDown,
    CredentialsRefused,
}


@pytest.mark.parametrize(
    "kind", sorted(KINDS, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__
)
def test_each_class_says_what_to_do(kind):
    """Whoever is woken at night reads this and nothing else."""
    assert kind.advice
    assert kind.advice not in {other.advice for other in KINDS - {kind}}
