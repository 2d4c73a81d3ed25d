"""A network, its weights and its input as the kernels want them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brfkit.backends.base import check_names, common_dtype
from brfkit.backends.cupy_gpu.device import Array, Device
from brfkit.backends.cupy_gpu.helpers import Helpers
from brfkit.backends.cupy_gpu.layout import INLINE_CHANNELS, check_units, scan_shape
from brfkit.backends.cupy_gpu.source import ScanShape, derive_source
from brfkit.codegen.model import Model, build_model
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Layer, Network

DERIVE_THREADS = 128


@dataclass
class Source:
    """The network's input on the device: dense ``x`` [T, B, I], or events."""

    x: Array | None
    indptr: Array | None = None
    indices: Array | None = None

    @property
    def is_events(self) -> bool:
        return self.x is None


@dataclass
class Prepared:
    """A layer with its weights on the device.

    Attributes:
        weights: by name within the layer, [sets, ...].
        derived: [DERIVED, sets, H].
    """

    layer: Layer
    model: Model
    shape: ScanShape
    weights: dict[str, Array]
    inputs: int
    constants: Array
    constants64: Array
    derived: Array

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def units(self) -> int:
        return self.layer.units

    @property
    def spiking(self) -> bool:
        return self.layer.spec.spiking

    @property
    def words(self) -> int:
        return -(-self.units // 32)

    @property
    def parameters(self) -> list[Array]:
        return [self.weights[name] for name in self.model.parameters]


def dtype_of(network: Network, weights: Mapping[str, Any], device: Device) -> np.dtype:
    """The dtype of the computation. Weights on the device are not searched for NaN: that would wait for the device."""
    if not any(device.owns(value) for value in weights.values()):
        return common_dtype(network, weights)
    zero = {name: np.zeros((), value.dtype) for name, value in weights.items()}
    if {n: tuple(v.shape) for n, v in weights.items()} != network.shapes():
        network.check({name: np.broadcast_to(zero[name], value.shape) for name, value in weights.items()})
    dtypes = {value.dtype for value in weights.values()}
    if len(dtypes) != 1 or next(iter(dtypes)) not in (np.float32, np.float64):
        raise BrfkitError(f"all weights must be float32 or all float64, not {', '.join(sorted(map(str, dtypes)))}")
    return next(iter(dtypes))


def make_source(device: Device, x: Any, dtype: np.dtype) -> Source:
    if isinstance(x, Events):
        return Source(None, device.put(x.indptr, np.int64), device.put(x.indices, np.int32))
    return Source(device.put(x, dtype))


def given_states(
    device: Device, network: Network, batch: int, dtype: np.dtype, given: Mapping[str, Any] | None, what: str
) -> dict[str, Array]:
    """States that were handed in, on the device; what is missing is left out."""
    check_names(network, list(given or {}), what)
    units = {layer.name: layer.units for layer in network.layers}
    arrays = {}
    for name, value in (given or {}).items():
        wanted = (batch, units[name.rpartition(".")[0]])
        if tuple(value.shape) != wanted:
            raise BrfkitError(f"{what} {name} has shape {tuple(value.shape)}, not {wanted}")
        arrays[name] = device.put(value, dtype)
    return arrays


def stack_states(device: Device, p: Prepared, batch: int, given: Mapping[str, Array]) -> Array:
    """The states of a layer [STATES, B, H]; 0 where nothing is given."""
    stacked = device.zeros((len(p.model.states), batch, p.units), p.shape.dtype)
    for i, state in enumerate(p.model.states):
        if f"{p.name}.{state}" in given:
            stacked[i] = given[f"{p.name}.{state}"]
    return stacked


class Preparer:
    """Puts networks on a device; small constants stay there."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._constants: dict[tuple[str, tuple[float, ...]], Array] = {}
        self._helpers = {name: Helpers(device, name) for name in ("float32", "float64")}

    def helpers(self, dtype: np.dtype) -> Helpers:
        return self._helpers[dtype.name]

    def layers(
        self, network: Network, sets: Sequence[Mapping[str, Any]], dtype: np.dtype, dense: bool
    ) -> list[Prepared]:
        """The layers with one or several sets of weights. One set of arrays of the device is shared, not copied."""
        return [self._layer(network, i, sets, dtype, dense and i == 0) for i in range(len(network.layers))]

    def _layer(
        self, network: Network, index: int, sets: Sequence[Mapping[str, Any]], dtype: np.dtype, dense: bool
    ) -> Prepared:
        layer, device = network.layers[index], self.device
        check_units(layer.name, layer.units, layer.recurrent, dtype.itemsize)
        model = build_model(layer.neuron, layer.options, layer.surrogate)
        prefix, inputs = f"{layer.name}.", network.fan_in(index)
        names = [name for name in sets[0] if name.startswith(prefix)]
        own = {name.removeprefix(prefix): self._stack([weights[name] for weights in sets], dtype) for name in names}
        inline = inputs if dense and inputs <= INLINE_CHANNELS else 0
        resolved = layer.spec.resolve_constants(network.dt, layer.constants)
        values = tuple(resolved[name] for name in model.constants)
        constants64 = self._constant(values, "float64")
        derived = device.empty((len(model.derived), len(sets), layer.units), dtype)
        derive = device.kernel(derive_source(model, dtype.name), "derive")
        units = len(sets) * layer.units
        blocks = -(-units // DERIVE_THREADS)
        derive(blocks, DERIVE_THREADS, 0, *(own[n] for n in model.parameters), constants64, derived, units)
        shape = scan_shape(dtype.name, layer.units, inline, layer.recurrent)
        constants = self._constant(values, dtype.name)
        return Prepared(layer, model, shape, own, inputs, constants, constants64, derived)

    def _stack(self, arrays: Sequence[Any], dtype: np.dtype) -> Array:
        """Arrays of one shape as one of the device, [sets, ...]."""
        if len(arrays) == 1:
            return self.device.put(arrays[0], dtype).reshape((1, *arrays[0].shape))
        return self.device.put(np.stack(arrays), dtype)

    def derive_gradients(self, p: Prepared, sums: Array) -> dict[str, Array]:
        """Gradients of the neuron's own parameters from those of its derived values, the first rows of ``sums``."""
        result = self.device.empty((len(p.model.parameters), p.units), p.shape.dtype)
        kernel = self.device.kernel(derive_source(p.model, p.shape.dtype), "derive_vjp")
        blocks = -(-p.units // DERIVE_THREADS)
        kernel(blocks, DERIVE_THREADS, 0, *p.parameters, p.constants64, sums, result, p.units)
        return {f"{p.name}.{name}": result[i] for i, name in enumerate(p.model.parameters)}

    def _constant(self, values: tuple[float, ...], dtype: str) -> Array:
        key = (dtype, values)
        if key not in self._constants:
            self._constants[key] = self.device.to_device(np.array(values, dtype))
        return self._constants[key]
