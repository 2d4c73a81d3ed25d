"""Programs as lines of numba code over SIMD vectors."""

from __future__ import annotations

from collections.abc import Mapping

from brfkit.codegen.operations import OPERATIONS
from brfkit.codegen.program import Operand, Program, Statement
from brfkit.errors import BrfkitError

# By the names that texts of operations have for them.
NUMBERS = {"one": 1.0, "zero": 0.0, "minus": -1.0}


def local(name: str) -> str:
    """Name of a neuron's value in a kernel, apart from the kernel's own names."""
    return f"n_{name}"


class VectorPrinter:
    """Prints statements and collects the numbers in them, so that each exists once with the kernel's precision.

    Args:
        lanes: numbers of a vector.
        exact: the exponential of the C library, one lane after the other, which float64 takes.
    """

    def __init__(self, lanes: int, exact: bool) -> None:
        self.lanes = lanes
        self._exact = "_libm" if exact else ""
        self._literals: dict[float, str] = {}

    def operand(self, value: Operand) -> str:
        if isinstance(value, str):
            return local(value)
        return self._literals.setdefault(value, f"c_{len(self._literals)}")

    def expression(self, statement: Statement) -> str:
        text = OPERATIONS[statement.op].simd
        if text is None:
            raise BrfkitError(f"{statement.op} has no vector form; compute it in derive, once per sequence")
        args = [self.operand(a) for a in statement.args]
        numbers = {name: self.operand(value) for name, value in NUMBERS.items() if f"{{{name}}}" in text}
        return text.format(*args, exact=self._exact, **numbers)

    def lines(self, program: Program, rename: Mapping[str, str]) -> list[str]:
        """One assignment per statement, then one per output under the names of ``rename`` (output -> kernel's name)."""
        lines = [f"{local(s.target)} = {self.expression(s)}" for s in program.statements]
        outputs = zip(program.output_names, program.outputs, strict=True)
        return lines + [f"{rename[name]} = {self.operand(output)}" for name, output in outputs if name in rename]

    def header(self) -> list[str]:
        """Lines that put every number into a vector, for the top of the kernel."""
        return [f"{name} = simd.broadcast(real({value!r}), {self.lanes})" for value, name in self._literals.items()]
