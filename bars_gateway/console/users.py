"""
The console's users: who may log in, by which password, and what each may do.

    bars-gateway users ──written whole, renamed──► users.json (0600) ──read again──► log-in

There is no password to begin with, and none is kept: only what scrypt makes of it, with the
parameters it was made with. A file of another owner, or that others may read, is not used at all:
then nobody can log in, and pages stay shut. Whoever is taken out, or given another password, is
logged out with their next request.
"""

import base64
import fcntl
import hashlib
import hmac
import json
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Any

from bars_gateway.console.visitor import UserRole
from bars_gateway.disk import put_in_place
from bars_gateway.errors import UsersUnusable
from bars_gateway.frozen import frozen
from bars_gateway.ownership import heir

SHORTEST = 12  # characters of a password
LONGEST = 256
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}", re.ASCII)
_COST, _BLOCK, _PARALLEL = 2**15, 8, 1  # 32 MiB and a tenth of a second
_HIGHEST_COST = 2**20
_LARGEST_FILE = 1_048_576
Users = Mapping[str, "User"]


class UserProblem(ValueError):
    """What was typed cannot be a user; the text says why, without a password."""


@frozen(kw_only=True)
class Fault:
    """What is wrong in the file of users; never what is written there."""

    line: int
    cause: str


@frozen(kw_only=True)
class Hashed:
    """What is kept of a password."""

    salt: bytes
    digest: bytes
    cost: int = _COST
    block: int = _BLOCK
    parallel: int = _PARALLEL

    def fits(self, password: str) -> bool:
        """Tell whether it was made of *password*; that takes as long if not."""
        made = _scrypt(password, self.salt, self.cost, self.block, self.parallel)
        return hmac.compare_digest(made, self.digest)


@frozen(kw_only=True)
class User:
    """Somebody who may log in."""

    name: str
    roles: frozenset[UserRole]
    password: Hashed = field(repr=False)


def hashed(password: str, cost: int = _COST) -> Hashed:
    """Return what is kept of *password*; raise UserProblem if it is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise UserProblem(f"a password has {SHORTEST} to {LONGEST} characters")
    salt = os.urandom(16)
    digest = _scrypt(password, salt, cost, _BLOCK, _PARALLEL)
    return Hashed(salt=salt, digest=digest, cost=cost)


def named(name: str) -> str:
    """Return *name* if it can be a user's; raise UserProblem."""
    if not _NAME.fullmatch(name):
        raise UserProblem(
            "a user's name has 1 to 32 small letters, digits, dots, hyphens and underscores, and"
            " begins with a letter or digit"
        )
    return name


_NOBODYS = Hashed(salt=bytes(16), digest=bytes(32))


def checked(users: Users, name: str, password: str) -> User | None:
    """Return who that is, or None; a name that nobody has takes as long as a wrong password."""
    found = users.get(name)
    fits = (found.password if found else _NOBODYS).fits(password[: LONGEST + 1])
    return found if fits else None


class UserFile:
    """The users as their file has them now."""

    def __init__(self, path: Path, *, required: bool = False) -> None:
        """Read nothing yet. *required*: without the file nobody gets in; else all may look."""
        self.path, self._required = path, required
        self._seen: tuple[int, ...] | None = None
        self._users: Users = {}

    def read(self) -> Users | None:
        """Return the users; None: there is no file, and none is needed. Raise UsersUnusable."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            self._seen, self._users = None, {}
            if self._required:
                raise UsersUnusable(f"{self.path} is not there") from None
            return None
        except OSError as error:
            raise UsersUnusable(f"{self.path}: {error.strerror}") from None
        look = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if look != self._seen:
            self._users = _read(self.path)
            self._seen = look
        return self._users

    def faults(self) -> list[Fault]:
        """Return what is wrong in it; raise UsersUnusable where it cannot be read or trusted."""
        return _users_in(_bytes(self.path))[1] if os.path.lexists(self.path) else []

    def change(self, how: Callable[[dict[str, User]], object]) -> None:
        """Let *how* change the users, and write them all; nobody else does meanwhile."""
        with _alone(self.path):
            users = dict(_read(self.path)) if os.path.lexists(self.path) else {}
            how(users)
            _write(self.path, users)


NO_USERS = UserFile(Path("/nonexistent"))


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    typed = unicodedata.normalize("NFKC", password).encode("utf-8", "replace")
    room = 128 * block * (cost + parallel + 2) + 1024
    return hashlib.scrypt(typed, salt=salt, n=cost, r=block, p=parallel, dklen=32, maxmem=room)


def _read(path: Path) -> Users:
    users, faults = _users_in(_bytes(path))
    if faults:
        where = f"line {faults[0].line} {faults[0].cause}"
        raise UsersUnusable(f"{path} does not hold users as they are written there: {where}")
    return users


def _bytes(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UsersUnusable(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        _require_own(path, os.fstat(descriptor))
        return file.read(_LARGEST_FILE)


def _users_in(written: bytes) -> tuple[Users, list[Fault]]:
    users: dict[str, User] = {}
    faults = []
    try:
        entries = list(_entries(written.decode("utf-8")))
    except json.JSONDecodeError as error:
        return {}, [Fault(line=error.lineno, cause="is not JSON")]
    except (ValueError, KeyError, TypeError):
        return {}, [Fault(line=1, cause="does not begin a list of users")]
    for line, entry in entries:
        try:
            user = _user(entry)
        except UserProblem as problem:
            faults.append(Fault(line=line, cause=f"begins a user without a name: {problem}"))
        except (ValueError, KeyError, TypeError, AttributeError):
            faults.append(Fault(line=line, cause="begins what is not a user: name, roles, scrypt"))
        else:
            if user.name in users:
                faults.append(Fault(line=line, cause="begins a user who is there already"))
            users[user.name] = user
    return users, faults


def _entries(text: str) -> Iterator[tuple[int, Any]]:
    """Yield each user as it is written, with the line in which it begins."""
    entries = json.loads(text)["users"]
    if not isinstance(entries, list):
        raise TypeError("not a list")
    at = text.index("[", text.index('"users"')) + 1
    for entry in entries:
        while text[at] in ", \t\r\n":
            at += 1
        yield text.count("\n", 0, at) + 1, entry
        _, at = json.JSONDecoder().raw_decode(text, at)


def _require_own(path: Path, found: os.stat_result) -> None:
    owners = {os.geteuid()}
    if os.geteuid() == 0:  # root adds users for the gateway, to whom the folder belongs
        owners.add(heir(path.parent).user)
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in owners:
        raise UsersUnusable(f"{path} is not a file of this user's")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsersUnusable(f"{path} can be read or written by others")


def _user(written: Mapping[str, Any]) -> User:
    kept = written["scrypt"]
    cost, block, parallel = (int(kept[name]) for name in ("n", "r", "p"))
    if not (1 < cost <= _HIGHEST_COST and 0 < block <= _BLOCK and 0 < parallel <= _BLOCK):
        raise ValueError("not a cost that we would pay")
    return User(
        name=named(written["name"]),
        roles=frozenset(map(UserRole, written["roles"])),
        password=Hashed(
            salt=base64.b64decode(kept["salt"], validate=True),
            digest=base64.b64decode(kept["hash"], validate=True),
            cost=cost,
            block=block,
            parallel=parallel,
        ),
    )


def _written(user: User) -> Mapping[str, object]:
    kept = user.password
    return {
        "name": user.name,
        "roles": sorted(user.roles),
        "scrypt": {
            "n": kept.cost,
            "r": kept.block,
            "p": kept.parallel,
            "salt": base64.b64encode(kept.salt).decode(),
            "hash": base64.b64encode(kept.digest).decode(),
        },
    }


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsersUnusable(f"{path.parent}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, users: Users) -> None:
    text = json.dumps({"users": [_written(users[name]) for name in sorted(users)]}, indent=1)
    put_in_place(path, text.encode() + b"\n", belongs=True)
