"""A numba kernel that runs a population and keeps only sums over time, made from the neuron's generated step.

A neuron's states stay in registers from the first step to the last, so memory holds one number per neuron, channel,
frame and sum, however many steps there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.codegen.model import Model
from brfkit.codegen.python_printer import NUMPY, build

# What is kept of a frame, y being the state that is measured: Σ|y|, Σ output, Σ y cos, Σ y sin, Σ of the squares of
# the states that a current reaches, and the largest of these.
REDUCTIONS = ("abs", "output", "cos", "sin", "energy", "peak")
# Vectors that go through the time loop side by side: the operations of one neuron wait for each other, those of
# several do not. More of them need more registers than there are.
VECTORS = 4

_KERNEL = '''"""Generated: equations from brfkit/neurons, loops from brfkit/simulation/reduce_kernel.py."""

import numba
import numpy as np

from brfkit.backends.numba_cpu import simd

real = np.@DTYPE


@numba.njit(nogil=True, error_model="numpy")
def run(drive, cosine, sine, params, consts, state, sums, channels, steps, skip, frame, frames, width):
    """Every channel through all neurons; sums from step ``skip`` on, over ``frames`` stretches of ``frame`` steps.

    drive, cosine, sine [channel][step](x [width]); params [derived][width]; state [channel][state][width];
    sums [channel][frame][sum][width].
    """
    @HEADER
    for c in range(channels):
        for k in range(0, width, @STEP):
            @LOAD_DERIVED
            @LOAD_STATES
            for t in range(skip):
                @CURRENT
                @NEURON
                @NEXT
            for f in range(frames):
                @ZERO
                for t in range(skip + f * frame, min(skip + (f + 1) * frame, steps)):
                    @CURRENT
                    @NEURON
                    @NEXT
                    @REDUCE
                @STORE_SUMS
            @STORE_STATES
'''


@dataclass(frozen=True)
class Plan:
    """What is computed and kept.

    Attributes:
        model: the neuron.
        observed: number of the state y.
        energy: numbers of the states whose squares are summed.
        reductions: of :data:`REDUCTIONS`.
        own: every neuron has a current of its own, rather than one current for all neurons of a channel.
        dtype: ``float32`` or ``float64``.
    """

    model: Model
    observed: int
    energy: tuple[int, ...]
    reductions: tuple[str, ...]
    own: bool
    dtype: str

    @property
    def lanes(self) -> int:
        """Neurons that go through the time loop together; the kernel takes multiples of it."""
        from brfkit.backends.numba_cpu.layout import vector_bytes

        return VECTORS * vector_bytes() // np.dtype(self.dtype).itemsize


Run = Callable[..., None]


@lru_cache(maxsize=64)
def compiled(plan: Plan) -> Run:
    """The kernel of a plan; compiled on its first call, or read from the cache folder."""
    from brfkit.backends.numba_cpu.compile import compile_text

    run: Run = compile_text(kernel_text(plan))["run"]
    return run


def kernel_text(plan: Plan) -> str:
    """Source of the module that holds the kernel ``run``."""
    from brfkit.backends.numba_cpu.printer import VectorPrinter, local
    from brfkit.backends.numba_cpu.shape import fill

    model, lanes = plan.model, plan.lanes // VECTORS
    printer = VectorPrinter(lanes, exact=plan.dtype == "float64")
    neuron = printer.lines(model.step, {"out": "out_", **{f"{s}_next": f"{s}_" for s in model.states}})
    constants = [f"{local(n)} = simd.broadcast(consts[{i}], {lanes})" for i, n in enumerate(model.constants)]
    states, derived = [local(s) for s in model.states], [local(d) for d in model.derived]
    row = f"(c * {len(states)} + {{i}}) * width + k"
    sums = [f"sum_{name}" for name in plan.reductions]
    kept = f"((c * frames + f) * {len(sums)} + {{i}}) * width + k"
    parts = {
        "current": [f"n_x = {_element(plan, 'drive', lanes)}"],
        "load_derived": [f"{n} = simd.load(params, {i} * width + k, {lanes})" for i, n in enumerate(derived)],
        "load_states": [f"{n} = simd.load(state, {row.format(i=i)}, {lanes})" for i, n in enumerate(states)],
        "neuron": neuron,
        "next": [f"{local(s)} = {s}_" for s in model.states],
        "zero": [f"{name} = simd.broadcast(real(0.0), {lanes})" for name in sums],
        "reduce": _reduce(plan, states, lanes),
        "store_sums": [f"simd.store(sums, {kept.format(i=i)}, {name})" for i, name in enumerate(sums)],
        "store_states": [f"simd.store(state, {row.format(i=i)}, {n})" for i, n in enumerate(states)],
    }
    # What is the same for all neurons exists once.
    shared = {line.split(" = ")[0] for line in constants + printer.header()}
    own = {line.split(" = ")[0] for lines in parts.values() for line in lines if " = " in line} - shared
    return fill(
        _KERNEL,
        dtype=plan.dtype,
        step=plan.lanes,
        header=constants + printer.header(),
        **{name: _side_by_side(lines, own, lanes) for name, lines in parts.items()},
    )


def _side_by_side(lines: list[str], own: set[str], lanes: int) -> list[str]:
    """The lines for every vector, its values under names of their own."""
    name = re.compile(rf"\b({'|'.join(sorted(own))})\b")
    return [
        re.sub(r"\bk\b", f"k + {vector * lanes}", name.sub(rf"\1_{vector}", line))
        for vector in range(VECTORS)
        for line in lines
    ]


def _element(plan: Plan, array: str, lanes: int) -> str:
    """A step of a current or of a reference, for all lanes."""
    if plan.own:
        return f"simd.load({array}, (c * steps + t) * width + k, {lanes})"
    return f"simd.broadcast({array}[c * steps + t], {lanes})"


def _reduce(plan: Plan, states: list[str], lanes: int) -> list[str]:
    y = states[plan.observed]
    energy = " + ".join(f"{states[i]} * {states[i]}" for i in plan.energy)
    lines = {
        "abs": f"sum_abs = sum_abs + simd.vabs({y})",
        "output": "sum_output = sum_output + out_",
        "cos": f"sum_cos = sum_cos + {y} * {_element(plan, 'cosine', lanes)}",
        "sin": f"sum_sin = sum_sin + {y} * {_element(plan, 'sine', lanes)}",
        "energy": "sum_energy = sum_energy + energy_",
        "peak": "sum_peak = simd.select(simd.greater(energy_, sum_peak), energy_, sum_peak)",
    }
    before = [f"energy_ = {energy}"] if {"energy", "peak"} & set(plan.reductions) else []
    return before + [lines[name] for name in plan.reductions]


def run_numpy(
    plan: Plan,
    drive: NDArray[Any],
    cosine: NDArray[Any] | None,
    sine: NDArray[Any] | None,
    derived: dict[str, NDArray[Any]],
    constants: dict[str, Any],
    state: NDArray[Any],
    skip: int,
    frame: int,
) -> NDArray[Any]:
    """What the kernel computes, step by step with NumPy: slow and readable, its definition.

    Args:
        plan: what is computed.
        drive, cosine, sine: (C, T, 1), or (C, T, N) with currents of their own.
        derived: by name, (N,).
        constants: δ and all others.
        state: (C, S, N), overwritten by the last.
        skip, frame: steps before the first frame and of each frame; the last frame may be shorter.

    Returns:
        (C, frames, sums, N)
    """
    model, steps = plan.model, drive.shape[1]
    step = build(model.step, "numpy", NUMPY)
    values: dict[str, Any] = {**derived, **constants}
    sums = np.zeros((len(drive), -(-(steps - skip) // frame), len(plan.reductions), state.shape[2]), state.dtype)
    for t in range(steps):
        values |= {"x": drive[:, t], **{s: state[:, i] for i, s in enumerate(model.states)}}
        out, *after = step(*(values[name] for name in model.step.inputs))
        state[:] = np.stack([np.broadcast_to(a, state[:, 0].shape) for a in after], 1)
        if t < skip:
            continue
        y, energy = state[:, plan.observed], sum(state[:, i] ** 2 for i in plan.energy)
        kept = sums[:, (t - skip) // frame]
        for i, name in enumerate(plan.reductions):
            if name == "peak":
                kept[:, i] = np.maximum(kept[:, i], energy)
                continue
            term = {"abs": np.abs(y), "output": out, "energy": energy}.get(name)
            if term is None:
                reference = cosine if name == "cos" else sine
                assert reference is not None
                term = y * reference[:, t]
            kept[:, i] += term
    return sums
