"""New authorities are judged by those who called recently: who would still get in, and who not."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certs
import pytest
from certs import AUTHORITY_KEY, LEAF_KEY, Chain, made, named, of_an_unknown_kind, pem
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from bars_gateway.tls.certificates import Revocations, flaw, rootless
from bars_gateway.tls.contexts import Caller, caller_from
from bars_gateway.tls.sightings import (
    COUNTS_FOR,
    REPLACED_COUNTS_FOR,
    Sighting,
    Sightings,
    Trust,
    counting,
    read,
    shut_out,
)

NOW = datetime.now(UTC)
PROXY = "proxy.example.nhs.uk"
CHAIN = Chain.of("A root", "A middle")
OTHER = Chain.of("Another root", "Another middle")
LEAF = CHAIN.leaf(PROXY)


def caller(*chain: x509.Certificate, name: str = PROXY) -> Caller:
    return caller_from(frozenset([name]), tuple(one.public_bytes(Encoding.DER) for one in chain))


def trust(*authorities: x509.Certificate, **changes) -> Trust:
    values = {
        "names": [PROXY],
        "issuers": frozenset(),
        "authorities": authorities,
        "revocations": Revocations(),
        "revocation_is_required": False,
    }
    return Trust(**values | changes)


class Clock:
    """A time that stands until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


FITS = {
    "all-in-the-file": ([LEAF], [CHAIN.middle, CHAIN.root]),
    "the-middle-is-brought": ([LEAF, CHAIN.middle], [CHAIN.root]),
    "the-root-is-brought-too": ([LEAF, CHAIN.middle, CHAIN.root], [CHAIN.root]),
    "beside-others": ([LEAF, CHAIN.middle], [OTHER.root, OTHER.middle, CHAIN.root]),
}
GONE = timedelta(days=-1)
OLD_ROOT = made(
    named("A root"),
    named("A root"),
    authority=True,
    key=AUTHORITY_KEY,
    start=NOW - timedelta(days=9),
    end=NOW + GONE,
)
SHORT = {
    "no-root": ([LEAF, CHAIN.middle], [CHAIN.middle], "CN=A root, which is not in the file"),
    "no-middle": ([LEAF], [CHAIN.root], "CN=A middle, which is not in the file"),
    "another-root": ([LEAF, CHAIN.middle], [OTHER.root], "CN=A root, which is not in the file"),
    "its-root-is-only-brought": ([LEAF, CHAIN.middle, CHAIN.root], [OTHER.root], "CN=A root"),
    "the-root-has-ended": ([LEAF, CHAIN.middle], [OLD_ROOT], "CN=A root ended on"),
}


@pytest.mark.parametrize("case", FITS)
def test_a_chain_that_ends_in_a_root_of_the_file_has_no_flaw(case: str):
    """As in a handshake: what is missing in the file may be brought along, but not the root."""
    presented, authorities = FITS[case]

    assert None is flaw(presented, authorities, NOW)


@pytest.mark.parametrize("case", SHORT)
def test_a_chain_that_breaks_off_says_where(case: str):
    """The operator reads which certificate is missing, or what is wrong with it."""
    presented, authorities, expected = SHORT[case]

    assert expected in (flaw(presented, authorities, NOW) or "")


def test_an_ended_certificate_beside_its_successor_does_no_harm():
    """A root that was renewed with the same key: one of the two is enough."""
    assert None is flaw([LEAF, CHAIN.middle], [OLD_ROOT, CHAIN.root], NOW)


def test_a_leaf_has_signed_nobody():
    """A certificate that is not an authority's ends no chain."""
    upper = made(named("leaf"), named("A root"), key=AUTHORITY_KEY)
    chain = [made(named("x"), named("leaf")), upper, CHAIN.root]

    assert "may not have signed it" in (flaw(chain, [CHAIN.root], NOW) or "")


def test_openssl_says_the_same(tmp_path: Path):
    """What is judged here before anybody calls is what a handshake finds later."""
    found = {}
    cases = {**{k: v[:2] for k, v in FITS.items()}, **{k: v[:2] for k, v in SHORT.items()}}
    for name, (presented, authorities) in cases.items():
        client = [made(named(PROXY), CHAIN.middle.subject, usages=()), *presented[1:]]
        found[name] = handshake(tmp_path, client, authorities)

    assert {name: name in FITS for name in cases} == found


def handshake(folder: Path, presented, authorities) -> bool:
    """Tell whether OpenSSL lets a caller with this chain in."""
    own = folder / "own.pem"
    own.write_bytes(pem(*presented) + certs.key_pem(LEAF_KEY))
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=pem(*authorities).decode())
    server.load_cert_chain(own)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.load_cert_chain(own)
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [server.wrap_bio(a, b, server_side=True), client.wrap_bio(b, a)]
    for _ in range(4):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return sides[0].getpeercert() is not None


def test_an_authority_without_its_root_is_found():
    """Whoever it certified is not let in, and nobody would know why."""
    assert [OTHER.middle] == rootless([CHAIN.root, CHAIN.middle, OTHER.middle])


def test_a_cross_certificate_beside_its_root_is_no_orphan():
    """The same authority, certified by another as well: its own root is there."""
    cross = made(named("A root"), named("An old root"), authority=True, key=AUTHORITY_KEY)

    assert [] == rootless([CHAIN.root, cross])


def seen(
    *, ago: timedelta = timedelta(), chain=(LEAF, CHAIN.middle), name: str = PROXY
) -> Sighting:
    """Return what is remembered of a caller."""
    return Sighting(caller=caller(*chain, name=name), seen_at=NOW - ago)


def test_who_is_listed_and_no_longer_verifies_is_shut_out():
    """The reason names the caller, when it called, and what is missing."""
    found = shut_out([seen()], trust(OTHER.root), NOW)

    assert 1 == len(found)
    assert str(found[0]).startswith(f"{PROXY}, which called on {NOW:%d %b %H:%M} UTC: ")


def test_who_was_taken_off_the_list_is_meant():
    """A name that is no longer listed keeps no file from being taken."""
    assert [] == shut_out([seen()], trust(OTHER.root, names=["other.example"]), NOW)


def test_an_issuer_that_is_no_longer_named_shuts_out():
    """callers.issuers and allowed_client_names contradict each other then."""
    found = shut_out([seen()], trust(CHAIN.root, issuers=frozenset(["X"])), NOW)

    assert "callers.issuers does not name 'A middle'" in str(found[0])


def test_hard_revocation_without_a_list_shuts_out():
    """With hard revocation, a list that is missing is as good as a refusal."""
    found = shut_out([seen()], trust(CHAIN.root, revocation_is_required=True), NOW)

    assert "callers.revocation is hard" in str(found[0])


NEWER = CHAIN.leaf(PROXY)
COUNTED = {
    "today": ([seen()], 1),
    "last-month": ([seen(ago=COUNTS_FOR)], 0),
    "replaced-last-week": (
        [seen(ago=REPLACED_COUNTS_FOR), seen(chain=(NEWER, CHAIN.middle))],
        1,
    ),
    "two-machines": (
        [seen(ago=timedelta(hours=1)), seen(chain=(NEWER, CHAIN.middle))],
        2,
    ),
    "two-callers": (
        [seen(ago=timedelta(days=9)), seen(chain=(NEWER, CHAIN.middle), name="b.example")],
        2,
    ),
    "its-own-certificate-has-ended": (
        [seen(chain=(CHAIN.leaf(PROXY, start=NOW - timedelta(9), end=NOW + GONE), CHAIN.middle))],
        0,
    ),
}


@pytest.mark.parametrize("case", COUNTED)
def test_how_long_a_certificate_counts(case: str):
    """A month after its last call; a day, once its holder has shown another."""
    sightings, expected = COUNTED[case]

    assert expected == len(counting(sightings, NOW))


async def test_who_called_is_known_after_a_restart(tmp_path: Path):
    """The month outlives the process, with all that was presented."""
    clock, file = Clock(), tmp_path / "callers.json"
    await Sightings(file, clock).note(caller(LEAF, CHAIN.middle))
    found = Sightings(file, clock).lately

    assert [(PROXY, (LEAF, CHAIN.middle))] == [(each.name, each.chain) for each in found]


async def test_a_last_call_is_kept_by_the_hour(tmp_path: Path):
    """The file is not written for every call, and still says when the last one was."""
    clock, file = Clock(), tmp_path / "callers.json"
    sightings = Sightings(file, clock)
    kept = []
    for minutes in (0, 59, 60):
        clock.now = NOW + timedelta(minutes=minutes)
        await sightings.note(caller(LEAF))
        kept.append(read(file)[0].seen_at - NOW)

    assert [timedelta(), timedelta(), timedelta(hours=1)] == kept


async def test_only_the_newest_are_kept(tmp_path: Path):
    """A caller with ever new certificates fills no disk."""
    clock, file = Clock(), tmp_path / "callers.json"
    sightings = Sightings(file, clock)
    leaves = [CHAIN.leaf(PROXY) for _ in range(66)]
    for number, leaf in enumerate(leaves):
        clock.now = NOW + timedelta(seconds=number)
        await sightings.note(caller(leaf))

    assert leaves[2:] == [each.chain[0] for each in read(file)]


@pytest.mark.parametrize(
    "content",
    [b"", b"[1]", b'{"callers": [7]}', b'{"callers": [{"names": [], "chain": [], "seen_at": ""}]}'],
)
def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path: Path, content: bytes):
    """It may be lost or spoilt at any time: nothing but this judgement rests on it."""
    file = tmp_path / "callers.json"
    file.write_bytes(content)

    assert [] == read(file)


async def test_a_full_disk_keeps_nobody_out(tmp_path: Path):
    """Who called is then known until the process ends."""
    sightings = Sightings(tmp_path / "missing" / "callers.json", Clock())
    await sightings.note(caller(LEAF))

    assert [PROXY] == [each.name for each in sightings.lately]


# Of the signature's algorithm, RSA with SHA-256 and with SHA-1.
SHA256_RSA, SHA1_RSA = (bytes.fromhex(f"2a864886f70d0101{last}") for last in ("0b", "05"))


def with_sha1(certificate: x509.Certificate) -> x509.Certificate:
    whole = certificate.public_bytes(Encoding.DER).replace(SHA256_RSA, SHA1_RSA)
    content = certificate.tbs_certificate_bytes.replace(SHA256_RSA, SHA1_RSA)
    signature = AUTHORITY_KEY.sign(content, padding.PKCS1v15(), SHA1())
    return x509.load_der_x509_certificate(whole.replace(certificate.signature, signature))


def test_a_root_whose_own_signature_is_of_sha_1_is_a_root() -> None:
    """One in five of Debian 12's list is; OpenSSL does not look at that signature."""
    root = with_sha1(CHAIN.root)

    assert [] == rootless([root, CHAIN.middle])
    assert None is flaw([LEAF], [CHAIN.middle, root], NOW)


def test_an_authority_that_another_has_signed_with_sha_1_is_no_root() -> None:
    """Only a root's own signature matters to nobody."""
    middle = with_sha1(CHAIN.middle)

    assert [middle] == rootless([CHAIN.root, middle])


@pytest.mark.parametrize("kind", [_ASN1Type.PrintableString, _ASN1Type.BMPString])
@pytest.mark.parametrize("name", ["A middle", "a MIDDLE", " A  middle "])
def test_an_issuer_may_be_spelt_in_another_way(name: str, kind: _ASN1Type) -> None:
    """In another kind of text, with other capitals and blanks: OpenSSL lets its callers in."""
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name, kind)])
    leaf = made(named(PROXY), issuer)

    assert None is flaw([leaf], [CHAIN.middle, CHAIN.root], NOW)


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), Ed25519PrivateKey.generate()]
)
def test_authorities_may_have_any_kind_of_key(key: CertificateIssuerPrivateKeyTypes) -> None:
    """Whether one has signed is seen for each that OpenSSL takes."""
    digest = None if isinstance(key, Ed25519PrivateKey) else SHA256()
    day = timedelta(days=1)
    root = (
        x509.CertificateBuilder(named("R"), named("R"), key.public_key(), 1, NOW - day, NOW + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, digest)
    )
    stranger = x509.CertificateBuilder(
        named("R"), named("x"), key.public_key(), 2, NOW - day, NOW + day
    )

    assert [] == rootless([root])
    assert None is flaw([stranger.sign(key, digest)], [root], NOW)
    assert "its chain ends below" in (
        flaw([stranger.sign(AUTHORITY_KEY, SHA256())], [root], NOW) or ""
    )


def test_a_root_whose_key_nobody_here_reads_is_a_root() -> None:
    """OpenSSL reads it, and has the last word."""
    assert [] == rootless([of_an_unknown_kind(named("R"), named("R"), authority=True)])
