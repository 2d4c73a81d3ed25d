"""One neuron, or a population of unconnected ones, driven by a current."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends import get_backend
from brfkit.backends.base import Backend
from brfkit.errors import BrfkitError
from brfkit.memory import check_memory
from brfkit.network import Layer
from brfkit.neurons import OptionValue, get_neuron
from brfkit.simulation.blocks import Recording, run_population
from brfkit.simulation.current import cast, describe, fill_in, given_current, shape_current
from brfkit.simulation.divergence import ROUNDING, amplification, eigenvalues, resonance
from brfkit.simulation.stimulus import times
from brfkit.simulation.values import Values, check_bound, population_parameters

STEPS = 1000
NEURON_BYTES = (
    400  # that one neuron takes beside what is recorded of it, measured; its transition matrix for the most part
)
MANY = 100_000  # neurons below which nobody asks for memory


@dataclass(frozen=True)
class Simulation:
    """What :func:`simulate` returns.

    Attributes:
        neuron: name of the model.
        backend: who computed.
        dt: time step δ.
        t: (steps,) float64, 0, δ, 2δ, …; row k of everything else is the k-th step: its current and the states that
            the current led to.
        input: (steps, neurons), the current I of each neuron; read-only.
        states: by symbol, (steps, neurons); empty where nothing was recorded.
        z: (steps, neurons) uint8, the spikes; None without spikes or where nothing was recorded.
        parameters: by name, (neurons,).
        constants: θ, γ, … and δ by name.
        options: parts of the neuron and whether they were on; ``discretisation`` where there are several.
        stimulus: what drove the neurons, in words.
        spike_counts: (neurons,) int64.
        amplification: (neurons,) growth per step of a small deviation from rest; above 1 is unstable.
        diverged_at: first step at which a neuron diverged (see :mod:`brfkit.simulation.divergence`), or None.
        seconds: wall time.
    """

    neuron: str
    backend: str
    dt: float
    t: NDArray[np.float64]
    input: NDArray[Any]
    states: Mapping[str, NDArray[Any]]
    z: NDArray[np.uint8] | None
    parameters: Mapping[str, NDArray[Any]]
    constants: Mapping[str, float]
    options: Mapping[str, OptionValue]
    stimulus: str
    spike_counts: NDArray[np.int64]
    amplification: NDArray[np.float64] = field(repr=False)
    diverged_at: int | None
    seconds: float

    @property
    def steps(self) -> int:
        return len(self.t)

    @property
    def neurons(self) -> int:
        return self.input.shape[1]

    @property
    def spikes(self) -> int:
        """Spikes of all neurons."""
        return int(self.spike_counts.sum())

    @property
    def firing_rate(self) -> float:
        """Share of neurons that spike at a step."""
        return self.spikes / (self.steps * self.neurons)

    @property
    def diverged(self) -> bool:
        return self.diverged_at is not None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``brfkit simulate``."""
        return {
            "neuron": self.neuron,
            "backend": self.backend,
            "steps": self.steps,
            "neurons": self.neurons,
            "spikes": self.spikes,
            "firing_rate": self.firing_rate,
            "diverged": self.diverged,
            "seconds": self.seconds,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What ``--out`` holds: ``t`` (steps,); ``input``, every state and ``z`` (steps, neurons)."""
        spikes = {} if self.z is None else {"z": self.z}
        return {"t": self.t, "input": self.input, **self.states, **spikes}


def simulate(
    neuron: str = "brf",
    *,
    omega: Values | None = None,
    b_offset: Values | None = None,
    parameters: Mapping[str, Values] | None = None,
    constants: Mapping[str, float] | None = None,
    options: Mapping[str, OptionValue] | None = None,
    dt: float = 0.01,
    steps: int | None = None,
    neurons: int | None = None,
    stimulus: str | Path | NDArray[Any] = "sine",
    amplitude: float | None = None,
    frequency: float | None = None,
    start: float = 0.0,
    stop: float | None = None,
    dtype: str | None = None,
    backend: str | Backend = "auto",
    threads: int | None = None,
    seed: int = 0,
    record: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    """Drive unconnected neurons by a current and record every state.

    Args:
        neuron: model, see ``brfkit neurons``.
        omega: ω in rad per unit time: a number for all neurons, one per neuron, or ``"5:50"``, evenly spaced.
        b_offset: b' in 1 per unit time, in the same forms.
        parameters: any parameter of the model by name, in the same forms; what is not given has the model's default.
        constants: θ (``theta``), γ (``gamma``), … where they differ from the model's.
        options: parts of the model switched off, such as ``{"smooth_reset": False}``, and ``discretisation``.
        dt: time step δ.
        steps: number of steps; None takes 1000, or the length of a given current.
        neurons: how many; None takes the length of the longest list of parameters, or the columns of a given current.
        stimulus: ``pulse``, ``step``, ``sine``, ``chirp``, ``noise`` (see :class:`Stimulus`; all neurons get the same
            current), a ``.npy`` or ``.csv`` file, or an array, (steps,) for all or (steps, neurons).
        amplitude: of the current, or a factor for a given one; None takes one that makes the neuron spike (see
            :func:`brfkit.simulation.values.default_amplitude`), or 1 for a given current.
        frequency: of pulse (None: a single one), sine and chirp, in rad per unit time; None takes the one at
            which the discrete neurons turn, near ω, in the mean (see :func:`brfkit.simulation.divergence.resonance`).
        start, stop: the current is 0 outside of start ≤ t < stop.
        dtype: ``float32`` or ``float64``; None takes float64 for the reference backend and float32 for the others.
        backend: name or backend.
        threads: CPU threads.
        seed: of the noise.
        record: keep states, not only spike counts.
        progress: called with steps done and steps in all, both summed over neurons.

    Raises:
        BrfkitError: anything that is unknown, not finite or does not fit; an ω that BRF would hold at its bound,
            δ|ω| ≥ 1 (explicit Euler) or 2 (symplectic); float32 on the reference backend.
    """
    began = time.perf_counter()
    spec = get_neuron(neuron)
    given = dict(parameters or {})
    given |= {n: v for n, v in (("omega", omega), ("b_offset", b_offset)) if v is not None}
    fixed = spec.resolve_constants(dt, constants or {})
    switches = spec.resolve_options(options or {})
    if steps is not None and steps < 1:
        raise BrfkitError(f"a simulation needs at least one step, not {steps}")
    current = given_current(stimulus, steps)
    if neurons is None and current is not None and current.shape[1] > 1:
        neurons = current.shape[1]
    if neurons is not None and neurons > MANY:
        check_memory(neurons * NEURON_BYTES, f"a population of {neurons:,} neurons", "take fewer --neurons")
    values = population_parameters(spec, given, neurons, switches, constants)
    count = len(next(iter(values.values())))
    check_bound(spec, values.get("omega"), dt, switches)
    engine = get_backend(backend, threads=threads) if isinstance(backend, str) else backend
    kind = resolve_dtype(engine, dtype)
    layer = Layer("neurons", neuron, count, recurrent=False, options=switches, constants=dict(constants or {}))
    with np.errstate(over="ignore"):
        typed = {name: value.astype(kind) for name, value in values.items()}
    eigen = eigenvalues(layer, typed, dt)
    growth, own = amplification(eigen), resonance(eigen, dt)
    if current is None:
        made = fill_in(str(stimulus), values, dt, amplitude, frequency, start, stop, seed, own)
        current, words = made.samples(steps or STEPS, dt)[:, None], describe(made)
    else:
        current = shape_current(current, count, amplitude, frequency, start, stop, dt)
        words = Path(stimulus).name if isinstance(stimulus, str | Path) else "given current"
    drive = cast(current, kind)
    result: Recording = run_population(
        layer, typed, drive, dt, engine, record=record, unstable=growth > 1.0 + ROUNDING, progress=progress
    )
    return Simulation(
        neuron=neuron,
        backend=engine.name,
        dt=float(dt),
        t=times(len(drive), dt),
        input=np.broadcast_to(drive, (len(drive), count)),
        states=result.states,
        z=result.z,
        parameters=typed,
        constants=fixed,
        options=switches,
        stimulus=words,
        spike_counts=result.spike_counts,
        amplification=growth,
        diverged_at=result.diverged_at,
        seconds=time.perf_counter() - began,
    )


def resolve_dtype(backend: Backend, dtype: str | None) -> np.dtype[Any]:
    """The dtype to compute in; one that the backend does not have is refused."""
    if dtype not in (None, "float32", "float64"):
        raise BrfkitError(f"dtype must be float32 or float64, not {dtype!r}")
    able = backend.capabilities
    if dtype is not None and dtype not in able.dtypes:
        only = " and ".join(able.dtypes)
        raise BrfkitError(f"backend {backend.name} computes in {only} only; take --dtype {only}, or backend numba")
    return np.dtype(dtype or able.default_dtype)
