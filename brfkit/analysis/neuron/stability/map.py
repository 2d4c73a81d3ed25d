"""Where the discrete resonator is stable: the ω–b plane by theory and by simulated neurons."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.neuron.frequency.linear import spectral_radius
from brfkit.analysis.neuron.stability.network import NetworkNeurons, network_neurons
from brfkit.analysis.neuron.stability.plane import Plane
from brfkit.analysis.neuron.stability.result import StabilityMap
from brfkit.codegen.program import Program
from brfkit.errors import BrfkitError
from brfkit.neurons import OptionValue
from brfkit.simulation.reduce import Population, Progress, Work, choose_engine, load_kernel, reduce_block
from brfkit.trained import NetworkLike

if TYPE_CHECKING:
    from typing_extensions import Unpack

# A neuron is pushed by this share of its threshold and has diverged when it is GROWTH times as far out, still below
# threshold, where resets could hold it; it is at rest when it has come back by the same factor.
PUSH, GROWTH = 1e-9, 1e6
FIRST_STEPS, MOST_STEPS = 256, 1 << 16
AXIS = (241, 201)  # points of the picture's ω and b
ROOM = 0.05  # of the plane around the boundary
LOWEST = -2.0  # δb to which a plane without lower boundary goes: as far as that of explicit Euler


class PlaneOptions(TypedDict, total=False):
    """Keyword arguments that say which part of a plane is computed, and how; see :class:`PlaneSettings`."""

    omega: tuple[float, float] | None
    b: tuple[float, float] | None
    neurons: int
    steps: int
    dtype: str
    backend: str
    threads: int | None
    seed: int
    progress: Progress | None


@dataclass(frozen=True)
class PlaneSettings:
    """Which part of a plane is computed, and how.

    Attributes:
        omega: range in rad per unit time; None takes 0 to where no b is stable any more, or to π/δ.
        b: range of the damping b, in 1 per unit time; None takes all that is stable and a little around it.
        neurons: how many are drawn, uniformly over the plane, and simulated.
        steps: after which a neuron that is still undecided is judged by whether it grows.
        dtype: of the simulation.
        backend: ``auto``, ``numba`` or ``reference``.
        threads: CPU threads.
        seed: of the drawing.
        progress: called with neuron-steps done and expected.
    """

    omega: tuple[float, float] | None = None
    b: tuple[float, float] | None = None
    neurons: int = 20_000
    steps: int = MOST_STEPS
    dtype: str = "float64"
    backend: str = "auto"
    threads: int | None = None
    seed: int = 0
    progress: Progress | None = None


def stability_map(
    neuron: str | None = None,
    *,
    dt: float | None = None,
    options: Mapping[str, OptionValue] | None = None,
    constants: Mapping[str, float] | None = None,
    checkpoint: NetworkLike | None = None,
    **how: Unpack[PlaneOptions],
) -> StabilityMap:
    """The ω–b plane of a resonator: theory against simulated neurons.

    In theory a neuron is stable where the transition matrix of its step, taken from the generated adjoint, has a
    spectral radius below 1. For an Euler step of RF and BRF that is |1 + δ(b + iω)| < 1 (Higuchi, Kairat, Bohté, Otte,
    ICML 2024), between p(ω) and a lower root; docs/numerics.md has the other discretisations. Simulated neurons are
    pushed slightly and left alone.

    Args:
        neuron: a model with ω and b'; None takes brf, or the checkpoint's.
        dt: time step δ; None takes 0.01, or the checkpoint's.
        options, constants: as for :func:`brfkit.simulate`; those of the checkpoint where it is given.
        checkpoint: a trained network, or the path of one, whose neurons are placed in the plane.
        how: see :class:`PlaneSettings`.

    Raises:
        BrfkitError: a neuron without ω and b', an empty range, an ω that BRF would hold at its bound, or a
            checkpoint that cannot be read or does not fit.
    """
    began = time.perf_counter()
    taken = PlaneSettings(**how)
    neurons, steps, dtype = taken.neurons, taken.steps, taken.dtype
    if neurons < 1 or steps < FIRST_STEPS:
        raise BrfkitError(f"at least one neuron and {FIRST_STEPS} steps are needed, not {neurons} and {steps}")
    engine = choose_engine(taken.backend)
    network: dict[str, NetworkNeurons] = {}
    if checkpoint is None:
        plane = Plane(neuron or "brf", 0.01 if dt is None else dt, options, constants, dtype)
    elif dt is not None or options or constants:
        raise BrfkitError("a checkpoint has its own dt, options and constants; leave them out")
    else:
        plane, network = network_neurons(checkpoint, neuron, dtype)
    plane.check()
    w_range, b_range = _ranges(plane, taken.omega, taken.b)
    w_axis, b_axis = (np.linspace(*r, n) for r, n in zip((w_range, b_range), AXIS, strict=True))
    lower, upper = plane.boundary(w_axis)
    rng = np.random.default_rng(taken.seed)
    w, damping = rng.uniform(*w_range, neurons), rng.uniform(*b_range, neurons)
    population = plane.population(w, damping)
    work = Work(float(2 * FIRST_STEPS * neurons), taken.threads, taken.progress)
    diverged = simulate_divergence(population, steps, engine, work)
    return StabilityMap(
        plane=plane,
        omega=w,
        b=damping,
        radius=spectral_radius(population.linear),
        diverged=diverged,
        resolution=rounding_of_a_step(population.model.step, dtype),
        omega_axis=w_axis,
        b_axis=b_axis,
        radius_plane=plane.radius(w_axis[None], b_axis[:, None]),
        lower=lower,
        upper=upper,
        balance=plane.own_damping(w_axis, np.zeros_like(w_axis)),
        network=network,
        backend=engine,
        neuron_steps=work.neuron_steps,
        simulating=work.seconds,
        seconds=time.perf_counter() - began,
    )


def stability(network: NetworkLike, *, neuron: str | None = None, **options: Unpack[PlaneOptions]) -> StabilityMap:
    """The ω–b plane of the neurons of a trained network, with these in it, before and after training.

    Args:
        network: a trained network, or the path of one.
        neuron: for the path of a published file, which neuron it holds.
        options: see :class:`PlaneSettings`.
    """
    return stability_map(neuron, checkpoint=network, **options)


def rounding_of_a_step(step: Program, dtype: str) -> float:
    """A bound on what rounding adds to the growth per step: half a unit in the last place for every operation."""
    operations = sum(statement.op != "spike" for statement in step.statements)
    return 0.5 * operations * float(np.finfo(dtype).eps)


def simulate_divergence(population: Population, steps: int, engine: str, work: Work) -> NDArray[np.bool_]:
    """Whether each neuron runs away after a slight push, (N,).

    Stretches of doubling length are simulated until a neuron is a million times farther from rest than after the push,
    or a million times nearer. What is undecided after ``steps`` steps diverges if it comes farther out in the second
    half of the last stretch than in the first.
    """
    plan = population.plan(population.linear.states[0], ("peak",))
    load_kernel(population, plan, engine)
    push = PUSH * population.threshold / float(np.abs(population.linear.input).max())
    start = ((push * population.linear.input) ** 2).sum(-1)  # energy after the push, [N]
    diverged = np.zeros(population.size, bool)
    left = np.arange(population.size)
    state = np.zeros((1, len(plan.model.states), population.size), population.dtype)
    done, length = 0, FIRST_STEPS
    while len(left):
        last = done + length >= steps
        peaks = np.empty((2, len(left)))
        blocks = [slice(i, i + 32 * plan.lanes) for i in range(0, len(left), 32 * plan.lanes)]
        drive = np.zeros((1, length))
        drive[0, 0] = push if done == 0 else 0.0

        def job(
            index: int, left: NDArray[np.intp] = left, drive: NDArray[np.float64] = drive,
            peaks: NDArray[np.float64] = peaks, blocks: list[slice] = blocks,
        ) -> int:  # fmt: skip
            part = left[blocks[index]]
            sums, after = reduce_block(
                population, plan, part, drive, state=state[..., part], frame=drive.shape[1] // 2, engine=engine
            )
            peaks[:, blocks[index]], state[..., part] = sums[0, :, 0], after
            return drive.shape[1] * len(part)

        work.run(job, len(blocks))
        away = peaks.max(0) > GROWTH**2 * start[left]
        back = peaks[1] < start[left] / GROWTH**2
        if last:
            away |= ~back & ~(peaks[1] <= peaks[0])
            back = ~away
        diverged[left[away]] = True
        left = left[~away & ~back]
        done, length = done + length, min(2 * length, max(steps - done - length, FIRST_STEPS))
    return diverged


def _ranges(
    plane: Plane, omega: tuple[float, float] | None, b: tuple[float, float] | None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of the plane, with what was not said filled in."""
    bound = plane.largest_omega
    if omega is None:
        turn = (1.0 + ROOM) * plane.limit if np.isfinite(plane.limit) else np.pi
        omega = (0.0, min(turn / plane.dt, bound))
    for name, (low, high) in (("omega", omega), ("b", b or (0.0, 1.0))):
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise BrfkitError(f"the range of {name} must rise, not go from {low:g} to {high:g}")
    if omega[0] < 0:
        raise BrfkitError(f"omega enters as |ω|; its range must start at 0 or above, not at {omega[0]:g}")
    if omega[1] > bound:
        raise BrfkitError(
            f"{plane.neuron} needs δω < {plane.limit:g}; at dt {plane.dt:g} its ω goes up to {bound:g}, "
            f"not to {omega[1]:g}"
        )
    if b is None:
        lower, upper = plane.boundary(np.linspace(*omega, 41))
        if np.isnan(upper).all():
            raise BrfkitError(f"no b is stable for ω from {omega[0]:g} to {omega[1]:g}; say the range of b")
        low = LOWEST / plane.dt if np.isnan(lower).all() else float(np.nanmin(lower))
        high = float(np.nanmax(upper))
        b = (low - ROOM * (high - low), high + ROOM * (high - low))
    return omega, b
