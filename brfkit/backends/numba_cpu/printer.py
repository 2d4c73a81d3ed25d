"""Programs as lines of numba code over SIMD vectors."""

from __future__ import annotations

from collections.abc import Mapping

from brfkit.codegen.program import Operand, Program, Statement
from brfkit.codegen.python_printer import INFIX
from brfkit.errors import BrfkitError


def local(name: str) -> str:
    """Name of a neuron's value in a kernel, apart from the kernel's own names."""
    return f"n_{name}"


class VectorPrinter:
    """Prints statements and collects the numbers in them, so that each exists once with the kernel's precision.

    Args:
        lanes: numbers of a vector.
        exp: the exponential of ``simd``, ``vexp`` or ``vexp_libm``; expm1 is named like it.
    """

    def __init__(self, lanes: int, exp: str) -> None:
        self.lanes = lanes
        self._exp = exp
        self._literals: dict[float, str] = {}

    def operand(self, value: Operand) -> str:
        if isinstance(value, str):
            return local(value)
        return self._literals.setdefault(value, f"c_{len(self._literals)}")

    def expression(self, statement: Statement) -> str:
        args = [self.operand(a) for a in statement.args]
        if statement.op in INFIX:
            return f"{args[0]} {INFIX[statement.op]} {args[1]}"
        one, zero, minus = self.operand(1.0), self.operand(0.0), self.operand(-1.0)
        templates = {
            "neg": "-{0}",
            "square": "{0} * {0}",
            "abs": "simd.vabs({0})",
            "sqrt": "simd.vsqrt({0})",
            "exp": f"simd.{self._exp}({{0}})",
            "expm1": f"simd.{self._exp.replace('vexp', 'vexpm1')}({{0}})",
            "spike": f"simd.select(simd.greater({{0}}, {zero}), {one}, {zero})",
            "greater": f"simd.select(simd.greater({{0}}, {{1}}), {one}, {zero})",
            "sign": f"simd.select(simd.greater({{0}}, {zero}), {one}, "
            f"simd.select(simd.greater({zero}, {{0}}), {minus}, {zero}))",
            "minimum": "simd.select(simd.greater({0}, {1}), {1}, {0})",
            "maximum": "simd.select(simd.greater({0}, {1}), {0}, {1})",
        }
        if statement.op not in templates:
            raise BrfkitError(f"{statement.op} has no vector form; compute it in derive, once per sequence")
        return templates[statement.op].format(*args)

    def lines(self, program: Program, rename: Mapping[str, str]) -> list[str]:
        """One assignment per statement, then one per output under the names of ``rename`` (output -> kernel's name)."""
        lines = [f"{local(s.target)} = {self.expression(s)}" for s in program.statements]
        outputs = zip(program.output_names, program.outputs, strict=True)
        return lines + [f"{rename[name]} = {self.operand(output)}" for name, output in outputs if name in rename]

    def header(self) -> list[str]:
        """Lines that put every number into a vector, for the top of the kernel."""
        return [f"{name} = simd.broadcast(real({value!r}), {self.lanes})" for value, name in self._literals.items()]
