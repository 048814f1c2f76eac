"""What is kept to tell that a setting has changed says nothing of what it is."""

from pathlib import Path

from bars_gateway.config import Settings, load
from bars_gateway.console.users import NO_USERS, User, UserFile, hashed
from bars_gateway.console.visitor import UserRole
from bars_gateway.daemon.facts import FactFinder
from bars_gateway.store.in_force import SETTING, USER

WRITTEN = """
environment = "int"
[providers.trust]
ods_code = "ZX901"
name = "T"
services = ["https://fhir.nhs.uk/Id/dos-service-id|2000099999"]
key_id = "Trust-INT-1"
api_key = "{api_key}"
private_key_file = "/keys/int-1.pem"
spool_dir = "/spool/trust"
[inbound]
allowed_client_names = ["proxy.example"]
"""


def settings(folder: Path, api_key: str = "guessable") -> Settings:
    file = folder / "bars-gateway.toml"
    file.write_text(WRITTEN.format(api_key=api_key))
    return load(file, {})


def test_the_same_settings_are_the_same_at_the_next_start(tmp_path: Path) -> None:
    """The key is kept in a file that its owner alone may read; nothing else is remembered."""
    file = tmp_path / "settings.key"
    first, second = (
        FactFinder(file, NO_USERS).find(settings(tmp_path), {}, None) for _ in range(2)
    )

    assert first == second
    assert 0o600 == file.stat().st_mode & 0o777


def test_one_setting_that_changed_is_one_that_differs(tmp_path: Path) -> None:
    """And no other."""
    finder = FactFinder(tmp_path / "settings.key", NO_USERS)
    one, other = (finder.find(settings(tmp_path, key), {}, None).of for key in ("a", "b"))

    assert {(SETTING, "providers.trust.api_key")} == {n for n in one if one[n] != other[n]}


def test_a_guess_cannot_be_tried_without_the_key(tmp_path: Path) -> None:
    """Two machines make different things of the same setting."""
    (tmp_path / "a").mkdir()
    one, other = (
        FactFinder(tmp_path / name, NO_USERS).find(settings(tmp_path), {}, None)
        for name in ("a/settings.key", "settings.key")
    )

    assert set() == set(one.of.values()) & set(other.of.values())
    assert one.compared_by != other.compared_by
    assert one.of.keys() == other.of.keys()


def test_a_user_with_another_password_or_role_is_another(tmp_path: Path) -> None:
    """Users are looked at beside a reload, too: their file is read at once."""
    users = UserFile(tmp_path / "users.json")
    finder = FactFinder(tmp_path / "settings.key", users)
    jo = User(name="jo", roles=frozenset({UserRole.VIEWER}), password=hashed("x" * 12, cost=2))
    before = finder.users_changed()
    users.change(lambda all_: all_.update(jo=jo))
    added = finder.users_changed()
    again = finder.users_changed()
    made = finder.find(settings(tmp_path), {}, None).of

    assert (False, True, False) == (before, added, again)
    assert (USER, "jo") in made
    assert jo.password.digest.hex() not in repr(made)
