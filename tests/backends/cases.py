"""The networks of the conformance battery, and what each of them gives on the reference backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from brfkit.backends.base import Gradients, Trace
from brfkit.backends.reference import ReferenceBackend
from brfkit.events import Events
from brfkit.network import Layer, Network, Weights

# Size of the input current that lets a neuron fire at a few per cent to a third of the steps with δ = 0.01.
DRIVE = {"brf": 60.0, "rf": 25.0, "bhrf": 60.0, "alif": 1.0, "lif": 10.0, "rf-izhikevich": 25.0, "se-adlif": 15.0}


@dataclass(frozen=True)
class Case:
    """One network and batch. ``hidden`` are the units H per spiking layer; without ``readout`` it gives spikes."""

    name: str
    neuron: str
    batch: int
    steps: int
    hidden: tuple[int, ...]
    dtypes: str = "float32 float64"
    inputs: int = 5
    recurrent: bool = True
    bias: bool = False
    readout: str | None = "li"
    events: bool = False
    options: dict[str, bool | str] = field(default_factory=dict)
    surrogate: str | None = None

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


# Chosen to cover, with few kernels to compile: B 1, 3, 8, 9, 17; T 1, 2, 5, 37, 70 (up to 4 segments, 3 tiles);
# H 1, 7, 13, 33, 130; every neuron, readout, option, discretisation and surrogate; one to three layers; dense, events,
# spikes as input. Layouts are those of the golden traces where they can be.
CASES = (
    Case("brf", "brf", 17, 70, (33,)),
    Case("rf", "rf", 3, 37, (13,), inputs=7),
    Case("bhrf", "bhrf", 8, 37, (13,), inputs=7, readout="li-sigmoid"),
    Case("alif", "alif", 17, 70, (33,), "float32"),
    Case("lif", "lif", 8, 37, (7,), "float32", bias=True),
    Case("rf-izhikevich", "rf-izhikevich", 3, 70, (33,)),
    Case("one-neuron", "brf", 1, 1, (1,), "float64", inputs=1, options={"refractory": False}),
    Case("bias", "brf", 3, 5, (7,), "float32", bias=True, surrogate="gaussian", options={"smooth_reset": False}),
    Case("wide", "brf", 8, 37, (130,), "float64", inputs=2),
    Case("feed-forward", "brf", 9, 2, (33,), "float64", recurrent=False, options={"divergence_boundary": False}),
    Case("two-layers", "brf", 17, 37, (33, 7), "float32", surrogate="linear"),
    Case("three-layers", "alif", 3, 37, (7, 33, 7), "float64", bias=True, surrogate="exponential"),
    Case("spikes-out", "brf", 8, 37, (33,), "float32", readout=None, surrogate="multi_gaussian"),
    Case("events", "brf", 17, 70, (33,), "float32", inputs=12, events=True),
    Case("events-feed-forward", "lif", 1, 37, (7,), "float64", inputs=12, recurrent=False, events=True),
    Case("se-adlif", "se-adlif", 9, 37, (13,)),
    Case("symplectic", "brf", 3, 37, (13,), "float32", options={"discretisation": "symplectic"}),
    Case("exact", "brf", 3, 37, (13,), "float32", options={"discretisation": "exact"}),
    Case("trained-gamma", "brf", 3, 37, (13,), "float64", options={"discretisation": "exact", "train_gamma": True}),
)
RUNS = [(case, dtype) for case in CASES for dtype in case.dtypes.split()]


@dataclass(frozen=True)
class Problem:
    """A case with its numbers; ``x`` and all weights have ``dtype``."""

    network: Network
    weights: Weights
    x: np.ndarray
    signal: np.ndarray | Events
    state: dict[str, np.ndarray]
    output_bar: np.ndarray
    state_bar: dict[str, np.ndarray]
    record: tuple[str, ...]


def build_network(case: Case) -> Network:
    layers = [
        Layer(f"h{i}", case.neuron, units, case.recurrent, case.bias, case.options, {}, case.surrogate)
        for i, units in enumerate(case.hidden)
    ]
    if case.readout is not None:
        layers.append(Layer("out", case.readout, 5, recurrent=False, bias=case.bias))
    return Network(case.inputs, tuple(layers))


def make_weights(network: Network, dtype: str, rng: np.random.Generator) -> Weights:
    weights = network.initialise(11, np.float64)
    for index, layer in enumerate(network.layers):
        drive = DRIVE.get(layer.neuron, 1.0)
        fan_in = network.fan_in(index)
        weights[f"{layer.name}.w_in"] = rng.normal(0.2, 1, (layer.units, fan_in)) * drive * 2 / np.sqrt(fan_in)
        if layer.recurrent:
            weights[f"{layer.name}.w_rec"] = rng.normal(0, 1, (layer.units, layer.units)) * drive / np.sqrt(layer.units)
        if layer.bias:
            weights[f"{layer.name}.bias"] = rng.normal(0, 0.1, layer.units) * drive
        if layer.neuron == "alif":  # with the default 200 steps nothing would adapt in these short runs
            weights[f"{layer.name}.tau_adp"] = rng.uniform(5, 30, layer.units)
        if f"{layer.name}.gamma" in weights:  # of either sign, some mirrored at 1
            weights[f"{layer.name}.gamma"] = rng.uniform(0.5, 1.3, layer.units) * rng.choice([-1, 1], layer.units)
    return {name: np.ascontiguousarray(value, dtype) for name, value in weights.items()}


def state_shapes(network: Network, batch: int) -> dict[str, tuple[int, int]]:
    shapes: dict[str, tuple[int, int]] = {}
    for layer in network.layers:
        symbols = (*layer.spec.states, *(("z",) if layer.spec.spiking else ()))
        shapes |= {f"{layer.name}.{s}": (batch, layer.units) for s in symbols}
    return shapes


@lru_cache(maxsize=64)
def problem(case: Case, dtype: str) -> Problem:
    rng = np.random.default_rng(CASES.index(case) + 1)
    network = build_network(case)
    weights = make_weights(network, dtype, rng)
    shape = (case.steps, case.batch, case.inputs)
    x = (rng.random(shape) < 0.25) if case.events else rng.uniform(0, 1, shape)
    x = x.astype(dtype)
    shapes = state_shapes(network, case.batch)
    state = {
        name: ((rng.random(s) < 0.3) if name.endswith(".z") else 0.2 * rng.random(s)).astype(dtype)
        for name, s in shapes.items()
    }
    output_bar = rng.normal(0, 1, (case.steps, case.batch, network.outputs)).astype(dtype)
    state_bar = {name: rng.normal(0, 1, s).astype(dtype) for name, s in shapes.items()}
    signal = Events.from_dense(x) if case.events else x
    return Problem(network, weights, x, signal, state, output_bar, state_bar, tuple(shapes))


@lru_cache(maxsize=64)
def reference_scan(case: Case, dtype: str) -> Trace:
    p = problem(case, dtype)
    return ReferenceBackend().scan(
        p.network, p.weights, p.x, initial_state=p.state, record=p.record, differentiate=True
    )


def reference_gradients(case: Case, dtype: str, keep: np.ndarray) -> Gradients:
    """Gradients of the samples in ``keep`` (bool [B])."""
    p = problem(case, dtype)
    return ReferenceBackend().scan_vjp(
        reference_scan(case, dtype), **cotangents(p, keep), input_grad=True, initial_state_grad=True
    )


def cotangents(p: Problem, keep: np.ndarray) -> dict:
    """Arguments of ``scan_vjp`` with the gradient of all other samples set to 0."""
    mask = keep.astype(p.output_bar.dtype)[:, None]
    return {
        "output_grad": p.output_bar * mask,
        "final_state_grad": {name: bar * mask for name, bar in p.state_bar.items()},
    }
