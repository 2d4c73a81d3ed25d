"""Every row of the table of operations: what each target computes is what its function of numbers says."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from brfkit.backends.numba_cpu.compile import compile_text
from brfkit.backends.numba_cpu.printer import VectorPrinter, local
from brfkit.backends.torch_bptt import torch_namespace
from brfkit.codegen.model import build_model
from brfkit.codegen.operations import OPERATIONS, Operation
from brfkit.codegen.program import Builder, Program
from brfkit.codegen.python_printer import NUMPY, build
from brfkit.neurons import ops

# Positive for sqrt; a tie, and both signs of the difference.
A = np.array([0.3, 1.7, 2.0, 0.5, 1.0, 3.1, 0.9, 4.0])
B = np.array([0.4, 1.2, 2.0, 0.5, 1.5, 0.1, 2.5, 4.0])
# Besides rounding: exp and expm1 of vectors in float32 have a relative error of 2e-7.
TOLERANCE = {np.float32: 4e-7, np.float64: 1e-15}


def program_of(operation: Operation) -> Program:
    """``y = operation(a)``, or of a and b; of a - b where the sign of its argument matters."""
    builder = Builder()
    signed = operation.name in ("abs", "neg", "sign", "spike", "expm1", "square", "sin", "cos")
    first = builder.emit("sub", "a", "b") if signed else "a"
    result = builder.emit(operation.name, *(first, "b")[: operation.arity])
    return Program("one", ("a", "b"), tuple(builder.statements), (result,), ("y",))


def wanted(operation: Operation) -> np.ndarray:
    program = program_of(operation)
    found = []
    for a, b in zip(A.tolist(), B.tolist(), strict=True):
        values = {"a": a, "b": b}
        for s in program.statements:
            values[s.target] = OPERATIONS[s.op].number(*(values[str(n)] for n in s.args))
        found.append(values[str(program.outputs[0])])
    return np.array(found)


each = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@each
def test_row(operation):
    assert operation.arity == len([p for p in ("{0}", "{1}") if p in operation.numpy])
    texts = [operation.numpy, operation.torch, operation.cuda, *([operation.simd] if operation.simd else [])]
    assert all((place in text) == (place in operation.numpy) for text in texts for place in ("{0}", "{1}"))
    assert operation.cost >= 1
    assert (operation.adjoint is None) == (operation.name == "spike")
    if operation.called and operation.name != "abs":
        assert callable(getattr(ops, operation.name))


def test_neurons_find_no_function_that_is_not_in_the_table():
    public = {n for n, f in vars(ops).items() if callable(f) and not n.startswith("_") and not inspect.isclass(f)}
    assert public - {"NDArray", "ArrayLike"} == {n for n, o in OPERATIONS.items() if o.called} - {"abs"}


@each
def test_numpy(operation):
    (got,) = build(program_of(operation), "numpy", NUMPY)(A, B)
    np.testing.assert_allclose(got, wanted(operation), rtol=1e-15)
    assert got.dtype == A.dtype


@each
def test_torch(operation):
    scope = torch_namespace(build_model("rf"))
    (got,) = build(program_of(operation), "torch", scope)(torch.tensor(A), torch.tensor(B))
    np.testing.assert_allclose(got.numpy(), wanted(operation), rtol=1e-15)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_vectors(dtype):
    """All operations in one kernel, whose last row is that of the last operation."""
    operations = [operation for operation in OPERATIONS.values() if operation.simd is not None]
    printer = VectorPrinter(len(A), exact=dtype is np.float64)
    body = [f"{local(n)} = simd.load({n}, 0, {len(A)})" for n in ("a", "b")]
    for row, operation in enumerate(operations):
        body += [*printer.lines(program_of(operation), {"y": "y"}), f"simd.store(out, {row * len(A)}, y)"]
    text = "import numba\nimport numpy as np\nfrom brfkit.backends.numba_cpu import simd\n"
    text += f"real = np.{dtype.__name__}\n@numba.njit(error_model='numpy')\ndef rows(a, b, out):\n    "
    text += "\n    ".join([*printer.header(), *body]) + "\n"
    out = np.empty((len(operations), len(A)), dtype)
    compile_text(text)["rows"](A.astype(dtype), B.astype(dtype), out.reshape(-1))
    for operation, got in zip(operations, out, strict=True):
        # What cancels in a - b loses digits of float32 before the operation begins.
        atol = 1e-6 if dtype is np.float32 else 0.0
        np.testing.assert_allclose(got, wanted(operation), rtol=TOLERANCE[dtype], atol=atol, err_msg=operation.name)
