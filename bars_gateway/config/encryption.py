"""
From the settings to what encrypts: the key ring, read from its file.

    store.encryption_keys_file ─► EncryptionRing ─► Vault      none named: nothing is encrypted
"""

from bars_gateway.config.settings import Settings
from bars_gateway.errors import KeyRingUnusable
from bars_gateway.keyring import EncryptionRing, Vault


def vault_of(settings: Settings) -> Vault:
    """Return what encrypts by *settings*; raise KeyRingUnusable where its file cannot be read."""
    file = settings.store.encryption_keys_file
    if file is None:
        return Vault()
    return Vault(EncryptionRing.read(file), encrypts=settings.store.encrypts, file=file)


def reading_vault_of(settings: Settings) -> Vault:
    """Return what opens for a command that looks; without its file, what is in clear alone."""
    try:
        return vault_of(settings)
    except KeyRingUnusable:
        return Vault()
