"""The operations of a program: everything that is known about each, in one table.

The parser reads which of them a neuron may call, :mod:`brfkit.codegen.program` how numbers are folded, the adjoint its
rules, every printer its texts, and the roofline the costs. A new operation is a row here, and its function in
:mod:`brfkit.neurons.ops` where neurons call it by name; ``tests/codegen/test_operations.py`` tests every row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Operand = str | float

# (emit, arguments of the operation, its result, cotangent of the result) -> cotangents of the arguments
Rule = Callable[[Callable[..., Operand], tuple[Operand, ...], Operand, Operand], tuple[Operand, ...]]


@dataclass(frozen=True)
class Operation:
    """One operation. In the texts ``{0}`` and ``{1}`` stand for the arguments.

    Attributes:
        name: in statements.
        arity: number of arguments.
        number: its value for numbers, by which constants are folded.
        numpy: text for NumPy arrays; ``spike`` and ``greater`` are functions of the printer's namespace.
        torch: text for torch tensors; ``spike``, ``greater``, ``minimum`` and ``maximum`` are of the namespace.
        simd: text for vectors of :mod:`brfkit.backends.numba_cpu.simd`, with ``{one}``, ``{zero}``, ``{minus}`` for
            vectors of these numbers and ``{exact}`` for the suffix of the functions that call the C library; None where
            there is no vector form, so that the operation belongs into ``derive``.
        cuda: text for scalar CUDA C++, with the numbers as for ``simd`` and ``{f}`` for the suffix of float.
        adjoint: its rule; None for the spike, whose derivative is the surrogate.
        called: whether a neuron may call it by its name.
        cost: instructions of the float32 vector form.
    """

    name: str
    arity: int
    number: Callable[..., float]
    numpy: str
    torch: str
    simd: str | None
    cuda: str
    adjoint: Rule | None
    called: bool = False
    cost: int = 1


def _operator(name: str, arity: int, number: Callable[..., float], text: str, adjoint: Rule) -> Operation:
    """An operation that every target writes alike."""
    return Operation(name, arity, number, text, text, text, text, adjoint)


def _function(
    name: str, number: Callable[..., float], simd: str | None, adjoint: Rule, cuda: str = "", cost: int = 1
) -> Operation:
    """A function of one argument that NumPy, torch and, with another suffix, C know by the same name."""
    cuda = cuda or f"{name}{{f}}({{0}})"
    return Operation(
        name, 1, number, f"np.{name}({{0}})", f"torch.{name}({{0}})", simd, cuda, adjoint, called=True, cost=cost
    )


_TABLE = (
    _operator("add", 2, lambda a, b: a + b, "{0} + {1}", lambda e, a, y, g: (g, g)),
    _operator("sub", 2, lambda a, b: a - b, "{0} - {1}", lambda e, a, y, g: (g, e("neg", g))),
    _operator("mul", 2, lambda a, b: a * b, "{0} * {1}", lambda e, a, y, g: (e("mul", g, a[1]), e("mul", g, a[0]))),
    _operator(
        "div",
        2,
        lambda a, b: a / b,
        "{0} / {1}",
        lambda e, a, y, g: (e("div", g, a[1]), e("neg", e("div", e("mul", g, y), a[1]))),
    ),
    _operator("neg", 1, lambda a: -a, "-{0}", lambda e, a, y, g: (e("neg", g),)),
    _operator("square", 1, lambda a: a * a, "{0} * {0}", lambda e, a, y, g: (e("mul", g, e("mul", 2.0, a[0])),)),
    _function(
        "abs",
        abs,
        "simd.vabs({0})",
        lambda e, a, y, g: (e("mul", g, e("sign", a[0])),),
        cuda="fabs{f}({0})",
    ),
    _function("sqrt", math.sqrt, "simd.vsqrt({0})", lambda e, a, y, g: (e("div", e("mul", 0.5, g), y),)),
    _function("exp", math.exp, "simd.vexp{exact}({0})", lambda e, a, y, g: (e("mul", g, y),), cost=16),
    _function(
        "expm1",
        math.expm1,
        "simd.vexpm1{exact}({0})",
        lambda e, a, y, g: (e("mul", g, e("add", y, 1.0)),),
        cost=18,
    ),
    _function("sin", math.sin, None, lambda e, a, y, g: (e("mul", g, e("cos", a[0])),)),
    _function("cos", math.cos, None, lambda e, a, y, g: (e("neg", e("mul", g, e("sin", a[0]))),)),
    # On a tie the gradient goes to one side.
    Operation(
        name="minimum",
        arity=2,
        number=min,
        numpy="np.minimum({0}, {1})",
        torch="minimum({0}, {1})",
        simd="simd.select(simd.greater({0}, {1}), {1}, {0})",
        cuda="{0} > {1} ? {1} : {0}",
        adjoint=lambda e, a, y, g: (
            e("mul", g, e("sub", 1.0, e("greater", a[0], a[1]))),
            e("mul", g, e("greater", a[0], a[1])),
        ),
        called=True,
    ),
    Operation(
        name="maximum",
        arity=2,
        number=max,
        numpy="np.maximum({0}, {1})",
        torch="maximum({0}, {1})",
        simd="simd.select(simd.greater({0}, {1}), {0}, {1})",
        cuda="{0} > {1} ? {0} : {1}",
        adjoint=lambda e, a, y, g: (
            e("mul", g, e("greater", a[0], a[1])),
            e("mul", g, e("sub", 1.0, e("greater", a[0], a[1]))),
        ),
        called=True,
    ),
    Operation(
        name="spike",
        arity=1,
        number=lambda a: float(a > 0),
        numpy="spike({0})",
        torch="spike({0})",
        simd="simd.select(simd.greater({0}, {zero}), {one}, {zero})",
        cuda="{0} > {zero} ? {one} : {zero}",
        adjoint=None,
        called=True,
    ),
    # The last two are made by differentiation only. The comparison itself is taken as constant.
    Operation(
        name="greater",
        arity=2,
        number=lambda a, b: float(a > b),
        numpy="greater({0}, {1})",
        torch="greater({0}, {1})",
        simd="simd.select(simd.greater({0}, {1}), {one}, {zero})",
        cuda="{0} > {1} ? {one} : {zero}",
        adjoint=lambda e, a, y, g: (0.0, 0.0),
    ),
    Operation(
        name="sign",
        arity=1,
        number=lambda a: float(a > 0) - float(a < 0),
        numpy="np.sign({0})",
        torch="torch.sign({0})",
        simd="simd.select(simd.greater({0}, {zero}), {one}, simd.select(simd.greater({zero}, {0}), {minus}, {zero}))",
        cuda="{0} > {zero} ? {one} : {zero} > {0} ? {minus} : {zero}",
        adjoint=lambda e, a, y, g: (0.0,),
    ),
)

OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _TABLE}
