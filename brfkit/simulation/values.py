"""What a user says about a population: parameters as numbers, lists and ranges, and stimuli that fit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.neurons import Neuron, OptionValue

Values = float | str | Sequence[float] | NDArray[Any]


def parse_values(text: str) -> tuple[str, list[float]]:
    """``("range", [a, b])`` from ``a:b``, ``("list", […])`` from a number or numbers separated by commas.

    Raises:
        ValueError: the text is none of these, or holds values that are not finite.
    """
    kind = "range" if ":" in text else "list"
    numbers = [float(part) for part in text.split(":" if kind == "range" else ",")]
    if not np.isfinite(numbers).all() or (kind == "range" and len(numbers) != 2):
        raise ValueError(text)
    return kind, numbers


def _parsed(name: str, given: Values) -> tuple[str, NDArray[np.float64]]:
    try:
        if isinstance(given, str):
            kind, numbers = parse_values(given)
            return kind, np.asarray(numbers)
        values = np.atleast_1d(np.asarray(given, np.float64))
        if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
            raise ValueError
    except (TypeError, ValueError):
        raise BrfkitError(
            f"{name} must be a finite number, one per neuron, or a range such as 5:50, not {_short(given)}"
        ) from None
    return "list", values


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "…"


def population_parameters(
    neuron: Neuron,
    given: Mapping[str, Values],
    neurons: int | None,
    options: Mapping[str, OptionValue] | None = None,
    constants: Mapping[str, float] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Every parameter of a neuron for all neurons of a population, (neurons,) each.

    Args:
        neuron: the model; what is not given takes its defaults.
        given: a number for all, one number per neuron, or ``"a:b"``, evenly spaced from a to b.
        neurons: how many; None takes the length of the longest list, or 1.
        options, constants: of the model; a constant that is trained is a parameter.

    Raises:
        BrfkitError: an unknown parameter, values that are not finite, lists that do not fit, a range for one neuron.
    """
    parameters = {p.name: p for p in neuron.trained(options or {}, constants)}
    for name in given:
        if name not in parameters:
            raise neuron.no_parameter(name)
    parsed = {name: _parsed(name, given.get(name, p.default)) for name, p in parameters.items()}
    count = max(len(v) for kind, v in parsed.values() if kind == "list") if _any_list(parsed) else 1
    count = count if neurons is None else neurons
    if count < 1:
        raise BrfkitError(f"a population needs at least one neuron, not {count}")
    return {name: _spread(name, kind, values, count) for name, (kind, values) in parsed.items()}


def _any_list(parsed: Mapping[str, tuple[str, NDArray]]) -> bool:
    return any(kind == "list" for kind, _ in parsed.values())


def _spread(name: str, kind: str, values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    if kind == "range":
        if count == 1:
            raise BrfkitError(
                f"{name} is a range, {values[0]:g} to {values[1]:g}; say over how many neurons (--neurons)"
            )
        return np.linspace(values[0], values[1], count)
    if len(values) not in (1, count):
        raise BrfkitError(f"{name} has {len(values)} values for {count} neurons; give one, or one per neuron")
    return np.broadcast_to(values, (count,)).astype(np.float64)


def check_bound(
    neuron: Neuron, omega: NDArray[np.float64] | None, dt: float, options: Mapping[str, OptionValue] | None = None
) -> None:
    """Refuse an ω that the neuron would silently hold at its bound: where p(ω) ends, or the symplectic step stops to
    turn.

    Raises:
        BrfkitError: δ|ω| is at the bound, 1 for explicit Euler and 2 for symplectic, or beyond.
    """
    chosen = neuron.discretisation(options or {})
    if omega is None or chosen is None or chosen.bound is None:
        return
    largest = float(np.abs(omega).max())
    if dt * largest > chosen.bound:
        why = "p(ω) needs" if chosen.limit == 1.0 else "this discretisation needs"
        raise BrfkitError(
            f"omega {largest:g} is too fast for {neuron.name} at dt {dt:g}, {why} δω < {chosen.limit:g} "
            f"(it is {dt * largest:.4g}); take a dt below {chosen.limit / largest:.3g}, "
            f"or omega below {chosen.bound / dt:g}"
        )


def default_amplitude(
    kind: str, values: Mapping[str, NDArray], damping: float, dt: float, duration: float | None
) -> float:
    """A current that takes the neuron a few times over a threshold of 1.

    For an oscillator: a pulse that adds 2 to u, a step of 2 ω (the first peak is about I/ω), a sine at resonance
    (whose response is about I / 2|b|), noise of 30 √|b| (whose response has a standard deviation near
    0.5 I √(δ/|b|)). For a leaky integrator, whose response to a constant current is that current, small multiples of 1.

    Args:
        kind: of :data:`brfkit.simulation.STIMULI`.
        values: parameters, (neurons,) each.
        damping: rate at which the neurons are damped, see :func:`brfkit.simulation.divergence.resonance`.
        dt: time step δ.
        duration: of a pulse of more than one step.
    """
    if "omega" not in values:
        tau = float(np.abs(values["tau_mem"]).mean()) if "tau_mem" in values else 20.0
        pulse = 2.0 * max(tau, 1.0) if duration is None else 4.0
        return {"pulse": pulse, "step": 2.0, "sine": 4.0, "chirp": 4.0, "noise": 10.0}[kind]
    omega = float(np.abs(values["omega"]).mean())
    damping = float(np.clip(damping, 1.0, max(1.0 / dt, 1.0))) if np.isfinite(damping) else 1.0
    return {
        "pulse": 2.0 / dt if duration is None else 2.0 * max(omega, 1.0 / duration),
        "step": 2.0 * max(omega, 1.0),
        "sine": 6.0 * damping,
        "chirp": 12.0 * damping,
        "noise": 30.0 * float(np.sqrt(damping)),
    }[kind]
