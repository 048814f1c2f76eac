"""What each answer means: the table of verdicts, row by row."""

import hashlib

import pytest

from bars_gateway.standard.answers import AnswerSubject
from bars_gateway.standard.verdict import (
    KEPT_OUT,
    ROWS,
    SILENCE,
    TABLE_VERSION,
    Before,
    FaultSide,
    ProxyAnswer,
    Verdict,
    judge,
)

REQUEST_ID = "0b5d1f0a-7a51-4d6e-8d0b-3f2f6a9c1e01"
CORRELATION_ID = "6a7f3c1e-0b1d-4f5a-9c3e-2d1f0a9b8c02"
OURS = {"request_id": REQUEST_ID, "correlation_id": CORRELATION_ID}


def said(status, code=None, issue=None, *, echoed=False):
    """Return an answer with an OperationOutcome, from the proxy or from the Receiver."""
    echo = OURS if echoed else {}
    return ProxyAnswer(status=status, code=code, issue=issue, is_outcome=True, **echo)


def bare(status, code=None):
    """Return an answer without an OperationOutcome: from some device in between."""
    return ProxyAnswer(status=status, code=code)


# (answer, verdict, row, on whose side the cause lies)
CASES = {
    "silence": (ProxyAnswer(status=None), "retry", "silence", "PROXY"),
    "both-ids-came-back": (ProxyAnswer(status=200, **OURS), "acknowledged", "acknowledged", None),
    "created-with-both-ids": (
        ProxyAnswer(status=201, **OURS),
        "acknowledged",
        "acknowledged",
        None,
    ),
    "no-ids-came-back": (ProxyAnswer(status=200), "retry", "ok-without-our-ids", "PROXY"),
    "one-id-came-back": (
        ProxyAnswer(status=200, request_id=REQUEST_ID),
        "retry",
        "ok-without-our-ids",
        "PROXY",
    ),
    "another-request-was-answered": (
        ProxyAnswer(status=200, request_id=CORRELATION_ID, correlation_id=CORRELATION_ID),
        "retry",
        "ok-without-our-ids",
        "PROXY",
    ),
    "token-ran-out-at-the-platform": (
        bare(401, "keymanagement.service.access_token_expired"),
        "unauthorized",
        "token-refused-by-platform",
        "HERE",
    ),
    "token-unknown-at-the-platform": (
        bare(401, "keymanagement.service.invalid_access_token"),
        "unauthorized",
        "token-refused-by-platform",
        "HERE",
    ),
    "no-token-for-the-platform": (
        bare(401, "oauth.v2.InvalidAccessToken"),
        "unauthorized",
        "token-refused-by-platform",
        "HERE",
    ),
    "no-product-for-the-platform": (
        bare(401, "keymanagement.service.InvalidAPICallAsNoApiProductMatchFound"),
        "forbidden",
        "application-refused-by-platform",
        "HERE",
    ),
    "no-product-in-other-letters": (
        bare(403, "oauth.v2.invalidapicallasnoapiproductmatchfound"),
        "forbidden",
        "application-refused-by-platform",
        "HERE",
    ),
    "api-key-unknown-at-the-platform": (
        bare(401, "oauth.v2.InvalidApiKeyForGivenResource"),
        "forbidden",
        "application-refused-by-platform",
        "HERE",
    ),
    "client-unknown-at-the-platform": (
        bare(500, "oauth.v2.InvalidClientIdentifier"),
        "forbidden",
        "application-refused-by-platform",
        "HERE",
    ),
    "denied-by-the-platform": (
        said(401, "ACCESS_DENIED", "forbidden"),
        "unauthorized",
        "access-denied",
        "HERE",
    ),
    "forbidden-by-the-platform": (
        said(403, "ACCESS_DENIED", "forbidden"),
        "forbidden",
        "access-forbidden",
        "HERE",
    ),
    "denied-by-the-receiver": (
        said(401, "ACCESS_DENIED", "forbidden", echoed=True),
        "refused",
        "receiver-unauthorized",
        "REC",
    ),
    "denied-by-the-receiver-in-its-own-words": (
        said(401, "REC_ACCESS_DENIED", "forbidden"),
        "refused",
        "receiver-unauthorized",
        "REC",
    ),
    "a-404-page": (bare(404), "retry", "intermediary", "PROXY"),
    "a-400-page": (bare(400), "retry", "intermediary", "PROXY"),
    "a-401-page": (bare(401), "retry", "intermediary", "PROXY"),
    "a-413-page": (bare(413), "retry", "unfit-on-the-way", "PROXY"),
    "a-414-page": (bare(414), "retry", "unfit-on-the-way", "PROXY"),
    "a-415-page": (bare(415), "retry", "unfit-on-the-way", "PROXY"),
    "a-431-fault": (
        bare(431, "protocol.http.TooBigHeaders"),
        "retry",
        "unfit-on-the-way",
        "PROXY",
    ),
    "too-large-for-the-receiver": (
        said(413, "REC_BAD_REQUEST", "too-long"),
        "refused",
        "refused",
        "REC",
    ),
    "a-409-page": (bare(409), "retry", "intermediary", "PROXY"),
    "a-500-page": (bare(500), "retry", "intermediary", "PROXY"),
    "a-502-fault": (
        bare(502, "messaging.adaptors.http.flow.UnexpectedEOFAtTarget"),
        "retry",
        "intermediary",
        "PROXY",
    ),
    "a-307": (bare(307), "retry", "intermediary", "PROXY"),
    "conflict": (said(409, "REC_CONFLICT", "conflict"), "refused", "conflict", "REC"),
    "too-early": (said(425, "REC_TOO_EARLY", "duplicate"), "retry", "too-early", "REC"),
    "receiver-took-too-long": (said(408, "REC_TIMEOUT", "timeout"), "retry", "timeout", "REC"),
    "proxy-took-too-long": (said(504, "PROXY_TIMEOUT", "timeout"), "retry", "timeout", "PROXY"),
    "timeout-without-prefix": (said(504, "TIMEOUT", "timeout"), "retry", "timeout", "PROXY"),
    "our-quota": (
        said(429, "SEND_TOO_MANY_REQUESTS", "throttled"),
        "retry",
        "too-many-requests",
        "SEND",
    ),
    "quota-of-the-proxy": (
        said(429, "PROXY_TOO_MANY_REQUESTS", "throttled"),
        "retry",
        "too-many-requests",
        "PROXY",
    ),
    "receiver-unavailable": (
        said(503, "REC_UNAVAILABLE", "transient"),
        "retry",
        "unavailable",
        "REC",
    ),
    "receiver-unavailable-as-it-is-really-spelt": (
        said(503, "REC_SERVICE_UNAVAILABLE", "transient"),
        "retry",
        "unavailable",
        "REC",
    ),
    "bad-gateway": (said(502, None, "transient"), "retry", "unavailable", "PROXY"),
    "quota-in-a-500": (
        said(500, "REC_TOO_MANY_REQUESTS", "throttled"),
        "retry_limited",
        "quota-as-500",
        "PROXY",
    ),
    "unhandled-exception": (
        said(500, "REC_SERVER_ERROR", "exception"),
        "retry_limited",
        "server-error",
        "REC",
    ),
    "no-store": (said(500, "REC_SERVER_ERROR", "no-store"), "retry_limited", "server-error", "REC"),
    "server-error-with-our-ids": (
        said(500, "REC_SERVER_ERROR", "transient", echoed=True),
        "retry_limited",
        "server-error",
        "REC",
    ),
    "not-implemented": (
        said(501, "REC_NOT_IMPLEMENTED", "not-supported"),
        "refused",
        "not-implemented",
        "REC",
    ),
    "http-version": (said(505, None, "exception"), "retry_limited", "other-5xx", "PROXY"),
    "token-refused": (
        said(401, "SEND_UNAUTHORIZED", "security"),
        "unauthorized",
        "token-refused",
        "HERE",
    ),
    "not-enabled": (said(403, "SEND_FORBIDDEN", "forbidden"), "forbidden", "not-enabled", "HERE"),
    "receiver-wants-another-user": (
        said(401, "REC_UNAUTHORIZED", "security"),
        "refused",
        "receiver-unauthorized",
        "REC",
    ),
    "receiver-refused-the-handshake": (
        said(403, "REC_FORBIDDEN", "forbidden"),
        "refused",
        "refused",
        "REC",
    ),
    "unprocessable": (
        said(422, "REC_UNPROCESSABLE_ENTITY", "invariant", echoed=True),
        "refused",
        "refused",
        "REC",
    ),
    "unknown-service": (said(404, "PROXY_NOT_FOUND", "not-found"), "refused", "refused", "PROXY"),
    "bad-request-without-prefix": (
        said(400, "BAD_REQUEST", "invalid"),
        "refused",
        "refused",
        "PROXY",
    ),
    "no-code-at-all": (said(406), "refused", "refused", "PROXY"),
    "redirect-with-outcome": (said(302), "retry", "redirect", "PROXY"),
    "informational": (bare(103), "retry", "unknown-status", "PROXY"),
}


@pytest.mark.parametrize(
    ("answer", "verdict", "row", "fault"),
    [pytest.param(*case, id=name) for name, case in CASES.items()],
)
def test_judge(answer, verdict, row, fault):
    """Each answer leads to one verdict, by a row that can be looked up, with a cause."""
    judgement = judge(answer, **OURS)

    assert (verdict, row, fault) == (judgement.verdict, judgement.row, judgement.fault)


DUPLICATE = said(409, "REC_CONFLICT", "duplicate", echoed=True)
FINE = ProxyAnswer(status=200, **OURS)
# (answer, what its body says, what came before, verdict, row, on whose side the cause lies)
IN_TIME = {
    "told-twice": (DUPLICATE, "nothing", "unknown", "acknowledged", "duplicate", None),
    "told-twice-by-the-proxy": (
        said(409, "REC_CONFLICT", "duplicate"),
        "nothing",
        "unknown",
        "acknowledged",
        "duplicate",
        None,
    ),
    "told-once": (DUPLICATE, "nothing", "nothing", "unconfirmed", "duplicate-at-first", "REC"),
    "told-of-somebody-else": (
        DUPLICATE,
        "nothing",
        "foreign",
        "unconfirmed",
        "duplicate-after-foreign-ack",
        "REC",
    ),
    "about-us": (FINE, "ours", "nothing", "acknowledged", "acknowledged", None),
    "about-us-at-last": (FINE, "ours", "foreign", "acknowledged", "acknowledged", None),
    "of-an-error": (FINE, "error", "nothing", "retry_limited", "ok-with-an-error", "REC"),
    "about-anybody": (
        FINE,
        "other",
        "unknown",
        "acknowledged",
        "acknowledged-by-another-bundle",
        None,
    ),
    "about-somebody-else": (FINE, "foreign", "unknown", "retry", "foreign-ack", "REC"),
    "about-somebody-else-again": (
        FINE,
        "foreign",
        "foreign",
        "unconfirmed",
        "foreign-ack-again",
        "REC",
    ),
    "from-anybody-about-somebody": (
        ProxyAnswer(status=200),
        "foreign",
        "nothing",
        "retry",
        "ok-without-our-ids",
        "PROXY",
    ),
    **{
        f"{name}-{before}": (answer, "nothing", before, "retry_limited", row, fault)
        for before in ("unknown", "foreign")
        for name, answer, row, fault in (
            ("conflict", said(409, "REC_CONFLICT", "conflict"), "refused-in-doubt", "REC"),
            ("no-service", said(404, "PROXY_NOT_FOUND", "not-found"), "refused-in-doubt", "PROXY"),
            ("unprocessable", said(422, "REC_X", "invariant"), "refused-in-doubt", "REC"),
            ("other-user", said(401, "REC_UNAUTHORIZED", "x"), "refused-in-doubt", "REC"),
            ("nothing-such", said(501, "REC_X", "x"), "not-implemented-in-doubt", "REC"),
        )
    },
}


@pytest.mark.parametrize(
    ("answer", "body", "before", "verdict", "row", "fault"),
    [pytest.param(*case, id=name) for name, case in IN_TIME.items()],
)
def test_what_came_before_and_what_the_body_says(answer, body, before, verdict, row, fault):  # noqa: PLR0917
    """After an attempt that may have arrived no refusal is final, and before one no duplicate."""
    judgement = judge(answer, **OURS, said=AnswerSubject(body), before=Before(before))

    assert (verdict, row, fault) == (judgement.verdict, judgement.row, judgement.fault)


def test_what_shows_that_an_attempt_did_not_arrive():
    """A plain refusal, our token, a quota: all else leaves it open whether the Receiver has it."""
    expected = {"token-refused-by-platform", "too-many-requests", "quota-as-500"}
    expected |= {"not-implemented", "token-refused", "not-enabled", "conflict"}
    expected |= {"receiver-unauthorized", "refused"}
    expected |= {"application-refused-by-platform", "access-denied", "access-forbidden"}

    assert expected == KEPT_OUT


@pytest.mark.exhaustive
@pytest.mark.parametrize("before", ["unknown", "foreign"])
def test_in_doubt_nothing_is_refused(before):
    """Whatever the status and the code: an earlier attempt may have arrived."""
    verdicts = {
        judge(said(status, code, issue, echoed=echoed), **OURS, before=Before(before)).verdict
        for status in range(1000)
        for code in (None, "SEND_UNAUTHORIZED", "REC_CONFLICT", "PROXY_NOT_FOUND")
        for issue in ("duplicate", "conflict")
        for echoed in (True, False)
    }

    assert Verdict.REFUSED not in verdicts


def test_every_row_is_reached():
    """A row that no answer reaches says nothing; one that no case reaches is untested."""
    reached = {row for _, _, row, _ in CASES.values()} | {row for *_, row, _ in IN_TIME.values()}

    assert {row.name for row in (*ROWS, SILENCE)} == reached


def test_rows_have_names_of_their_own():
    """The name is stored with the attempt, and must lead back to one row."""
    names = [row.name for row in (*ROWS, SILENCE)]

    assert len(names) == len(set(names))


PREFIXES = ["SEND_", "PROXY_", "REC_", ""]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("status", "word", "row"),
    [
        (408, "TIMEOUT", "timeout"),
        (425, "TOO_EARLY", "too-early"),
        (429, "TOO_MANY_REQUESTS", "too-many-requests"),
        (500, "TOO_MANY_REQUESTS", "quota-as-500"),
        (500, "SERVER_ERROR", "server-error"),
        (501, "NOT_IMPLEMENTED", "not-implemented"),
        (503, "UNAVAILABLE", "unavailable"),
        (503, "SERVICE_UNAVAILABLE", "unavailable"),
        (504, "TIMEOUT", "timeout"),
    ],
)
def test_the_status_decides_before_the_spelling(status, word, row, prefix):
    """The guide and the proxy spell one code in several ways, and the prefix is to go."""
    assert row == judge(said(status, prefix + word, "unknown"), **OURS).row


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("SEND_BAD_REQUEST", FaultSide.SEND),
        ("PROXY_BAD_REQUEST", FaultSide.PROXY),
        ("REC_BAD_REQUEST", FaultSide.REC),
        ("BAD_REQUEST", FaultSide.PROXY),
        ("RECEIVER_BAD_REQUEST", FaultSide.PROXY),
        (None, FaultSide.PROXY),
    ],
)
def test_the_prefix_says_whose_fault_it_was(code, fault):
    """Where it is missing or unknown, the proxy is whom the operator asks."""
    assert fault is judge(said(400, code, "invalid"), **OURS).fault


@pytest.mark.parametrize("issue", ["conflict", "invalid", "business-rule", None])
def test_a_409_is_a_refusal_unless_it_says_duplicate(issue):
    """Only `duplicate` proves that the message is there."""
    assert Verdict.REFUSED is judge(said(409, "REC_CONFLICT", issue), **OURS).verdict


@pytest.mark.parametrize("issue", ["security", "unknown", "login", "expired"])
def test_each_way_to_refuse_our_token_leads_to_a_new_one(issue):
    """The proxy does not tell an expired token from a bad one."""
    found = judge(said(401, "SEND_UNAUTHORIZED", issue), **OURS)

    assert Verdict.UNAUTHORIZED is found.verdict


@pytest.mark.exhaustive
def test_every_answer_has_a_verdict():
    """No status is without a row, whatever the Receiver says and whoever repeats our ids."""
    rows = {
        judge(said(status, code, "duplicate", echoed=echoed), **OURS).row
        for status in range(1000)
        for code in (None, "SEND_UNAUTHORIZED", "REC_CONFLICT")
        for echoed in (True, False)
    }

    assert rows < {row.name for row in ROWS}


def test_nothing_but_the_receivers_own_words_is_final():
    """Without an OperationOutcome and without our ids, no status proves anything."""
    verdicts = {judge(bare(status), **OURS).verdict for status in range(100, 600)}

    assert {Verdict.RETRY} == verdicts


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refusal_need_not_echo_the_ids(status):
    """The proxy's own refusals never repeat our ids, and yet they are refusals."""
    verdicts = {
        judge(said(status, "PROXY_BAD_REQUEST", "invalid", echoed=echoed), **OURS).verdict
        for echoed in (True, False)
    }

    assert {Verdict.REFUSED} == verdicts


def test_an_echo_is_recorded_whatever_the_verdict():
    """Who repeated our ids on a refusal was the Receiver itself."""
    assert judge(said(422, "REC_BAD_REQUEST", "invalid", echoed=True), **OURS).ids_echoed


def test_our_own_trouble_is_called_ours():
    """A token or registration that BaRS refuses is neither the message's fault nor theirs."""
    assert FaultSide.HERE is judge(said(401, "SEND_UNAUTHORIZED", "unknown"), **OURS).fault


def test_a_changed_table_has_another_version():
    """An attempt of last year is looked up in last year's table: give it a new number."""
    rows = hashlib.sha256(repr((*ROWS, SILENCE)).encode()).hexdigest()[:12]

    assert (5, "3994a8a929e5") == (TABLE_VERSION, rows)
