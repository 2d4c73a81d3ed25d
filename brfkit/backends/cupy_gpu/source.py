"""The text of the CUDA kernels: what a layer fixes, the generated neuron, then the loops from the ``.cu`` files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path

from brfkit.backends.cupy_gpu.printer import ScalarPrinter
from brfkit.codegen.model import Model
from brfkit.codegen.program import Program

_REAL = {"float32": "float", "float64": "double"}
_FUNCTION = "__device__ __forceinline__"


@dataclass(frozen=True)
class ScanShape:
    """What is fixed when the forward scan of a layer is compiled.

    Attributes:
        dtype: ``float32`` or ``float64``.
        units: number of neurons H.
        inline: channels of dense input that the scan multiplies itself; 0 where it reads ready currents.
        recurrent: whether spikes come back.
        threads: threads per block; a block runs one sample.
        segment: steps between two checkpoints.
    """

    dtype: str
    units: int
    inline: int
    recurrent: bool
    threads: int
    segment: int


@dataclass(frozen=True)
class AdjointShape(ScanShape):
    """The same for the backward scan.

    Attributes:
        samples: samples of a block.
        vector: units that one thread of the recurrent product holds.
        splits: parts into which the rows of W_rec are divided, one per group of threads.
        rows: rows of W_rec per part.
        register_rows, shared_rows: rows per part that stay in registers and in shared memory; the rest comes from L2.
    """

    samples: int = 1
    vector: int = 4
    splits: int = 0
    rows: int = 0
    register_rows: int = 0
    shared_rows: int = 0


@lru_cache(maxsize=8)
def _file(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _define(pairs: dict[str, int]) -> str:
    return "".join(f"#define {name} {int(value)}\n" for name, value in pairs.items())


def _array(name: str, size: int, writable: bool) -> str:
    return f"{'' if writable else 'const '}real (&{name})[{size}]"


def _named(array: str, names: Sequence[str], suffix: str = "") -> dict[str, str]:
    """``array[i]`` for the i-th name."""
    return {f"{name}{suffix}": f"{array}[{i}]" for i, name in enumerate(names)}


def _function(kind: str, name: str, arguments: Sequence[str], body: Sequence[str], doc: str) -> str:
    lines = "".join(f"    {line}\n" for line in body)
    return f"// {doc}\n{_FUNCTION} {kind} {name}(\n    {', '.join(arguments)}) {{\n{lines}}}\n"


class NeuronText:
    """The generated functions of one neuron in one precision."""

    def __init__(self, model: Model, dtype: str) -> None:
        self.model, self.printer = model, ScalarPrinter(dtype)
        self.sizes = {
            "STATES": len(model.states),
            "DERIVED": len(model.derived),
            "CONSTANTS": len(model.constants),
            "SLOPES": len(model.slopes),
            "PARAMETERS": len(model.parameters),
            "SPIKING": model.neuron.spiking,
        }
        self._given = {"x": "x"} | _named("state", model.states) | _named("derived", model.derived)
        self._given |= _named("constant", model.constants)
        self._inputs = [
            _array("state", self.sizes["STATES"], False),
            _array("derived", self.sizes["DERIVED"], False),
            _array("constant", self.sizes["CONSTANTS"], False),
        ]

    def step(self) -> str:
        model = self.model
        results = {f"{s}_next": f"state[{i}] =" for i, s in enumerate(model.states)} | {"out": "return"}
        inputs = [_array("state", self.sizes["STATES"], True), *self._inputs[1:]]
        body = self.printer.body(model.step, self._given, results)
        return _function("real", "neuron_step", ["real x", *inputs], body, "One step: moves the state on.")

    def slopes(self) -> str:
        """The slopes of the spikes alone; nothing where there are none."""
        program = self.model.step_with_slopes
        names = self.model.slopes
        outputs = dict(zip(program.output_names, program.outputs, strict=True))
        only = replace(program, outputs=tuple(outputs[n] for n in names), output_names=names).without_dead_code()
        results = {name: f"slope[{i}] =" for i, name in enumerate(names)}
        arguments = ["real x", *self._inputs, _array("slope", max(len(names), 1), True)]
        body = self.printer.body(only, self._given, results)
        return _function("void", "neuron_slopes", arguments, body, "The surrogate's slope at every spike.")

    def adjoint(self) -> str:
        model, vjp = self.model, self.model.step_vjp_of_slopes
        given = self._given | _named("slope", model.slopes) | {"out_bar": "out_bar"}
        given |= _named("state_bar", model.states, "_next_bar")
        results = {"x_bar": "x_bar ="}
        results |= {f"{s}_bar": f"state_bar[{i}] =" for i, s in enumerate(model.states)}
        results |= {f"{d}_bar": f"derived_bar[{i}] +=" for i, d in enumerate(model.derived)}
        arguments = [
            "real x",
            *self._inputs,
            _array("slope", max(len(model.slopes), 1), False),
            "real out_bar",
            _array("state_bar", self.sizes["STATES"], True),
            _array("derived_bar", self.sizes["DERIVED"], True),
            "real& x_bar",
        ]
        body = self.printer.body(vjp, given, results)
        return _function("void", "neuron_adjoint", arguments, body, "One step back: gradients of what went in.")

    def defines(self) -> str:
        return _define(self.sizes)


@lru_cache(maxsize=128)
def scan_source(model: Model, shape: ScanShape) -> str:
    """The forward scan of a layer, kernel ``scan``."""
    neuron = NeuronText(model, shape.dtype)
    return "\n".join([_head(shape), neuron.defines(), _file("common.cuh"), neuron.step(), _file("scan.cu")])


@lru_cache(maxsize=128)
def adjoint_source(model: Model, shape: AdjointShape) -> str:
    """The backward scan of a layer, kernel ``scan_vjp``."""
    neuron = NeuronText(model, shape.dtype)
    functions = [neuron.step(), neuron.slopes(), neuron.adjoint()]
    return "\n".join([_head(shape), neuron.defines(), _file("common.cuh"), *functions, _file("scan_vjp.cu")])


@lru_cache(maxsize=128)
def derive_source(model: Model, dtype: str) -> str:
    """Derived values of a layer and their gradient, kernels ``derive`` and ``derive_vjp``; float64 inside."""
    neuron = NeuronText(model, "float64")
    given = _named("parameter", model.parameters) | _named("constant", model.constants)
    arguments = [
        _array("parameter", len(model.parameters), False),
        _array("constant", len(model.constants), False),
    ]

    def function(name: str, program: Program, extra: dict[str, str], more: list[str], results: dict[str, str]) -> str:
        body = neuron.printer.body(program, given | extra, results)
        return _function("void", name, [*arguments, *more], body, "Once per sequence.")

    derived = {d: f"derived[{i}] =" for i, d in enumerate(model.derived)}
    bars = {f"{p}_bar": f"parameter_bar[{i}] =" for i, p in enumerate(model.parameters)}
    values = function("neuron_derive", model.derive, {}, [_array("derived", len(model.derived), True)], derived)
    more = [_array("derived_bar", len(model.derived), False), _array("parameter_bar", len(model.parameters), True)]
    back = function("neuron_derive_vjp", model.derive_vjp, _named("derived_bar", model.derived, "_bar"), more, bars)
    count = range(len(model.parameters))
    head = f"using real = double;\nusing stored = {_REAL[dtype]};\n"
    head += f"#define PARAMETER_ARRAYS {', '.join(f'const stored* p{i}' for i in count)}\n"
    head += f"#define PARAMETER_VALUES {', '.join(f'p{i}[unit]' for i in count)}\n"
    return "\n".join([head, neuron.defines(), values, back, _file("derive.cu")])


@lru_cache(maxsize=128)
def helper_source(dtype: str) -> str:
    """Kernels around the scans that know no neuron."""
    return "\n".join([f"using real = {_REAL[dtype]};\n", _file("helpers.cu")])


def _head(shape: ScanShape) -> str:
    names = [f.name for f in fields(shape) if f.name != "dtype"]
    numbers = {name.upper(): int(getattr(shape, name)) for name in names}
    return f"// Generated: equations from brfkit/neurons.\nusing real = {_REAL[shape.dtype]};\n" + _define(numbers)
