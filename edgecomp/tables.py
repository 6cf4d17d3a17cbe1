"""One TOML file as checked tables: what is wrong with it is one message of what, where and fix."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from edgecomp.errors import EdgecompError, InputError, nearest

OF_WORDS = "words"
"""The type of a fault in what a text says, and not in the keys of a table."""


class Table(BaseModel):
    """One TOML table: frozen, and no key that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def read_toml(file: Path, error: type[InputError]) -> dict[str, Any]:
    """Read one TOML file, turning what can go wrong into one message."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise error(f"there is no {file.name}", where=file, fix="check the path") from None
    except UnicodeDecodeError as why:
        raise error(
            f"not UTF-8 text: byte {why.start} is {why.object[why.start]:#04x}",
            where=file,
            fix="save the file as UTF-8",
        ) from None
    except tomllib.TOMLDecodeError as why:
        raise error(f"not valid TOML: {why}", where=file, fix="mend that line; texts need quotes") from None
    except OSError as why:
        raise error(f"cannot read: {why.strerror}", where=file, fix="check the path and its permissions") from None


def checked(kind: type[BaseModel], raw: dict[str, Any], file: Path, error: type[EdgecompError]) -> Any:
    """Build a table out of a file's raw TOML, with the first fault as one message of what, where and fix."""
    if "file" in raw:  # where the table came from is ours to say
        raise error("unknown key 'file'", where=f"{file} [top level] file", fix=nearest("file", _keys(kind)))
    try:
        return kind.model_validate(raw | {"file": file.resolve()})
    except ValidationError as faults:
        # an unknown key first: a key that seems to be missing is often the one that was misspelt
        fault = min(faults.errors(), key=lambda f: f["type"] != "extra_forbidden")
    keys = [str(k) for k in fault["loc"]]
    where = f"{file} [{'.'.join(keys[:-1]) or 'top level'}] {keys[-1] if keys else ''}".rstrip()
    if fault["type"] == "extra_forbidden":
        raise error(f"unknown key {keys[-1]!r}", where=where, fix=nearest(keys[-1], _keys(_table_at(kind, keys[:-1]))))
    if fault["type"] == "missing":
        known = ", ".join(_keys(_table_at(kind, keys[:-1])))
        raise error(f"missing key {keys[-1]!r}", where=where, fix=f"add it; keys of this table are {known}")
    if isinstance(fault["input"], dict) and fault["type"] != OF_WORDS:  # a rule about a whole table
        raise error(
            f"[{'.'.join(keys)}] {_wanted(fault)}",
            where=f"{file} [{'.'.join(keys)}]",
            fix=f"keys of this table are {', '.join(_keys(_table_at(kind, keys)))}",
        )
    raise error(f"{'.'.join(keys)} is {fault['input']!r}", where=where, fix=_wanted(fault))


def _wanted(fault: Any) -> str:
    """Say in plain words which values a key takes."""
    if fault["type"] == "literal_error":
        allowed = [part.strip().strip("'") for part in fault["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return nearest(str(fault["input"]), allowed)
    plain = {
        "string_type": "give a text in quotes",
        "int_type": "give a whole number",
        "float_type": "give a number",
        "bool_type": "give true or false",
        "list_type": "give a list in [ ]",
        "dict_type": "give a table",
        "model_type": "give a table",
        "string_pattern_mismatch": "use a to z, 0 to 9, _ and - only",
    }
    said = fault["msg"].removeprefix("Value error, ").replace("Input should be", "give a value").replace("valid ", "")
    return plain.get(fault["type"], said[:1].lower() + said[1:])


def _table_at(kind: type[BaseModel], keys: list[str]) -> type[BaseModel]:
    """Return the table that a key path leads to, through lists of tables too."""
    for key in keys:
        found = [kind.model_fields[key].annotation] if key in kind.model_fields else []
        while found:
            inner = found.pop()
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                kind = inner
                break
            found += get_args(inner)
    return kind


def _keys(kind: type[BaseModel]) -> list[str]:
    return [name for name in kind.model_fields if name != "file"]
