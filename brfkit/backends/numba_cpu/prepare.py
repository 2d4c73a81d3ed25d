"""A network, its weights and its input as the numba kernels want them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import Input
from brfkit.backends.numba_cpu.bfloat import pack_pairs, products_of
from brfkit.backends.numba_cpu.binary import pack_binary
from brfkit.backends.numba_cpu.layout import Layout
from brfkit.backends.numba_cpu.shape import Shape
from brfkit.backends.numba_cpu.table import Block
from brfkit.backends.reference import derive_values
from brfkit.codegen.model import Model, build_model
from brfkit.events import Events
from brfkit.network import Layer, Network

NARROW_CHANNELS = 8  # dense input channels up to which the input is added where the neuron is computed


@dataclass
class Prepared:
    """A layer and its weights as the kernels want them."""

    layer: Layer
    model: Model
    layout: Layout
    shape: Shape
    arguments: dict[str, Any]
    constants: NDArray
    derived: NDArray
    w_in: NDArray
    w_rec: NDArray
    w_rec_back: NDArray
    w_in_back: NDArray
    bias: NDArray
    inputs: int

    @property
    def n_states(self) -> int:
        return len(self.model.states)


@dataclass
class Source:
    """The network's input as the kernels want it; what is not used is an empty array."""

    x: NDArray
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    kind: str
    bits: Block | None = None


def make_source(x: Input, dtype: np.dtype, tile: int, threads: int) -> Source:
    """Dense input, events, or ``spikes`` where a dense input turns out to be few ones among zeros."""
    no_x, no_ptr, no_index = np.zeros(1, dtype), np.zeros(1, np.int64), np.zeros(1, np.int32)
    if isinstance(x, Events):
        indptr = np.ascontiguousarray(x.indptr, np.int64).reshape(-1)
        indices = np.ascontiguousarray(x.indices, np.int32)
        return Source(no_x, indptr, indices if indices.size else no_index, "events")
    x = np.ascontiguousarray(x, dtype)
    bits = pack_binary(x, tile, threads) if x.shape[2] > NARROW_CHANNELS else None
    if bits is not None:
        return Source(no_x, no_ptr, no_index, "spikes", bits)
    return Source(x.reshape(-1), no_ptr, no_index, "dense")


def _backward_rows(shape: Shape, w_rec: NDArray) -> NDArray:
    return shape.layout.rows(w_rec) if shape.products == "float32" else pack_pairs(shape.layout, w_rec)


def prepare(
    network: Network,
    weights: Mapping[str, NDArray],
    dtype: np.dtype,
    tile: int,
    kind: str,
    masked: bool = False,
    precision: str = "float32",
) -> list[Prepared]:
    prepared: list[Prepared] = []
    empty = np.zeros(1, dtype)
    for index, layer in enumerate(network.layers):
        name = layer.name
        model = build_model(layer.neuron, layer.options, layer.surrogate)
        layout = Layout.of(layer.units, dtype)
        source = kind if index == 0 else "spikes"
        below = prepared[-1].layout if prepared else None
        inputs = network.fan_in(index)
        channels = inputs if source == "dense" and inputs <= NARROW_CHANNELS else 0
        shape = Shape(
            dtype=str(dtype),
            layout=layout,
            tile=tile,
            source=source,
            recurrent=layer.recurrent,
            last=index == len(network.layers) - 1,
            channels=channels,
            words_in=-(-inputs // 64) if source == "spikes" else 0,
            masked=masked and layer.spec.spiking,
            products=products_of(layout, precision, str(dtype), layer.recurrent),
        )
        typed = {key: np.asarray(value, dtype) for key, value in weights.items() if key.startswith(f"{name}.")}
        values, arguments = derive_values(model, layer, typed, network.dt)
        constants = layer.spec.resolve_constants(network.dt, layer.constants)
        w_in = typed[f"{name}.w_in"]
        w_rec = typed.get(f"{name}.w_rec")
        prepared.append(
            Prepared(
                layer,
                model,
                layout,
                shape,
                arguments,
                np.array([constants[c] for c in model.constants], dtype),
                layout.rows(np.array([values[d] for d in model.derived], dtype)),
                layout.rows(w_in.T, spare=1 if source == "spikes" else 0),
                empty if w_rec is None else layout.rows(w_rec.T, spare=1),
                empty if w_rec is None else _backward_rows(shape, w_rec),
                empty if below is None else below.rows(w_in),
                layout.row(typed.get(f"{name}.bias", np.zeros(layer.units, dtype))),
                inputs,
            )
        )
    return prepared
