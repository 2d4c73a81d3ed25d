"""What a format allows for each of its values, stated in one table per format and checked before anything is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brfkit.errors import BrfkitError

NUMBER = (int, float)


@dataclass(frozen=True)
class Value:
    """One allowed value.

    Attributes:
        kinds: Python types; a bool is an int only where ``bool`` is named.
        low, high: bounds of a number, both allowed.
        finite: whether NaN and infinity are refused.
        none: whether None is allowed.
        choices: the only values, empty for any.
        items: of a list, what each of its items must be.
        length: of text or of a list at most.
    """

    kinds: tuple[type, ...]
    low: float = -math.inf
    high: float = math.inf
    finite: bool = True
    none: bool = False
    choices: tuple[Any, ...] = ()
    items: Value | None = None
    length: int = 1 << 16

    def check(self, value: Any, where: str) -> None:
        """Refuse another value.

        Raises:
            BrfkitError: with `where` in front of what is wrong.
        """
        if value is None and self.none:
            return
        if not isinstance(value, self.kinds) or (isinstance(value, bool) and bool not in self.kinds):
            raise BrfkitError(f"{where} is {_short(value)}, not {' or '.join(_KINDS[kind] for kind in self.kinds)}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.finite and not math.isfinite(value):
                raise BrfkitError(f"{where} is {value}, not a finite number")
            if not math.isnan(value) and not self.low <= value <= self.high:
                raise BrfkitError(f"{where} is {_short(value)}, not a number from {self.low:g} to {self.high:g}")
        if isinstance(value, str | list) and len(value) > self.length:
            raise BrfkitError(f"{where} has the length {len(value)}, at most {self.length} is possible")
        if self.choices and value not in self.choices:
            raise BrfkitError(f"{where} is {_short(value)}, not one of {', '.join(map(str, self.choices))}")
        if self.items is not None and isinstance(value, list):
            for number, item in enumerate(value):
                self.items.check(item, f"{where}[{number}]")


_KINDS = {int: "an integer", float: "a number", str: "text", bool: "true or false", list: "a list", dict: "an object"}

TEXT = Value((str,))
COUNT = Value((int,), 0, 1 << 53)
FINITE = Value(NUMBER)
MEASURED = Value(NUMBER, finite=False)
HASH = Value((str,), length=64)


def check_values(
    values: Mapping[str, Any], schema: Mapping[str, Value], where: str, *, required: tuple[str, ...] | None = None
) -> None:
    """Refuse values that the schema does not allow.

    Args:
        values: by name.
        schema: what each may be; names that it does not know are passed over.
        where: what to call the values in an error.
        required: names that must be there; None requires all of the schema.

    Raises:
        BrfkitError: a value is missing or not allowed.
    """
    for name in schema if required is None else required:
        if name not in values:
            raise BrfkitError(f"{where} has no {name}")
    for name, value in schema.items():
        if name in values:
            value.check(values[name], f"{where}: {name}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
