"""Input weights scaled until neurons spike: on data, or on white noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brfkit.backends.reference import ReferenceBackend
from brfkit.errors import BrfkitError
from brfkit.network import Network, Weights
from brfkit.nn.function import run
from brfkit.nn.layers import NeuronLayer
from brfkit.nn.network import NetworkModule
from brfkit.nn.plan import Plan, key_of
from brfkit.simulation.calibration import search_gain

RATE = 0.02  # spikes per neuron and step
GAINS = (1e-4, 1e6)
SEARCH_STEPS = 24
NOISE_STEPS, NOISE_BATCH = 200, 4


@dataclass(frozen=True)
class Calibrated:
    """What :func:`calibrate` did to one layer.

    Attributes:
        name: of the module, or ``<module>.<layer>`` in a network module.
        gain: by which ``w_in`` was multiplied.
        rate: spikes per neuron and step that it then gave.
    """

    name: str
    gain: float
    rate: float


@torch.no_grad()
def calibrate(model: torch.nn.Module, x: Any, *, rate: float = RATE) -> list[Calibrated]:
    """Scale the input weights of spiking layers so that they spike at about the same rate on a batch.

    Layers are scaled in the order in which ``model(x)`` calls them, each on what the scaled layers before it give.
    ``w_in`` of each is multiplied by one positive number; nothing else changes.

    Args:
        model: a layer, a :class:`NetworkModule`, or a module that holds some.
        x: a batch of typical input, as ``model`` takes it.
        rate: spikes per neuron and step to come close to.

    Returns:
        One entry per spiking layer.

    Raises:
        BrfkitError: a rate outside 0 … 1, or a layer that gives no spike however large its input weights are.
    """
    if not 0.0 < rate < 1.0:
        raise BrfkitError(f"the rate must lie between 0 and 1 spikes per neuron and step, not {rate!r}")
    done: list[Calibrated] = []
    seen: set[int] = set()

    def before(name: str) -> Callable[..., None]:
        def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if id(module) in seen:
                return
            seen.add(id(module))
            if isinstance(module, NeuronLayer):
                done.extend(_layer(module, name, args, kwargs, rate))
            elif isinstance(module, NetworkModule):
                done.extend(_network(module, name, args[0], rate))

        return hook

    handles = [
        module.register_forward_pre_hook(before(name), with_kwargs=True)
        for name, module in model.named_modules()
        if isinstance(module, NeuronLayer | NetworkModule)
    ]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return done


def _layer(
    module: NeuronLayer, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], rate: float
) -> list[Calibrated]:
    """One layer; where it has several, each by its own output, which ``state["z"]`` at every step is."""
    if not module.layer.spec.spiking:
        return []
    done = []
    before = module.return_state, module.return_states, module._watch.open
    module.return_state, module.return_states, module._watch.open = False, True, False
    rows = module.num_layers * (1 + module.bidirectional)
    try:
        for row in range(rows):
            suffix = f"_l{row // (1 + module.bidirectional)}" if row // (1 + module.bidirectional) else ""
            suffix += "_reverse" if module.bidirectional and row % 2 else ""
            weight = getattr(module, f"w_in{suffix}")
            start = weight.clone()

            def measure(gain: float, row: int = row, name: str = f"w_in{suffix}", start: Tensor = start) -> float:
                module._set(name, start * gain)
                _, states = type(module).forward(module, *args, **kwargs)
                z = states["z"] if rows == 1 else states["z"][row]
                return float(z.mean(dtype=torch.float64)) if z.numel() else 0.0

            gain, found = _search(measure, rate, f"{type(module).__name__}{f' {name}' if name else ''}")
            done.append(Calibrated(name + suffix, gain, found))
    finally:
        module.return_state, module.return_states, module._watch.open = before
    return done


def _network(module: NetworkModule, name: str, x: Any, rate: float) -> list[Calibrated]:
    done = []
    weights = module.weight_tensors()
    for layer in module.network.spiking_layers:
        weight = weights[f"{layer.name}.w_in"]
        plan = Plan(module.network, key_of(module.backend), (), (f"{layer.name}.z",))
        start = weight.clone()

        def measure(gain: float, weight: Tensor = weight, plan: Plan = plan, start: Tensor = start) -> float:
            weight.copy_(start * gain)
            z = run(plan, x, list(weights.values()))[0][-1]
            return float(z.mean(dtype=torch.float64)) if z.numel() else 0.0

        label = f"{name}.{layer.name}".lstrip(".")
        gain, found = _search(measure, rate, label)
        done.append(Calibrated(label, gain, found))
    return done


def scale_for_noise(network: Network, weights: Weights, rate: float = RATE) -> None:
    """Scale ``w_in`` in place, layer by layer, so that neurons spike for white noise of unit variance as input."""
    noise = np.random.default_rng(0).standard_normal((NOISE_STEPS, NOISE_BATCH, network.inputs))
    backend = ReferenceBackend()
    for layer in network.spiking_layers:
        key = f"{layer.name}.w_in"
        start: NDArray[np.float64] = weights[key].copy()

        def measure(gain: float, key: str = key, start: NDArray[np.float64] = start, name: str = layer.name) -> float:
            weights[key] = start * gain
            trace = backend.scan(network, weights, noise)
            return float(trace.spike_counts[name].sum()) / (NOISE_STEPS * NOISE_BATCH * network.layers[0].units)

        _search(measure, rate, layer.neuron)


def _search(measure: Callable[[float], float], rate: float, name: str) -> tuple[float, float]:
    """The gain whose rate is closest to the one wanted, and that rate; it is measured last."""
    rates: list[float] = []

    def recorded(gain: float) -> float:
        rates.append(measure(gain))
        return rates[-1]

    gain, _ = search_gain(recorded, rate, gains=GAINS, steps=SEARCH_STEPS)
    if not any(rates):
        measure(1.0)
        raise BrfkitError(f"{name} gives no spike however large its input weights are; is its input all zeros?")
    return gain, measure(gain)
