"""Scans of a whole network, tile by tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import Backend, Gradients, Input, State, Trace, check_input, check_names, get_initial_state
from brfkit.backends.numba_cpu.compile import Kernels, compile_kernels
from brfkit.backends.numba_cpu.kernels import Shape
from brfkit.backends.numba_cpu.layout import Layout, segment_length, tile_size
from brfkit.backends.reference import derive_gradients, derive_values
from brfkit.backends.threads import default_threads, parallel
from brfkit.codegen.model import Model, build_model
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Layer, Network

GRADIENT_SLOTS = 16
CHEAP_CHANNELS = 8  # dense input channels up to which currents are gathered again


@dataclass
class _Prepared:
    """A layer with its kernels and its weights as the kernels want them."""

    layer: Layer
    model: Model
    layout: Layout
    kernels: Kernels
    arguments: dict[str, Any]
    constants: NDArray
    derived: NDArray
    w_in: NDArray
    w_rec: NDArray
    w_rec_back: NDArray
    w_in_back: NDArray
    bias: NDArray
    inputs: int
    words_in: int

    @property
    def n_states(self) -> int:
        return len(self.model.states)


@dataclass
class _Source:
    """The network's input as the kernels want it; what is not used is an empty array."""

    x: NDArray
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    kind: str


@dataclass
class _LayerTile:
    """What a layer keeps of one tile for the backward scan."""

    bits: NDArray[np.uint64]
    current: NDArray
    checkpoint: NDArray


@dataclass
class _Saved:
    network: Network
    layers: list[_Prepared]
    source: _Source
    tiles: list[list[_LayerTile]]
    tile: int
    steps: int
    batch: int
    segment: int
    recompute: bool | None

    def stores_current(self, p: _Prepared) -> bool:
        """Whether the current of every step is kept for the way back."""
        if self.recompute is not None:
            return not self.recompute
        cheap = p is self.layers[0] and self.source.kind == "dense" and p.inputs <= CHEAP_CHANNELS
        return p.layer.spec.spiking and not cheap

    def input_of(self, p: _Prepared) -> tuple[NDArray, NDArray, NDArray]:
        """Dense input, offsets and indices for a layer; only the first one reads them."""
        s = self.source
        return (s.x, s.indptr, s.indices) if p is self.layers[0] else (s.x[:1], s.indptr[:1], s.indices[:1])


class _Records:
    """What was asked to be recorded: the states of a layer in one array [S, T, B, H], its spikes in another."""

    def __init__(self, network: Network, names: Sequence[str], steps: int, batch: int, dtype: np.dtype) -> None:
        self.by_name: dict[str, NDArray] = {}
        self.states: dict[str, NDArray] = {}
        for layer in network.layers:
            shape = (steps, batch, layer.units)
            wanted = [s for s in layer.spec.states if f"{layer.name}.{s}" in names]
            if wanted:
                self.states[layer.name] = np.empty((len(layer.spec.states), *shape), dtype)
            for s in wanted:
                self.by_name[f"{layer.name}.{s}"] = self.states[layer.name][layer.spec.states.index(s)]
            if f"{layer.name}.z" in names and "z" not in wanted:
                self.by_name[f"{layer.name}.z"] = np.empty(shape, dtype)


class NumbaBackend(Backend):
    """Fused CPU scans in float32 or float64 (the dtype of the weights).

    Results do not depend on the number of threads: a tile is always computed alone, and gradients are added in the
    order of the tiles.

    Args:
        threads: CPU threads; None takes all that the process may use.
        recompute: gather the input currents again on the way back instead of keeping them, which takes a fraction of
            the memory. None does so where it costs next to no time: in readouts, and for dense input of few channels.
            The results are the same bit for bit.
    """

    name = "numba"

    def __init__(self, threads: int | None = None, recompute: bool | None = None) -> None:
        self.threads = default_threads() if threads is None else threads
        self.recompute = recompute

    def scan(
        self,
        network: Network,
        weights: Mapping[str, NDArray],
        x: Input,
        *,
        initial_state: Mapping[str, NDArray] | None = None,
        record: Sequence[str] = (),
        differentiate: bool = False,
    ) -> Trace:
        steps, batch = check_input(network, x)
        check_names(network, record, "record")
        dtype = _dtype(network, weights)
        source = _source(x, dtype)
        tile = tile_size(batch)
        layers = _prepare(network, weights, dtype, tile, source.kind)
        segment = min(segment_length(steps, tile, p.layout.width, p.n_states, dtype) for p in layers)
        state = get_initial_state(network, batch, dtype, initial_state)
        last = network.layers[-1]
        outputs = np.empty((steps, batch, last.units), dtype)
        counts = {layer.name: np.zeros(batch, np.int64) for layer in network.spiking_layers}
        records = _Records(network, record, steps, batch, dtype)
        saved = _Saved(network, layers, source, [], tile, steps, batch, segment, self.recompute)
        run = _ForwardTile(saved, state, outputs, counts, records, differentiate)
        tiles = parallel(run, -(-batch // tile), self.threads)
        saved.tiles = [t for t in tiles if t is not None]
        return Trace(outputs, counts, state, records.by_name, saved if differentiate else None)

    def scan_vjp(
        self,
        trace: Trace,
        output_grad: NDArray | None,
        *,
        final_state_grad: Mapping[str, NDArray] | None = None,
        input_grad: bool = False,
        initial_state_grad: bool = False,
    ) -> Gradients:
        saved: _Saved = trace.saved
        if saved is None:
            raise BrfkitError("this trace cannot be differentiated; scan with differentiate=True")
        dtype = saved.layers[0].w_in.dtype
        if input_grad and saved.source.kind == "events":
            raise BrfkitError("events have no gradient; give the input as a dense array")
        grad = np.zeros(1, dtype)
        if output_grad is not None:
            if output_grad.shape != trace.outputs.shape:
                raise BrfkitError(f"output_grad has shape {output_grad.shape}, not {trace.outputs.shape}")
            grad = np.ascontiguousarray(output_grad, dtype).reshape(-1)
        final = get_initial_state(saved.network, saved.batch, dtype, final_state_grad)
        x_bar = np.zeros((saved.steps, saved.batch, saved.network.inputs), dtype) if input_grad else None
        run = _BackwardTile(saved, grad, output_grad is not None, final, x_bar)
        slots = max(min(len(saved.tiles), GRADIENT_SLOTS), 1)
        sums = parallel(lambda slot: run.slot(slot, slots), slots, self.threads)
        weights: dict[str, NDArray] = {}
        for index, prepared in enumerate(saved.layers):
            weights |= _weight_gradients(prepared, [slot[index] for slot in sums])
        weights = {name: weights[name] for name in saved.network.shapes()}
        return Gradients(weights, x_bar, final if initial_state_grad else None)


def _dtype(network: Network, weights: Mapping[str, NDArray]) -> np.dtype:
    network.check(weights)
    dtypes = {value.dtype for value in weights.values()}
    if len(dtypes) != 1 or next(iter(dtypes)) not in (np.float32, np.float64):
        found = ", ".join(sorted(map(str, dtypes)))
        raise BrfkitError(f"all weights must be float32 or all float64, not {found}")
    return next(iter(dtypes))


def _source(x: Input, dtype: np.dtype) -> _Source:
    no_x, no_ptr, no_index = np.zeros(1, dtype), np.zeros(1, np.int64), np.zeros(1, np.int32)
    if isinstance(x, Events):
        indptr = np.ascontiguousarray(x.indptr, np.int64).reshape(-1)
        indices = np.ascontiguousarray(x.indices, np.int32)
        return _Source(no_x, indptr, indices if indices.size else no_index, "events")
    return _Source(np.ascontiguousarray(x, dtype).reshape(-1), no_ptr, no_index, "dense")


def _prepare(
    network: Network, weights: Mapping[str, NDArray], dtype: np.dtype, tile: int, kind: str
) -> list[_Prepared]:
    prepared: list[_Prepared] = []
    empty = np.zeros(1, dtype)
    for index, layer in enumerate(network.layers):
        name = layer.name
        model = build_model(layer.neuron, layer.options, layer.surrogate)
        layout = Layout.of(layer.units, dtype)
        source = kind if index == 0 else "spikes"
        single = layout.block * layout.lanes == layout.width
        shape = Shape(str(dtype), layout.lanes, layout.block, layout.columns, tile, source, layer.recurrent, single)
        typed = {key: np.asarray(value, dtype) for key, value in weights.items() if key.startswith(f"{name}.")}
        values, arguments = derive_values(model, layer, typed, network.dt)
        constants = layer.spec.resolve_constants(network.dt, layer.constants)
        w_in = typed[f"{name}.w_in"]
        w_rec = typed.get(f"{name}.w_rec")
        below = prepared[-1].layout if prepared else None
        prepared.append(
            _Prepared(
                layer,
                model,
                layout,
                compile_kernels(model, shape),
                arguments,
                np.array([constants[c] for c in model.constants], dtype),
                layout.rows(np.array([values[d] for d in model.derived], dtype)),
                layout.rows(w_in.T),
                empty if w_rec is None else layout.rows(w_rec.T),
                empty if w_rec is None else layout.rows(w_rec),
                empty if below is None else below.rows(w_in),
                layout.row(typed.get(f"{name}.bias", np.zeros(layer.units, dtype))),
                network.fan_in(index),
                0 if below is None else below.words,
            )
        )
    return prepared


class _ForwardTile:
    """Runs one tile through all layers; tiles write to separate parts of the shared arrays."""

    def __init__(
        self,
        saved: _Saved,
        state: State,
        outputs: NDArray,
        counts: dict[str, NDArray],
        records: _Records,
        keep: bool,
    ) -> None:
        self.saved, self.state, self.outputs = saved, state, outputs
        self.counts, self.records, self.keep = counts, records, keep

    def __call__(self, index: int) -> list[_LayerTile] | None:
        saved = self.saved
        first = index * saved.tile
        count = min(saved.tile, saved.batch - first)
        below = np.zeros(1, np.uint64)
        kept: list[_LayerTile] = []
        for prepared in saved.layers:
            layer_tile = self._layer(prepared, first, count, below)
            below = layer_tile.bits
            kept.append(layer_tile)
        return kept if self.keep else None

    def _layer(self, p: _Prepared, first: int, count: int, below: NDArray) -> _LayerTile:
        saved, layout, steps, tile = self.saved, p.layout, self.saved.steps, self.saved.tile
        dtype, part = p.w_in.dtype, slice(first, first + count)
        state = pack_state(p, self.state, part, tile)
        bits = np.zeros((steps + 1) * tile * layout.words, np.uint64)
        if p.layer.spec.spiking:
            start = layout.pack_bits(self.state[f"{p.layer.name}.z"][part])
            bits[: start.size] = start.reshape(-1)
        store = self.keep and saved.stores_current(p)
        current = np.empty((steps if store else 1) * tile * layout.width, dtype)
        segments = -(-steps // saved.segment) if self.keep else 0
        checkpoint = np.empty(max(segments * state.size, 1), dtype)
        record = self.records.states.get(p.layer.name)
        nothing = current[:1]
        p.kernels.forward(
            *saved.input_of(p),
            below, p.w_in, p.w_rec, p.bias, p.derived, p.constants,
            state, bits, current, checkpoint, nothing if p.layer.spec.spiking else self.outputs.reshape(-1),
            nothing if record is None else record.reshape(-1),
            first, count, saved.batch, steps, layout.units, layout.width, p.inputs, layout.words, p.words_in,
            saved.segment, self.keep, store, record is not None,
        )  # fmt: skip
        unpack_state(p, state, self.state, part)
        if p.layer.spec.spiking:
            self._collect_spikes(p, part, bits.reshape(-1, tile, layout.words)[1:, :count])
        return _LayerTile(bits, current if store else nothing, checkpoint)

    def _collect_spikes(self, p: _Prepared, part: slice, words: NDArray[np.uint64]) -> None:
        """Count the spikes of a tile and unpack them where they are wanted; words are [T, samples, words]."""
        name, layout = p.layer.name, p.layout
        self.counts[name][part] = np.bitwise_count(words).sum((0, 2), dtype=np.int64)
        if len(words):
            self.state[f"{name}.z"][part] = layout.unpack_bits(words[-1])
        wanted = [self.outputs] if p is self.saved.layers[-1] else []
        if f"{name}.z" in self.records.by_name:
            wanted.append(self.records.by_name[f"{name}.z"])
        if wanted:
            z = layout.unpack_bits(words).reshape(len(words), -1, layout.units)
            for array in wanted:
                array[:, part] = z


def pack_state(p: _Prepared, state: State, part: slice, tile: int) -> NDArray:
    """The states of a tile as [vector][sample][state][lanes]."""
    rows = np.zeros((tile, p.n_states, p.layout.width), p.w_in.dtype)
    for i, s in enumerate(p.model.states):
        rows[: part.stop - part.start, i, : p.layout.units] = state[f"{p.layer.name}.{s}"][part]
    blocked = rows.reshape(tile, p.n_states, -1, p.layout.lanes).transpose(2, 0, 1, 3)
    return np.ascontiguousarray(blocked).reshape(-1)


def unpack_state(p: _Prepared, packed: NDArray, state: State, part: slice) -> None:
    """Put the states of a tile back into the arrays [B, H] of ``state``."""
    layout = p.layout
    blocked = packed.reshape(layout.width // layout.lanes, -1, p.n_states, layout.lanes).transpose(1, 2, 0, 3)
    rows = blocked.reshape(-1, p.n_states, layout.width)[: part.stop - part.start]
    for i, s in enumerate(p.model.states):
        state[f"{p.layer.name}.{s}"][part] = rows[:, i, : layout.units]


@dataclass
class _Sums:
    """Padded gradients of one layer, summed over the tiles of a slot."""

    d_in: NDArray
    d_rec: NDArray
    d_bias: NDArray
    d_params: NDArray


class _BackwardTile:
    """Takes tiles back through all layers. ``final`` is overwritten with the gradient of the initial state."""

    def __init__(self, saved: _Saved, grad: NDArray, has_grad: bool, final: State, x_bar: NDArray | None) -> None:
        self.saved, self.grad, self.has_grad, self.final, self.x_bar = saved, grad, has_grad, final, x_bar

    def slot(self, slot: int, slots: int) -> list[_Sums]:
        """All tiles of a slot, one after the other."""
        sums = []
        for p in self.saved.layers:
            size, dtype = p.layout.width, p.w_in.dtype
            d_rec = np.zeros(p.layer.units * size if p.layer.recurrent else 1, dtype)
            d_params = np.zeros(len(p.model.derived) * size, dtype)
            sums.append(_Sums(np.zeros(p.inputs * size, dtype), d_rec, np.zeros(size, dtype), d_params))
        count = len(self.saved.tiles)
        for index in range(count * slot // slots, count * (slot + 1) // slots):
            self._tile(index, sums)
        return sums

    def _tile(self, index: int, sums: list[_Sums]) -> None:
        saved = self.saved
        first = index * saved.tile
        count = min(saved.tile, saved.batch - first)
        dtype = saved.layers[0].w_in.dtype
        down, w_down, down_units, down_width = np.zeros(1, dtype), np.zeros(1, dtype), 0, 0
        for depth in reversed(range(len(saved.layers))):
            p = saved.layers[depth]
            keep = depth > 0 or self.x_bar is not None
            xbar = np.empty(saved.steps * saved.tile * p.layout.width if keep else 1, dtype)
            self._layer(depth, index, first, count, sums[depth], (down, w_down, down_units, down_width), xbar, keep)
            down, w_down, down_units, down_width = xbar, p.w_in_back, p.layer.units, p.layout.width
        if self.x_bar is not None:
            p = saved.layers[0]
            rows = down.reshape(saved.steps, saved.tile, p.layout.width)[:, :count]
            w_in = p.layout.unpack_rows(p.w_in).T
            self.x_bar[:, first : first + count] = rows[..., : p.layout.units] @ w_in

    def _layer(
        self,
        depth: int,
        index: int,
        first: int,
        count: int,
        sums: _Sums,
        above: tuple[NDArray, NDArray, int, int],
        xbar: NDArray,
        keep: bool,
    ) -> None:
        saved = self.saved
        p, tile = saved.layers[depth], saved.tiles[index][depth]
        below = saved.tiles[index][depth - 1].bits if depth else np.zeros(1, np.uint64)
        layout, part, name = p.layout, slice(first, first + count), p.layer.name
        state_bar = pack_state(p, self.final, part, saved.tile)
        carry = np.zeros((saved.tile, layout.width), p.w_in.dtype)
        follows_z = p.layer.spec.spiking and "z" not in p.model.states
        if follows_z:
            carry[:count, : layout.units] = self.final[f"{name}.z"][part]
        is_last = depth == len(saved.layers) - 1
        down, w_down, down_units, down_width = above
        p.kernels.backward(
            *saved.input_of(p),
            below, p.w_in, p.w_rec, p.bias, p.w_rec_back, p.derived, p.constants,
            tile.bits, tile.current, tile.checkpoint, self.grad, down, w_down, state_bar, carry.reshape(-1),
            sums.d_in, sums.d_rec, sums.d_bias, sums.d_params, xbar,
            first, count, saved.batch, saved.steps, layout.units, layout.width, p.inputs, layout.words, p.words_in,
            saved.segment, saved.stores_current(p), is_last and self.has_grad, down_units, down_width, keep,
        )  # fmt: skip
        unpack_state(p, state_bar, self.final, part)
        if p.layer.spec.spiking:
            through_weights = carry[:count, : layout.units]
            z_bar = self.final[f"{name}.z"]
            z_bar[part] = through_weights if follows_z else z_bar[part] + through_weights


def _weight_gradients(p: _Prepared, sums: list[_Sums]) -> dict[str, NDArray]:
    """Gradients of one layer's weights, summed over the slots in their order."""
    name, layout = p.layer.name, p.layout
    total = sums[0]
    for other in sums[1:]:
        total.d_in += other.d_in
        total.d_rec += other.d_rec
        total.d_bias += other.d_bias
        total.d_params += other.d_params
    gradients = {f"{name}.w_in": np.ascontiguousarray(layout.unpack_rows(total.d_in).T)}
    if p.layer.recurrent:
        gradients[f"{name}.w_rec"] = np.ascontiguousarray(layout.unpack_rows(total.d_rec).T)
    if p.layer.bias:
        gradients[f"{name}.bias"] = total.d_bias[: layout.units].copy()
    bars = dict(zip(p.model.derived, layout.unpack_rows(total.d_params), strict=True))
    return gradients | derive_gradients(p.model, p.layer, p.arguments, bars)
