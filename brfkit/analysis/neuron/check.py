"""The ladder of checks that a neuron passes before its results are believed: from its text to gradients and speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends import get_backend
from brfkit.backends.base import Backend, Gradients, Trace
from brfkit.codegen.model import build_model
from brfkit.errors import BrfkitError
from brfkit.network import Layer, Network, Weights
from brfkit.neurons import Neuron, OptionValue, get_neuron, neuron_argument

BATCH, STEPS, INPUTS, UNITS, OUTPUTS = 9, 60, 5, 13, 3
TOLERANCE = 1e-9  # relative, float64; the order of sums is the only difference
RATES = (0.02, 0.6)  # share of steps with a spike at which the checks say something
SCALES = tuple(4.0**power for power in range(-2, 8))  # of the input weights, until the neuron spikes
_SECONDS = 0.5


@dataclass(frozen=True)
class Check:
    """One rung of the ladder.

    Attributes:
        name: what is checked.
        passed: whether it holds.
        detail: figures, or what went wrong.
    """

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class NeuronReport:
    """What :func:`check_neuron` found."""

    neuron: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        return {"neuron": self.neuron, "passed": self.passed, "checks": [asdict(check) for check in self.checks]}


def check_neuron(name: str, seed: int = 0) -> NeuronReport:
    """Check a neuron: parser, spikes, gradients against autograd, fused scans against the reference, speed.

    A layer of it with recurrent weights and a readout is run at sizes that fill no vector and no tile, in float64.

    Args:
        name: of a registered neuron, or a file with one.
        seed: of weights and input.

    Raises:
        BrfkitError: there is no such neuron.
    """
    neuron = get_neuron(neuron_argument(name))
    checks = [_attempt("text", lambda: _parse(neuron))]
    if checks[0].passed:
        try:
            checks += _scans(neuron, seed)
        except BrfkitError as error:
            checks.append(Check("scan", False, str(error)))
    return NeuronReport(neuron.name, tuple(checks))


def _attempt(name: str, work: Callable[[], str]) -> Check:
    try:
        return Check(name, True, work())
    except BrfkitError as error:
        return Check(name, False, str(error))


def _parse(neuron: Neuron) -> str:
    """Build the programs with every option off, in every discretisation."""
    variants: list[dict[str, OptionValue]] = [{}]
    variants += [{option.name: False} for option in neuron.options]
    variants += [{"discretisation": name} for name in neuron.discretisations]
    operations = 0
    for options in variants:
        model = build_model(neuron.name, options, neuron.surrogate)
        operations = operations or len(model.step.statements)
        _ = model.step_vjp
    missing = [s for s in neuron.states if not any(f"{s}_" in line or f"{s} " in line for line in neuron.equations)]
    note = f"; no equation names {', '.join(missing)}" if missing else ""
    return f"{len(variants)} variants parsed and differentiated, {operations} operations a step{note}"


@dataclass(frozen=True)
class _Problem:
    network: Network
    weights: Weights
    x: NDArray[np.float64]
    state: dict[str, NDArray[np.float64]]
    output_bar: NDArray[np.float64]


def _scans(neuron: Neuron, seed: int) -> list[Check]:
    reference = get_backend("reference")
    problem = _problem(neuron, seed, reference)
    trace = _forward(reference, problem)
    checks = [_spikes(neuron, trace)]
    gradients = _backward(reference, trace, problem)
    finite = all(np.isfinite(v).all() for v in gradients.weights.values())
    checks.append(Check("finite", finite, "states and gradients are finite" if finite else "a gradient is not finite"))
    for backend, what in (("torch", "autograd"), ("numba", "fused scan")):
        try:
            other = get_backend(backend, threads=1)
        except BrfkitError as error:
            checks.append(Check(what, True, f"not checked: {error}"))
            continue
        checks += _against(what, other, problem, trace, gradients)
    checks += [_single(problem, trace), _speed(problem)]
    return checks


def _problem(neuron: Neuron, seed: int, reference: Backend) -> _Problem:
    """A layer driven so that it spikes at a share of the steps within RATES, where some scale does that."""
    rng = np.random.default_rng(seed)
    layers = [Layer("hidden0", neuron.name, UNITS, recurrent=neuron.spiking, bias=True)]
    if neuron.spiking:
        layers.append(Layer("readout", "li", OUTPUTS, recurrent=False))
    network = Network(INPUTS, tuple(layers))
    weights = network.initialise(seed, np.float64)
    weights["hidden0.bias"] = rng.normal(0.0, 0.1, UNITS)
    x = rng.normal(0.0, 1.0, (STEPS, BATCH, INPUTS))
    state = {f"hidden0.{name}": 0.1 * rng.normal(0.0, 1.0, (BATCH, UNITS)) for name in neuron.states}
    outputs = layers[-1].units
    problem = _Problem(network, weights, x, state, rng.normal(0.0, 1.0, (STEPS, BATCH, outputs)))
    best, miss = problem, np.inf
    for scale in SCALES if neuron.spiking else (1.0,):
        scaled = _scaled(problem, scale)
        rate = _rate(_forward(reference, scaled))
        distance = abs(np.log(max(rate, 1e-6) / 0.15))
        if distance < miss:
            best, miss = scaled, distance
    return best


def _scaled(problem: _Problem, scale: float) -> _Problem:
    weights = {**problem.weights, "hidden0.w_in": problem.weights["hidden0.w_in"] * scale}
    if "hidden0.w_rec" in weights:
        weights["hidden0.w_rec"] = problem.weights["hidden0.w_rec"] * scale
    return _Problem(problem.network, weights, problem.x, problem.state, problem.output_bar)


def _forward(backend: Backend, problem: _Problem, dtype: str = "float64") -> Trace:
    weights = {name: value.astype(dtype) for name, value in problem.weights.items()}
    state = {name: value.astype(dtype) for name, value in problem.state.items()}
    record = ["hidden0.z"] if problem.network.layers[0].spec.spiking else []
    return backend.scan(
        problem.network, weights, problem.x.astype(dtype), initial_state=state, record=record, differentiate=True
    )


def _backward(backend: Backend, trace: Trace, problem: _Problem) -> Gradients:
    return backend.scan_vjp(trace, problem.output_bar, input_grad=True, initial_state_grad=True)


def _rate(trace: Trace) -> float:
    z = trace.records.get("hidden0.z")
    return float(np.mean(z)) if z is not None else 0.0


def _spikes(neuron: Neuron, trace: Trace) -> Check:
    if not neuron.spiking:
        return Check("spikes", True, "the neuron does not spike")
    rate = _rate(trace)
    good = RATES[0] <= rate <= RATES[1]
    hint = "" if good else "; the gradients below say little: is the threshold within reach of the state?"
    return Check("spikes", good, f"a spike at {100 * rate:.1f} % of the steps of a driven layer{hint}")


def _against(what: str, backend: Backend, problem: _Problem, trace: Trace, gradients: Gradients) -> list[Check]:
    try:
        other = _forward(backend, problem)
        theirs = _backward(backend, other, problem)
    except BrfkitError as error:
        return [Check(f"{what}: forward", False, str(error))]
    states = {"outputs": (trace.outputs, other.outputs)}
    states |= {name: (value, other.final_state[name]) for name, value in trace.final_state.items()}
    pairs = {name: (value, theirs.weights[name]) for name, value in gradients.weights.items()}
    pairs["input"] = (np.asarray(gradients.input), np.asarray(theirs.input))
    assert gradients.initial_state is not None
    assert theirs.initial_state is not None
    pairs |= {f"initial {n}": (v, theirs.initial_state[n]) for n, v in gradients.initial_state.items() if n != "z"}
    return [_compare(f"{what}: forward", states), _compare(f"{what}: gradients", pairs)]


def _compare(name: str, pairs: Mapping[str, tuple[NDArray, NDArray]]) -> Check:
    worst, where = 0.0, ""
    for key, (mine, theirs) in pairs.items():
        scale = max(float(np.abs(mine).max(initial=0.0)), 1e-30)
        error = float(np.abs(mine - theirs).max(initial=0.0)) / scale
        if not error <= worst:
            worst, where = error, key
    good = bool(worst <= TOLERANCE)
    return Check(name, good, f"largest relative difference {worst:.1e}" + (f" ({where})" if where else ""))


def _single(problem: _Problem, trace: Trace) -> Check:
    """float32 is another arithmetic: spikes near the threshold may flip. They are counted."""
    if "hidden0.z" not in trace.records:
        return Check("float32", True, "the neuron does not spike")
    fast = _forward(get_backend("numba", threads=1), problem, "float32")
    flips = int((fast.records["hidden0.z"] != trace.records["hidden0.z"]).sum())
    spikes = int(trace.records["hidden0.z"].sum())
    good = bool(np.isfinite(fast.outputs).all()) and flips <= max(spikes // 2, 3)
    return Check("float32", good, f"{flips} of {spikes} spikes differ from float64")


def _speed(problem: _Problem) -> Check:
    """A training step of the fused scan and of the eager loop, in float32; it informs and never fails."""
    times = {}
    for name in ("numba", "torch"):
        backend = get_backend(name, threads=1)
        weights = {key: value.astype(np.float32) for key, value in problem.weights.items()}
        x, bar = problem.x.astype(np.float32), problem.output_bar.astype(np.float32)

        def step(backend: Backend = backend, weights: Weights = weights, x: NDArray = x, bar: NDArray = bar) -> None:
            backend.scan_vjp(backend.scan(problem.network, weights, x, differentiate=True), bar)

        step()
        times[name] = _best(step)
    steps = STEPS * BATCH * UNITS
    return Check(
        "speed",
        True,
        f"{1e9 * times['numba'] / steps:.1f} ns a neuron and step forward and back, "
        f"{times['torch'] / times['numba']:.0f} times as fast as the eager loop",
    )


def _best(step: Callable[[], None]) -> float:
    best, until = np.inf, time.perf_counter() + _SECONDS
    while time.perf_counter() < until:
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return float(best)


def failed(checks: Iterable[Check]) -> list[Check]:
    """Those that do not hold."""
    return [check for check in checks if not check.passed]
