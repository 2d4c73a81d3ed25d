"""Products of the backward scan with operands in bfloat16 and sums in float32."""

from __future__ import annotations

import ctypes
import logging
import platform
import sys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.numba_cpu import templates
from brfkit.backends.numba_cpu.layout import Layout, buffer
from brfkit.backends.numba_cpu.native.build import processor
from brfkit.backends.numba_cpu.shape import Shape, fill

log = logging.getLogger(__name__)

LEAST_UNITS = 160  # of a layer for which the product takes long enough for rounding to pay
BLOCK = 32  # entries of x̄ that AMX takes at once
_AMX_COLUMNS = (4, 3, 2, 1)  # blocks of units whose sums are in tiles together
_ARCH_REQ_XCOMP_PERM, _XTILEDATA, _ARCH_PRCTL = 0x1023, 18, 158


@lru_cache(maxsize=1)
def bfloat_way() -> str:
    """How this machine computes such products: ``amx``, ``avx512`` or ``software`` (which saves no time)."""
    features = set(processor()[1].split(","))
    if {"+amx-tile", "+amx-bf16", "+avx512f"} <= features and _amx_permitted():
        return "amx"
    if {"+avx512bf16", "+avx512f"} <= features:
        return "avx512"
    log.warning("this processor has no bfloat16 instructions: such products are made of float32 ones and save no time")
    return "software"


def _amx_permitted() -> bool:
    """Whether the system lets this process use AMX's tiles, which it has to be asked for."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XTILEDATA) == 0


def products_of(layout: Layout, precision: str, dtype: str, recurrent: bool, way: str | None = None) -> str:
    """What ``Shape.products`` is for a layer; narrow layers, for which rounding does not pay, stay float32."""
    if precision == "float32" or dtype != "float32" or not recurrent or layout.units < LEAST_UNITS:
        return "float32"
    way = way or bfloat_way()
    return way if way == "software" or layout.lanes == 16 else "software"


def pairs(units: int) -> int:
    """Pairs of entries in a row, in whole blocks."""
    return -(-units // BLOCK) * BLOCK // 2


def to_bfloat(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Rounded to nearest, ties to even, as bits; NaN stays NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16)
    return np.where(np.isnan(values), np.uint32(0x7FC0), rounded).astype(np.uint16)


def pack_pairs(layout: Layout, w: NDArray[np.float32]) -> NDArray[np.float32]:
    """A matrix (H, H) as [pair of rows][width], the two entries side by side in the bits of one float32."""
    count = pairs(layout.units)
    padded = np.zeros((2 * count, layout.width), np.uint16)
    padded[: layout.units, : layout.units] = to_bfloat(w)
    flat = buffer(count * layout.width, np.float32)
    flat.view(np.uint16).reshape(count, layout.width, 2)[...] = padded.reshape(count, 2, -1).swapaxes(1, 2)
    return flat


class BfloatText:
    """The parts of a backward kernel that differ from those in float32."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._lanes = shape.layout.lanes
        self._pairs = pairs(shape.layout.units)
        self._amx = shape.products == "amx"
        self._how = "_software" if shape.products == "software" else ""

    def begin(self) -> list[str]:
        made = [f"half = buffer(TILE * {self._pairs})"]
        return made + (["simd.amx_configure(TILE)"] if self._amx else [])

    def end(self) -> list[str]:
        return ["simd.amx_release()"] if self._amx else []

    def carry(self) -> str:
        units = self.shape.layout.units
        tail = []
        if units < 2 * self._pairs:  # what lies beyond the units meets rows of zeros, and must be a number
            first = units // 2
            tail = [
                f"for k in range({first + units % 2}, {self._pairs}):",
                f"    half[s * {self._pairs} + k] = real(0.0)",
            ]
        return fill(templates.CARRY_BFLOAT.strip(), lanes=self._lanes, how=self._how, pairs=self._pairs, tail=tail)

    def product(self) -> str:
        return self._product_amx() if self._amx else self._product_vectors()

    def _product_vectors(self) -> str:
        v, columns = self._lanes, self.shape.layout.columns
        cells = [(s, k) for s in range(self.shape.tile) for k in range(columns)]
        body = [f"w{k} = simd.load(w, j * WIDTH + c + {k * v}, {v})" for k in range(columns)]
        for s in range(self.shape.tile):
            body.append(f"factor = simd.broadcast(simd.get(half, {s * self._pairs} + j), {v})")
            body += [f"a{s}_{k} = simd.dot_bfloat{self._how}(factor, w{k}, a{s}_{k})" for k in range(columns)]
        return fill(
            templates.PRODUCT_BFLOAT,
            step=columns * v,
            pairs=self._pairs,
            zero=[f"a{s}_{k} = simd.broadcast(real(0.0), {v})" for s, k in cells],
            body=body,
            store=[f"simd.store(z, {s} * WIDTH + c + {k * v}, a{s}_{k})" for s, k in cells],
        )

    def _product_amx(self) -> str:
        columns = next(c for c in _AMX_COLUMNS if self.shape.layout.vectors % c == 0)
        body = []
        for k in range(columns):
            body.append(f"simd.amx_load({6 + k % 2}, w, j * WIDTH + c + {16 * k}, WIDTH)")
            body.append(f"simd.amx_dot({k}, 5, {6 + k % 2})")
        return fill(
            templates.PRODUCT_AMX,
            step=16 * columns,
            pairs=self._pairs,
            zero=[f"simd.amx_zero({k})" for k in range(columns)],
            body=body,
            store=[f"simd.amx_store({k}, z, c + {16 * k}, WIDTH)" for k in range(columns)],
        )
