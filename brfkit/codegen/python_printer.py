"""Programs as Python functions over arrays: NumPy and torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from brfkit.codegen.operations import OPERATIONS
from brfkit.codegen.program import Operand, Program, Statement
from brfkit.neurons import ops

# What generated NumPy code refers to.
NUMPY: dict[str, Any] = {
    "np": np,
    "spike": ops.spike,
    "greater": lambda a, b: np.greater(a, b).astype(np.result_type(a, b)),
}


def operand(value: Operand) -> str:
    return value if isinstance(value, str) else repr(value)


def expression(statement: Statement, target: str) -> str:
    operation = OPERATIONS[statement.op]
    text = operation.numpy if target == "numpy" else operation.torch
    return text.format(*map(operand, statement.args))


def source(program: Program, target: str) -> str:
    """Text of a Python function that computes the program; ``target`` is ``numpy`` or ``torch``."""
    lines = [f"def {program.name}({', '.join(program.inputs)}):"]
    lines += [f"    {s.target} = {expression(s, target)}" for s in program.statements]
    lines.append(f"    return ({', '.join(operand(o) for o in program.outputs)},)")
    return "\n".join(lines) + "\n"


def build(program: Program, target: str, namespace: dict[str, Any]) -> Callable[..., tuple[Any, ...]]:
    """The program as a function. ``namespace`` holds ``np`` or ``torch`` and the functions that ``target`` needs."""
    scope = dict(namespace)
    exec(compile(source(program, target), f"<{target} {program.name}>", "exec"), scope)  # text made above, no input
    return scope[program.name]
