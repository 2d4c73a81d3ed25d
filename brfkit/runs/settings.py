"""One statement of every setting: help, range, choices and option stand in the metadata of the configuration's field.

``brfkit train`` makes its options from them, configurations are checked against them, and the reference of the command
line lists them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brfkit.errors import BrfkitError
from brfkit.io.arrays import is_path

_KEY = "setting"
_INT_MAX = 2**31 - 1


@dataclass(frozen=True)
class Setting:
    """What is said of one setting beside its type and default.

    Attributes:
        help: one sentence.
        topic: heading under which the option stands; empty for a setting without an option of its own.
        option: name of the option.
        metavar: how a value is written, where the type does not say it.
        low, high: bounds of a number, or of each of several.
        low_open, high_open: whether the bound itself is refused.
        choices: values of a text.
        path: the text is the path of a file or folder.
    """

    help: str
    topic: str = ""
    option: str | None = None
    metavar: str | None = None
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    choices: tuple[str, ...] = ()
    path: bool = False

    def interval(self) -> str:
        """The range in words; empty where there is none."""
        if self.low is None:
            return ""
        if self.high is None:
            if self.low == 0:
                return "positive" if self.low_open else "at least 0"
            return f"{'above' if self.low_open else 'at least'} {self.low:g}"
        if not self.low_open and not self.high_open:
            return f"from {self.low:g} to {self.high:g}"
        ends = "above" if self.low_open else "at least", "below" if self.high_open else "at most"
        return f"{ends[0]} {self.low:g} and {ends[1]} {self.high:g}"

    def check(self, key: str, value: Any) -> None:
        """Refuse a value out of range, or none of the choices.

        Raises:
            BrfkitError: names `key`.
        """
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, str):
                if self.choices and one not in self.choices:
                    raise BrfkitError(f"{key} must be one of {', '.join(self.choices)}, not {short(one)}")
            elif isinstance(one, int | float) and not isinstance(one, bool):
                self._check_number(key, one)

    def _check_number(self, key: str, value: float) -> None:
        high = self.high
        if isinstance(value, int) and high is None:
            high = _INT_MAX
        inside = self.low is None or (value > self.low if self.low_open else value >= self.low)
        if not inside or (high is not None and not (value < high if self.high_open else value <= high)):
            wanted = self.interval() if not inside or self.high is not None else f"at most {high:,}"
            raise BrfkitError(f"{key} must be {wanted}, not {short(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise BrfkitError(f"{key} must be finite, not {value}")


def setting(
    default: Any, help: str, topic: str = "", *, default_factory: Callable[[], Any] | None = None, **rest: Any
) -> Any:
    """A field of a configuration; further arguments are those of :class:`Setting`."""
    metadata = {_KEY: Setting(help, topic, **rest)}
    if default_factory is not None:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Declared:
    """A field of a section with what its declaration says.

    Attributes:
        section, name: its place.
        kind: ``int``, ``float``, ``str``, ``bool`` or ``Mapping``; of several values, that of each.
        several: whether the value is a tuple.
        optional: whether None is a value.
        default: its default.
        setting: its metadata; None for a section that has none.
        required: whether it has no default.
    """

    section: str
    name: str
    kind: str
    several: bool
    optional: bool
    default: Any
    setting: Setting | None
    required: bool = False

    @property
    def key(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def option(self) -> str | None:
        """The option of ``brfkit train``; None where there is none."""
        if self.setting is None or not self.setting.topic:
            return None
        if self.setting.option is not None:
            return self.setting.option
        return f"--{'no-' if self.default is True else ''}{self.name.replace('_', '-')}"


def declared(section: str, kind: type) -> dict[str, Declared]:
    """The fields of a section by name."""
    found = {}
    for one in dataclasses.fields(kind):
        text = str(one.type)
        several = text.startswith("tuple[")
        base = text.removeprefix("tuple[").split(",")[0] if several else text.split(" | ")[0].split("[")[0]
        default = one.default if one.default is not dataclasses.MISSING else None
        if one.default_factory is not dataclasses.MISSING:
            default = one.default_factory()
        found[one.name] = Declared(
            section, one.name, base, several, "None" in text, default, one.metadata.get(_KEY),
            one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING,
        )  # fmt: skip
    return found


def check_section(section: str, values: Any) -> None:
    """Check every field of a section against its declaration."""
    for name, one in declared(section, type(values)).items():
        value = getattr(values, name)
        if value == "":
            raise BrfkitError(f"{one.key} is empty")
        if one.setting is not None and value is not None and not isinstance(value, Mapping):
            one.setting.check(one.key, value)


def differences(one: Any, other: Any) -> list[tuple[str, Any, Any]]:
    """Keys in which two configurations differ, with both values. The path of a data set may be relative in one."""
    ours, theirs = one.to_dict(), other.to_dict()
    found = []
    for section, values in ours.items():
        for name, value in values.items():
            against = theirs[section][name]
            if value != against and not (name == "dataset" and _same_file(value, against)):
                found.append((f"{section}.{name}", value, against))
    return found


def _same_file(one: str, other: str) -> bool:
    return is_path(one) and is_path(other) and Path(one).absolute() == Path(other).absolute()


def short(value: Any) -> str:
    """A value in a message, not longer than a line bears."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}…"
