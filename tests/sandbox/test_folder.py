"""The folder: who may read it, what each certificate is for, and that it is used again."""

import asyncio
import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bars_gateway.errors import SandboxError
from bars_gateway.sandbox.server import Sandbox, SandboxSettings


def certificates(file):
    return x509.load_pem_x509_certificates(Path(file).read_bytes())


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def test_nobody_else_may_read_it(folder):
    """Folders are 0700 and files 0600, public parts included."""
    modes = {(p.is_dir(), p.stat().st_mode & 0o777) for p in [folder, *folder.rglob("*")]}

    assert {(True, 0o700), (False, 0o600)} == modes


@pytest.mark.parametrize(
    ("file", "root", "usage", "name"),
    [
        ("national/server.pem", "national", ExtendedKeyUsageOID.SERVER_AUTH, "sandbox.local"),
        (
            "national/proxy-client.pem",
            "receivers",
            ExtendedKeyUsageOID.CLIENT_AUTH,
            "bars-proxy.sandbox.local",
        ),
        (
            "gateways/trust/server.pem",
            "receivers",
            ExtendedKeyUsageOID.SERVER_AUTH,
            "trust.sandbox.local",
        ),
    ],
)
def test_certificates(folder, file, root, usage, name):
    """Each is from its own root, for one purpose, and comes with its chain."""
    leaf, above = certificates(folder / file)
    (expected,) = certificates(folder / "authorities" / f"{root}.pem")
    leaf.verify_directly_issued_by(above)

    assert expected == above
    assert [usage] == list(extension(leaf, x509.ExtendedKeyUsage))
    assert name == leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)


@pytest.mark.parametrize("file", ["national/server.pem", "gateways/trust/server.pem"])
def test_servers_are_on_this_machine(folder, file):
    """By address and by name."""
    names = extension(certificates(folder / file)[0], x509.SubjectAlternativeName)

    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert ["127.0.0.1"] == [str(a) for a in names.get_values_for_type(x509.IPAddress)]


def test_the_key_set_is_public(folder):
    """The JWKS holds what signs nothing."""
    found = json.loads((folder / "gateways/trust/jwks.json").read_bytes())
    (key,) = found["keys"]

    assert {"kty", "n", "e", "alg", "use", "kid"} == set(key)
    assert ("RSA", "AQAB", "RS512", "sig", "trust-sandbox-1") == tuple(
        key[name] for name in ("kty", "e", "alg", "use", "kid")
    )


def test_the_signing_key_is_as_long_as_asked(folder):
    """In PKCS8, without a password."""
    content = (folder / "gateways/trust/jwt.key").read_bytes()
    key = load_pem_private_key(content, None)

    assert content.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert isinstance(key, RSAPrivateKey)
    assert 2048 == key.key_size


def test_a_gateway_is_described(folder):
    """With all that its settings need."""
    found = json.loads((folder / "gateways/trust/gateway.json").read_bytes())

    assert {"name", "api_key", "key_id", "jwks_file", "services", "url"} <= found.keys()
    assert "trust-sandbox-1" == found["key_id"]
    assert Path(found["jwks_file"]).is_file()


def contents(folder):
    """Return what must never change: keys and certificates."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.suffix in {".pem", ".key"}}


async def test_it_is_used_again(settings, folder):
    """After a restart, gateways that were set up against it still work."""
    before = contents(folder)
    async with Sandbox(settings) as sandbox:
        known = sandbox.registry.application("trust-sandbox-api-key")
        await sandbox.register("trust", ["2000000202"], "https://127.0.0.1:1/base")

    assert known is not None
    assert ("trust", folder / "gateways" / "trust") == (known.name, known.folder)
    assert before == contents(folder)


async def test_registered_twice_at_once_there_is_one_key(settings, folder):
    """The JWKS is the one of the key that signs."""
    sandbox = Sandbox(settings)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(sandbox.register("thrice", [], "https://127.0.0.1:1"))
    own = folder / "gateways" / "thrice"
    key = load_pem_private_key((own / "jwt.key").read_bytes(), None)
    certificate = certificates(own / "server.pem")[0]
    modulus = int.from_bytes(b64(json.loads((own / "jwks.json").read_bytes())["keys"][0]["n"]))

    assert key.public_key().public_numbers().n == modulus
    assert (
        load_pem_private_key((own / "server.key").read_bytes(), None).public_key()
        == certificate.public_key()
    )


def b64(text):
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_it_tells_where_it_is_while_it_serves(settings, folder):
    """The file is there once it serves, and gone afterwards."""
    told = folder / "sandbox.json"
    async with Sandbox(settings) as sandbox:
        found = json.loads(told.read_bytes())
        expected = {
            "pid": found["pid"],
            "token_url": sandbox.token_url,
            "proxy_url": sandbox.proxy_url,
            "admin_url": sandbox.admin_url,
            "ca_file": str(folder / "authorities/national.pem"),
            "client_ca_file": str(folder / "authorities/receivers.pem"),
            "allowed_client_name": "bars-proxy.sandbox.local",
            "targets_file": str(folder / "targets.json"),
        }

    assert expected == found
    assert not told.exists()


async def test_a_taken_port_is_named(settings):
    """And the first of the two goes on."""
    async with Sandbox(settings) as first:
        port = int(first.admin_url.rpartition(":")[2])
        second = Sandbox(SandboxSettings(folder=settings.folder, admin_port=port))
        with pytest.raises(SandboxError, match=f"port {port} of 127.0.0.1"):
            await second.__aenter__()


async def test_a_start_that_fails_hides_nobody(settings, folder):
    """Who starts a second one on a taken port does not take the first one's file away."""
    async with Sandbox(settings) as first:
        port = int(first.admin_url.rpartition(":")[2])
        with pytest.raises(SandboxError):
            await Sandbox(SandboxSettings(folder=folder, admin_port=port)).__aenter__()
        found = json.loads((folder / "sandbox.json").read_bytes())

    assert first.token_url == found["token_url"]


def test_expired_authorities_are_named(folder):
    """All that they signed would be refused, each time in another place."""
    later = datetime.now(UTC) + timedelta(days=366)
    with pytest.raises(SandboxError, match="has expired"):
        Sandbox(SandboxSettings(folder=folder, now=lambda: later))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("authorities/national.pem", "no PEM"),
        ("gateways/a/gateway.json", "{}"),
        ("gateways/a/gateway.json", "no JSON"),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path, name, content):
    """What no sandbox wrote is left as it is."""
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.raises(SandboxError):
        Sandbox(SandboxSettings(folder=tmp_path))

    assert content == file.read_text()


def test_a_file_is_no_folder(tmp_path):
    """The error says which."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SandboxError, match="file"):
        Sandbox(SandboxSettings(folder=file))
