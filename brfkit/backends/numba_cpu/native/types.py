"""Types of the compiled subset of Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from brfkit.backends.numba_cpu.native import emit


@dataclass(frozen=True)
class Number:
    """An integer or floating-point type; ``kind`` is ``i`` (signed), ``u`` (unsigned), ``b`` (bool) or ``f``."""

    name: str
    kind: str
    bitwidth: int

    @property
    def llvm(self) -> ir.Type:
        return emit.element(self) if self.kind == "f" else ir.IntType(self.bitwidth)


@dataclass(frozen=True)
class Vector:
    """``lanes`` numbers in registers."""

    dtype: Number
    lanes: int

    @property
    def llvm(self) -> ir.Type:
        return emit.vector_type(self)


@dataclass(frozen=True)
class Mask:
    """A truth value for each lane."""

    lanes: int

    @property
    def llvm(self) -> ir.Type:
        return ir.VectorType(emit.INT1, self.lanes)


@dataclass(frozen=True)
class Array:
    """A pointer to numbers that follow each other; bounds are not known."""

    dtype: Number

    @property
    def llvm(self) -> ir.Type:
        return self.dtype.llvm.as_pointer()


@dataclass(frozen=True)
class Nothing:
    """What a function without a result returns."""

    llvm = ir.VoidType()


Type = Number | Vector | Mask | Array | Nothing

BOOL = Number("bool", "b", 1)
INT16 = Number("int16", "i", 16)
INT32 = Number("int32", "i", 32)
INT64 = Number("int64", "i", 64)
UINT16 = Number("uint16", "u", 16)
UINT32 = Number("uint32", "u", 32)
UINT64 = Number("uint64", "u", 64)
FLOAT32 = Number("float32", "f", 32)
FLOAT64 = Number("float64", "f", 64)
NUMBERS = {n.name: n for n in (INT16, INT32, INT64, UINT16, UINT32, UINT64, FLOAT32, FLOAT64)}


@dataclass(frozen=True)
class Value:
    """A value in a function that is being compiled; ``constant`` is its Python value where that is known."""

    type: Type
    llvm: Any
    constant: int | float | None = None
