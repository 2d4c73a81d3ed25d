"""From the text of kernels to LLVM's intermediate representation.

The text is a small, statically typed subset of Python that numba compiles too: loops over ``range``, ``while``, ``if``,
numbers, flat arrays, the vectors of :mod:`brfkit.backends.numba_cpu.simd` and functions of the module. Types follow
from the arguments; every variable has one type. numba takes seconds for the types of a kernel, this a tenth of one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llvmlite import ir

from brfkit.backends.numba_cpu.native import emit
from brfkit.backends.numba_cpu.native import operations as ops
from brfkit.backends.numba_cpu.native.operations import CompileError
from brfkit.backends.numba_cpu.native.types import BOOL, FLOAT64, INT64, NUMBERS, Array, Nothing, Number, Type, Value

ALIGNMENT = 64  # bytes, of every array that a kernel makes


class ModuleCompiler:
    """Compiles functions of one module, each once for every combination of argument types."""

    def __init__(self, text: str) -> None:
        self.module = ir.Module("brfkit")
        self.functions: dict[str, ast.FunctionDef] = {}
        self.constants: dict[str, Value] = {}
        self.numbers: dict[str, Number] = {}
        self._compiled: dict[tuple[str, tuple[Type, ...]], tuple[ir.Function, Type]] = {}
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef):
                self.functions[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self._define(node.targets[0].id, node.value)

    def _define(self, name: str, value: ast.expr) -> None:
        """A constant, or ``real = np.float32``."""
        if isinstance(value, ast.Attribute):
            self.numbers[name] = NUMBERS[value.attr]
        else:
            self.constants[name] = ops.constant(ast.literal_eval(value))

    def function(self, name: str, types: tuple[Type, ...]) -> tuple[ir.Function, Type]:
        """A function of the module for arguments of these types, and the type of its result."""
        known = self._compiled.get((name, types))
        if known is None:
            known = self._compiled[name, types] = self._compile(name, types)
        return known

    def _compile(self, name: str, types: tuple[Type, ...]) -> tuple[ir.Function, Type]:
        node = self.functions[name]
        result: Type = _result_type(self, node, types)
        kind = ir.FunctionType(result.llvm, [t.llvm for t in types])
        function = ir.Function(self.module, kind, f"{name}.{len(self._compiled)}")
        function.linkage = "internal"
        body = FunctionCompiler(self, function)
        for parameter, value, type_ in zip(node.args.args, function.args, types, strict=True):
            body.assign(parameter.arg, Value(type_, value))
        body.run(node)
        return function, result


def _result_type(module: ModuleCompiler, node: ast.FunctionDef, types: tuple[Type, ...]) -> Type:
    """Found by compiling the function once into a module that is thrown away."""
    if not any(isinstance(n, ast.Return) and n.value is not None for n in ast.walk(node)):
        return Nothing()
    scratch = ModuleCompiler("")
    scratch.functions, scratch.constants, scratch.numbers = module.functions, module.constants, module.numbers
    function = ir.Function(scratch.module, ir.FunctionType(ir.VoidType(), [t.llvm for t in types]), node.name)
    body = FunctionCompiler(scratch, function)
    for parameter, value, type_ in zip(node.args.args, function.args, types, strict=True):
        body.assign(parameter.arg, Value(type_, value))
    body.run(node)
    assert body.returned is not None
    return body.returned


class FunctionCompiler:
    """Compiles the statements of one function into it."""

    def __init__(self, module: ModuleCompiler, function: ir.Function) -> None:
        self.module = module
        self.function_ = function
        self.entry = function.append_basic_block("entry")
        start = function.append_basic_block("start")
        self.builder = ir.IRBuilder(start)
        self._start = start
        self.variables: dict[str, tuple[Type, Any]] = {}
        self.memory: list[Any] = []  # where the pointers to what was allocated lie
        self.returned: Type | None = None
        self.failed: Any = None  # where to go when there is no memory

    def run(self, node: ast.FunctionDef, kernel: bool = False) -> None:
        """Compile the statements. A kernel returns 0, or 1 if there is no memory."""
        self.body(node.body)
        if kernel:
            self._leave(emit.INT64(0))
            if self.failed is not None:
                self.builder.position_at_end(self.failed)
                self._leave(emit.INT64(1))
        elif not self.builder.block.is_terminated:
            self.builder.ret_void()
        # The entry holds the variables.
        ir.IRBuilder(self.entry).branch(self._start)

    def _leave(self, status: Any) -> None:
        """Free all memory and return."""
        for place in self.memory:
            self._free(place)
        self.builder.ret(status)

    # Statements

    def body(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            if self.builder.block.is_terminated:
                raise CompileError(f"line {statement.lineno} is never reached")
            try:
                self._statement(statement)
            except CompileError as error:
                if " in line " in str(error):
                    raise
                raise CompileError(f"{error} in line {statement.lineno}: {ast.unparse(statement)}") from None

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self.assign(name, self.value(value))
            case ast.Assign(targets=[ast.Subscript(value=target, slice=index)], value=value):
                ops.put(self.builder, self.value(target), self.value(index), self.value(value))
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                self.assign(name, ops.binary(self.builder, type(op), self.load(name), self.value(value)))
            case ast.AugAssign(target=ast.Subscript(value=target, slice=index), op=op, value=value):
                array, place = self.value(target), self.value(index)
                before = ops.get(self.builder, array, place)
                ops.put(self.builder, array, place, ops.binary(self.builder, type(op), before, self.value(value)))
            case ast.Expr(value=ast.Constant()):
                pass  # a docstring
            case ast.Expr(value=ast.Call() as call):
                self.value(call)
            case ast.If(test=test, body=body, orelse=orelse):
                self._if(test, body, orelse)
            case ast.While(test=test, body=body, orelse=[]):
                self._while(test, body)
            case ast.For(target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range"), args=args), orelse=[]):
                self._for(name, [self.value(a) for a in args], node.body)
            case ast.Return(value=value):
                self._return(value)
            case _:
                raise CompileError(f"{type(node).__name__} is not compiled")

    def _if(self, test: ast.expr, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt]) -> None:
        condition = self.truth(test)
        if condition.constant is not None:
            self.body(body if condition.constant else orelse)
            return
        yes, no, after = (self.function_.append_basic_block() for _ in range(3))
        self.builder.cbranch(condition.llvm, yes, no)
        for block, statements in ((yes, body), (no, orelse)):
            self.builder.position_at_end(block)
            self.body(statements)
            if not self.builder.block.is_terminated:
                self.builder.branch(after)
        self.builder.position_at_end(after)

    def _while(self, test: ast.expr, body: Sequence[ast.stmt]) -> None:
        head, inside, after = (self.function_.append_basic_block() for _ in range(3))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(self.truth(test).llvm, inside, after)
        self.builder.position_at_end(inside)
        self.body(body)
        self.builder.branch(head)
        self.builder.position_at_end(after)

    def _for(self, name: str, bounds: list[Value], body: Sequence[ast.stmt]) -> None:
        start, stop, step = {
            1: lambda: (ops.constant(0), bounds[0], ops.constant(1)),
            2: lambda: (bounds[0], bounds[1], ops.constant(1)),
            3: lambda: (bounds[0], bounds[1], bounds[2]),
        }[len(bounds)]()
        if not isinstance(step.constant, int) or step.constant == 0:
            raise CompileError("the step of a range must be a constant")

        def once(now: Value) -> None:
            self.assign(name, now)
            self.body(body)

        self._loop(start, stop, step.constant, once)

    def _loop(self, start: Value, stop: Value, step: int, once: Callable[[Value], object]) -> None:
        """``once(i)`` for the numbers of a range."""
        start, stop = (ops.convert(self.builder, v, INT64) for v in (start, stop))
        counter = self.place(INT64)
        self.builder.store(start.llvm, counter)
        head, inside, after = (self.function_.append_basic_block() for _ in range(3))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        now = self.builder.load(counter)
        self.builder.cbranch(self.builder.icmp_signed("<" if step > 0 else ">", now, stop.llvm), inside, after)
        self.builder.position_at_end(inside)
        once(Value(INT64, now))
        self.builder.store(self.builder.add(now, emit.INT64(step), flags=("nsw",)), counter)
        self.builder.branch(head)
        self.builder.position_at_end(after)

    def _return(self, node: ast.expr | None) -> None:
        if node is None:
            raise CompileError("a function without a result ends with its last line")
        value = self.value(node)
        if self.returned not in (None, value.type):
            raise CompileError(f"results of type {self.returned} and {value.type}")
        self.returned = value.type
        if isinstance(self.function_.function_type.return_type, ir.VoidType):
            self.builder.ret_void()  # compiled for its type only
        else:
            self.builder.ret(value.llvm)

    # Variables and memory

    def place(self, type_: Type) -> Any:
        """Memory for a variable; LLVM turns it into registers."""
        return ir.IRBuilder(self.entry).alloca(type_.llvm)

    def assign(self, name: str, value: Value) -> None:
        known = self.variables.get(name)
        if known is None:
            known = self.variables[name] = (value.type, self.place(value.type))
        elif known[0] != value.type:
            if not (isinstance(known[0], Number) and isinstance(value.type, Number)):
                raise CompileError(f"{name} is of type {known[0]} and of type {value.type}")
            if (known[0].kind == "f") != (value.type.kind == "f") and value.type.kind == "f":
                raise CompileError(f"{name} is an integer and {value.type.name}")
            value = ops.convert(self.builder, value, known[0])
        self.builder.store(value.llvm, known[1])

    def load(self, name: str) -> Value:
        if name in self.variables:
            type_, place = self.variables[name]
            return Value(type_, self.builder.load(place))
        if name in self.module.constants:
            return self.module.constants[name]
        raise CompileError(f"{name} is not defined")

    def allocate(self, dtype: Number, count: Value, zeros: bool) -> Value:
        """An array that starts at a multiple of :data:`ALIGNMENT`; what the same line made before is freed."""
        b, size = self.builder, dtype.bitwidth // 8
        place = self.place(Array(NUMBERS["int64"]))
        ir.IRBuilder(self.entry).store(ir.Constant(place.type.pointee, None), place)
        self.memory.append(place)
        self._free(place)
        number = ops.convert(b, count, INT64).llvm
        bytes_ = b.mul(number, emit.INT64(size), flags=("nsw",))
        whole = b.add(bytes_, emit.INT64(ALIGNMENT), flags=("nsw",))
        void = emit.INT8.as_pointer()
        raw = emit.call(b, "malloc", void, [whole])
        b.store(b.bitcast(raw, place.type.pointee), place)
        there = self.function_.append_basic_block()
        b.cbranch(b.icmp_unsigned("!=", raw, ir.Constant(void, None)), there, self._failed_block())
        b.position_at_end(there)
        at = b.and_(b.add(b.ptrtoint(raw, emit.INT64), emit.INT64(ALIGNMENT - 1)), emit.INT64(-ALIGNMENT))
        start = b.inttoptr(at, void)
        if zeros:
            emit.call(b, "memset", void, [start, emit.INT32(0), bytes_])
        return Value(Array(dtype), b.bitcast(start, Array(dtype).llvm))

    def _failed_block(self) -> Any:
        if not isinstance(self.function_.function_type.return_type, ir.IntType):
            raise CompileError("only a kernel may take memory")
        if self.failed is None:
            self.failed = self.function_.append_basic_block("failed")
        return self.failed

    def _free(self, place: Any) -> None:
        void = emit.INT8.as_pointer()
        emit.call(self.builder, "free", ir.VoidType(), [self.builder.bitcast(self.builder.load(place), void)])

    # Expressions

    def truth(self, node: ast.expr) -> Value:
        return ops.truth(self.builder, self.value(node))

    def value(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=bool() | int() | float() as literal):
                return ops.constant(literal)
            case ast.Name(id=name):
                return self.load(name)
            case ast.BinOp(left=left, op=op, right=right):
                return ops.binary(self.builder, type(op), self.value(left), self.value(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return ops.negative(self.builder, self.value(operand))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Value(BOOL, self.builder.not_(self.truth(operand).llvm))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return ops.compare(self.builder, type(op), self.value(left), self.value(right))
            case ast.BoolOp(op=op, values=parts):
                return self._all_or_any(isinstance(op, ast.And), parts)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self._choice(test, body, orelse)
            case ast.Subscript(value=array, slice=ast.Slice(lower=lower)):
                base = self.value(array)
                first = ops.constant(0) if lower is None else self.value(lower)
                return Value(base.type, ops.pointer(self.builder, base, first))
            case ast.Subscript(value=array, slice=index):
                return ops.get(self.builder, self.value(array), self.value(index))
            case ast.Call():
                return self._call(node)
        raise CompileError(f"{type(node).__name__} is not compiled")

    def _all_or_any(self, every: bool, parts: Sequence[ast.expr]) -> Value:
        """Without short circuits: what is compared has no side effects."""
        values = [self.truth(p).llvm for p in parts]
        combine = self.builder.and_ if every else self.builder.or_
        result = values[0]
        for value in values[1:]:
            result = combine(result, value)
        return Value(BOOL, result)

    def _choice(self, test: ast.expr, body: ast.expr, orelse: ast.expr) -> Value:
        condition = self.truth(test)
        if any(self._has_effects(n) for n in (body, orelse)):
            return self._branches(condition, body, orelse)
        a, b = self.value(body), self.value(orelse)
        if a.type != b.type:
            a, b = ops.common(self.builder, a, b)
        return ops.choose(self.builder, condition.llvm, a, b)

    def _has_effects(self, node: ast.expr) -> bool:
        return any(isinstance(n, ast.Name) and n.id in self.module.functions for n in ast.walk(node))

    def _branches(self, condition: Value, body: ast.expr, orelse: ast.expr) -> Value:
        """Of two int64, only the one that is chosen is computed."""
        place = self.place(INT64)
        yes, no, after = (self.function_.append_basic_block() for _ in range(3))
        self.builder.cbranch(condition.llvm, yes, no)
        for block, node in ((yes, body), (no, orelse)):
            self.builder.position_at_end(block)
            self.builder.store(ops.convert(self.builder, self.value(node), INT64).llvm, place)
            self.builder.branch(after)
        self.builder.position_at_end(after)
        return Value(INT64, self.builder.load(place))

    def _call(self, node: ast.Call) -> Value:
        match node.func:
            case ast.Attribute(value=ast.Name(id="simd"), attr=name):
                return ops.simd(self.builder, name, [self.value(a) for a in node.args])
            case ast.Attribute(value=ast.Name(id="np"), attr="empty" | "zeros" | "full" as name):
                return self._array(name, node.args)
            case ast.Attribute(value=ast.Name(id="np"), attr="log"):
                x = ops.convert(self.builder, self.value(node.args[0]), FLOAT64)
                return Value(FLOAT64, emit.call(self.builder, "log", ir.DoubleType(), [x.llvm]))
            case ast.Attribute(value=ast.Name(id="np"), attr=name) if name in NUMBERS:
                return ops.convert(self.builder, self.value(node.args[0]), NUMBERS[name])
            case ast.Name(id=name) if name in self.module.numbers:
                return ops.convert(self.builder, self.value(node.args[0]), self.module.numbers[name])
            case ast.Name(id="min" | "max" as name):
                function = ops.least if name == "min" else ops.greatest
                return function(self.builder, *(self.value(a) for a in node.args))
            case ast.Name(id="buffer"):
                return self.allocate(self.module.numbers["real"], self.value(node.args[0]), zeros=True)
            case ast.Name(id=name) if name in self.module.functions:
                return self._call_own(name, [self.value(a) for a in node.args])
        raise CompileError(f"{ast.unparse(node.func)} is not known")

    def _array(self, how: str, args: Sequence[ast.expr]) -> Value:
        """``np.empty(count, dtype)``, ``np.zeros(count, dtype)`` and ``np.full(count, value, dtype)``."""
        match args[-1]:
            case ast.Attribute(attr=name):
                dtype = NUMBERS[name]
            case ast.Name(id=name):
                dtype = self.module.numbers[name]
            case _:
                raise CompileError("the type of an array is not known")
        count = self.value(args[0])
        made = self.allocate(dtype, count, zeros=how == "zeros")
        if how == "full":
            value = self.value(args[1])
            self._loop(ops.constant(0), count, 1, lambda i: ops.put(self.builder, made, i, value))
        return made

    def _call_own(self, name: str, args: Sequence[Value]) -> Value:
        types = tuple(INT64 if a.type == BOOL else a.type for a in args)
        values = [ops.convert(self.builder, a, INT64) if a.type == BOOL else a for a in args]
        function, result = self.module.function(name, types)
        return Value(result, self.builder.call(function, [v.llvm for v in values]))


# Slots of an argument in the table that a kernel is called with: an array that every worker has for itself has its
# address and the bytes from one worker's to the next one's.
def slots(parameters: Sequence[str], own: frozenset[str]) -> dict[str, int]:
    """Number of the first slot of every parameter."""
    places, count = {}, 0
    for name in parameters:
        places[name] = count
        count += 2 if name in own else 1
    return places


def compile_kernel(module: ModuleCompiler, name: str, types: Mapping[str, Type], own: frozenset[str]) -> None:
    """Compile a function as ``name(table, worker)``.

    Args:
        module: into which.
        name: of a function of the text.
        types: of its parameters by name; the others are int64.
        own: parameters of which every worker has an array of its own.
    """
    node = module.functions[name]
    parameters = [a.arg for a in node.args.args]
    kind = ir.FunctionType(emit.INT64, [emit.INT64.as_pointer(), emit.INT64])
    function = ir.Function(module.module, kind, name)
    body = FunctionCompiler(module, function)
    b, (table, worker) = body.builder, function.args
    for parameter, slot in slots(parameters, own).items():
        value = b.load(b.gep(table, [emit.INT64(slot)], inbounds=True))
        type_ = types.get(parameter, INT64)
        if isinstance(type_, Array):
            if parameter in own:
                stride = b.load(b.gep(table, [emit.INT64(slot + 1)], inbounds=True))
                value = b.add(value, b.mul(stride, worker))
            body.assign(parameter, Value(type_, b.inttoptr(value, type_.llvm)))
        elif isinstance(type_, Number) and type_.kind != "f":
            body.assign(parameter, ops.convert(b, Value(INT64, value), type_))
        elif isinstance(type_, Number):
            body.assign(parameter, ops.convert(b, Value(FLOAT64, b.bitcast(value, ir.DoubleType())), type_))
    body.run(node, kernel=True)
