"""A network: what is connected to what, and its weights by name. No backend and no torch in here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import DTypeLike, NDArray

from brfkit.errors import BrfkitError
from brfkit.neurons import Init, Neuron, OptionValue, Parameter, get_neuron, get_surrogate
from brfkit.neurons.spec import DISCRETISATION

Weights = dict[str, NDArray]
MATRICES = ("w_in", "w_rec")
_MASK_STREAM = 8  # the numbers below belong to streams of training (order, dropout, spectrum, calibration)


@dataclass(frozen=True)
class Layer:
    """Neurons of one kind with their input and recurrent connections.

    Attributes:
        name: prefix of its weights, unique in the network.
        neuron: name in the registry.
        units: number of neurons H.
        recurrent: whether spikes come back through W_rec one step later.
        bias: whether a constant current per neuron is trained.
        options: parts of the neuron switched on or off, by name; ``discretisation``; ``train_<constant>`` to train a
            constant (see :meth:`brfkit.neurons.Neuron.resolve_options`).
        constants: fixed numbers of the neuron that differ from its defaults, by name.
        surrogate: surrogate gradient; None takes the neuron's own.
        density: share of the weights of ``w_in`` and ``w_rec`` that are kept, above 0 and up to 1, by name, or one
            number for both. The others are masked: 0, with the gradient 0 (:meth:`Network.masks`).
        mask_seed: seed of the mask, with the names of layer and weight.
    """

    name: str
    neuron: str
    units: int
    recurrent: bool = True
    bias: bool = False
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    surrogate: str | None = None
    density: float | Mapping[str, float] = 1.0
    mask_seed: int = 0

    def __post_init__(self) -> None:
        given = self.density if isinstance(self.density, Mapping) else self._both(self.density)
        for name, share in given.items():
            if name not in self._matrices:
                raise BrfkitError(f"layer {self.name}: density is of {' and '.join(self._matrices)}, not of {name!r}")
            if not 0.0 < share <= 1.0:
                raise BrfkitError(f"layer {self.name}: density of {name} must be above 0 and at most 1, not {share!r}")
        object.__setattr__(self, "density", {name: float(share) for name, share in given.items() if share != 1.0})
        if self.mask_seed < 0:
            raise BrfkitError(f"layer {self.name}: mask_seed must be at least 0, not {self.mask_seed}")
        if "." in self.name:
            raise BrfkitError(f"a layer's name must not hold a dot: {self.name!r}")
        if self.units < 1:
            raise BrfkitError(f"layer {self.name} needs at least one unit, not {self.units}")
        if self.recurrent and not self.spec.spiking:
            raise BrfkitError(f"layer {self.name}: neuron {self.neuron} does not spike, so it cannot be recurrent")
        self.spec.resolve_options(self.options)
        self.spec.resolve_constants(1.0, self.constants)
        if self.surrogate is not None:
            get_surrogate(self.surrogate)

    @property
    def _matrices(self) -> tuple[str, ...]:
        return MATRICES if self.recurrent else MATRICES[:1]

    def _both(self, share: float) -> dict[str, float]:
        return dict.fromkeys(self._matrices, share)

    @property
    def densities(self) -> dict[str, float]:
        """:attr:`density` by name, without the dense ones."""
        return dict(self.density) if isinstance(self.density, Mapping) else self._both(self.density)

    @property
    def spec(self) -> Neuron:
        return get_neuron(self.neuron)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The neuron's trained parameters, constants that are trained among them."""
        return self.spec.trained(self.options, self.constants)

    @property
    def surrogate_name(self) -> str | None:
        return self.spec.surrogate if self.surrogate is None else self.surrogate

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        """Weights of this layer without its prefix: ``w_in`` (H, I), ``w_rec`` (H, H), ``bias`` (H,), neuron's (H,)."""
        shapes: dict[str, tuple[int, ...]] = {"w_in": (self.units, inputs)}
        if self.recurrent:
            shapes["w_rec"] = (self.units, self.units)
        if self.bias:
            shapes["bias"] = (self.units,)
        return shapes | {p.name: (self.units,) for p in self.parameters}


@dataclass(frozen=True)
class Network:
    """Layers in a row; the output of the last one is the output of the network.

    Attributes:
        inputs: number of input channels I.
        layers: from input to output. A spiking last layer gives spikes, a leaky integrator gives membrane values.
        dt: time step δ in the time unit of ω.
    """

    inputs: int
    layers: tuple[Layer, ...]
    dt: float = 0.01

    def __post_init__(self) -> None:
        if self.inputs < 1:
            raise BrfkitError(f"a network needs at least one input channel, not {self.inputs}")
        if not self.layers:
            raise BrfkitError("a network needs at least one layer")
        names = [layer.name for layer in self.layers]
        if len(set(names)) != len(names):
            raise BrfkitError(f"layer names must differ: {', '.join(names)}")
        for layer in self.layers[:-1]:
            if not layer.spec.spiking:
                raise BrfkitError(f"only the last layer may be without spikes, not {layer.name}")
        self.layers[0].spec.resolve_constants(self.dt, {})

    @property
    def outputs(self) -> int:
        return self.layers[-1].units

    @property
    def spiking_layers(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.spec.spiking)

    def fan_in(self, index: int) -> int:
        return self.inputs if index == 0 else self.layers[index - 1].units

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight by name, ``<layer>.<weight>``, in the order of the layers."""
        return {
            f"{layer.name}.{name}": shape
            for index, layer in enumerate(self.layers)
            for name, shape in layer.shapes(self.fan_in(index)).items()
        }

    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """Which weights are kept, in the shape of each weight that is not dense; read-only arrays.

        Every weight is kept with the probability of its density, independently of the others.

        Raises:
            BrfkitError: no weight of a matrix is kept.
        """
        found = {}
        for index, layer in enumerate(self.layers):
            shapes = layer.shapes(self.fan_in(index)) if layer.densities else {}
            for weight, share in layer.densities.items():
                name = f"{layer.name}.{weight}"
                found[name] = _mask(name, shapes[weight], share, layer.mask_seed)
        return found

    def masked(self, weights: Mapping[str, NDArray]) -> Weights:
        """The weights with 0 where :meth:`masks` has False."""
        masks = self.masks()
        return {
            name: np.where(masks[name], value, value.dtype.type(0)) if name in masks else value
            for name, value in weights.items()
        }

    def parameter_count(self) -> int:
        """Trained numbers, without masked weights."""
        masked = sum(int(mask.size - mask.sum()) for mask in self.masks().values())
        return sum(int(np.prod(shape)) for shape in self.shapes().values()) - masked

    def check(self, weights: Mapping[str, NDArray]) -> None:
        """Refuse weights of other names or shapes, values that are not finite, and others than 0 where a mask has 0."""
        shapes = self.shapes()
        for name in shapes.keys() - weights.keys():
            raise BrfkitError(f"weight {name} is missing")
        for name in weights.keys() - shapes.keys():
            raise BrfkitError(f"weight {name} does not belong to this network")
        for name, shape in shapes.items():
            if weights[name].shape != shape:
                raise BrfkitError(f"weight {name} has shape {weights[name].shape}, this network needs {shape}")
            if not np.isfinite(weights[name]).all():
                raise BrfkitError(f"weight {name} holds values that are not finite")
        for name, mask in self.masks().items():
            if weights[name][~mask].any():
                raise BrfkitError(f"weight {name} is not 0 where its density leaves no connection")

    def initialise(self, seed: int, dtype: DTypeLike = np.float32, init: Mapping[str, Init] | None = None) -> Weights:
        """Weights to start training from.

        [W_in, W_rec] is drawn Xavier-uniform as one matrix, as in the published code; biases are 0; a neuron's own
        parameters come from its specification. ``init`` takes the place of any of these, by ``<layer>.<weight>``.
        Masked weights are 0; the others are those of the dense network.
        """
        rng = np.random.default_rng(seed)
        init = dict(init or {})
        weights: Weights = {}
        for index, layer in enumerate(self.layers):
            fan_in = self.fan_in(index)
            columns = fan_in + layer.units * layer.recurrent
            bound = np.sqrt(6.0 / (columns + layer.units))
            joint = rng.uniform(-bound, bound, (layer.units, columns))
            weights[f"{layer.name}.w_in"] = joint[:, :fan_in]
            if layer.recurrent:
                weights[f"{layer.name}.w_rec"] = joint[:, fan_in:]
            if layer.bias:
                weights[f"{layer.name}.bias"] = np.zeros(layer.units)
            for parameter in layer.parameters:
                name = f"{layer.name}.{parameter.name}"
                weights[name] = init.pop(name, parameter.init).sample(rng, layer.units)
        for name in [name for name in weights if name in init]:  # after all others, which stay what they are without
            weights[name] = init.pop(name).sample(rng, weights[name].shape)
        if init:
            raise BrfkitError(f"initial values are given for {', '.join(init)}, which this network does not have")
        return {name: np.ascontiguousarray(value, dtype) for name, value in self.masked(weights).items()}

    def to_dict(self) -> dict[str, Any]:
        """The network as plain JSON values; :meth:`from_dict` takes it back."""
        return {
            "inputs": self.inputs,
            "dt": self.dt,
            "layers": [
                {
                    "name": layer.name,
                    "neuron": layer.neuron,
                    "units": layer.units,
                    "recurrent": layer.recurrent,
                    "bias": layer.bias,
                    "options": dict(layer.options),
                    "constants": dict(layer.constants),
                    "surrogate": layer.surrogate,
                    **({"density": layer.densities, "mask_seed": layer.mask_seed} if layer.densities else {}),
                }
                for layer in self.layers
            ],
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Network:
        """A network from plain values; anything missing or of the wrong kind is a :class:`BrfkitError`."""
        try:
            layers = tuple(
                Layer(
                    name=str(d["name"]),
                    neuron=str(d["neuron"]),
                    units=int(d["units"]),
                    recurrent=bool(d["recurrent"]),
                    bias=bool(d["bias"]),
                    options={str(k): v if isinstance(v, str) else bool(v) for k, v in d["options"].items()},
                    constants={str(k): float(v) for k, v in d["constants"].items()},
                    surrogate=None if d["surrogate"] is None else str(d["surrogate"]),
                    density={str(k): float(v) for k, v in d.get("density", {}).items()},
                    mask_seed=int(d.get("mask_seed", 0)),
                )
                for d in data["layers"]
            )
            return Network(inputs=int(data["inputs"]), layers=layers, dt=float(data["dt"]))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BrfkitError(f"this is not the description of a network ({error!r})") from None


@lru_cache(maxsize=64)
def _mask(name: str, shape: tuple[int, ...], density: float, seed: int) -> NDArray[np.bool_]:
    rng = np.random.default_rng([seed, _MASK_STREAM, crc32(name.encode())])
    mask: NDArray[np.bool_] = rng.random(shape) < density
    if not mask.any():
        raise BrfkitError(f"a density of {density:g} leaves none of the {mask.size} weights of {name}")
    mask.flags.writeable = False
    return mask


def recurrent_network(
    inputs: int,
    hidden: Iterable[int],
    outputs: int,
    neuron: str = "brf",
    *,
    readout: str = "li",
    dt: float = 0.01,
    recurrent: bool = True,
    bias: bool = False,
    readout_bias: bool = False,
    options: Mapping[str, OptionValue] | None = None,
    constants: Mapping[str, float] | None = None,
    surrogate: str | None = None,
    discretisation: str | None = None,
    trainable: Iterable[str] = (),
) -> Network:
    """The network of the papers: spiking layers ``hidden0``, ``hidden1``, … and a leaky-integrator ``readout``.

    ``options``, ``constants``, ``discretisation`` and the constants that are ``trainable`` are those of the hidden
    layers; what is left out is as ``options`` say.
    """
    chosen = {**(options or {}), **get_neuron(neuron).trainable_options(trainable)}
    if discretisation is not None:
        chosen[DISCRETISATION] = discretisation
    first = Layer("", neuron, 1, recurrent, bias, chosen, dict(constants or {}), surrogate)
    layers = [replace(first, name=f"hidden{i}", units=units) for i, units in enumerate(hidden)]
    return Network(inputs, (*layers, Layer("readout", readout, outputs, recurrent=False, bias=readout_bias)), dt)
