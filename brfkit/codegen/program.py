"""From the source of a neuron's function to a checked straight-line program.

A program is a list of statements, each one operation on earlier results, in the order in which the function computes
them. Nothing is reordered, so that every backend rounds alike; only operations with the constants 0 and 1 that options
leave behind are folded away, and statements that nobody reads are dropped.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from brfkit.errors import BrfkitError

Operand = str | float

UNARY = {"neg", "abs", "sqrt", "exp", "square", "spike"}
BINARY = {"add", "sub", "mul", "div", "minimum", "maximum"}
# Made by differentiation only: the surrogate's derivative, 1 where a > b, and the sign.
DERIVED = {"greater", "sign"}

_OPERATORS: dict[type, str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}
_CALLS = {"abs": 1, "sqrt": 1, "exp": 1, "spike": 1, "minimum": 2, "maximum": 2}


@dataclass(frozen=True)
class Statement:
    """``target = op(*args)``; an argument is the name of an earlier value or a number."""

    target: str
    op: str
    args: tuple[Operand, ...]


@dataclass(frozen=True)
class Program:
    """Straight-line code with named inputs and outputs, every name assigned once."""

    name: str
    inputs: tuple[str, ...]
    statements: tuple[Statement, ...]
    outputs: tuple[Operand, ...]
    output_names: tuple[str, ...]

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
        return Program(self.name, self.inputs, tuple(reversed(kept)), self.outputs, self.output_names)


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
        return _evaluate(op, [float(a) for a in args])
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


def _evaluate(op: str, args: list[float]) -> float:
    import math

    table: dict[str, Callable[..., float]] = {
        "neg": lambda a: -a,
        "abs": abs,
        "sqrt": math.sqrt,
        "exp": math.exp,
        "square": lambda a: a * a,
        "spike": lambda a: float(a > 0),
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "div": lambda a, b: a / b,
        "minimum": min,
        "maximum": max,
        "greater": lambda a, b: float(a > b),
        "sign": lambda a: float(a > 0) - float(a < 0),
    }
    return table[op](*args)


def parse(function: Callable[..., Any], fixed: Mapping[str, float] | None = None) -> Program:
    """Parse a function into a program.

    Args:
        function: straight-line function: assignments of ``+ - * / **2 abs sqrt exp minimum maximum spike`` to names,
            then one ``return``. Other names must be numbers of its module.
        fixed: arguments whose value is known now; they are folded in and are no longer inputs.

    Raises:
        BrfkitError: the function holds anything else; the message names file, line and what was found.
    """
    return _Parser(function, dict(fixed or {})).program()


class _Parser:
    def __init__(self, function: Callable[..., Any], fixed: dict[str, float]) -> None:
        try:
            source, self._line = inspect.getsourcelines(function)
        except (OSError, TypeError):
            raise BrfkitError(f"the source of {function!r} cannot be read; write the neuron in a file") from None
        self._file = inspect.getsourcefile(function) or "?"
        try:
            definition = ast.parse(textwrap.dedent("".join(source))).body[0]
        except SyntaxError:  # the lines around a lambda
            definition = None
        # The source of a lambda may be the function in which it stands.
        if not isinstance(definition, ast.FunctionDef) or definition.name != function.__name__:
            raise BrfkitError(f"{self._file}:{self._line}: {function!r} must be a plain function made with def")
        self._definition = definition
        self._globals = function.__globals__
        arguments = [a.arg for a in self._definition.args.args]
        names = {node.id for node in ast.walk(self._definition) if isinstance(node, ast.Name)}
        self._builder = Builder(taken=names.union(arguments))
        self._inputs = tuple(a for a in arguments if a not in fixed)
        self._values: dict[str, Operand] = {a: a for a in self._inputs}
        self._values.update({a: float(fixed[a]) for a in arguments if a in fixed})

    def program(self) -> Program:
        body = self._definition.body
        for node in body[:-1]:
            self._assign(node)
        last = body[-1]
        if not isinstance(last, ast.Return) or last.value is None:
            raise self._error(last, "the last line must be return")
        elements = last.value.elts if isinstance(last.value, ast.Tuple) else [last.value]
        outputs = tuple(self._expression(e) for e in elements)
        names = tuple(e.id if isinstance(e, ast.Name) else f"out{i}" for i, e in enumerate(elements))
        statements = tuple(self._renamed())
        rename = {s.target: new.target for s, new in zip(self._builder.statements, statements, strict=True)}
        outputs = tuple(rename.get(o, o) if isinstance(o, str) else o for o in outputs)
        program = Program(self._definition.name, self._inputs, statements, outputs, names)
        return program.without_dead_code()

    def _renamed(self) -> Iterator[Statement]:
        """Give a value the name that the source gave it, where that name is free, for code that can be read."""
        wanted = {value: name for name, value in self._values.items() if isinstance(value, str)}
        taken = set(self._inputs)
        rename: dict[str, str] = {}
        for statement in self._builder.statements:
            name = wanted.get(statement.target, statement.target)
            if name in taken:
                name = statement.target
            taken.add(name)
            rename[statement.target] = name
            args = tuple(rename.get(a, a) if isinstance(a, str) else a for a in statement.args)
            yield Statement(name, statement.op, args)

    def _assign(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return  # a docstring
        if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
            raise self._error(node, "only assignments to one name are possible")
        self._values[node.targets[0].id] = self._expression(node.value)

    def _expression(self, node: ast.expr) -> Operand:
        try:
            return self._operation(node)
        except (ArithmeticError, ValueError) as error:
            raise self._error(node, f"{ast.unparse(node)!r} cannot be computed ({error})") from None

    def _operation(self, node: ast.expr) -> Operand:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return float(node.value)
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self._builder.emit("neg", self._expression(node.operand))
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            name = node.func.id
            if _CALLS.get(name) == len(node.args):
                return self._builder.emit(name, *(self._expression(a) for a in node.args))
        raise self._error(node, f"{ast.unparse(node)!r} is not one of the possible operations")

    def _binary(self, node: ast.BinOp) -> Operand:
        if isinstance(node.op, ast.Pow):
            exponent = self._expression(node.right)
            if exponent != 2.0:
                value = self._expression(node.left)
                if isinstance(value, float) and isinstance(exponent, float):
                    return value**exponent
                raise self._error(node, "the only possible power is **2")
            return self._builder.emit("square", self._expression(node.left))
        op = _OPERATORS.get(type(node.op))
        if op is None:
            raise self._error(node, f"{ast.unparse(node)!r} is not one of the possible operations")
        return self._builder.emit(op, self._expression(node.left), self._expression(node.right))

    def _name(self, node: ast.Name) -> Operand:
        if node.id in self._values:
            return self._values[node.id]
        value = self._globals.get(node.id)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise self._error(node, f"name {node.id!r} is neither an argument, an earlier result nor a number")

    def _error(self, node: ast.AST, text: str) -> BrfkitError:
        line = self._line + getattr(node, "lineno", 1) - 1
        return BrfkitError(f"{self._file}:{line}: in {self._definition.name}: {text}")
