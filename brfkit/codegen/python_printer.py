"""Programs as Python functions over arrays: NumPy and torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from brfkit.codegen.program import Operand, Program, Statement
from brfkit.neurons import ops

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}

# How each target spells what is no Python operator. ``spike`` and ``greater`` are handed in as functions.
_CALLS = {
    "numpy": {op: f"np.{op}" for op in ("sqrt", "exp", "expm1", "sin", "cos", "abs", "sign")}
    | {"minimum": "np.minimum", "maximum": "np.maximum"},
    "torch": {op: f"torch.{op}" for op in ("sqrt", "exp", "expm1", "sin", "cos", "abs", "sign")}
    | {"minimum": "minimum", "maximum": "maximum"},
}

# What generated NumPy code refers to.
NUMPY: dict[str, Any] = {
    "np": np,
    "spike": ops.spike,
    "greater": lambda a, b: np.greater(a, b).astype(np.result_type(a, b)),
}


def operand(value: Operand) -> str:
    return value if isinstance(value, str) else repr(value)


def expression(statement: Statement, calls: dict[str, str]) -> str:
    args = [operand(a) for a in statement.args]
    if statement.op in INFIX:
        return f"{args[0]} {INFIX[statement.op]} {args[1]}"
    if statement.op == "neg":
        return f"-{args[0]}"
    if statement.op == "square":
        return f"{args[0]} * {args[0]}"
    return f"{calls.get(statement.op, statement.op)}({', '.join(args)})"


def source(program: Program, target: str) -> str:
    """Text of a Python function that computes the program; ``target`` is ``numpy`` or ``torch``."""
    lines = [f"def {program.name}({', '.join(program.inputs)}):"]
    lines += [f"    {s.target} = {expression(s, _CALLS[target])}" for s in program.statements]
    lines.append(f"    return ({', '.join(operand(o) for o in program.outputs)},)")
    return "\n".join(lines) + "\n"


def build(program: Program, target: str, namespace: dict[str, Any]) -> Callable[..., tuple[Any, ...]]:
    """The program as a function. ``namespace`` holds ``np`` or ``torch`` and the functions that ``target`` needs."""
    scope = dict(namespace)
    exec(compile(source(program, target), f"<{target} {program.name}>", "exec"), scope)  # text made above, no input
    return scope[program.name]
