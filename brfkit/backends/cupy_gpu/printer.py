"""Programs as scalar CUDA C++."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from brfkit.codegen.operations import OPERATIONS
from brfkit.codegen.program import Operand, Program, Statement


def local(name: str) -> str:
    """Name of a neuron's value in a kernel, apart from the kernel's own names."""
    return f"n_{name}"


class ScalarPrinter:
    """Prints statements in one precision: every number and every function of the mathematics library has it.

    Args:
        dtype: ``float32`` or ``float64``.
        real: the type's name in the text.
    """

    def __init__(self, dtype: str, real: str = "real") -> None:
        self._single = dtype == "float32"
        self.real = real

    def literal(self, value: float) -> str:
        """The shortest text that gives this number in the kernel's precision."""
        text = f"{np.float32(value)!s}f" if self._single else repr(float(value))
        return f"({text})" if value < 0 else text

    def operand(self, value: Operand) -> str:
        return local(value) if isinstance(value, str) else self.literal(value)

    def expression(self, statement: Statement) -> str:
        args = [self.operand(a) for a in statement.args]
        numbers = {"one": self.literal(1.0), "zero": self.literal(0.0), "minus": self.literal(-1.0)}
        return OPERATIONS[statement.op].cuda.format(*args, f="f" if self._single else "", **numbers)

    def body(self, program: Program, given: Mapping[str, str], results: Mapping[str, str]) -> list[str]:
        """Lines of a function's body.

        Args:
            program: what to compute.
            given: expression of the kernel for every input that the program may read.
            results: for outputs, the text that stands before the value, such as ``"state[0] ="``.
        """
        needed = {a for s in program.statements for a in s.args} | set(program.outputs)
        lines = [f"const {self.real} {local(n)} = {given[n]};" for n in program.inputs if n in needed]
        lines += [f"const {self.real} {local(s.target)} = {self.expression(s)};" for s in program.statements]
        outputs = dict(zip(program.output_names, program.outputs, strict=True))
        return lines + [f"{before} {self.operand(outputs[name])};" for name, before in results.items()]
