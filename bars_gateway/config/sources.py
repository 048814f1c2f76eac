"""
Reads settings, remembers where each came from, and explains what is wrong with them.

    file ──┐                 ┌─► values   one tree, the variables on top
           ├─► Sources.read ─┤
    BARS_GATEWAY_A__B ───────┘   └─► origins  "outbound.token_url" ─► line 12, or the variable

    Outbound, "max_in_flight" ──purpose──► the source of the class ──► "The most messages under …"

Variables are nested by two underscores, and lists in them are written with commas. In
the name of a provider an underscore stands for a hyphen, which variables cannot have.

The surprising choice: the library could read for us what each setting is for while it makes the
tables, but then every command would read and parse all of our source before it does anything.
"""

import ast
import difflib
import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bars_gateway.config.values import Flaw
from bars_gateway.errors import ConfigurationError
from bars_gateway.frozen import frozen

PREFIX = "BARS_GATEWAY_"
NOT_A_SETTING = frozenset({"BARS_GATEWAY_CONFIG"})  # where the file is, for the command line

# Each setting that had another name in a release: dotted, with * for the name of a provider.
RENAMED: dict[str, str] = {}

_TABLE = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""^\s*([A-Za-z0-9_."'-]+?)\s*=""")


@frozen(kw_only=True)
class SettingsProblem:
    """Something that is wrong with the settings, or with a file that they name."""

    file: str  # the settings file with its line, or the environment variable
    key: str  # dotted, such as providers.example-trust.spool_dir
    cause: str
    cure: str
    stops_start: bool = True  # False: a gateway starts all the same, and says it there, too

    def __str__(self) -> str:
        """Return it as an operator reads it, in two lines."""
        return f"{self.file}: {self.key or 'the file'} {self.cause}\n   try: {self.cure}"


@frozen(kw_only=True)
class Sources:
    """The settings as they were written, and where."""

    file: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)  # dotted key → line of the file, from 1
    variables: Mapping[str, str] = field(default_factory=dict)  # dotted key → name of the variable

    @classmethod
    def read(cls, path: Path, environ: Mapping[str, str]) -> Self:
        """Read both; raise ConfigurationError if the file cannot be read at all."""
        text = _text(path)
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            cure = "Correct the line: values are quoted unless they are numbers, true or false."
            problem = SettingsProblem(
                file=str(path), key="", cause=f"is not TOML: {error}", cure=cure
            )
            raise ConfigurationError(str(problem)) from None
        variables: dict[str, str] = {}
        for name in sorted(environ):
            if name.startswith(PREFIX) and name not in NOT_A_SETTING:
                keys = _keys(name)
                variables[".".join(keys)] = name
                values = _with(values, keys, environ[name])
        return cls(file=path, values=values, lines=dict(_lines(text)), variables=variables)

    def origin(self, key: str) -> str | None:
        """Return where *key* was written: the variable, `file:line`, or None if nowhere."""
        for dotted in _upwards(key):
            if dotted in self.variables:
                return f"environment variable {self.variables[dotted]}"
            if dotted in self.lines:
                return f"{self.file}:{self.lines[dotted]}"
        return None

    def written(self, key: str) -> bool:
        """Whether somebody wrote *key* itself, or a part of it: inline, dotted, or in a table."""
        return self.as_written(key) is not None

    def as_written(self, key: str) -> object:
        """Return what somebody wrote for *key*; None: nothing, which TOML has no word for."""
        found: Any = self.values
        for name in key.split("."):
            if not isinstance(found, Mapping) or name not in found:
                return None
            found = found[name]
        return found

    def place(self, key: str) -> str:
        """Return where *key* was or would be written."""
        return self.origin(key) or str(self.file or "settings")


def _upwards(key: str) -> Iterator[str]:
    while key:
        yield key
        key = key.rpartition(".")[0]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")  # some editors begin it with a byte order mark
    except OSError as error:
        cause = f"cannot be read: {error.strerror}"
        cure = "Name the settings file with --config, or let this user read it."
        problem = SettingsProblem(file=str(path), key="", cause=cause, cure=cure)
        raise ConfigurationError(str(problem)) from error
    except UnicodeDecodeError:
        problem = SettingsProblem(
            file=str(path), key="", cause="is not UTF-8", cure="Save it as UTF-8."
        )
        raise ConfigurationError(str(problem)) from None


def _keys(variable: str) -> list[str]:
    keys = variable.removeprefix(PREFIX).lower().split("__")
    if keys[0] == "providers":
        keys[1:2] = [key.replace("_", "-") for key in keys[1:2]]
    return keys


def _with(tree: Any, keys: list[str], value: str) -> Any:
    if not keys:
        return value
    below = tree if isinstance(tree, Mapping) else {}
    return {**below, keys[0]: _with(below.get(keys[0]), keys[1:], value)}


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """Yield each dotted key with its line; a text of several lines may mislead it, no more."""
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if found := _TABLE.match(line):
            table = re.sub(r"""["'\s]""", "", found[1])
            yield table, number
        elif found := _KEY.match(line):
            key = re.sub(r"""["']""", "", found[1])
            yield f"{table}.{key}" if table else key, number


def explain(
    error: ValidationError, model: type[BaseModel], sources: Sources
) -> list[SettingsProblem]:
    """Return what is wrong in an operator's words, in the order of the settings."""
    problems: list[SettingsProblem] = []
    details = error.errors(include_url=False, include_input=False)
    for detail in details:
        keys = [str(part) for part in detail["loc"] if part != "[key]"]
        if keys[:1] == ["outbound"] and detail["type"] == "missing" and _no_environment(details):
            continue  # the environment will bring it
        for flaw in _flaws(detail, model):
            dotted = ".".join([*keys, *flaw.key])
            place = sources.place(dotted)
            problems.append(
                SettingsProblem(file=place, key=dotted, cause=flaw.cause, cure=flaw.cure)
            )
    return problems


def _no_environment(details: list[ErrorDetails]) -> bool:
    return any(detail["loc"] == ("environment",) for detail in details)


def _flaws(detail: ErrorDetails, model: type[BaseModel]) -> tuple[Flaw, ...]:
    """Return what one error of the library means; ours carry their own explanation."""
    keys = [str(part) for part in detail["loc"]]
    if detail["type"] == "flaws":
        found: tuple[Flaw, ...] = detail["ctx"]["flaws"]
        return found
    if detail["type"] == "extra_forbidden":
        return (_unknown(keys, model),)
    what_for = " ".join(_purpose_at(keys, model).split())
    if detail["type"] == "missing":
        return (Flaw(cause="is required", cure=f"Set it. {what_for}"),)
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    return (Flaw(cause=f"is wrong: {message}", cure=what_for or "Correct it."),)


def _unknown(keys: list[str], model: type[BaseModel]) -> Flaw:
    new_name = _new_name(keys)
    if new_name is not None:
        cure = f"Write {new_name} in its place, with the same value."
        return Flaw(cause="has another name in this version", cure=cure)
    table = model_at(keys[:-1], model)
    near = difflib.get_close_matches(keys[-1], table.model_fields if table else [], n=1)
    cure = f"Did you mean {near[0]}?" if near else "Remove it; `bars-gateway config` lists all."
    return Flaw(cause="is not a setting", cure=cure)


def _new_name(keys: list[str]) -> str | None:
    """Return what the setting at *keys* is called since it was renamed; None: it never was."""
    if keys[0] != "providers":
        return RENAMED.get(".".join(keys))
    new_name = RENAMED.get(".".join(["providers", "*", *keys[2:]]))
    return new_name and new_name.replace("*", keys[1])


def model_at(keys: list[str], model: type[BaseModel]) -> type[BaseModel] | None:
    """Return the table of settings at *keys* below *model*, or None."""
    found: Any = model
    for key in keys:
        if isinstance(found, type) and issubclass(found, BaseModel):
            setting = found.model_fields.get(key)
            found = setting.annotation if setting else None
        elif getattr(found, "__origin__", None) is dict:
            found = found.__args__[1]
    if getattr(found, "__origin__", None) is dict:
        return None
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _purpose_at(keys: list[str], model: type[BaseModel]) -> str:
    """Return what the setting at *keys* below *model* is for, or the last one on the way to it."""
    for length in range(len(keys), 0, -1):
        table = model_at(keys[: length - 1], model)
        if table is not None and keys[length - 1] in table.model_fields:
            return purpose(table, keys[length - 1])
    return ""


def purpose(table: type[BaseModel], name: str) -> str:
    """Return what the setting *name* of *table* is for, in paragraphs; empty: it does not say."""
    tables = (each for each in table.__mro__ if BaseModel in each.__mro__[1:])
    return next((text for each in tables if (text := _texts(each).get(name))), "")


@cache
def _texts(table: type[BaseModel]) -> dict[str, str]:
    (definition,) = ast.parse(inspect.getsource(table)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for setting, below in pairwise(definition.body):
        match setting, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
    return found
