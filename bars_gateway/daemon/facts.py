"""
What this gateway works with, as the audit trail compares it: settings, keys, certificates, users.

    setting, user      ─► HMAC by the key in state_dir/settings.key it changed, and not into what
    signing key        ─► key id, SHA-256 of its public half
    certificate, chain ─► SHA-256, as `openssl x509 -fingerprint -sha256` has it

A password or an API key may be guessed where a mere hash of it is known. So what is kept in the
database is made with a key that is not in it, nor in any backup of it.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

import orjson
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate

from bars_gateway.config import Settings, values
from bars_gateway.console.users import UserFile
from bars_gateway.disk import put_in_place
from bars_gateway.errors import UsersUnusable
from bars_gateway.outbound.token import Tokens, TokenSource
from bars_gateway.store.in_force import CERTIFICATE, KEY, SETTING, USER, Facts
from bars_gateway.tls.contexts import Identity

_KEY_BYTES = 32
Named = dict[tuple[str, str], str]


class FactFinder:
    """Says what is in force."""

    def __init__(self, key_file: Path, users: UserFile) -> None:
        """Make the key, if there is none."""
        self._key = _key_in(key_file)
        self._users = users
        self._last_users = self._of_users()

    def find(
        self, settings: Settings, tokens: Mapping[str, Tokens], identity: Identity | None
    ) -> Facts:
        """Return what is in force at this moment."""
        details: dict[tuple[str, str], Mapping[str, object]] = {}
        for provider, source in tokens.items():
            if isinstance(source, TokenSource):
                details[KEY, provider] = _of_keys(source)
        if identity is not None:
            details[CERTIFICATE, "for receiving"] = _of_certificates(identity.chain)
            details[CERTIFICATE, "of the callers' authorities"] = _of_certificates(
                identity.authorities
            )
        public = {name: orjson.dumps(told).decode() for name, told in details.items()}
        return Facts(
            of={**self._settings(settings), **self._of_users(), **public},
            compared_by=self._made_of("", b""),
            details=details,
        )

    def users_changed(self) -> bool:
        """Tell whether the users are others than when this was asked, or found, last."""
        before, self._last_users = self._last_users, self._of_users()
        return before != self._last_users

    def _settings(self, settings: Settings) -> Named:
        written = values(settings)
        return {
            (SETTING, key): self._made_of(key, repr(value).encode())
            for key, value in written.items()
        }

    def _of_users(self) -> Named:
        try:
            users = self._users.read() or {}
        except UsersUnusable:  # the console says so
            return {}
        found: Named = {}
        for name, user in users.items():
            said = repr((sorted(user.roles), user.password.salt, user.password.digest))
            found[USER, name] = self._made_of(name, said.encode())
        return found

    def _made_of(self, name: str, what: bytes) -> str:
        return hmac.new(self._key, name.encode() + b"\0" + what, hashlib.sha256).hexdigest()


def _of_keys(source: TokenSource) -> Mapping[str, object]:
    return {
        "keys": {
            each.key_id: hashlib.sha256(
                each.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            ).hexdigest()
            for each in source.keys
        }
    }


def _of_certificates(certificates: tuple[Certificate, ...]) -> Mapping[str, object]:
    return {"certificates": [each.fingerprint(SHA256()).hex() for each in certificates]}


def _key_in(path: Path) -> bytes:
    """Return the key in the file, which is made where there is none; mode 0600."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        found = b""
    if len(found) == _KEY_BYTES:
        return found
    key = os.urandom(_KEY_BYTES)
    put_in_place(path, key)
    return key
