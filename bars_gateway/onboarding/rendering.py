"""
Writes a settings file that explains itself.

    values that are known ─┐
                           ├─► every setting with its reason: set, or as a default in a comment
    the settings' own docs ┘

What a person reads in the file is what `bars-gateway config --describe` prints, because
both come from the settings themselves.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bars_gateway.config import Environment, Settings
from bars_gateway.config.describe import BUNDLED
from bars_gateway.config.environments import BUNDLES
from bars_gateway.config.purposes import purpose
from bars_gateway.config.sources import model_at

_WIDTH = 97
_HEAD = """\
# The settings of this gateway. A line that begins with "#" and a key is a default: take the
# "#" away to change it. `bars-gateway check` says everything that is wrong, at once.
# Nothing secret belongs in this file: keys are named by path.
"""


def render(values: Mapping[str, Any]) -> str:
    """Return the settings file for *values*, nested as the file is."""
    lines = [_HEAD, *_table(Settings, values, "")]
    text = "\n".join(lines).rstrip() + "\n"
    for name, brought in _brought(values).items():  # the environment's, not the model's
        text = re.sub(rf"^#{name} =.*$", f"#{name} = {_value(brought)}", text, flags=re.MULTILINE)
    return text


def _brought(values: Mapping[str, Any]) -> dict[str, Any]:
    bundle = BUNDLES[Environment(values["environment"])]
    found = {name: getattr(bundle, name) for name in BUNDLED}
    return {name: value for name, value in found.items() if value is not None}


def _table(model: type[BaseModel], values: Mapping[str, Any], path: str) -> Iterator[str]:
    below: list[str] = []
    for name, setting in model.model_fields.items():
        if _is_table(model, name):
            below.append(name)
            continue
        yield from _comment(purpose(model, name))
        yield _line(name, setting, values.get(name)) + "\n"
    for name in below:
        yield from _tables(model, name, values.get(name, {}), path)


def _tables(
    model: type[BaseModel], name: str, values: Mapping[str, Any], path: str
) -> Iterator[str]:
    inner = model_at([name], model)
    entries = {name: values} if inner is not None else _entries(name, values)
    inner = inner or model_at([name, "any"], model)
    if inner is None:  # a mapping of plain values, such as the applications
        if values:
            yield from _comment(purpose(model, name))
            yield from [f"[{path}{name}]", *(f"{k} = {_value(v)}" for k, v in values.items()), ""]
        return
    for entry, written in entries.items():
        yield from _comment(purpose(model, name))
        yield f"[{path}{entry}]\n"
        yield from _table(inner, written, f"{path}{entry}.")


def _entries(name: str, values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {f"{name}.{key}": written for key, written in values.items()}


def _is_table(model: type[BaseModel], name: str) -> bool:
    annotation: Any = model.model_fields[name].annotation
    return model_at([name], model) is not None or getattr(annotation, "__origin__", None) is dict


def _comment(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield from textwrap.wrap(
            " ".join(paragraph.split()),
            _WIDTH,
            initial_indent="# ",
            subsequent_indent="# ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _line(name: str, setting: FieldInfo, value: Any) -> str:
    if value is not None:
        return f"{name} = {_value(value)}"
    default = setting.default
    if default is PydanticUndefined or default is None:
        return f"#{name} ="
    return f"#{name} = {_value(default)}"


def _value(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(str(value), ensure_ascii=False)
