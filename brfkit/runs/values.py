"""Plain values of TOML and JSON made into those that the configuration declares."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from brfkit.errors import BrfkitError
from brfkit.neurons import Constant, Init, Normal, Uniform


def check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is none of the choices."""
    if value not in choices:
        raise BrfkitError(f"{key} must be one of {', '.join(choices)}, not {value!r}")


def suggest(name: str, known: Mapping[str, Any]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them."""
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"


def section_values(section: str, kind: type, values: Mapping[str, Any]) -> Any:
    """A section from its keys and values; an unknown key is an error that suggests the nearest."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    out: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            raise BrfkitError(f"unknown key {section}.{key} in the configuration{suggest(key, fields)}")
        out[key] = _value(f"{section}.{key}", str(fields[key].type), value)
    return kind(**out)


def _value(key: str, kind: str, value: Any) -> Any:
    """A value of the kind that the field declares; TOML and JSON give fewer kinds than Python has."""
    if value is None and "None" in kind:
        return None
    if key == "network.init":
        return {name: _init(f"{key}.{name}", v) for name, v in _mapping(key, value).items()}
    if key == "network.options":
        return {name: _checked(f"{key}.{name}", "bool", v) for name, v in _mapping(key, value).items()}
    if key == "network.hidden":
        sizes = value if isinstance(value, list | tuple) else [value]
        return tuple(_checked(key, "int", v) for v in sizes)
    if key == "network.trainable":
        names = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        return tuple(_checked(key, "str", name) for name in names if name != "")
    return _checked(key, kind.split(" | ")[0], value)


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BrfkitError(f"{key} must hold names and values")
    return value


def _checked(key: str, kind: str, value: Any) -> Any:
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    types = {"int": int, "float": float, "str": str, "bool": bool}
    if not isinstance(value, types[kind]) or (kind != "bool" and isinstance(value, bool)):
        raise BrfkitError(f"{key} must be of kind {kind}, not {value!r}")
    return value


def _init(key: str, value: Any) -> Init:
    if isinstance(value, Uniform | Normal | Constant):
        return value
    if isinstance(value, list | tuple) and len(value) == 2 and value[0] == "constant":
        return Constant(_checked(key, "float", value[1]))
    if isinstance(value, list | tuple) and len(value) == 3 and value[0] in ("uniform", "normal"):
        first, second = (_checked(key, "float", v) for v in value[1:])
        return Uniform(first, second) if value[0] == "uniform" else Normal(first, second)
    raise BrfkitError(
        f'{key} must look like ["uniform", low, high], ["normal", mean, std] or ["constant", value], not {value!r}'
    )


def init_values(init: Init) -> list[Any]:
    """An initial distribution as plain values; configurations are read with such."""
    if isinstance(init, Uniform):
        return ["uniform", init.low, init.high]
    if isinstance(init, Constant):
        return ["constant", init.value]
    return ["normal", init.mean, init.std]
