import datetime as dt
import ssl
from pathlib import Path

import certs
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from inbound_callers import PROXY, World, now

from bars_gateway.errors import IdentityError
from bars_gateway.tls.contexts import (
    Identity,
    allowed,
    client_context,
    load_identity,
    peer_names,
)


def certificate(*common_names: str, dns: tuple[str, ...] = ()) -> dict[str, object]:
    """Return what getpeercert() gives for a certificate with these names."""
    found: dict[str, object] = {"subject": tuple((("commonName", n),) for n in common_names)}
    if dns:
        found["subjectAltName"] = tuple(("DNS", name) for name in dns)
    return found


def test_an_identity_demands_a_client_certificate(identity: Identity):
    """The default of the ssl module is to ask nobody: ours asks everybody."""
    assert ssl.CERT_REQUIRED is identity.context.verify_mode


def test_an_identity_speaks_no_tls_before_1_2(identity: Identity):
    """TLS 1.2 is the least that BaRS allows."""
    assert ssl.TLSVersion.TLSv1_2 is identity.context.minimum_version


def test_an_identity_gives_no_tickets(identity: Identity):
    """A resumed session would outlive the revocation of its certificate."""
    options = ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION

    assert options == identity.context.options & options
    assert 0 == identity.context.num_tickets


def test_an_identity_trusts_the_given_authority_alone(identity: Identity):
    """Public authorities of the operating system count for nothing among callers."""
    assert 1 == len(identity.context.get_ca_certs())


def test_a_missing_file_is_named(world: World):
    """The operator reads which file is missing."""
    missing = world.folder / "missing.pem"

    with pytest.raises(IdentityError, match=r"missing\.pem: No such file"):
        load_identity(missing, missing, world.ca_file, now=now())


def test_a_key_that_others_can_read_is_refused(world: World):
    """A key must have mode 0600."""
    chain, key = world.write("open", world.server_certificate())
    key.chmod(0o644)

    with pytest.raises(IdentityError, match=r"others can read this key \(mode 0644"):
        load_identity(chain, key, world.ca_file, now=now())


def test_a_key_of_another_certificate_is_refused(world: World):
    """A certificate and a key that do not belong together are found before the first call."""
    chain, _ = world.write("one", world.server_certificate())
    _, key = world.write("two", world.server_certificate())

    with pytest.raises(IdentityError, match=r"two\.key: is not the key of .*one\.pem"):
        load_identity(chain, key, world.ca_file, now=now())


def test_a_damaged_key_is_refused(world: World):
    """Its public half is the certificate's, and every handshake would fail."""
    chain, key = world.write("damaged", world.server_certificate())
    whole = rsa.generate_private_key(65537, 2048).private_numbers()
    halves = {"d": whole.d - 2, "dmp1": whole.dmp1 - 2, "dmq1": whole.dmq1}
    rest = {name: getattr(whole, name) for name in ("p", "q", "iqmp", "public_numbers")}
    numbers = rsa.RSAPrivateNumbers(**halves, **rest)
    damaged = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    key.write_bytes(damaged.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    with pytest.raises(IdentityError, match=r"damaged\.key: does not sign what its public half"):
        load_identity(chain, key, world.ca_file, now=now())


def test_a_locked_key_is_refused(world: World):
    """A service has nobody to ask for a passphrase."""
    chain, key = world.write("locked", world.server_certificate())
    parsed = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        parsed.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    )

    with pytest.raises(IdentityError, match="passphrase"):
        load_identity(chain, key, world.ca_file, now=now())


def test_a_file_that_is_no_key_is_refused(world: World):
    """A certificate where the key should be is found."""
    chain, key = world.write("mixed", world.server_certificate())
    key.write_bytes(chain.read_bytes())

    with pytest.raises(IdentityError, match="holds no private key"):
        load_identity(chain, key, world.ca_file, now=now())


def test_a_file_that_is_no_certificate_is_refused(world: World):
    """A key where the certificate should be is found."""
    _, key = world.write("swapped", world.server_certificate())

    with pytest.raises(IdentityError, match="is a private key, and no certificate"):
        load_identity(key, key, world.ca_file, now=now())


def test_an_expired_certificate_is_refused(world: World):
    """Nobody could connect; better to say so at the start."""
    end = (now() + dt.timedelta(days=20)).replace(microsecond=0)
    chain, key = world.write("brief", world.certificate_for("brief", ends=end))

    with pytest.raises(IdentityError, match="expired at"):
        load_identity(chain, key, world.ca_file, now=end)


def test_a_start_goes_on_with_an_expired_certificate(world: World):
    """Nobody can connect, and what is to be sent is sent."""
    begins = now() - dt.timedelta(days=200)
    leaf = world.hand_made("ended", usage=ExtendedKeyUsageOID.SERVER_AUTH, begins=begins)
    chain, key = world.write("ended", leaf)

    taken = load_identity(chain, key, world.ca_file, now=now(), may_be_over=True)

    assert taken.chain[0].not_valid_after_utc < now()


def test_a_start_goes_on_where_no_authority_of_the_callers_is_in_force(
    world: World, tmp_path: Path
):
    """The same: nobody gets in. Whoever puts such a file there while it runs is refused."""
    chain, key = world.write("ours", world.server_certificate())
    name, end = certs.named("Ended"), now() - dt.timedelta(days=1)
    file = tmp_path / "ended.pem"
    start, key_of_it = end - dt.timedelta(days=9), certs.AUTHORITY_KEY
    root = certs.made(name, name, authority=True, key=key_of_it, start=start, end=end)
    file.write_bytes(certs.pem(root))

    taken = load_identity(chain, key, file, now=now(), may_be_over=True)

    assert [end.date()] == [each.not_valid_after_utc.date() for each in taken.authorities]
    with pytest.raises(IdentityError, match="no root in it is in force"):
        load_identity(chain, key, file, now=now())


def test_a_certificate_of_tomorrow_is_refused(world: World):
    """A certificate that is not valid yet is told from one that has expired."""
    leaf = world.hand_made(
        "tomorrow", usage=ExtendedKeyUsageOID.SERVER_AUTH, begins=now() + dt.timedelta(days=1)
    )
    chain, key = world.write("tomorrow", leaf)

    with pytest.raises(IdentityError, match="is not valid before"):
        load_identity(chain, key, world.ca_file, now=now())


def test_a_certificate_for_clients_is_refused(world: World):
    """A certificate without serverAuth cannot serve."""
    chain, key = world.write("client-only", world.hand_made("client-only"))

    with pytest.raises(IdentityError, match="serverAuth"):
        load_identity(chain, key, world.ca_file, now=now())


def test_a_leaf_among_the_authorities_is_refused(world: World):
    """The file of client authorities must not hold a caller's own certificate."""
    chain, key = world.write("leaf", world.server_certificate())

    with pytest.raises(IdentityError, match="not an authority"):
        load_identity(chain, key, chain, now=now())


def test_a_context_for_calls_checks_the_host_name(world: World):
    """Calls to others verify the certificate and the name, against the given authority alone."""
    context = client_context(world.ca_file)

    assert context.check_hostname
    assert ssl.CERT_REQUIRED is context.verify_mode
    assert ssl.TLSVersion.TLSv1_2 is context.minimum_version
    assert 1 == len(context.get_ca_certs())


@pytest.mark.parametrize(
    ("presented", "expected"),
    [
        pytest.param(certificate(PROXY), {PROXY}, id="common-name-alone"),
        pytest.param(certificate("a.example", dns=("b.example",)), {"a.example", "b.example"}),
        pytest.param(certificate("Proxy.Example.NHS.uk."), {PROXY}, id="case-and-trailing-dot"),
        pytest.param(certificate("*.example", dns=("b.example",)), {"b.example"}, id="wildcard"),
        pytest.param(certificate(PROXY, "other.example"), set(), id="two-common-names"),
        pytest.param(certificate(dns=(PROXY,)), {PROXY}, id="no-common-name"),
        pytest.param(certificate(dns=("*.example",)), set(), id="no-name-but-a-wildcard"),
        pytest.param(certificate(PROXY, "b.example", dns=(PROXY,)), set(), id="two-and-dns"),
        pytest.param(certificate(PROXY, dns=("evil\x00.example",)), set(), id="nul"),
        pytest.param(certificate(PROXY, dns=("pröxy.example",)), set(), id="non-ascii"),
        pytest.param({}, set(), id="no-certificate"),
    ],
)
def test_peer_names(presented: dict[str, object], expected: set[str]):
    """A caller's names are its CN and DNS names, if the certificate is beyond doubt."""
    assert frozenset(expected) == peer_names(presented)


@pytest.mark.parametrize(
    ("allow_list", "expected"),
    [
        pytest.param([PROXY], True, id="listed"),
        pytest.param(["other.example", PROXY.upper() + "."], True, id="in-another-spelling"),
        pytest.param(["other.example"], False, id="not-listed"),
        pytest.param(["*.example.nhs.uk"], False, id="no-patterns"),
        pytest.param([""], False, id="empty-name"),
        pytest.param([], False, id="empty-list"),
    ],
)
def test_allowed(allow_list: list[str], expected: bool):  # noqa: FBT001
    """A caller gets in by a name that is on the list, whatever its spelling."""
    assert expected is allowed(frozenset([PROXY]), allow_list)
