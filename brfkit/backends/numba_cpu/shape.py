"""What the text of a kernel depends on, and how a template is filled in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from brfkit.backends.numba_cpu.layout import Layout

# Vectors per row up to which adding a row at once beats collecting the rows of every neuron first.
NARROW = 4
SUMS = 16  # vectors of sums that are gathered together at most


@dataclass(frozen=True)
class Shape:
    """What the text of a kernel depends on besides the neuron.

    Attributes:
        dtype: ``float32`` or ``float64``.
        layout: padding of the units.
        tile: samples per tile.
        source: input as ``dense`` array, ``events`` or ``spikes`` of the layer below.
        recurrent: whether there is a W_rec.
        last: whether the layer gives the outputs.
        channels: of a dense input that is so narrow that it is added where the neuron is computed; else 0.
        words_in: 64-bit words that hold the spikes of the layer below; else 0.
        masked: whether spikes are dropped by a spike mask.
        products: of the backward scan with W_rec: ``float32``, or bfloat16 by ``software``, ``avx512`` or ``amx``.
    """

    dtype: str
    layout: Layout
    tile: int
    source: str
    recurrent: bool
    last: bool
    channels: int = 0
    words_in: int = 0
    masked: bool = False
    products: str = "float32"

    @property
    def single(self) -> bool:
        """Whether a block is the whole width, so that spikes need no list to be gone through again."""
        return self.layout.block * self.layout.lanes == self.layout.width

    @property
    def group(self) -> int:
        """Samples whose currents are gathered together: as many as have their sums in registers."""
        fits = (g for g in (8, 4, 2) if g <= self.tile and g * self.layout.block <= SUMS)
        return next(fits, 1) if self.single and (self.recurrent or self.source == "spikes") else 1


def fill(template: str, **parts: str | int | Iterable[str]) -> str:
    """Put ``parts`` in for ``@NAME``: numbers and words anywhere, lists of lines where ``@NAME`` stands alone.

    A template may be filled in several times; :func:`check_filled` sees to it that nothing is left at the end.

    Raises:
        ValueError: a part has no place in the template.
    """
    for name in parts:
        if not re.search(rf"@{name.upper()}(?![A-Z_])", template):
            raise ValueError(f"the template has no place for @{name.upper()}")
    words = {f"@{k.upper()}": str(v) for k, v in parts.items() if isinstance(v, str | int)}
    lines = {f"@{k.upper()}": v for k, v in parts.items() if not isinstance(v, str | int)}
    out: list[str] = []
    for line in template.split("\n"):
        key = line.strip()
        if key in lines:
            indent = line[: len(line) - len(line.lstrip())]
            out += [indent + inner if inner else inner for inner in lines[key]]
            continue
        for word in sorted(words, key=len, reverse=True):
            line = line.replace(word, words[word])
        out.append(line)
    return "\n".join(out)


def check_filled(text: str) -> str:
    """The text itself, in which no ``@NAME`` may be left.

    Raises:
        ValueError: there is one.
    """
    if left := sorted(set(re.findall(r"@[A-Z][A-Z_]*", text))):
        raise ValueError(f"nothing was filled in for {', '.join(left)}")
    return text
