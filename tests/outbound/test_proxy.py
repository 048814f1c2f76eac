"""One POST to the proxy: what goes out, and how whatever comes back is read."""

import asyncio
import gzip
import ssl
from types import SimpleNamespace

import pytest
import trustme
from national_side import (
    ACKNOWLEDGEMENT,
    CORRELATION_ID,
    FHIR,
    REQUEST_ID,
    Clock,
    a_claim,
    acknowledging,
    after,
    hanging_up,
    outcome,
    saying,
    served,
    wired,
)

from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.egress import EgressProxy, open_session
from bars_gateway.outbound.proxy import SILENCE, Proxy
from bars_gateway.tls.contexts import client_context

BODY = b'{"resourceType":"Bundle","total":1.10,"at":"2026-03-02T09:00:00.1234567+00:00"}\r\n '


def proxy_at(session, url, *, answer_seconds=5.0, max_answer_bytes=100_000):
    return Proxy(
        session,
        url=url,
        budgets={"trust": Budget(100_000, monotonic=Clock().monotonic)},
        answer_seconds=answer_seconds,
        max_answer_bytes=max_answer_bytes,
    )


@pytest.fixture
def proxy(session, national_proxy):
    return proxy_at(session, f"{national_proxy.url}/booking-and-referral/FHIR/R4")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Return an authority in a file, and servers with certificates of it and of another."""
    folder = tmp_path_factory.mktemp("authorities")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")

    def serving(by, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        by.issue_cert(name).configure_cert(context)
        return context

    return SimpleNamespace(
        ca_file=folder / "ca.pem",
        ours=serving(authority, "127.0.0.1"),
        misnamed=serving(authority, "elsewhere.example"),
        strange=serving(stranger, "127.0.0.1"),
    )


@pytest.mark.parametrize("odd", [b"\x01", b"\x1b[2J", b"\x7f", b"\xff"])
async def test_a_header_that_cannot_be_written_again_is_not_kept(session, odd):
    """Whoever looks at the answer gets it, and a terminal that shows it is left in peace."""
    said = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json" + odd + b"\r\n"
        b"Date: " + odd + b"\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}"
    )
    async with wired(said) as url:
        answer = await proxy_at(session, url).post(a_claim(), "t")

    assert (b"{}", "application/octet-stream") == (answer.body, answer.media_type)
    assert {"Retry-After": "1"} == answer.headers


class TestTheRequest:
    """What leaves us."""

    async def test_the_dollar_stays_a_dollar(self, proxy, national_proxy):
        """A proxy that compares paths would not find %24process-message."""
        await proxy.post(a_claim(), "t")

        expected = "/booking-and-referral/FHIR/R4/$process-message"
        assert expected == national_proxy.heard[0].target

    async def test_the_body_is_sent_as_it_came(self, proxy, national_proxy):
        """Bytes in, bytes out: digits, white space and all."""
        await proxy.post(a_claim(BODY), "t")

        assert BODY == national_proxy.heard[0].body

    async def test_a_large_body_is_sent_as_it_came(self, proxy, national_proxy):
        """An attached document makes a message of megabytes, whose length is known beforehand."""
        body = bytes(range(256)) * 12_000
        await proxy.post(a_claim(body), "t")
        (heard,) = national_proxy.heard

        assert body == heard.body
        assert str(len(body)) == heard.headers["Content-Length"]

    async def test_the_headers_are_the_frozen_ones_and_the_token(self, proxy, national_proxy):
        """Beside them, only what HTTP itself needs."""
        claim = a_claim(**{"NHSD-Target-Identifier": "eyJ9", "use-context": "a3t1|referral|x|new"})
        await proxy.post(claim, "the-token")
        sent = {name.lower(): text for name, text in national_proxy.heard[0].headers.items()}
        of_http = {"host", "content-length", "accept-encoding"}

        frozen = {name.lower(): text for name, text in claim.request.headers.items()}
        expected = {**frozen, "authorization": "Bearer the-token"}
        assert expected == {name: sent[name] for name in sent.keys() - of_http}

    async def test_without_a_token_there_is_no_authorization(self, proxy, national_proxy):
        """The public sandbox asks for none."""
        await proxy.post(a_claim(), None)

        assert "Authorization" not in national_proxy.heard[0].headers

    async def test_a_second_post_is_the_same_as_the_first(self, proxy, national_proxy):
        """A retry is the same bytes under the same headers; cookies would tell them apart."""
        national_proxy.answers.append(saying(503, Set_Cookie="session=1"))
        for _ in range(2):
            await proxy.post(a_claim(BODY), "t")
        first, second = national_proxy.heard

        assert (first.target, first.headers, first.body) == (
            second.target,
            second.headers,
            second.body,
        )

    async def test_the_connection_is_kept(self, proxy, national_proxy):
        """A handshake costs more than a message."""
        for _ in range(3):
            await proxy.post(a_claim(), "t")

        assert 1 == len({heard.peer_port for heard in national_proxy.heard})

    async def test_a_redirect_is_not_followed(self, proxy, national_proxy):
        """A patient's data goes to the address in the settings, and to no other."""
        async with served(acknowledging) as elsewhere:
            national_proxy.answers.append(saying(307, Location=elsewhere.url))
            answer = await proxy.post(a_claim(), "t")

        assert ([], 307) == (elsewhere.heard, answer.status)

    async def test_the_environment_names_no_way_out(self, proxy, national_proxy, monkeypatch):
        """A variable that somebody once set must not lead messages through another machine."""
        async with served(acknowledging) as elsewhere:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
                monkeypatch.setenv(name, elsewhere.url)
            await proxy.post(a_claim(), "t")

        assert ([], 1) == (elsewhere.heard, len(national_proxy.heard))

    async def test_an_egress_proxy_is_used_where_one_is_set(self, trusted, national_proxy):
        """Where nothing gets out without one, the settings name it, and not a variable."""
        async with (
            served(acknowledging) as egress,
            open_session(
                trusted, connections=1, connect_seconds=5, egress=EgressProxy(url=egress.url)
            ) as way,
        ):
            answer = await proxy_at(way, national_proxy.url).post(a_claim(), "t")

        assert (200, [], 1) == (answer.status, national_proxy.heard, len(egress.heard))

    async def test_a_lost_answer_is_not_asked_for_again_behind_our_back(
        self, proxy, national_proxy
    ):
        """The dispatcher decides about retries; no library does."""
        await proxy.post(a_claim(), "t")
        national_proxy.answers.append(hanging_up)
        await proxy.post(a_claim(), "t")

        assert 2 == len(national_proxy.heard)


class TestTheAnswer:
    """What comes back."""

    async def test_an_acknowledgement_is_read(self, proxy):
        """Status, ids and body are what the verdict needs."""
        answer = await proxy.post(a_claim(), "t")

        assert (200, REQUEST_ID, CORRELATION_ID, FHIR, ACKNOWLEDGEMENT) == (
            answer.status,
            answer.request_id,
            answer.correlation_id,
            answer.media_type,
            answer.body,
        )

    async def test_ids_come_back_in_any_case(self, proxy, national_proxy):
        """A UUID is the same in capitals."""
        national_proxy.answers.append(
            saying(200, X_Request_Id=REQUEST_ID.upper(), X_CORRELATION_ID=f" {CORRELATION_ID} ")
        )
        answer = await proxy.post(a_claim(), "t")

        assert (REQUEST_ID, CORRELATION_ID) == (answer.request_id, answer.correlation_id)

    @pytest.mark.parametrize("ours_comes", ["first", "last", "in one line"])
    async def test_an_id_that_a_hop_adds_does_not_hide_ours(self, session, ours_comes):
        """Web servers in front of Receivers add one of their own making, beside the Receiver's."""
        ours, other = f"X-Request-Id: {REQUEST_ID}\r\n", f"X-Request-Id: {'0' * 32}\r\n"
        both = {
            "first": ours + other,
            "last": other + ours,
            "in one line": f"X-Request-Id: {'0' * 32}, {REQUEST_ID}\r\n",
        }
        said = f"HTTP/1.1 200 OK\r\n{both[ours_comes]}Content-Length: 2\r\n\r\n{{}}"
        async with wired(said.encode()) as url:
            answer = await proxy_at(session, url).post(a_claim(), "t")

        assert REQUEST_ID == answer.request_id

    async def test_ids_of_another_request_stay_what_they_are(self, proxy, national_proxy):
        """Somebody else's answer must not pass for ours."""
        national_proxy.answers.append(saying(200, X_Request_Id=CORRELATION_ID))
        answer = await proxy.post(a_claim(), "t")

        assert (CORRELATION_ID, None) == (answer.request_id, answer.correlation_id)

    async def test_an_operation_outcome_is_read(self, proxy, national_proxy):
        """Its codes decide."""
        body = outcome("REC_CONFLICT", "duplicate")
        national_proxy.answers.append(saying(409, body, FHIR))
        answer = await proxy.post(a_claim(), "t")

        assert (409, "REC_CONFLICT", "duplicate", True, body) == (
            answer.status,
            answer.code,
            answer.issue,
            answer.is_outcome,
            answer.body,
        )

    async def test_the_platforms_fault_is_read(self, proxy, national_proxy):
        """The platform in front of BaRS has a form of its own for a token that ran out."""
        code = "keymanagement.service.access_token_expired"
        body = b'{"fault":{"faultstring":"x","detail":{"errorcode":"%s"}}}' % code.encode()
        national_proxy.answers.append(saying(401, body))
        answer = await proxy.post(a_claim(), "t")

        assert (code, False) == (answer.code, answer.is_outcome)

    async def test_a_page_has_no_code(self, proxy, national_proxy):
        """What some device in between says is kept, and means nothing."""
        national_proxy.answers.append(saying(502, b"<html>Bad Gateway</html>", "text/html"))
        answer = await proxy.post(a_claim(), "t")

        assert (502, None, False) == (answer.status, answer.code, answer.is_outcome)

    @pytest.mark.parametrize("said", [r"\ud800", r"\u0000", r"\u001b[31m"])
    async def test_a_code_that_is_no_word_is_none(self, proxy, national_proxy, said):
        """Half a surrogate pair fits into no database: kept, it would end the process each time."""
        body = outcome("CODE", "ISSUE").replace(b"CODE", said.encode())
        national_proxy.answers.append(saying(422, body.replace(b"ISSUE", said.encode()), FHIR))
        answer = await proxy.post(a_claim(), "t")

        assert (None, None, True, 422) == (
            answer.code,
            answer.issue,
            answer.is_outcome,
            answer.status,
        )

    async def test_a_compressed_answer_is_inflated(self, proxy, national_proxy):
        """The proxy may compress what it says."""
        packed = gzip.compress(ACKNOWLEDGEMENT)
        national_proxy.answers.append(saying(200, packed, Content_Encoding="gzip"))
        answer = await proxy.post(a_claim(), "t")

        assert ACKNOWLEDGEMENT == answer.body

    @pytest.mark.parametrize(
        ("said", "seconds"),
        [
            ("7", 7.0),
            ("0", 0.0),
            ("-3", 0.0),
            ("86400", 600.0),
            ("inf", 600.0),
            ("Mon, 02 Mar 2026 09:00:30 GMT", 30.0),
            ("Mon, 02 Mar 2026 08:59:30 GMT", 0.0),
            ("Tue, 03 Mar 2026 09:00:00 GMT", 600.0),
            ("Mon, 32 Mar 2026 09:00:00 GMT", None),
            ("soon", None),
        ],
    )
    async def test_retry_after_is_read_and_bounded(self, proxy, national_proxy, said, seconds):
        """Nobody can park a message for a day; a date counts from that of the answer."""
        date = "Mon, 02 Mar 2026 09:00:00 GMT"
        national_proxy.answers.append(saying(429, Retry_After=said, Date=date))
        answer = await proxy.post(a_claim(), "t")

        assert seconds == answer.retry_after

    async def test_few_headers_are_kept(self, proxy, national_proxy):
        """What nobody needs is not stored."""
        national_proxy.answers.append(saying(503, Retry_After="7", X_Secret="canary"))
        answer = await proxy.post(a_claim(), "t")

        assert {"Content-Type", "Date", "Retry-After"} == answer.headers.keys()

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param(b"X: " + b"a" * 20_000 + b"\r\n", id="long"),
            pytest.param(b"X: a\r\n" * 500, id="many"),
        ],
    )
    async def test_an_answer_with_long_or_many_headers_is_read(self, session, headers):
        """Each hop adds its own; the message would be tried again although it had arrived."""
        answer = b"HTTP/1.1 503 Later\r\n" + headers + b"Content-Length: 2\r\n\r\n{}"
        async with wired(answer) as url:
            found = await proxy_at(session, url).post(a_claim(), "t")

        assert (503, b"{}") == (found.status, found.body)

    async def test_an_answer_of_several_gzip_members_is_read(self, proxy, national_proxy):
        """RFC 1952 allows it, and whoever packs piece by piece does it."""
        packed = gzip.compress(ACKNOWLEDGEMENT[:9]) + gzip.compress(ACKNOWLEDGEMENT[9:])
        national_proxy.answers.append(saying(200, packed, Content_Encoding="gzip"))
        answer = await proxy.post(a_claim(), "t")

        assert ACKNOWLEDGEMENT == answer.body


class TestSilence:
    """Whatever goes wrong on the way proves nothing."""

    @pytest.mark.parametrize(
        "said",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="no-http"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", id="cut-off"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", id="chunk-cut-off"
            ),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
                id="no-gzip",
            ),
            pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", id="long-header"),
        ],
    )
    async def test_a_broken_answer_is_silence(self, session, said):
        """Half an answer is no answer."""
        async with wired(said) as url:
            assert SILENCE == await proxy_at(session, url).post(a_claim(), "t")

    async def test_a_closed_port_is_silence(self, session):
        """Nobody is there."""
        async with wired(b"") as url:
            pass

        assert SILENCE == await proxy_at(session, url).post(a_claim(), "t")

    async def test_an_answer_that_takes_too_long_is_silence(self, session, national_proxy):
        """We wait longer than the proxy does, and not for ever."""
        national_proxy.answers.append(after(asyncio.Event(), acknowledging))
        proxy = proxy_at(session, national_proxy.url, answer_seconds=0.05)

        assert SILENCE == await proxy.post(a_claim(), "t")

    @pytest.mark.parametrize("packed", [False, True], ids=["as-it-is", "inflated"])
    async def test_an_answer_that_is_too_long_is_silence(self, session, national_proxy, packed):
        """Nobody fills our memory; what counts is the size after inflating."""
        body = b" " * 1_000_000
        headers = {"Content_Encoding": "gzip"} if packed else {}
        national_proxy.answers.append(
            saying(200, gzip.compress(body) if packed else body, **headers)
        )
        proxy = proxy_at(session, national_proxy.url, max_answer_bytes=999_999)

        assert SILENCE == await proxy.post(a_claim(), "t")

    async def test_silence_does_not_spoil_the_next_answer(self, session, national_proxy):
        """What was left of a long answer is not read as the next one."""
        national_proxy.answers.append(saying(200, b" " * 200_000))
        proxy = proxy_at(session, national_proxy.url)
        await proxy.post(a_claim(), "t")

        assert ACKNOWLEDGEMENT == (await proxy.post(a_claim(), "t")).body


class TestTls:
    """Whom we hand a patient's data to."""

    async def posted(self, trusted, context):
        async with (
            served(acknowledging, ssl_context=context) as service,
            open_session(trusted, connections=1, connect_seconds=5) as session,
        ):
            return await proxy_at(session, service.url).post(a_claim(), "t"), service.heard

    async def test_the_authority_in_the_settings_counts(self, world):
        """An environment's own authority is enough."""
        answer, _ = await self.posted(client_context(world.ca_file), world.ours)

        assert 200 == answer.status

    @pytest.mark.parametrize("which", ["strange", "misnamed"])
    async def test_a_server_that_cannot_prove_itself_hears_nothing(self, world, which):
        """Not one byte of a message leaves before the certificate is checked."""
        found = await self.posted(client_context(world.ca_file), getattr(world, which))

        assert (SILENCE, []) == found

    async def test_without_a_ca_file_the_operating_systems_authorities_count(self, world):
        """Anybody's own authority is not among them."""
        found = await self.posted(client_context(None), world.ours)

        assert (SILENCE, []) == found
