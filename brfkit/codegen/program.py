"""Straight-line programs, into which :mod:`brfkit.codegen.parser` turns a neuron's functions.

A program is a list of statements, each one operation on earlier results, in the order in which the function computes
them. Nothing is reordered, so that every backend rounds alike; only operations with the constants 0 and 1 that options
leave behind are folded away, and statements that nobody reads are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from brfkit.codegen.operations import OPERATIONS, Operand

__all__ = ["Builder", "Operand", "Program", "Statement"]


@dataclass(frozen=True)
class Statement:
    """``target = op(*args)``; an argument is the name of an earlier value or a number."""

    target: str
    op: str
    args: tuple[Operand, ...]


@dataclass(frozen=True)
class Program:
    """Straight-line code with named inputs and outputs, every name assigned once.

    ``notes`` has for targets the statement of the source from which they come; no text depends on it but listings.
    """

    name: str
    inputs: tuple[str, ...]
    statements: tuple[Statement, ...]
    outputs: tuple[Operand, ...]
    output_names: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def reads(self) -> set[str]:
        """Names that statements and outputs use."""
        used = {*self.outputs, *(arg for statement in self.statements for arg in statement.args)}
        return {name for name in used if isinstance(name, str)}

    def without_dead_code(self) -> Program:
        """The same program without statements whose value reaches no output."""
        needed = {name for name in self.outputs if isinstance(name, str)}
        kept: list[Statement] = []
        for statement in reversed(self.statements):
            if statement.target in needed:
                kept.append(statement)
                needed.update(arg for arg in statement.args if isinstance(arg, str))
        return replace(self, statements=tuple(reversed(kept)))


class Builder:
    """Collects statements and folds what is constant. A fresh name is ``prefix`` and a number, none of ``taken``."""

    def __init__(self, prefix: str = "t", taken: Iterable[str] = ()) -> None:
        self.statements: list[Statement] = []
        self._prefix = prefix
        self._taken = set(taken)
        self._count = 0

    def emit(self, op: str, *args: Operand) -> Operand:
        """The result of ``op(*args)``: a fresh name, or an operand where there is nothing to compute."""
        folded = _fold(op, args)
        if folded is not None:
            return folded
        self._count += 1
        while (target := f"{self._prefix}{self._count}") in self._taken:
            self._count += 1
        self.statements.append(Statement(target, op, args))
        return target


def _fold(op: str, args: tuple[Operand, ...]) -> Operand | None:
    if all(isinstance(a, float) for a in args):
        return OPERATIONS[op].number(*(float(a) for a in args))
    if op == "neg":
        return None
    if len(args) == 1:
        return None
    a, b = args
    if op == "mul":
        if a == 0.0 or b == 0.0:
            return 0.0
        return b if a == 1.0 else a if b == 1.0 else None
    if op == "add":
        return b if a == 0.0 else a if b == 0.0 else None
    if (op == "sub" and b == 0.0) or (op == "div" and b == 1.0):
        return a
    return None
