"""
`bars-gateway users`: who may log in to the console, and what each may do there.

    add NAME --role operator ─┐
    password NAME             ├─► users.json, which a running gateway reads at once
    remove NAME               ─┘

A password is asked for at the terminal, or read from the first line of standard input. It is never
an argument: arguments are seen by every user of the machine.
"""

import getpass
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer

from bars_gateway import permissions
from bars_gateway.cli.output import print_lines
from bars_gateway.config import Settings, SettingsProblem, load
from bars_gateway.console.users import User, UserFile, UserProblem, hashed, named
from bars_gateway.console.visitor import UserRole
from bars_gateway.errors import UsersUnusable
from bars_gateway.onboarding.reported import try_report
from bars_gateway.options import DEFAULT_CONFIG, Config, Json

Read = TypeVar("Read")
app = typer.Typer(
    name="users",
    help="Say who may log in to the console, and what each may do there.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Their short name, as in jo.bloggs.")]
_ADD = "bars-gateway users add NAME --role operator"
Roles = Annotated[
    list[UserRole],
    typer.Option("--role", help="What they may do; repeatable. Each may look."),
]


@app.command()
def add(name: Name, role: Roles, config: Config = DEFAULT_CONFIG) -> None:
    """
    Add a user, whose password is asked for, or read from standard input.

    viewer looks; operator acts as well; reveal has payloads shown, with a reason that is kept.
    """
    settings, file = _settings(config)
    _require_new(file.read() or {}, _right(named, name))
    user = User(name=name, roles=frozenset(role), password=_right(hashed, _typed(name)))

    def put(users: dict[str, User]) -> None:
        _require_new(users, name)  # while it was typed, somebody else may have added them
        users[name] = user

    file.change(put)
    try_report(settings, "users.added", user=name, roles=sorted(role))
    typer.echo(f"{name}: may log in ({', '.join(sorted(user.roles))})")


@app.command(name="list")
def show(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """List the users and what each may do."""
    users = _settings(config)[1].read()
    for _, user in sorted((users or {}).items()):
        roles = sorted(user.roles)
        if as_json:
            print_lines([{"name": user.name, "roles": roles}])
        else:
            typer.echo(f"{user.name}  {', '.join(roles)}")
    if not users and not as_json:
        none = "everybody on this machine may look, and nobody may act"
        typer.echo(f"There are no users: {'nobody can log in' if users is not None else none}.")


@app.command()
def remove(name: Name, config: Config = DEFAULT_CONFIG) -> None:
    """Take a user out; with their next request they are logged out."""
    settings, file = _settings(config)

    def take(users: dict[str, User]) -> None:
        _require(users, name)
        del users[name]

    file.change(take)
    try_report(settings, "users.removed", user=name)
    typer.echo(f"{name}: may no longer log in")


@app.command()
def password(name: Name, config: Config = DEFAULT_CONFIG) -> None:
    """Give a user another password; with their next request they are logged out."""
    settings, file = _settings(config)
    _require(file.read() or {}, name)
    new = _right(hashed, _typed(name))

    def renew(users: dict[str, User]) -> None:
        _require(users, name)  # while it was typed, somebody else may have taken them out
        users[name] = replace(users[name], password=new)

    file.change(renew)
    try_report(settings, "users.password", user=name)
    typer.echo(f"{name}: has another password")


def doubts_of_users(settings: Settings) -> Iterator[SettingsProblem]:
    """Yield what keeps people from logging in, or from acting; it stops no start."""
    rules, path = settings.console, settings.users_file
    file = UserFile(path, required=rules.users_file is not None)
    by_proxy = rules.proxy is not None and bool(rules.operators)
    try:
        faults = file.faults()
        users = {} if faults else file.read()
    except UsersUnusable as error:
        yield _doubt(str(path), f"cannot be used, so nobody can log in: {error}", error.advice)
        return
    for fault in faults:
        cure = f"Correct it, or move the file away and add the users again: {_ADD}"
        yield _doubt(f"{path}:{fault.line}", f"cannot be used: this line {fault.cause}", cure)
    acting = by_proxy or any(UserRole.OPERATOR in user.roles for user in (users or {}).values())
    if users is not None and not faults and not acting:
        cause = "has nobody with the role operator, so nobody can act on the pages"
        yield _doubt(str(path), cause, f"Add somebody: {_ADD}")


def _doubt(place: str, cause: str, cure: str) -> SettingsProblem:
    return SettingsProblem(file=place, key="console.users_file", cause=cause, cure=cure)


def _settings(config: Path) -> tuple[Settings, UserFile]:
    settings = load(config, os.environ)
    permissions.require_making(settings.users_file)
    return settings, UserFile(settings.users_file)


def _require(users: Mapping[str, User], name: str) -> None:
    if name not in users:
        _refuse("nobody has that name: see `bars-gateway users list`")


def _require_new(users: Mapping[str, User], name: str) -> None:
    if name in users:
        _refuse(f"{name} is there already: see `users password` and `users remove`")


def _right(read: Callable[[str], Read], typed: str) -> Read:
    try:
        return read(typed)
    except UserProblem as problem:
        _refuse(str(problem))


def _typed(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass(f"Password for {name}: ")
    if first != getpass.getpass("Once more: "):
        _refuse("these were not the same")
    return first


def _refuse(why: str) -> NoReturn:
    typer.echo(f"error: {why}", err=True)
    raise typer.Exit(1)
