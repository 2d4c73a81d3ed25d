"""The text of the numba kernels: reviewed as code, and without numbers of another precision."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from brfkit.backends.numba_cpu import templates
from brfkit.backends.numba_cpu.compile import compile_text
from brfkit.backends.numba_cpu.kernels import KernelText
from brfkit.backends.numba_cpu.layout import Layout
from brfkit.backends.numba_cpu.printer import VectorPrinter
from brfkit.backends.numba_cpu.shape import Shape, check_filled, fill
from brfkit.codegen.model import build_model
from brfkit.codegen.program import Statement
from brfkit.codegen.python_printer import source
from brfkit.errors import BrfkitError
from brfkit.neurons import NEURONS

GOLDEN = Path(__file__).parent / "golden"
LAYOUT = Layout(units=30, lanes=16, width=32, block=2, columns=1, words=1)


# The default of every neuron, and what else prints other operations.
MODELS = {name: build_model(name) for name in NEURONS} | {
    "brf symplectic": build_model("brf", {"discretisation": "symplectic"}),
    "brf exact": build_model("brf", {"discretisation": "exact", "train_gamma": True}),
}


def text(neuron: str, dtype: str = "float32", kind: str = "dense", recurrent: bool = True) -> str:
    return KernelText(
        MODELS[neuron], Shape(dtype, LAYOUT, 2, kind, recurrent, last=False, words_in=1 if kind == "spikes" else 0)
    ).module()


FILES = {
    "numba_brf_float32.py.txt": lambda: text("brf"),
    "numpy_brf_step.py.txt": lambda: source(build_model("brf").step, "numpy"),
    "numpy_brf_step_vjp.py.txt": lambda: source(build_model("brf").step_vjp, "numpy"),
    "numpy_brf_exact_derive.py.txt": lambda: source(MODELS["brf exact"].derive, "numpy"),
    "numpy_brf_exact_step.py.txt": lambda: source(MODELS["brf exact"].step, "numpy"),
}


@pytest.mark.parametrize("name", FILES)
def test_golden_text(name, request):
    """A change of generated code is seen in review; ``pytest --update-golden`` writes these files anew."""
    path, made = GOLDEN / name, FILES[name]()
    if request.config.getoption("--update-golden"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8"), "run pytest --update-golden and look at the diff"


VARIANTS = [
    (neuron, dtype, kind)
    for neuron in MODELS
    for dtype in ("float32", "float64")
    for kind in ("dense", "events", "spikes")
]


@pytest.mark.parametrize(("neuron", "dtype", "kind"), VARIANTS)
def test_every_number_has_the_precision_of_the_kernel(neuron, dtype, kind):
    """A bare ``0.5`` is float64 in numba and would pull a float32 kernel to double precision."""
    made = text(neuron, dtype, kind, MODELS[neuron].neuron.spiking)
    tree = ast.parse(made)
    wrapped = {
        id(leaf)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "real"
        for leaf in ast.walk(node)
    }
    numbers = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, float)]
    bare = {number.value for number in numbers if id(number) not in wrapped}
    assert len(numbers) >= 2
    assert bare <= {templates.DENSE_SHARE}  # compared with counts, never with a membrane value
    assert f"real = np.{dtype}" in made
    assert "@" not in made.replace("@numba", "")


@pytest.mark.parametrize("neuron", MODELS)
def test_one_operation_per_line(neuron):
    """So nothing depends on precedence or on what a compiler makes of ``a * b + c``."""
    model = MODELS[neuron]
    for program in (model.step, model.derive, model.step_vjp, model.derive_vjp):
        for target in ("numpy", "torch"):
            function = ast.parse(source(program, target)).body[0]
            assert isinstance(function, ast.FunctionDef)
            for line, statement in zip(function.body[:-1], program.statements, strict=True):
                assert isinstance(statement, Statement)
                assert isinstance(line, ast.Assign)
                operations = [n for n in ast.walk(line.value) if isinstance(n, ast.BinOp | ast.Call)]
                assert len(operations) <= 1, ast.unparse(line)


def test_an_operation_without_vector_form_is_refused():
    """sin and cos belong into derive, which runs once per sequence."""
    with pytest.raises(BrfkitError, match="sin has no vector form; compute it in derive"):
        VectorPrinter(16, exact=False).expression(Statement("y", "sin", ("x",)))


def test_templates_are_filled_strictly():
    assert fill("a @ONE b\n  @LINES\n@ONE_MORE", one=1, lines=["x", "y"], one_more="z") == "a 1 b\n  x\n  y\nz"
    with pytest.raises(ValueError, match="the template has no place for @TWO"):
        fill("@ONE @TWOS", one=1, two=2)
    with pytest.raises(ValueError, match="the template has no place for @ONE"):
        fill("@ONE_MORE", one=1)
    assert check_filled("@numba.njit\nx = a @ b") == "@numba.njit\nx = a @ b"
    with pytest.raises(ValueError, match="nothing was filled in for @LEFT_OVER, @UNITS"):
        check_filled("for h in range(@UNITS): @LEFT_OVER + @UNITS")
    with pytest.raises(ValueError, match="nothing was filled in for @UNITS"):
        compile_text("size = @UNITS")
