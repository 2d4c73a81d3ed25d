"""The generated kernels of a neuron as text to be read: the same text that is compiled, with markers and comments."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from brfkit.codegen.model import Model, build_model
from brfkit.codegen.program import Program
from brfkit.codegen.python_printer import source
from brfkit.errors import BrfkitError
from brfkit.neurons import OptionValue, nearest

RULER = 100
BATCH = 8  # samples for which the shape of a kernel is chosen
# Multiprocessors and shared memory of an H100, which decide how a backward scan is cut into blocks.
PROCESSORS, SHARED_BYTES = 132, 227 * 1024


@dataclass(frozen=True)
class KernelListing:
    """What to list.

    Attributes:
        neuron: name of the model.
        kernel: one of ``KERNELS``.
        units: number of neurons H of the layer, for kernels whose text depends on it.
        dtype: ``float32`` or ``float64``.
        backward: the adjoint in place of the forward pass.
        options: of the neuron, see ``brfkit neurons NAME``.
    """

    neuron: str
    kernel: str
    units: int = 64
    dtype: str = "float32"
    backward: bool = False
    options: Mapping[str, OptionValue] = field(default_factory=dict)

    def text(self) -> str:
        """The kernel, one section after the other; the neuron's own statements stand as comments over theirs.

        Raises:
            BrfkitError: an unknown neuron, kernel or option, fewer than one unit, or nothing is generated.
        """
        if self.kernel not in KERNELS:
            raise BrfkitError(f"unknown kernel {self.kernel!r}; {nearest(self.kernel, KERNELS)}")
        if self.units < 1:
            raise BrfkitError(f"units must be at least 1, not {self.units}")
        model = build_model(self.neuron, self.options)
        comment = "//" if self.kernel == "cuda" else "#"
        parts = []
        for title, (text, program) in KERNELS[self.kernel](model, self).items():
            marker = f"{comment} ── {title} "
            parts.append(marker + "─" * max(RULER - len(marker), 3))
            parts.append(annotated(text.strip("\n"), program.notes, comment) + "\n")
        return "\n".join(parts)


def annotated(text: str, notes: Mapping[str, str], comment: str) -> str:
    """A text with the neuron's own statement as a comment over the first line of each run of lines that compute it."""
    lines: list[str] = []
    last = None
    for line in text.split("\n"):
        found = _TARGET.match(line)
        note = notes.get(found["name"]) if found else None
        if note is not None and note != last and found is not None:
            lines.append(f"{found['indent']}{comment} {note}")
        last = note
        lines.append(line)
    return "\n".join(lines)


# An assignment to a value of the program: ``t1 = ``, ``n_t1 = `` in numba, ``const real n_t1 = `` in CUDA.
_TARGET = re.compile(r"(?P<indent>\s*)(?:const \w+ )?(?:n_)?(?P<name>\w+) = ")


# By title: the text, and the program whose notes belong to it.
Sections = dict[str, tuple[str, Program]]


def _functions(model: Model, target: str) -> Sections:
    return {
        "derive, once per sequence": (source(model.derive, target), model.derive),
        "step, once per time step": (source(model.step, target), model.step),
    }


def _numpy(model: Model, of: KernelListing) -> Sections:
    if not of.backward:
        return _functions(model, "numpy")
    return {
        "adjoint of derive": (source(model.derive_vjp, "numpy"), model.derive),
        "adjoint of step": (source(model.step_vjp, "numpy"), model.step),
    }


def _torch(model: Model, of: KernelListing) -> Sections:
    """torch differentiates ``derive`` and ``step`` itself; only the derivative of the spike is given."""
    if not of.backward:
        return _functions(model, "torch")
    if model.surrogate is None:
        raise BrfkitError(f"neuron {of.neuron} has no spike: torch differentiates all of it, and nothing is generated")
    text = source(model.surrogate, "torch")
    return {"derivative of the spike; torch differentiates the rest": (text, model.surrogate)}


def _numba(model: Model, of: KernelListing) -> Sections:
    from brfkit.backends.numba_cpu.kernels import KernelText
    from brfkit.backends.numba_cpu.layout import Layout, tile_size
    from brfkit.backends.numba_cpu.shape import Shape

    spiking = model.neuron.spiking
    layout = Layout.of(of.units, np.dtype(of.dtype))
    words_in = 0 if spiking else layout.words  # a readout gets the spikes of a layer of as many units
    signal = "dense" if spiking else "spikes"
    shape = Shape(of.dtype, layout, tile_size(BATCH), signal, spiking, last=not spiking, words_in=words_in)
    left_out = "forward" if of.backward else "backward"
    sections = KernelText(model, shape).sections()
    return {title: (text, model.step) for title, text in sections.items() if title != left_out}


def _cuda(model: Model, of: KernelListing) -> Sections:
    from brfkit.backends.cupy_gpu.layout import adjoint_shape, scan_shape
    from brfkit.backends.cupy_gpu.source import adjoint_source, derive_source, scan_source

    recurrent = model.neuron.spiking
    derive = {"derive and its adjoint, once per sequence": (derive_source(model, of.dtype), model.derive)}
    if not of.backward:
        text = scan_source(model, scan_shape(of.dtype, of.units, 0, recurrent))
        return derive | {"scan": (text, model.step)}
    shape = adjoint_shape(of.dtype, of.units, 0, recurrent, BATCH, PROCESSORS, SHARED_BYTES)
    return derive | {"scan_vjp": (adjoint_source(model, shape), model.step)}


KERNELS: dict[str, Callable[[Model, KernelListing], Sections]] = {
    "numba": _numba,
    "cuda": _cuda,
    "torch": _torch,
    "numpy": _numpy,
}
