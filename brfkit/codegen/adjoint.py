"""Reverse-mode differentiation of a program: one rule per operation."""

from __future__ import annotations

from brfkit.codegen.operations import OPERATIONS
from brfkit.codegen.program import Builder, Operand, Program, Statement


def cotangent(name: str) -> str:
    """Name of the cotangent of an output or input."""
    return f"{name}_bar"


def inline(builder: Builder, program: Program, arguments: dict[str, Operand]) -> tuple[Operand, ...]:
    """Emit all statements of ``program`` with ``arguments`` put in for its inputs; return its outputs."""
    values = dict(arguments)

    def get(operand: Operand) -> Operand:
        return values[operand] if isinstance(operand, str) else operand

    for statement in program.statements:
        values[statement.target] = builder.emit(statement.op, *(get(a) for a in statement.args))
    return tuple(get(o) for o in program.outputs)


def slope_names(program: Program) -> tuple[str, ...]:
    """A name for the slope of every spike of a program, in order."""
    spikes = sum(s.op == "spike" for s in program.statements)
    return tuple(f"slope{i}" for i in range(spikes))


def with_slopes(program: Program, surrogate: Program | None) -> Program:
    """The same program with the surrogate's derivative at every spike as further outputs."""
    if surrogate is None:
        return program
    builder = Builder("s")
    builder.statements.extend(program.statements)
    slopes: list[Operand] = []
    for statement in program.statements:
        if statement.op == "spike":
            slopes += inline(builder, surrogate, {surrogate.inputs[0]: statement.args[0]})
    return Program(
        f"{program.name}_with_slopes",
        program.inputs,
        tuple(builder.statements),
        program.outputs + tuple(slopes),
        program.output_names + slope_names(program),
    )


def vjp(
    program: Program, wrt: tuple[str, ...], surrogate: Program | None = None, slopes_given: bool = False
) -> Program:
    """The vector-Jacobian product of a program.

    Inputs of the result are the program's inputs and one cotangent per output (``<output>_bar``); its outputs are the
    cotangents of ``wrt`` (``<input>_bar``). ``spike(x)`` contributes ``g * surrogate(x)``. With ``slopes_given`` the
    slopes are inputs too (``slope0``, …): they do not depend on the cotangents, so a kernel can make them beforehand,
    off the chain of operations that goes back through time.
    """
    names = tuple(cotangent(name) for name in program.output_names)
    given = slope_names(program) if slopes_given else ()
    slopes = iter(given)
    of_spike = {s.target: next(slopes) for s in program.statements if s.op == "spike"} if slopes_given else {}
    builder = Builder("g", taken={*program.inputs, *names, *(s.target for s in program.statements)})
    builder.statements.extend(program.statements)
    bars: dict[str, Operand] = {}

    def accumulate(name: Operand, value: Operand) -> None:
        if isinstance(name, str):
            bars[name] = builder.emit("add", bars[name], value) if name in bars else value

    for output, name in zip(program.outputs, names, strict=True):
        accumulate(output, name)
    for statement in reversed(program.statements):
        bar = bars.get(statement.target)
        if bar is None or bar == 0.0:
            continue
        values = _pullback(builder, statement, bar, surrogate, of_spike)
        for argument, value in zip(statement.args, values, strict=True):
            if value != 0.0:
                accumulate(argument, value)
    outputs = tuple(bars.get(name, 0.0) for name in wrt)
    result = Program(
        f"{program.name}_vjp",
        program.inputs + names + given,
        tuple(builder.statements),
        outputs,
        tuple(cotangent(name) for name in wrt),
    )
    return result.without_dead_code()


def _pullback(
    builder: Builder, statement: Statement, bar: Operand, surrogate: Program | None, slopes: dict[str, str]
) -> tuple[Operand, ...]:
    rule = OPERATIONS[statement.op].adjoint
    if rule is not None:
        return rule(builder.emit, statement.args, statement.target, bar)
    if statement.target in slopes:
        return (builder.emit("mul", bar, slopes[statement.target]),)
    if surrogate is None:
        raise ValueError("a program with spikes needs a surrogate to be differentiated")
    (slope,) = inline(builder, surrogate, {surrogate.inputs[0]: statement.args[0]})
    return (builder.emit("mul", bar, slope),)
