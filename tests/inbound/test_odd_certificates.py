"""Whom OpenSSL lets in is judged, however strictly the library that we have beside it reads."""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from certs import (
    AUTHORITY_KEY,
    LEAF_KEY,
    SHORT_KEY,
    Chain,
    in_pem,
    key_pem,
    made,
    named,
    pem,
    rewritten,
)
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from inbound_callers import PROXY, Receiver, calling, eventually, post, serving
from structlog.testing import capture_logs

from bars_gateway.inbound.connection import Callers, Failure
from bars_gateway.tls.contexts import Identity, load_identity

CHAIN = Chain.of("A root", "A middle")
NOW = datetime.now(UTC)
ALTERNATIVE = "2.5.29.17"
DNS = b"\x82" + bytes([len(PROXY)]) + PROXY.encode()


def sequence(content: bytes) -> bytes:
    return b"\x30" + bytes([len(content)]) + content


def certificate(odd: Mapping[str, bytes]) -> bytes:
    whose = named(PROXY), CHAIN.middle.subject
    return made(*whose, odd=odd).public_bytes(Encoding.DER)


def in_printable_string(name: str, issuer: x509.Name = CHAIN.middle.subject) -> x509.Certificate:
    attribute = x509.NameAttribute(NameOID.COMMON_NAME, name, _ASN1Type.PrintableString)
    return made(x509.Name([attribute]), issuer, usages=[], alternative=[PROXY])


ODD = {
    # Windows and old authorities write cA=FALSE out, which DER leaves out.
    "a-default-written-out": certificate({"2.5.29.19": bytes.fromhex("3003010100")}),
    "a-name-of-x400": certificate({ALTERNATIVE: sequence(DNS + bytes.fromhex("a300"))}),
    "an-address-as-text": certificate({ALTERNATIVE: sequence(DNS + b"\x87\x0810.0.0.1")}),
    "a-feature-of-tls-that-is-new": certificate({"1.3.6.1.5.5.7.1.24": b"\x30\x03\x02\x01\x10"}),
    "a-policy-with-a-text-of-another-kind": certificate(
        {"2.5.29.32": bytes.fromhex("3018301606022a033010300e06082b060105050702010c026869")}
    ),
    "an-underscore-in-printable-string": rewritten(
        in_printable_string("BaRS proxy of INT"), b"BaRS proxy of INT", b"BaRS_proxy_of_INT"
    ),
}


def caller_context(folder: Path, leaf: bytes) -> ssl.SSLContext:
    files = folder / "caller.pem", folder / "caller.key"
    files[0].write_bytes(in_pem(leaf) + pem(CHAIN.middle))
    files[1].write_bytes(key_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem(CHAIN.root).decode())
    context.load_cert_chain(*files)
    return context


@pytest.fixture
def ours(tmp_path: Path) -> Identity:
    return identity(tmp_path)


def identity(folder: Path, *lists: x509.CertificateRevocationList) -> Identity:
    files = [folder / name for name in ("server.pem", "server.key", "callers.pem")]
    contents = pem(CHAIN.leaf("localhost"), CHAIN.middle), key_pem(), pem(CHAIN.root, CHAIN.middle)
    for file, content in zip(files, contents, strict=True):
        file.touch(0o600)
        file.write_bytes(content)
    revoked = folder / "lists.pem"
    revoked.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in lists))
    named_files = [revoked] if lists else []
    return load_identity(*files, now=NOW, revocation_list_files=named_files)


@pytest.mark.parametrize("kind", ODD)
async def test_a_caller_whom_openssl_lets_in_is_let_in(tmp_path: Path, ours: Identity, kind: str):
    """Its name is on the list and its chain is good: how it is written matters not."""
    context = caller_context(tmp_path, ODD[kind])
    with capture_logs() as logs:
        async with serving(Receiver(), ours) as server, calling(server.port, context) as caller:
            answer = await caller.ask(post())

    assert (200, []) == (answer.status, [e for e in logs if e["event"].startswith("tls.")])


@pytest.mark.parametrize("kind", ODD)
async def test_its_issuer_is_pinned_all_the_same(tmp_path: Path, ours: Identity, kind: str):
    """As OpenSSL reads it."""
    context = caller_context(tmp_path, ODD[kind])
    callers = Callers(names=(PROXY,), issuers=frozenset(["Another authority"]))
    with capture_logs() as logs:
        async with (
            serving(Receiver(), ours, callers=callers) as server,
            calling(server.port, context) as caller,
        ):
            assert b"" == await caller.rest()

    assert [Failure.WRONG_ISSUER] == [e["reason"] for e in logs if "refused" in e["event"]]


def revocation(issuer: x509.Name, *serials: int) -> x509.CertificateRevocationList:
    day = timedelta(days=1)
    builder = x509.CertificateRevocationListBuilder(issuer, NOW - day, NOW + day)
    for serial in serials:
        one = x509.RevokedCertificateBuilder(serial, NOW - day)
        builder = builder.add_revoked_certificate(one.build())
    return builder.sign(AUTHORITY_KEY, SHA256())


def as_printable_string(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name, _ASN1Type.PrintableString)])


SPELLINGS = {
    "as-it-is": CHAIN.middle.subject,
    "as-another-kind-of-text": as_printable_string("A middle"),
    "in-capitals-and-with-more-blanks": named("A  MIDDLE"),
}


@pytest.mark.parametrize("of_list", SPELLINGS)
@pytest.mark.parametrize("of_leaf", SPELLINGS)
async def test_who_is_revoked_is_refused_however_its_authority_is_spelt(
    tmp_path: Path, of_leaf: str, of_list: str
):
    """One authority may be written in several ways, which are one name to OpenSSL."""
    leaf = made(named(PROXY), SPELLINGS[of_leaf], usages=[])
    lists = identity(tmp_path, revocation(SPELLINGS[of_list], leaf.serial_number))
    context = caller_context(tmp_path, leaf.public_bytes(Encoding.DER))
    with capture_logs() as logs:
        async with serving(Receiver(), lists) as server, calling(server.port, context) as caller:
            assert b"" == await caller.rest()

    assert [Failure.REVOKED] == [e["reason"] for e in logs if "refused" in e["event"]]


@pytest.mark.parametrize("kind", ODD)
async def test_an_oddly_written_one_is_revoked_like_any_other(tmp_path: Path, kind: str):
    """By its serial number as OpenSSL reads it."""
    context = caller_context(tmp_path, ODD[kind])
    async with (
        serving(Receiver(), identity(tmp_path)) as server,
        calling(server.port, context) as caller,
    ):
        await caller.ask(post())
        (connection,) = server.connections
        serial = connection.caller.serial
    lists = identity(tmp_path, revocation(CHAIN.middle.subject, serial))
    async with serving(Receiver(), lists) as server, calling(server.port, context) as caller:
        assert b"" == await caller.rest()


async def test_of_several_lists_in_a_file_each_counts(tmp_path: Path):
    """The library reads the first alone, and says nothing of the others."""
    leaf = CHAIN.leaf(PROXY, usages=[])
    both = revocation(CHAIN.root.subject), revocation(CHAIN.middle.subject, leaf.serial_number)
    context = caller_context(tmp_path, leaf.public_bytes(Encoding.DER))
    lists = identity(tmp_path, *both)
    async with serving(Receiver(), lists) as server, calling(server.port, context) as caller:
        assert b"" == await caller.rest()


CONSTRAINTS, USAGE, NAMES = "2.5.29.19", "2.5.29.15", "2.5.29.30"
AN_AUTHORITY, WITH_NONE_BELOW, NO_AUTHORITY = "30030101ff", "30060101ff020100", "3000"
ONLY_SIGNATURES, ONLY_HSE_IE = "03020780", "300ca00a30088206" + b"hse.ie".hex()


def authority(name: str, issuer: x509.Name, odd: Mapping[str, str]) -> x509.Certificate:
    written = {number: bytes.fromhex(content) for number, content in odd.items()}
    return made(named(name), issuer, key=AUTHORITY_KEY, odd=written)


ROOT = CHAIN.root.subject
OF_FEW = authority("Of few", ROOT, {CONSTRAINTS: WITH_NONE_BELOW})
MAY_NOT_ISSUE = {
    "it-may-sign-no-certificates": [
        authority("A server", ROOT, {CONSTRAINTS: AN_AUTHORITY, USAGE: ONLY_SIGNATURES})
    ],
    "it-is-no-authority": [authority("A person", ROOT, {CONSTRAINTS: NO_AUTHORITY})],
    "it-stands-too-low": [authority("Low", OF_FEW.subject, {CONSTRAINTS: AN_AUTHORITY}), OF_FEW],
    "it-may-issue-other-names": [
        authority("Of others", ROOT, {CONSTRAINTS: AN_AUTHORITY, NAMES: ONLY_HSE_IE})
    ],
}


async def refused(
    folder: Path, ours: Identity, leaf: x509.Certificate, *above: x509.Certificate, key=LEAF_KEY
) -> list[str]:
    """Return why a caller with this certificate, and those *above* it, is not let in."""
    files = folder / "caller.pem", folder / "caller.key"
    files[0].write_bytes(pem(leaf, *above))
    files[1].write_bytes(key_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem(CHAIN.root).decode())
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # or it would not send what is too weak
    context.load_cert_chain(*files)
    async with serving(Receiver(), ours) as server, calling(server.port, context) as caller:
        assert b"" == await caller.rest()
        await eventually(lambda: server.failures)
        return list(server.failures)


@pytest.mark.parametrize("kind", MAY_NOT_ISSUE)
async def test_an_authority_that_may_not_issue_a_caller_is_called_so(
    tmp_path: Path, ours: Identity, kind: str
):
    """Its certificate can be read: who looks for what is broken in it would find nothing."""
    above = MAY_NOT_ISSUE[kind]
    leaf = made(named(PROXY), above[0].subject, usages=[])
    assert [Failure.MAY_NOT_ISSUE] == await refused(tmp_path, ours, leaf, *above)


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"end": NOW - timedelta(hours=1)}, Failure.AUTHORITY_EXPIRED),
        ({"start": NOW + timedelta(hours=1)}, Failure.AUTHORITY_NOT_YET_VALID),
    ],
    ids=["expired", "not-yet-valid"],
)
async def test_an_authority_out_of_force_is_named(
    tmp_path: Path, ours: Identity, times: dict[str, datetime], reason: Failure
):
    """The caller's own certificate is good: who renews that one is refused as before."""
    above = made(named("An old\nauthority"), ROOT, authority=True, key=AUTHORITY_KEY, **times)
    leaf = made(named(PROXY), above.subject, usages=[])
    with capture_logs() as logs:
        found = await refused(tmp_path, ours, leaf, above)
    (told,) = [line for line in logs if line["event"] == "tls.handshake_failed"]

    assert ([reason], r"'An old\nauthority'") == (found, told["name"])


async def test_a_certificate_out_of_force_below_a_good_authority_is_the_callers(
    tmp_path: Path, ours: Identity
):
    """Nothing is wrong with those who issued it."""
    leaf = made(named(PROXY), CHAIN.middle.subject, usages=[], end=NOW - timedelta(hours=1))
    with capture_logs() as logs:
        assert [Failure.EXPIRED] == await refused(tmp_path, ours, leaf, CHAIN.middle)

    assert [None] == [line["name"] for line in logs if "failed" in line["event"]]


async def test_a_key_that_is_too_short_is_called_so(tmp_path: Path, ours: Identity):
    """1024 bits are less than TLS takes here."""
    leaf = made(named(PROXY), CHAIN.middle.subject, usages=[], key=SHORT_KEY)
    found = await refused(tmp_path, ours, leaf, CHAIN.middle, key=SHORT_KEY)
    assert [Failure.TOO_WEAK] == found


def test_the_key_that_signs_leaves_is_not_that_of_authorities():
    """Or each test above could pass by mistake."""
    assert LEAF_KEY.public_key() != AUTHORITY_KEY.public_key()
