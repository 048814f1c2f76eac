"""The console's users: how they are written, read, and told from others."""

import json
import os
import shlex
import stat
from pathlib import Path
from unittest import mock

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pages import block
from typed import settings_text, typed

from bars_gateway.cli import users as command
from bars_gateway.console.users import (
    LONGEST,
    SHORTEST,
    User,
    UserFile,
    UserProblem,
    checked,
    hashed,
    named,
)
from bars_gateway.console.visitor import UserRole
from bars_gateway.errors import UsersUnusable

PASSWORD = "correct horse battery"


@pytest.fixture
def file(tmp_path: Path) -> UserFile:
    found = UserFile(tmp_path / "users.json")
    add(found, "jo", UserRole.OPERATOR)
    return found


def add(file: UserFile, name: str, *roles: UserRole, password: str = PASSWORD) -> None:
    user = User(name=name, roles=frozenset(roles), password=hashed(password))
    file.change(lambda users: users.update({name: user}))


def test_a_user_is_known_by_the_password(file: UserFile) -> None:
    """And by nothing else."""
    users = file.read() or {}

    assert "jo" == getattr(checked(users, "jo", PASSWORD), "name", None)
    assert checked(users, "jo", PASSWORD + " ") is None
    assert checked(users, "ann", PASSWORD) is None


def test_no_password_is_kept(file: UserFile) -> None:
    """Only what scrypt makes of it, with its parameters; no two are the same."""
    add(file, "ann", UserRole.REVEAL)
    text = file.path.read_text()
    one, other = (each["scrypt"] for each in json.loads(text)["users"])

    assert PASSWORD not in text
    assert (32768, 8, 1) == (one["n"], one["r"], one["p"])
    assert one["salt"] != other["salt"]
    assert one["hash"] != other["hash"]


def test_the_file_is_the_gateways_alone(file: UserFile) -> None:
    """Whatever the umask is, and nothing is left beside it."""
    assert 0o600 == stat.S_IMODE(file.path.stat().st_mode)
    assert [file.path] == list(file.path.parent.iterdir())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_may_use_is_not_used(file: UserFile, mode: int) -> None:
    """Somebody else may have written a user into it, or may guess at leisure."""
    file.path.chmod(mode)

    with pytest.raises(UsersUnusable, match="by others"):
        file.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_not_used(file: UserFile) -> None:
    """It is not we who wrote it."""
    os.chown(file.path, 12345, -1)

    with pytest.raises(UsersUnusable, match="not a file of this user's"):
        file.read()


def test_a_link_is_not_followed(file: UserFile, tmp_path: Path) -> None:
    """It may lead to what somebody else can change."""
    moved = file.path.rename(tmp_path / "elsewhere")
    file.path.symlink_to(moved)

    with pytest.raises(UsersUnusable):
        file.read()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"users": [{"name": "jo"}]}',
        '{"users": [{"name": "jo", "roles": ["root"], "scrypt": {}}]}',
        '{"users": [{"name": "jo", "roles": [], "scrypt": {"n": 1073741824, "r": 8, "p": 1}}]}',
    ],
)
def test_what_is_no_list_of_users_is_not_used(file: UserFile, text: str) -> None:
    """Nobody gets in by half of a file, nor can it make us work for an hour."""
    file.path.write_text(text)

    with pytest.raises(UsersUnusable, match="does not hold users"):
        file.read()


@pytest.mark.parametrize(
    ("spoil", "line", "cause"),
    [
        (("}\n", "\n"), 16, "is not JSON"),
        (('"users"', '"people"'), 1, "does not begin a list of users"),
        (('"name": "jo"', '"name": "Jo B"'), 16, "begins a user without a name: a user's name"),
        (('"operator"', '"root"'), 16, "begins what is not a user"),
        (('"name": "jo"', '"name": "ann"'), 16, "begins a user who is there already"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_each_line_that_is_wrong_is_named(
    file: UserFile, spoil: tuple[str, str], line: int, cause: str
) -> None:
    """By its number, with what is wrong in it, and without what it holds."""
    add(file, "ann", UserRole.REVEAL)
    file.path.write_text(file.path.read_text().replace(*spoil))
    (found,) = file.faults()

    assert line == found.line
    assert found.cause.startswith(cause)
    with pytest.raises(UsersUnusable, match=f"line {line} {cause}"):
        file.read()


def test_a_change_is_seen_at_once(file: UserFile) -> None:
    """Without a restart: who was taken out is out."""
    before = set(file.read() or {})
    UserFile(file.path).change(lambda users: users.pop("jo"))

    assert {"jo"} == before
    assert {} == file.read()


def test_without_a_file_there_is_nobody(tmp_path: Path) -> None:
    """Which is not the same as a list of nobody; and where one was named, it is missed."""
    path = tmp_path / "users.json"

    assert UserFile(path).read() is None
    with pytest.raises(UsersUnusable, match="is not there"):
        UserFile(path, required=True).read()


@pytest.mark.parametrize("password", ["", "x" * (SHORTEST - 1), "x" * (LONGEST + 1)])
def test_a_password_has_a_length(password: str) -> None:
    """Short ones are guessed."""
    with pytest.raises(UserProblem):
        hashed(password)


@pytest.mark.parametrize("name", ["", "Jo", "jo bloggs", "-jo", "j" * 33, "jo\n", "jö"])
def test_a_name_is_simple(name: str) -> None:
    """It stands in the audit trail, and is typed again."""
    with pytest.raises(UserProblem):
        named(name)


class TestCommands:
    """`bars-gateway users`, at a pipe."""

    @pytest.fixture
    def config(self, tmp_path: Path) -> str:
        (tmp_path / "state").mkdir()
        (tmp_path / "gateway.toml").write_text(settings_text(tmp_path))
        return f"--config={tmp_path}/gateway.toml"

    def test_users_are_added_listed_and_removed(self, config: str) -> None:
        """Each tells what it did; a password never is an argument, and never printed."""
        added = typed("users", "add", "jo", "--role", "operator", config, said=PASSWORD)
        listed = typed("users", "list", config)
        changed = typed("users", "password", "jo", config, said=PASSWORD[::-1])
        removed = typed("users", "remove", "jo", config)
        after = typed("users", "list", config)

        assert "jo: may log in (operator)\n" == added.out
        assert "jo  operator\n" == listed.out
        assert "jo: has another password\n" == changed.out
        assert "jo: may no longer log in\n" == removed.out
        assert "There are no users: nobody can log in.\n" == after.out

    @pytest.mark.parametrize(
        ("arguments", "password", "says"),
        [
            (("add", "jo", "--role", "viewer"), "short", "12 to 256 characters"),
            (("add", "Jo Bloggs", "--role", "viewer"), PASSWORD, "small letters"),
            (("remove", "jo"), "", "nobody has that name"),
            (("password", "jo"), PASSWORD, "nobody has that name"),
        ],
    )
    def test_what_cannot_be_is_said(
        self, config: str, arguments: tuple[str, ...], password: str, says: str
    ) -> None:
        """And nothing is written."""
        done = typed("users", *arguments, config, said=password)

        assert 1 == done.code
        assert says in done.err
        assert "There are no users: everybody" in typed("users", "list", config).out

    def test_the_first_user_is_added_as_it_is_written(self, config: str) -> None:
        """The command of `docs/console.md`; the password is read where nobody can be asked."""
        words = shlex.split(block("console.md", "users add"))[1:]
        added = typed(*words, config, said=PASSWORD)

        assert (0, "jo.bloggs: may log in (operator)\n") == (added.code, added.out)

    def test_nobody_is_added_twice(self, config: str) -> None:
        """A second password would lock out the first person without a word."""
        typed("users", "add", "jo", "--role", "operator", config, said=PASSWORD)
        again = typed("users", "add", "jo", "--role", "viewer", config, said=PASSWORD)

        assert 1 == again.code
        assert "jo is there already" in again.err

    def test_who_was_added_while_the_password_was_typed_keeps_theirs(
        self, config: str, tmp_path: Path
    ) -> None:
        """Two people add the same user at two terminals: the second is told."""
        there = UserFile(tmp_path / "state" / "users.json")

        def slowly(name: str) -> str:
            add(there, name, UserRole.VIEWER)
            return PASSWORD[::-1]

        with mock.patch.object(command, "_typed", slowly):
            done = typed("users", "add", "jo", "--role", "operator", config)

        assert (1, "") == (done.code, done.out)
        assert "jo is there already" in done.err
        assert checked(there.read() or {}, "jo", PASSWORD)

    def test_who_was_removed_while_the_password_was_typed_stays_away(
        self, config: str, tmp_path: Path
    ) -> None:
        """Another has taken them out meanwhile, and nobody meets a traceback."""
        there = UserFile(tmp_path / "state" / "users.json")
        add(there, "jo", UserRole.VIEWER)

        def slowly(name: str) -> str:
            there.change(lambda users: users.pop(name))
            return PASSWORD[::-1]

        with mock.patch.object(command, "_typed", slowly):
            done = typed("users", "password", "jo", config)

        assert (1, "") == (done.code, done.out)
        assert "nobody has that name" in done.err
        assert {} == there.read()


class TestCheck:
    """`bars-gateway check` says beforehand why nobody will be able to log in, or to act."""

    @pytest.fixture
    def config(self, tmp_path: Path) -> str:
        for name in ("state", "spool", "run"):
            (tmp_path / name).mkdir()
        key = tmp_path / "jwt.pem"
        text = settings_text(tmp_path, private_key_file=str(key))
        (tmp_path / "gateway.toml").write_text(text)
        made = rsa.generate_private_key(65537, 2048)
        form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        key.touch(0o600)
        key.write_bytes(made.private_bytes(*form))
        return f"--config={tmp_path}/gateway.toml"

    @pytest.fixture
    def users(self, tmp_path: Path, config: str) -> UserFile:
        found = UserFile(tmp_path / "state" / "users.json")
        add(found, "jo", UserRole.VIEWER)
        return found

    def test_no_users_are_no_fault(self, config: str) -> None:
        """A console of which everybody here may look, and nobody act, is how it comes."""
        done = typed("check", config)

        assert (0, "") == (done.code, done.err)

    def test_an_operator_is_enough(self, config: str, users: UserFile) -> None:
        """Nothing is wrong with a file in which somebody may act."""
        add(users, "ann", UserRole.OPERATOR)
        done = typed("check", config)

        assert (0, "") == (done.code, done.err)

    def test_nobody_who_may_act_is_a_doubt(self, config: str, users: UserFile) -> None:
        """With the command that cures it; a gateway starts all the same."""
        done = typed("check", config)
        what, cure = done.err.splitlines()
        expected = "console.users_file has nobody with the role operator"

        assert 1 == done.code
        assert what.startswith(f"warning: {users.path}: {expected}")
        assert cure == "   try: Add somebody: bars-gateway users add NAME --role operator"

    def test_operators_may_come_by_the_proxy(self, config: str, users: UserFile) -> None:
        """Then the file need not have any."""
        settings = Path(config.removeprefix("--config="))
        secret = settings.with_name("secret")
        secret.touch(0o600)
        secret.write_text("a secret of the server in front")
        proxy = f'[console]\nproxy = "127.0.0.1"\nproxy_secret_file = "{secret}"\n'
        settings.write_text(f'{settings.read_text()}\n{proxy}operators = ["bars-ops"]\n')
        done = typed("check", config)

        assert (0, "") == (done.code, done.err)

    def test_a_wrong_line_is_named(self, config: str, users: UserFile) -> None:
        """File, line, what is wrong there, and the cure."""
        users.path.write_text(users.path.read_text().replace('"viewer"', '"root"'))
        done = typed("check", config)
        what, cure = done.err.splitlines()

        assert 1 == done.code
        assert what.startswith(f"warning: {users.path}:3: console.users_file cannot be used: ")
        assert cure.startswith("   try: Correct it, or move the file away")

    def test_a_file_that_others_may_use_is_said(self, config: str, users: UserFile) -> None:
        """It is not used at all, and the page of the log-in sends people here."""
        users.path.chmod(0o644)
        done = typed("check", config)

        assert 1 == done.code
        assert "so nobody can log in" in done.err
        assert "can be read or written by others" in done.err
        assert "mode 0600" in done.err

    def test_a_file_that_is_named_has_to_be_there(self, config: str) -> None:
        """Where none is named, none is needed."""
        settings = Path(config.removeprefix("--config="))
        there = settings.with_name("people.json")
        settings.write_text(f'{settings.read_text()}\n[console]\nusers_file = "{there}"\n')
        done = typed("check", config)

        assert 1 == done.code
        assert f"{there} is not there" in done.err
