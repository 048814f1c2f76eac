"""How access tokens are asked for, kept, renewed and given up."""

import asyncio
from datetime import timedelta
from urllib.parse import parse_qs

import jwt
import orjson
import pytest
from aiohttp import web
from national_side import (
    NOW,
    after,
    granting,
    hanging_up,
    refusing,
    saying,
    served,
    wired,
)
from structlog.testing import capture_logs

from bars_gateway.errors import CredentialsRefused, TokenServiceDown, TokenUnavailable
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.token import Credentials, NoToken, SigningKey, TokenSource

DOWN = saying(503, b"<html>Service Unavailable</html>", "text/html")
WRONG_KEY = refusing(401, "invalid_request", "Invalid 'kid' header in JWT - no matching public key")


@pytest.fixture
def new_ids():
    return [f"jti-{number}" for number in range(1000, 0, -1)]


@pytest.fixture
def source_at(session, key, clock, new_ids):
    """Return a token source for a URL."""

    def make(url, *, timeout_seconds=5.0, per_minute=100_000, key_ids=("Trust-INT-1",)):
        return TokenSource(
            session,
            Credentials(token_url=url, api_key="the-api-key"),
            [SigningKey(key_id=key_id, key=key) for key_id in key_ids],
            Budget(per_minute, monotonic=clock.monotonic),
            now=clock.now,
            monotonic=clock.monotonic,
            new_id=new_ids.pop,
            timeout_seconds=timeout_seconds,
        )

    return make


@pytest.fixture
def source(source_at, token_service):
    return source_at(f"{token_service.url}/oauth2/token")


def form_of(heard):
    return {name: values[0] for name, values in parse_qs(heard.body.decode()).items()}


def assertion_of(heard):
    return form_of(heard)["client_assertion"]


def claims_of(heard):
    return jwt.decode(assertion_of(heard), options={"verify_signature": False})


async def failure(source):
    """Return the error that asking for a token ends in."""
    with pytest.raises(TokenUnavailable) as caught:
        await source.token()
    return caught.value


class TestTheRequest:
    """What the token service gets to see (D-jwt)."""

    async def test_the_content_type_has_no_charset(self, source, token_service):
        """The service compares the media type as a whole and answers 415 to any other."""
        await source.token()

        expected = ["application/x-www-form-urlencoded"]
        assert expected == token_service.heard[0].headers.getall("Content-Type")

    async def test_the_form_is_a_client_credentials_grant(self, source, token_service):
        """Three fields, of which the last is the signed JWT."""
        await source.token()
        form = form_of(token_service.heard[0])

        assert ["grant_type", "client_assertion_type", "client_assertion"] == list(form)
        assert "client_credentials" == form["grant_type"]
        expected = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert expected == form["client_assertion_type"]

    async def test_the_jwt_header_names_algorithm_and_key(self, source, token_service):
        """RS512 only, and the kid that was registered."""
        await source.token()
        header = jwt.get_unverified_header(assertion_of(token_service.heard[0]))

        assert {"alg": "RS512", "typ": "JWT", "kid": "Trust-INT-1"} == header

    async def test_the_jwt_claims_are_these_and_no_others(self, source, token_service):
        """No iat and no nbf: a clock that is a little fast would be refused for them."""
        await source.token()

        expected = {
            "iss": "the-api-key",
            "sub": "the-api-key",
            "aud": f"{token_service.url}/oauth2/token",
            "jti": "jti-1",
            "exp": int(NOW.timestamp()) + 150,
        }
        assert expected == claims_of(token_service.heard[0])

    async def test_exp_is_an_integer(self, source, token_service, clock):
        """The service refuses a fraction."""
        clock.advance(0.75)
        await source.token()

        assert int is type(claims_of(token_service.heard[0])["exp"])

    async def test_the_registered_key_verifies_the_signature(self, source, token_service, key):
        """What we sign with belongs to what was registered."""
        await source.token()
        audience = f"{token_service.url}/oauth2/token"

        assert jwt.decode(
            assertion_of(token_service.heard[0]),
            key.public_key(),
            algorithms=["RS512"],
            audience=audience,
            options={"verify_exp": False},
        )

    async def test_every_post_has_a_jti_of_its_own(self, source, token_service, clock):
        """The service remembers a jti even of a request that it refused afterwards."""
        token_service.answers.extend([DOWN, hanging_up])
        await failure(source)
        clock.advance(60)
        await failure(source)
        clock.advance(60)
        await source.token()

        expected = ["jti-1", "jti-2", "jti-3"]
        assert expected == [claims_of(heard)["jti"] for heard in token_service.heard]

    async def test_requests_count_against_the_budget(self, source_at, token_service):
        """The application's quota covers messages and tokens together (D-quota)."""
        source = source_at(token_service.url, per_minute=20)
        await source.token()
        source.discard("token-1")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await source.token()

        assert 1 == len(token_service.heard)

    async def test_a_redirect_is_not_followed(self, source, token_service):
        """A signed JWT goes to one address."""
        async with served(granting()) as elsewhere:
            token_service.answers.append(saying(307, Location=elsewhere.url))
            await failure(source)

        assert [] == elsewhere.heard


class TestKeeping:
    """One token, one refresh at a time, renewed before it ends."""

    async def test_a_token_is_kept(self, source, token_service):
        """A token serves until it is renewed."""
        tokens = [await source.token() for _ in range(3)]

        assert ["token-1"] * 3 == tokens
        assert 1 == len(token_service.heard)

    async def test_many_senders_make_one_request(self, source, token_service):
        """However many wait, one asks and the others share the answer."""
        async with asyncio.TaskGroup() as group:
            senders = [group.create_task(source.token()) for _ in range(50)]

        assert {"token-1"} == {sender.result() for sender in senders}
        assert 1 == len(token_service.heard)

    async def test_many_senders_share_one_failure(self, source, token_service):
        """Fifty senders do not make fifty failing requests."""
        token_service.answers.append(DOWN)
        async with asyncio.TaskGroup() as group:
            senders = [group.create_task(failure(source)) for _ in range(50)]

        assert {TokenServiceDown} == {type(sender.result()) for sender in senders}
        assert 1 == len(token_service.heard)

    @pytest.mark.parametrize(
        ("expires_in", "kept", "renewed"),
        [
            pytest.param("599", 479, 480, id="a-string-as-the-service-says-it"),
            pytest.param(599, 479, 480, id="a-number"),
            pytest.param("100", 49, 51, id="short: half of it"),
            pytest.param(None, 239, 241, id="missing: 300 s"),
            pytest.param("soon", 239, 241, id="garbage: 300 s"),
            pytest.param("nan", 239, 241, id="no number: 300 s"),
            pytest.param("-5", 239, 241, id="negative: 300 s"),
            pytest.param(10**12, 239, 241, id="absurd: 300 s"),
        ],
    )
    async def test_renewal_comes_before_the_end(self, source_at, clock, expires_in, kept, renewed):
        """When less than a fifth, or less than a minute, is left, a new one is asked for."""
        async with served(granting(expires_in)) as service:
            source = source_at(service.url)
            await source.token()
            clock.advance(kept)
            early = await source.token()
            clock.advance(renewed - kept)
            late = await source.token()

        assert ("token-1", "token-2") == (early, late)

    async def test_nobody_waits_for_an_early_renewal(self, source, token_service, clock):
        """While one sender asks, the others go on with the token that still has time left."""
        await source.token()
        clock.advance(500)
        answer_now, asked = asyncio.Event(), asyncio.Event()
        slowly = after(answer_now, granting())

        async def slow(request):
            asked.set()
            return await slowly(request)

        token_service.answers.append(slow)
        async with asyncio.TaskGroup() as group:
            group.create_task(source.token())
            await asked.wait()
            async with asyncio.timeout(1):
                meanwhile = await source.token()
            answer_now.set()

        assert "token-1" == meanwhile

    async def test_the_old_token_serves_where_renewal_fails(self, source, token_service, clock):
        """A token service that is down for a minute stops nothing."""
        await source.token()
        clock.advance(500)
        token_service.answers.append(DOWN)

        assert "token-1" == await source.token()
        assert source.closed_until is None

    async def test_the_old_token_does_not_outlive_its_end(self, source, token_service, clock):
        """After its end a token would only earn a 401."""
        await source.token()
        token_service.answers.append(DOWN)
        clock.advance(599)

        assert isinstance(await failure(source), TokenServiceDown)

    async def test_the_life_counts_from_before_the_request(self, source, token_service, clock):
        """The service counts from when it minted the token, which was before we read it."""

        async def slow(request):
            clock.advance(300)
            return await granting()(request)

        token_service.answers.append(slow)
        await source.token()
        clock.advance(200)
        await source.token()

        assert 2 == len(token_service.heard)

    @pytest.mark.parametrize("step", [timedelta(days=-1), timedelta(days=1)])
    async def test_a_step_of_the_wall_clock_ends_no_token(self, source, clock, step):
        """Lifetimes are measured on the clock that nobody sets."""
        await source.token()
        clock.wall += step

        assert "token-1" == await source.token()

    async def test_a_token_that_the_proxy_refused_is_forgotten(self, source):
        """The next sender asks for a new one."""
        source.discard(await source.token())

        assert "token-2" == await source.token()

    async def test_the_refusal_of_an_older_token_is_old_news(self, source):
        """Thirty senders that were refused with one token ask for one new token."""
        source.discard(await source.token())
        await source.token()
        source.discard("token-1")

        assert "token-2" == await source.token()

    async def test_an_answer_in_pieces_is_read_to_its_end(self, source, token_service):
        """TCP may cut an answer anywhere."""

        async def in_pieces(request):
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b'{"access_token":"cut-')
            await asyncio.sleep(0.02)  # nobody can be told that the first piece has been read
            await response.write(b'in-two","expires_in":"599"}')
            return response

        token_service.answers.append(in_pieces)

        assert "cut-in-two" == await source.token()

    async def test_where_none_is_needed_there_is_none(self):
        """The public sandbox asks for no token."""
        tokens = NoToken()
        tokens.discard(None)

        assert (None, None) == (await tokens.token(), tokens.closed_until)


class TestFailing:
    """What a failure is called, and how long nobody asks after it."""

    @pytest.mark.parametrize(
        ("answering", "kind"),
        [
            pytest.param(WRONG_KEY, CredentialsRefused, id="unknown-key"),
            pytest.param(
                refusing(401, "public_key error", "JWT signature verification failed"),
                CredentialsRefused,
                id="wrong-key",
            ),
            pytest.param(
                refusing(403, "public_key error", "You need to register a public key"),
                CredentialsRefused,
                id="no-key",
            ),
            pytest.param(
                refusing(403, "public_key error", "The JWKS endpoint, for your client_assertion"),
                TokenServiceDown,
                id="jwks-unreachable",
            ),
            pytest.param(
                refusing(400, "invalid_request", "Invalid 'exp' claim in JWT has expired"),
                CredentialsRefused,
                id="clock-slow",
            ),
            pytest.param(
                refusing(400, "invalid_request", "Non-unique 'jti' claim in client_assertion JWT"),
                TokenServiceDown,
                id="jti-burned",
            ),
            pytest.param(
                refusing(401, "invalid_request", "Missing or invalid 'aud' claim"),
                CredentialsRefused,
                id="audience",
            ),
            pytest.param(
                refusing(401, "invalid_request", "Invalid 'iss'/'sub' claims"),
                CredentialsRefused,
                id="api-key",
            ),
            pytest.param(
                refusing(418, "new_error", "of a later release"),
                CredentialsRefused,
                id="unknown-4xx",
            ),
            pytest.param(
                saying(401, b'{"fault":{"faultstring":"Invalid ApiKey"}}'),
                CredentialsRefused,
                id="platform-fault",
            ),
            pytest.param(
                refusing(500, "unknown_error", "An unknown error occurred"),
                TokenServiceDown,
                id="server-error",
            ),
            pytest.param(DOWN, TokenServiceDown, id="html-503"),
            pytest.param(saying(404, b"<html>", "text/html"), TokenServiceDown, id="html-404"),
            pytest.param(saying(200, b"<html>", "text/html"), TokenServiceDown, id="html-200"),
            pytest.param(saying(200, b"{}"), TokenServiceDown, id="no-token-in-it"),
            pytest.param(saying(200, b"[" * 50_000), TokenServiceDown, id="too-deep"),
            pytest.param(saying(200, b"{" + b" " * 70_000), TokenServiceDown, id="too-long"),
            pytest.param(
                saying(200, b'{"access_token":"a\\r\\nX-Evil: 1"}'),
                TokenServiceDown,
                id="no-header-value",
            ),
            pytest.param(saying(200, b'{"access_token":7}'), TokenServiceDown, id="no-text"),
            pytest.param(hanging_up, TokenServiceDown, id="hung-up"),
        ],
    )
    async def test_each_failure_has_its_class(self, source, token_service, answering, kind):
        """What mends itself is told from what somebody must mend (onboarding, section 1.5)."""
        token_service.answers.append(answering)

        assert isinstance(await failure(source), kind)

    @pytest.mark.parametrize(
        "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"hm\r\n"]
    )
    async def test_a_broken_answer_is_silence(self, source_at, said):
        """Whatever breaks on the way will be asked again."""
        async with wired(said) as url:
            error = await failure(source_at(url))

        assert isinstance(error, TokenServiceDown)

    async def test_a_service_that_does_not_answer_is_not_waited_for_for_ever(
        self, source_at, token_service
    ):
        """Senders wait for as long as the settings say."""
        token_service.answers.append(after(asyncio.Event(), granting()))
        source = source_at(token_service.url, timeout_seconds=0.05)

        assert isinstance(await failure(source), TokenServiceDown)

    async def test_after_a_failure_nobody_asks_until_the_pause_is_over(
        self, source, token_service, clock
    ):
        """A service in trouble is not asked by every sender in turn."""
        token_service.answers.append(DOWN)
        first = await failure(source)
        second = await failure(source)

        assert 1 == len(token_service.heard)
        assert (type(first), str(first)) == (type(second), str(second))
        assert clock.now() + timedelta(seconds=5) == source.closed_until

    async def test_when_the_pause_is_over_one_asks_again(self, source, token_service, clock):
        """It mends itself."""
        token_service.answers.append(DOWN)
        await failure(source)
        clock.advance(5)

        assert source.closed_until is None
        assert "token-1" == await source.token()

    async def test_pauses_grow_to_a_minute(self, source, token_service, clock):
        """The longer it lasts, the less often we ask; but never less than once a minute."""
        token_service.otherwise = DOWN
        pauses = []
        for _ in range(6):
            await failure(source)
            pause = (source.closed_until - clock.now()).total_seconds()
            pauses.append(pause)
            clock.advance(pause)

        assert [5, 10, 20, 40, 60, 60] == pauses

    async def test_a_success_makes_the_next_pause_short_again(self, source, token_service, clock):
        """Only failures in a row count."""
        token_service.answers.extend([DOWN, DOWN])
        await failure(source)
        clock.advance(5)
        await failure(source)
        clock.advance(10)
        source.discard(await source.token())
        token_service.answers.append(DOWN)
        await failure(source)

        assert clock.now() + timedelta(seconds=5) == source.closed_until

    async def test_what_somebody_must_mend_is_asked_less_often(self, source, token_service, clock):
        """A wrong key does not mend itself within seconds."""
        token_service.answers.append(WRONG_KEY)
        await failure(source)

        assert clock.now() + timedelta(seconds=60) == source.closed_until

    async def test_the_service_says_when_it_will_answer_again(self, source, token_service, clock):
        """A quota ends at a moment that the service names."""
        ends_at = clock.now() + timedelta(seconds=17)
        body = {"message": "quota", "ratelimiting_expiry_time_ms": int(ends_at.timestamp() * 1000)}
        token_service.answers.append(saying(429, orjson.dumps(body)))
        await failure(source)

        assert ends_at == source.closed_until

    @pytest.mark.parametrize(
        ("asked", "seconds"),
        [
            pytest.param("17", 17, id="seconds"),
            pytest.param("Sat, 28 Feb 2026 12:00:17 GMT", 17, id="date"),
            pytest.param("1", 5, id="sooner-than-ours"),
            pytest.param("86400", 60, id="longer-than-the-longest"),
            pytest.param("soon", 5, id="unreadable"),
        ],
    )
    async def test_the_service_may_ask_for_a_pause(
        self, source, token_service, clock, asked, seconds
    ):
        """By Retry-After, up to the longest that such a refusal is given."""
        said = {"Retry_After": asked, "Date": "Sat, 28 Feb 2026 12:00:00 GMT"}
        token_service.answers.append(saying(503, **said))
        await failure(source)

        assert clock.now() + timedelta(seconds=seconds) == source.closed_until

    async def test_a_step_of_the_wall_clock_does_not_lengthen_the_pause(
        self, source, token_service, clock
    ):
        """The cure for a clock that is an hour fast must not cost an hour."""
        token_service.answers.append(refusing(400, "invalid_request", "Invalid 'exp' claim"))
        await failure(source)
        clock.wall -= timedelta(hours=1)
        clock.advance(60)

        assert "token-1" == await source.token()

    async def test_nothing_that_the_service_said_is_repeated(self, source, token_service):
        """Error texts and logs hold our words only."""
        token_service.answers.append(refusing(401, "canary", "Invalid 'kid' canary"))
        with capture_logs() as logs:
            error = await failure(source)

        assert "canary" not in f"{error} {error.advice} {logs}"

    async def test_no_token_and_no_jwt_in_the_log(self, source, token_service):
        """Who reads the log must not be able to send."""
        with capture_logs() as logs:
            await source.token()

        assert ["token.renewed"] == [line["event"] for line in logs]
        assert "token-1" not in str(logs)
        assert assertion_of(token_service.heard[0]) not in str(logs)


class TestKeys:
    """Which of several keys signs."""

    @pytest.fixture
    def source(self, source_at, token_service):
        return source_at(token_service.url, key_ids=("Trust-INT-2", "Trust-INT-1"))

    @pytest.mark.parametrize(
        "answering",
        [
            pytest.param(WRONG_KEY, id="unknown"),
            pytest.param(
                refusing(401, "public_key error", "JWT signature verification failed"),
                id="another-half",
            ),
        ],
    )
    async def test_where_the_first_is_not_known_the_next_signs_at_once(
        self, source, token_service, answering
    ):
        """A new key that the service has not noticed yet holds up no message."""
        token_service.answers.append(answering)
        await source.token()

        assert ["Trust-INT-2", "Trust-INT-1"] == key_ids(token_service)
        assert ("Trust-INT-1", ["Trust-INT-2"], None) == (
            source.status.key_id,
            source.status.refused_keys,
            source.status.failing_since,
        )

    @pytest.mark.parametrize(
        ("seconds", "signs"), [(3599, "Trust-INT-1"), (3600, "Trust-INT-2")], ids=str
    )
    async def test_the_first_is_tried_again_after_an_hour(
        self, source, token_service, clock, seconds, signs
    ):
        """For so long the service keeps its copy of the JWKS, and does not look again."""
        token_service.answers.append(WRONG_KEY)
        await source.token()
        clock.advance(seconds)
        await source.token()

        assert signs == key_ids(token_service)[-1]

    async def test_once_it_is_known_the_first_signs(self, source, token_service, clock):
        """What was refused an hour ago is no concern any more."""
        token_service.answers.append(WRONG_KEY)
        await source.token()
        clock.advance(3600)
        await source.token()

        assert ("Trust-INT-2", []) == (source.status.key_id, source.status.refused_keys)

    async def test_another_refusal_is_not_met_by_another_key(self, source, token_service):
        """A wrong clock is wrong for every key, and each request counts."""
        token_service.answers.append(refusing(400, "invalid_request", "Invalid 'exp' claim"))
        await failure(source)

        assert ["Trust-INT-2"] == key_ids(token_service)

    async def test_where_none_is_known_the_first_refusal_is_told(self, source, token_service):
        """It is about the key that the settings name first."""
        token_service.answers.extend(
            [WRONG_KEY, refusing(401, "public_key error", "JWT signature verification failed")]
        )

        assert "the key id is not in" in str(await failure(source))

    async def test_new_keys_are_tried_whatever_became_of_the_old(self, source, token_service, key):
        """Somebody has put it right, and need not wait for an hour."""
        token_service.answers.append(WRONG_KEY)
        source.discard(await source.token())
        source.use([SigningKey(key_id="Trust-INT-2", key=key)])
        await source.token()

        assert "Trust-INT-2" == key_ids(token_service)[-1]


def key_ids(service):
    """Return the kid of each JWT that came, in order."""
    return [jwt.get_unverified_header(assertion_of(heard))["kid"] for heard in service.heard]


class TestStatus:
    """What people are shown."""

    async def test_before_the_first_token_there_is_nothing_to_tell(self, source):
        """No token is in hand, and nothing has failed."""
        status = source.status

        assert ("Trust-INT-1", None, None, None) == (
            status.key_id,
            status.expires_at,
            status.failing_since,
            status.reason,
        )

    async def test_a_token_shows_when_it_ends(self, source):
        """In UTC, for people."""
        await source.token()

        assert NOW + timedelta(seconds=599) == source.status.expires_at

    async def test_a_failure_shows_since_when_why_and_what_to_do(
        self, source, token_service, clock
    ):
        """The first failure in a row is the one that counts."""
        token_service.answers.extend([WRONG_KEY, WRONG_KEY])
        await failure(source)
        clock.advance(60)
        error = await failure(source)
        status = source.status

        assert (NOW, str(error), error.advice) == (
            status.failing_since,
            status.reason,
            status.advice,
        )

    async def test_a_success_ends_the_failure(self, source, token_service, clock):
        """What is over is not shown."""
        token_service.answers.append(DOWN)
        await failure(source)
        clock.advance(60)
        await source.token()

        assert (None, None, None) == (
            source.status.failing_since,
            source.status.reason,
            source.status.advice,
        )

    @pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(hours=1)])
    async def test_the_next_jwt_goes_by_the_clock_as_it_was_set(
        self, source, token_service, clock, step
    ):
        """It ends 150 seconds from then, or the service would refuse it."""
        await source.token()
        clock.wall += step
        clock.advance(600)
        await source.token()
        assertion = form_of(token_service.heard[-1])["client_assertion"]
        claims = jwt.decode(assertion, options={"verify_signature": False})

        assert int((NOW + step).timestamp()) + 600 + 150 == claims["exp"]

    @pytest.mark.parametrize(
        ("date", "skew"),
        [
            pytest.param("Mon, 02 Mar 2026 08:59:20 GMT", 40.0, id="ours-is-fast"),
            pytest.param("Mon, 02 Mar 2026 09:00:40 GMT", -40.0, id="ours-is-slow"),
            pytest.param("Mon, 02 Mar 2026 09:00:00 -0000", 0.0, id="zone-unknown"),
            pytest.param("yesterday", None, id="unreadable"),
            pytest.param("Mon, 02 Mar 2026 09:00:00 +" + "9" * 20, None, id="absurd-zone"),
            pytest.param(f"Mon, 02 Mar 2026 {'9' * 20}:00:00 GMT", None, id="absurd-hour"),
        ],
    )
    async def test_the_clocks_are_compared(self, source, token_service, date, skew):
        """A clock that drifts ends in refused tokens, and is seen before that."""
        token_service.answers.append(saying(503, Date=date))
        await failure(source)

        assert skew == source.status.clock_skew_seconds


async def test_a_token_behind_long_and_many_headers_is_read(source_at):
    """Each hop adds its own; without this there would be no token at all."""
    body = b'{"access_token":"a","expires_in":"599"}'
    headers = b"X: " + b"a" * 20_000 + b"\r\n" + b"Y: b\r\n" * 500
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    async with wired(b"HTTP/1.1 200 OK\r\n" + headers + length + body) as url:
        assert "a" == await source_at(url).token()
