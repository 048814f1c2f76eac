"""Which key files are used, and which are refused."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from bars_gateway.errors import IdentityError
from bars_gateway.outbound.token import load_signing_key

PEM, PKCS8 = Encoding.PEM, PrivateFormat.PKCS8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file of mode 0600 that waits for its key."""
    file = tmp_path / "Trust-INT-1.pem"
    file.touch(mode=0o600)
    return file


@pytest.mark.parametrize("form", [PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_key_is_loaded_in_either_form(path, key, form):
    """OpenSSL 1 and OpenSSL 3 write keys differently."""
    path.write_bytes(key.private_bytes(PEM, form, NoEncryption()))

    assert key.private_numbers() == load_signing_key(path, 2048).private_numbers()


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644])
def test_a_key_that_others_can_reach_is_refused(path, key, mode):
    """Whoever reads the key can send in the provider's name."""
    path.write_bytes(key.private_bytes(PEM, PKCS8, NoEncryption()))
    path.chmod(mode)

    with pytest.raises(IdentityError, match="0600"):
        load_signing_key(path, 2048)


def test_a_key_that_a_group_can_read_is_refused(path, key):
    """A group is others too; only root's own counts as nobody."""
    path.write_bytes(key.private_bytes(PEM, PKCS8, NoEncryption()))
    if os.geteuid() == 0:
        os.chown(path, -1, 1)
    path.chmod(0o640)

    with pytest.raises(IdentityError, match="0600"):
        load_signing_key(path, 2048)


def test_a_short_key_is_refused(path, key):
    """The platform asks for 4096 bits."""
    path.write_bytes(key.private_bytes(PEM, PKCS8, NoEncryption()))

    with pytest.raises(IdentityError, match="4096"):
        load_signing_key(path, 4096)


def test_a_key_of_another_kind_is_refused(path):
    """RS512 needs RSA."""
    other = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(other.private_bytes(PEM, PKCS8, NoEncryption()))

    with pytest.raises(IdentityError, match="RSA"):
        load_signing_key(path, 2048)


def test_a_locked_key_is_refused(path, key):
    """A daemon has nobody to ask for the passphrase."""
    path.write_bytes(key.private_bytes(PEM, PKCS8, BestAvailableEncryption(b"secret")))

    with pytest.raises(IdentityError, match="locked"):
        load_signing_key(path, 2048)


def test_what_is_no_key_is_refused(path):
    """The error names the file and holds nothing of it."""
    path.write_bytes(b"canary")

    with pytest.raises(IdentityError, match=path.name) as caught:
        load_signing_key(path, 2048)
    assert "canary" not in str(caught.value)


def test_a_folder_is_no_key(tmp_path):
    """Somebody gave the folder that holds the keys."""
    tmp_path.chmod(0o700)

    with pytest.raises(IdentityError, match="is not a file"):
        load_signing_key(tmp_path, 2048)


def test_a_pipe_is_not_waited_for(tmp_path):
    """A start that hangs tells the operator nothing."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)

    with pytest.raises(IdentityError, match="is not a file"):
        load_signing_key(pipe, 2048)


def test_a_missing_key_is_named(tmp_path):
    """The operator learns which file is missing."""
    with pytest.raises(IdentityError, match="absent"):
        load_signing_key(tmp_path / "absent.pem", 2048)
