"""JSON and TOML from files that may be damaged or made to harm: bounded, plain, no key twice."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brfkit.errors import BrfkitError
from brfkit.io.streams import read_bytes

MAX_BYTES = 16 << 20
"""Largest document: metrics of 100,000 epochs and more."""

_MAX_TEXT = 1 << 20
_MAX_DEPTH = 32
_MAX_INTEGER = 1 << 63
_MAX_KEY_PARTS = 32


def parse_json(text: str, where: str) -> dict[str, Any]:
    """One JSON object; NaN and infinity are allowed, for runs that diverged.

    Raises:
        BrfkitError: it is no JSON, no object, names a key twice, or holds what no setting can be: integers of more
            than 63 bits, text with NUL or broken Unicode, more than 32 levels.
    """
    try:
        values = json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise BrfkitError(f"{where} is nested more than {_MAX_DEPTH} deep") from None
    except ValueError as error:
        raise BrfkitError(f"{where} cannot be read: {_reason(error)}") from None
    return _plain(values, where)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; see :func:`parse_json`."""
    return parse_json(_text(path, "JSON"), str(path))


def parse_toml(text: str, where: str = "TOML") -> dict[str, Any]:
    """A TOML document.

    Raises:
        BrfkitError: as in :func:`parse_json`.
    """
    try:
        import tomllib
    except ImportError:  # Python 3.10
        import tomli as tomllib  # type: ignore[import-not-found,no-redef]
    _check_keys(text, where)
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise BrfkitError(f"{where} is nested more than {_MAX_DEPTH} deep") from None
    except ValueError as error:
        raise BrfkitError(f"{where} cannot be read: {_reason(error)}") from None
    return _plain(values, where)


def read_toml(path: Path) -> dict[str, Any]:
    """The TOML document in a file; see :func:`parse_toml`."""
    return parse_toml(_text(path, "TOML"), str(path))


def _text(path: Path, kind: str) -> str:
    try:
        return read_bytes(path, MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise BrfkitError(f"{path} cannot be read: {kind} is UTF-8 text, this is not") from None


def _reason(error: ValueError) -> str:
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    text = " ".join(str(error).split())
    return "a number of thousands of digits" if "integer string conversion" in text else text[:200]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key[:80]!r} is there twice")
        values[key] = value
    return values


def _check_keys(text: str, where: str) -> None:
    """A dotted key of n parts costs a TOML reader n² memory."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") <= _MAX_KEY_PARTS:
            continue
        bare = re.sub(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'', "q", line)
        if any(run.count(".") > _MAX_KEY_PARTS for run in re.split(r"[^\w\-. \t]", bare)):
            raise BrfkitError(f"{where}: line {number} has a key of more than {_MAX_KEY_PARTS} parts")


def _plain(values: Any, where: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise BrfkitError(f"{where} does not hold keys and values")
    pending: list[tuple[Any, int]] = [(values, 1)]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, Mapping | list):
            if depth > _MAX_DEPTH:
                raise BrfkitError(f"{where} is nested more than {_MAX_DEPTH} deep")
            if isinstance(value, Mapping):
                pending += [(key, depth + 1) for key in value]
            pending += [(inner, depth + 1) for inner in (value.values() if isinstance(value, Mapping) else value)]
        elif isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
            raise BrfkitError(f"{where} holds an integer of more than 63 bits")
        elif isinstance(value, str) and (len(value) > _MAX_TEXT or not _is_text(value)):
            raise BrfkitError(f"{where} holds text that is broken, has a NUL in it or is longer than {_MAX_TEXT}")
    return values


def _is_text(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
