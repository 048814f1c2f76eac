"""A key ring as a file, what it encrypts, and by what hash a number is found."""

from datetime import UTC, datetime

import pytest

from bars_gateway.errors import KeyRingUnusable, PayloadDamaged
from bars_gateway.keyring import EncryptionRing, RingKey, Vault, encrypted_by, new_key

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FIRST = RingKey(key_id="first", secret=bytes(range(32)))
SECOND = RingKey(key_id="second", secret=bytes(range(1, 33)))
NUMBER = "9434765919"
PLACE = ("payloads", 7, "request")


def test_a_ring_is_read_as_it_was_written() -> None:
    """What `rotate` writes, the gateway reads: keys in their order, and what was copied."""
    ring = EncryptionRing(keys=(FIRST, SECOND), copied={"first": NOW})

    assert ring == EncryptionRing.parse(ring.text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it holds no key"),
        ("# only a remark\n", "it holds no key"),
        ("key first AAAA\n", "line 1 is not an id and 32 bytes in base64"),
        ("key fi/rst " + "A" * 43 + "=\n", "line 1 is not an id"),
        ("\nkey first\n", "line 2 is neither"),
        ("copied yesterday first\n", "line 1 is neither"),
        (EncryptionRing(keys=(FIRST, FIRST)).text, "the key first is there twice"),
    ],
)
def test_a_file_that_is_no_ring_says_which_line_is_wrong(text: str, says: str) -> None:
    """Whoever has edited it is told where, and never what stood there."""
    with pytest.raises(KeyRingUnusable, match=says) as caught:
        EncryptionRing.parse(text)

    assert "AAAA" not in str(caught.value)


def test_keys_are_shown_to_nobody() -> None:
    """A ring that lands in a log or a traceback tells no key."""
    assert "x01" not in repr(EncryptionRing(keys=(FIRST,)))


def test_each_new_key_says_when_it_was_made() -> None:
    """By its id alone one sees how old it is; two of one day differ."""
    made = [new_key(NOW) for _ in range(2)]

    assert all(key.key_id.startswith("2026-03-02-") for key in made)
    assert made[0].key_id != made[1].key_id
    assert made[0].secret != made[1].secret


def test_what_is_encrypted_opens_at_its_place() -> None:
    """With the key's id in clear, and nothing else."""
    encrypted = Vault(EncryptionRing(keys=(FIRST,))).encrypt(b"words", *PLACE)

    assert "first" == encrypted_by(encrypted)
    assert b"words" not in encrypted
    assert b"words" == Vault(EncryptionRing(keys=(FIRST, SECOND))).open(encrypted, *PLACE)


def test_the_same_is_never_encrypted_the_same_twice() -> None:
    """Each has a nonce of its own: nobody sees that two rows hold the same."""
    vault = Vault(EncryptionRing(keys=(FIRST,)))

    assert 1000 == len({vault.encrypt(b"words", *PLACE) for _ in range(1000)})


@pytest.mark.parametrize(
    "place",
    [
        ("payloads", 8, "request"),
        ("payloads", 7, "answer"),
        ("quarantine", 7, "request"),
        ("payloads", 7, "request", "x"),
        ("payloads", "7request"),
    ],
)
def test_what_was_moved_is_refused(place: tuple[object, ...]) -> None:
    """One patient's bytes in another's row would be believed otherwise."""
    vault = Vault(EncryptionRing(keys=(FIRST,)))
    encrypted = vault.encrypt(b"words", *PLACE)
    with pytest.raises(PayloadDamaged, match="spoilt, moved, or of a wrong key"):
        vault.open(encrypted, *place)


def test_a_turned_bit_is_refused_wherever_it_is() -> None:
    """In the head, in the nonce, in what is encrypted, or in its tag."""
    vault = Vault(EncryptionRing(keys=(FIRST,)))
    encrypted = vault.encrypt(b"words", *PLACE)
    opened = []
    for place in range(len(encrypted) * 8):
        spoilt = bytearray(encrypted)
        spoilt[place // 8] ^= 1 << place % 8
        try:
            opened.append(vault.open(bytes(spoilt), *PLACE))
        except PayloadDamaged:
            continue

    # Where the mark itself is spoilt, it is no encrypted text any more: rows say by themselves that
    # theirs is one.
    assert b"words" not in opened
    assert 32 == len(opened)


def test_another_key_of_the_same_id_opens_nothing() -> None:
    """Two machines may have made a key by the same name."""
    other = RingKey(key_id="first", secret=SECOND.secret)
    encrypted = Vault(EncryptionRing(keys=(FIRST,))).encrypt(b"words", *PLACE)
    with pytest.raises(PayloadDamaged, match="of a wrong key"):
        Vault(EncryptionRing(keys=(other,))).open(encrypted, *PLACE)


def test_a_key_that_is_not_there_is_named() -> None:
    """So that somebody can look for it."""
    encrypted = Vault(EncryptionRing(keys=(FIRST,))).encrypt(b"words", *PLACE)
    with pytest.raises(PayloadDamaged, match="by the key first, which is not in the ring"):
        Vault(EncryptionRing(keys=(SECOND,))).open(encrypted, *PLACE)


def test_a_column_of_text_holds_what_is_encrypted() -> None:
    """As text of its own kind, that opens to the words."""
    vault = Vault(EncryptionRing(keys=(FIRST,)))
    encrypted = vault.encrypt_text("Zoë", *PLACE)

    assert encrypted.startswith("encrypted:")
    assert "Zoë" == vault.open_text(encrypted, *PLACE)
    assert "Zoë" == vault.open_text("Zoë", *PLACE)


def test_a_hash_is_of_its_key_alone() -> None:
    """Who has the database and not the key cannot try all numbers there are."""
    one, other = Vault(EncryptionRing(keys=(FIRST,))), Vault(EncryptionRing(keys=(SECOND,)))

    assert one.hashes({NUMBER}) != other.hashes({NUMBER})
    assert one.hashes({NUMBER}) == one.every_hash_of(NUMBER)
    assert NUMBER not in "".join(one.every_hash_of(NUMBER))
    assert [] == Vault().hashes({NUMBER})
