"""From the source of a neuron's function to a checked straight-line program."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any

from brfkit.codegen.operations import OPERATIONS
from brfkit.codegen.program import Builder, Operand, Program, Statement
from brfkit.errors import BrfkitError

Fixed = float | Callable[..., Any]

_OPERATORS: dict[type, str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}
_CALLS = {operation.name: operation.arity for operation in OPERATIONS.values() if operation.called}


def parse(function: Callable[..., Any], fixed: Mapping[str, Fixed] | None = None) -> Program:
    """Parse a function into a program.

    Args:
        function: straight-line function: assignments of ``+ - * / **2 abs sqrt exp expm1 sin cos minimum maximum
            spike`` to names, then one ``return``. Other names must be numbers of its module. A call of another such
            function, of its module or of ``fixed``, is inlined; one that returns several values is assigned to as
            many names.
        fixed: arguments whose value is known now, numbers or functions; they are put in and are no longer inputs.

    Raises:
        BrfkitError: the function holds anything else; the message names file, line and what was found.
    """
    parser = _Parser(function)
    given = dict(fixed or {})
    inputs = tuple(a for a in parser.arguments if a not in given)
    builder = Builder(taken=parser.names)
    values: dict[str, Operand] = {a: a for a in inputs}
    values.update({a: float(v) for a, v in given.items() if a in parser.arguments and not callable(v)})
    functions = {a: v for a, v in given.items() if callable(v)}
    outputs, names = parser.run(builder, values, functions)
    statements = tuple(_renamed(builder.statements, parser.wanted, inputs))
    rename = {s.target: new.target for s, new in zip(builder.statements, statements, strict=True)}
    outputs = tuple(rename.get(o, o) if isinstance(o, str) else o for o in outputs)
    notes = {rename.get(target, target): text for target, text in parser.notes.items()}
    return Program(function.__name__, inputs, statements, outputs, names, notes).without_dead_code()


def _renamed(statements: list[Statement], wanted: Mapping[str, str], inputs: tuple[str, ...]) -> Iterator[Statement]:
    """Give a value the name that the source gave it, where that name is free, for code that can be read."""
    taken = set(inputs)
    rename: dict[str, str] = {}
    for statement in statements:
        name = wanted.get(statement.target, statement.target)
        if name in taken:
            name = statement.target
        taken.add(name)
        rename[statement.target] = name
        args = tuple(rename.get(a, a) if isinstance(a, str) else a for a in statement.args)
        yield Statement(name, statement.op, args)


class _Parser:
    """One function; ``callers`` are those into which it is inlined."""

    def __init__(self, function: Callable[..., Any], callers: tuple[Callable[..., Any], ...] = ()) -> None:
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
        self._callers = (*callers, function)
        self._globals = function.__globals__
        self.arguments = [a.arg for a in definition.args.args]
        self.names = {node.id for node in ast.walk(definition) if isinstance(node, ast.Name)}.union(self.arguments)
        self.wanted: dict[str, str] = {}
        self.notes: dict[str, str] = {}

    def run(
        self, builder: Builder, values: dict[str, Operand], functions: Mapping[str, Callable[..., Any]]
    ) -> tuple[tuple[Operand, ...], tuple[str, ...]]:
        """Emit all statements; return the outputs and their names. ``wanted`` then names values as the source does."""
        self._builder, self._values, self._functions = builder, values, functions
        *body, last = self._definition.body
        for node in body:
            first = len(builder.statements)
            self._assign(node)
            self._note(first, node)
        if not isinstance(last, ast.Return) or last.value is None:
            raise self._error(last, "the last line must be return")
        elements = last.value.elts if isinstance(last.value, ast.Tuple) else [last.value]
        first = len(builder.statements)
        outputs = tuple(self._expression(e) for e in elements)
        self._note(first, last)
        self.wanted |= {value: name for name, value in self._values.items() if isinstance(value, str)}
        return outputs, tuple(e.id if isinstance(e, ast.Name) else f"out{i}" for i, e in enumerate(elements))

    def _note(self, first: int, node: ast.stmt) -> None:
        """Keep the source of what was emitted from number ``first`` on; what a called function noted stays."""
        for statement in self._builder.statements[first:]:
            self.notes.setdefault(statement.target, ast.unparse(node))

    def _assign(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return  # a docstring
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        if isinstance(node, ast.Assign) and isinstance(target, ast.Name):
            self._values[target.id] = self._expression(node.value)
            return
        if isinstance(node, ast.Assign) and isinstance(target, ast.Tuple) and isinstance(node.value, ast.Call):
            names = [element.id for element in target.elts if isinstance(element, ast.Name)]
            if len(names) == len(target.elts):
                self._values |= zip(names, self._inlined(node.value, len(names)), strict=True)
                return
        raise self._error(node, "only assignments to one name, or to several from one call, are possible")

    def _inlined(self, node: ast.Call, count: int) -> tuple[Operand, ...]:
        """The ``count`` results of a call of another function, whose statements are put here."""
        function = self._function(node)
        if function is None:
            raise self._error(node, f"{ast.unparse(node)!r} is not one of the possible operations")
        name = function.__name__
        if function in self._callers:
            raise self._error(node, f"{name} is called from itself")
        parser = _Parser(function, self._callers)
        if len(node.args) != len(parser.arguments):
            raise self._error(node, f"{name} takes {len(parser.arguments)} values, not {len(node.args)}")
        arguments = [self._expression(a) for a in node.args]
        outputs, _ = parser.run(self._builder, dict(zip(parser.arguments, arguments, strict=True)), {})
        self.notes |= parser.notes
        if len(outputs) != count:
            raise self._error(node, f"{name} returns {len(outputs)} values, not {count}")
        given = {a for a in arguments if isinstance(a, str)}
        # A name that the builder could make itself later would be taken twice.
        offered = {v: n for v, n in parser.wanted.items() if v not in given and not re.fullmatch(r"[a-z]\d+", n)}
        self.wanted = offered | self.wanted
        return outputs

    def _function(self, node: ast.Call) -> Callable[..., Any] | None:
        """The function that is called, where it is one that can be inlined."""
        if not isinstance(node.func, ast.Name) or node.keywords or node.func.id in _CALLS:
            return None
        function = self._functions.get(node.func.id, self._globals.get(node.func.id))
        return function if isinstance(function, FunctionType) else None

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
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and not node.keywords and _CALLS.get(node.func.id) == len(node.args):
                return self._builder.emit(node.func.id, *(self._expression(a) for a in node.args))
            return self._inlined(node, 1)[0]
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
