"""Initial values of layers: what ``init`` takes, and the check that neurons are stable at a time step."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brfkit.codegen.model import build_model
from brfkit.codegen.python_printer import NUMPY, build
from brfkit.errors import BrfkitError
from brfkit.network import Layer, Network, Weights
from brfkit.neurons import Constant, Init, Normal, Uniform

InitLike: TypeAlias = "Init | float | tuple[str, float, float] | Tensor | NDArray[np.floating]"
PRESETS = ("published", "active")
GROWTH_STEPS, GROWTH = 64, 1e6


@dataclass(frozen=True, eq=False)
class Given:
    """Initial values that are written out."""

    values: NDArray[np.float64]

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> NDArray[np.float64]:
        shape = (size,) if isinstance(size, int) else tuple(size)
        if self.values.shape not in ((), shape):
            raise BrfkitError(f"initial values of shape {self.values.shape} do not fit a parameter of shape {shape}")
        return np.broadcast_to(self.values, shape).copy()


def as_init(name: str, value: object) -> Init | Given:
    """What ``init`` may hold for a parameter, as something to sample from.

    Raises:
        BrfkitError: it is none of a distribution, a number, ``("uniform", low, high)``, ``("normal", mean, std)``, a
            tensor and an array.
    """
    if isinstance(value, Uniform | Normal | Constant | Given):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return Constant(float(value))
    if isinstance(value, Tensor | np.ndarray):
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
        if np.issubdtype(array.dtype, np.number) and np.isfinite(array).all():
            return Given(array.astype(np.float64))
    if isinstance(value, tuple | list) and len(value) == 3 and value[0] in ("uniform", "normal"):
        kind = Uniform if value[0] == "uniform" else Normal
        if all(isinstance(v, int | float) and math.isfinite(v) for v in value[1:]):
            return kind(float(value[1]), float(value[2]))
    raise BrfkitError(
        f"init of {name} must be a finite number, a tensor, ('uniform', low, high), ('normal', mean, std) or one of "
        f"brfkit.neurons.Uniform, Normal, Constant, not {value!r}"
    )


def as_inits(init: Mapping[str, object] | str | None, known: tuple[str, ...], owner: str) -> dict[str, Init | Given]:
    """``init`` of a layer by parameter; a preset stands for the distributions of the specification."""
    if init is None or isinstance(init, str):
        if isinstance(init, str) and init not in PRESETS:
            raise BrfkitError(f"{owner}: init {init!r} is none of {', '.join(PRESETS)}, nor a mapping by parameter")
        return {}
    if not isinstance(init, Mapping):
        raise BrfkitError(f"{owner}: init must map parameters to initial values or name a preset, not {init!r}")
    for name in init:
        if name not in known:
            raise BrfkitError(f"{owner} has no parameter {name!r} to give init for; it has {', '.join(known)}")
    return {name: as_init(name, value) for name, value in init.items()}


def seed() -> int:
    """A seed from torch's generator, so that ``torch.manual_seed`` decides it."""
    drawn = torch.randint(2**62, (1,), device="cpu")
    return int(drawn.item()) if type(drawn) is Tensor else 0  # a fake tensor has no value


def check_stable(network: Network, weights: Weights, owner: str) -> None:
    """Refuse a time step at which no neuron of a layer works; warn where some do not.

    A neuron does not work where its ω is held at the bound of its discretisation, which leaves ω without a gradient,
    or where a small state grows a millionfold within 64 steps without input.
    """
    for layer in network.layers:
        held = np.zeros(layer.units, bool)
        omega = weights.get(f"{layer.name}.omega")
        bound = layer.spec.largest_omega(layer.options, network.dt)
        if omega is not None and math.isfinite(bound):
            held = np.abs(omega) >= bound
        wrong = held | _grows(layer, network.dt, weights)
        if not wrong.any():
            continue
        why = f"|ω| ≥ {bound:g} is held there and has no gradient" if held.any() else "its state grows without input"
        text = f"dt={network.dt:g} is too large for {int(wrong.sum())} of {layer.units} neurons ({why})"
        if wrong.all():
            raise BrfkitError(f"{owner}: {text}; take a smaller dt, or a smaller omega in init")
        warnings.warn(f"{owner}: {text}", stacklevel=4)


def _grows(layer: Layer, dt: float, weights: Weights) -> NDArray[np.bool_]:
    """Whether a small state runs away without input, by neuron."""
    model = build_model(layer.neuron, layer.options, layer.surrogate)
    values: dict[str, object] = dict(layer.spec.resolve_constants(dt, layer.constants))
    values |= {name: np.asarray(weights[f"{layer.name}.{name}"], np.float64) for name in model.parameters}
    with np.errstate(all="ignore"):
        derived = model.derive_numpy(*(values[name] for name in model.derive.inputs))
        values |= dict(zip(model.derived, derived, strict=True)) | {"x": 0.0}
        step = build(model.step, "numpy", NUMPY)
        start = {name: np.full(layer.units, 0.0 if name in ("z", "q") else 1e-9) for name in model.states}
        now: dict[str, object] = dict(start)
        for _ in range(GROWTH_STEPS):
            _, *after = step(*((values | now)[name] for name in model.step.inputs))
            now = {name: np.broadcast_to(v, (layer.units,)) for name, v in zip(model.states, after, strict=True)}
        reached = np.max([np.abs(np.asarray(now[name])) for name in model.states], axis=0)
    grown: NDArray[np.bool_] = ~(reached < 1e-9 * GROWTH)
    return grown
