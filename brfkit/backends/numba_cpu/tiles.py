"""One tile of samples through all layers, forward and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import State
from brfkit.backends.numba_cpu.layout import buffer
from brfkit.backends.numba_cpu.prepare import NARROW_CHANNELS, Prepared, Source
from brfkit.backends.reference import derive_gradients
from brfkit.backends.spike_loss import SpikeLoss
from brfkit.network import Network


@dataclass
class LayerTile:
    """What a layer keeps of one tile for the backward scan."""

    bits: NDArray[np.uint64]
    current: NDArray
    checkpoint: NDArray


@dataclass
class Saved:
    network: Network
    layers: list[Prepared]
    source: Source
    tiles: list[list[LayerTile]]
    tile: int
    steps: int
    batch: int
    segment: int
    recompute: bool | None
    loss: SpikeLoss | None = None

    @property
    def from_events(self) -> bool:
        return self.source.kind == "events"

    def stores_current(self, p: Prepared) -> bool:
        """Whether the current of every step is kept for the way back."""
        if self.recompute is not None:
            return not self.recompute
        return p is self.layers[0] and self.source.kind == "dense" and p.inputs > NARROW_CHANNELS

    def losing(self, p: Prepared) -> tuple[object, ...]:
        """Further arguments of kernels that lose spikes."""
        if self.loss is None or not p.layer.spec.spiking:
            return ()
        return self.loss.keys, self.network.layers.index(p.layer), self.loss.bound

    def input_of(self, p: Prepared) -> tuple[NDArray, NDArray, NDArray]:
        """Dense input, offsets and indices for a layer; only the first one reads them."""
        s = self.source
        return (s.x, s.indptr, s.indices) if p is self.layers[0] else (s.x[:1], s.indptr[:1], s.indices[:1])


class Records:
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


class ForwardTile:
    """Runs one tile through all layers; tiles write to separate parts of the shared arrays."""

    def __init__(
        self,
        saved: Saved,
        state: State,
        outputs: NDArray,
        counts: dict[str, NDArray],
        records: Records,
        keep: bool,
    ) -> None:
        self.saved, self.state, self.outputs = saved, state, outputs
        self.counts, self.records, self.keep = counts, records, keep

    def __call__(self, index: int) -> list[LayerTile] | None:
        saved = self.saved
        first = index * saved.tile
        count = min(saved.tile, saved.batch - first)
        below = np.zeros(1, np.uint64)
        kept: list[LayerTile] = []
        for prepared in saved.layers:
            layer_tile = self._layer(prepared, first, count, below)
            below = layer_tile.bits
            kept.append(layer_tile)
        return kept if self.keep else None

    def _layer(self, p: Prepared, first: int, count: int, below: NDArray) -> LayerTile:
        saved, layout, steps, tile = self.saved, p.layout, self.saved.steps, self.saved.tile
        dtype, part = p.w_in.dtype, slice(first, first + count)
        state = pack_state(p, self.state, part, tile)
        bits = np.zeros((steps + 1) * tile * layout.words, np.uint64)
        if p.layer.spec.spiking:
            start = layout.pack_bits(self.state[f"{p.layer.name}.z"][part])
            bits[: start.size] = start.reshape(-1)
        store = self.keep and saved.stores_current(p)
        current = buffer((steps if store else 1) * tile * layout.width, dtype)
        segments = -(-steps // saved.segment) if self.keep else 0
        checkpoint = buffer(max(segments * state.size, 1), dtype)
        record = self.records.states.get(p.layer.name)
        nothing = current[:1]
        p.kernels.forward(
            *saved.input_of(p),
            below, p.w_in, p.w_rec, p.bias, p.derived, p.constants,
            state, bits, current, checkpoint, nothing if p.layer.spec.spiking else self.outputs.reshape(-1),
            nothing if record is None else record.reshape(-1),
            first, count, saved.batch, steps, layout.units, p.inputs,
            saved.segment, self.keep, store, record is not None, *saved.losing(p),
        )  # fmt: skip
        unpack_state(p, state, self.state, part)
        if p.layer.spec.spiking:
            self._collect_spikes(p, part, bits.reshape(-1, tile, layout.words)[1:, :count])
        return LayerTile(bits, current if store else nothing, checkpoint)

    def _collect_spikes(self, p: Prepared, part: slice, words: NDArray[np.uint64]) -> None:
        """Count the spikes of a tile and unpack them where they are wanted; words are [T, samples, words]."""
        name, layout = p.layer.name, p.layout
        self.counts[name][part] = np.bitwise_count(words).sum((0, 2), dtype=np.int64)
        if len(words):
            self.state[f"{name}.z"][part] = layout.unpack_bits(words[-1])
        wanted = [self.outputs] if p is self.saved.layers[-1] else []
        if f"{name}.z" in self.records.by_name:
            wanted.append(self.records.by_name[f"{name}.z"])
        if wanted:
            z = layout.unpack_bits(words).reshape(*words.shape[:2], layout.units)
            for array in wanted:
                array[:, part] = z


def pack_state(p: Prepared, state: State, part: slice, tile: int) -> NDArray:
    """The states of a tile as [vector][sample][state][lanes]."""
    rows = np.zeros((tile, p.n_states, p.layout.width), p.w_in.dtype)
    for i, s in enumerate(p.model.states):
        rows[: part.stop - part.start, i, : p.layout.units] = state[f"{p.layer.name}.{s}"][part]
    blocked = rows.reshape(tile, p.n_states, -1, p.layout.lanes).transpose(2, 0, 1, 3)
    packed = buffer(blocked.size, rows.dtype)
    packed.reshape(blocked.shape)[...] = blocked
    return packed


def unpack_state(p: Prepared, packed: NDArray, state: State, part: slice) -> None:
    """Put the states of a tile back into the arrays [B, H] of ``state``."""
    layout = p.layout
    blocked = packed.reshape(layout.width // layout.lanes, -1, p.n_states, layout.lanes).transpose(1, 2, 0, 3)
    rows = blocked.reshape(-1, p.n_states, layout.width)[: part.stop - part.start]
    for i, s in enumerate(p.model.states):
        state[f"{p.layer.name}.{s}"][part] = rows[:, i, : layout.units]


@dataclass
class Sums:
    """Padded gradients of one layer, summed over the tiles of a slot."""

    d_in: NDArray
    d_rec: NDArray
    d_bias: NDArray
    d_params: NDArray


class BackwardTile:
    """Takes tiles back through all layers. ``final`` is overwritten with the gradient of the initial state."""

    def __init__(self, saved: Saved, grad: NDArray, has_grad: bool, final: State, x_bar: NDArray | None) -> None:
        self.saved, self.grad, self.has_grad, self.final, self.x_bar = saved, grad, has_grad, final, x_bar

    def slot(self, slot: int, slots: int) -> list[Sums]:
        """All tiles of a slot, one after the other."""
        sums = []
        for p in self.saved.layers:
            size, dtype = p.layout.width, p.w_in.dtype
            rows = p.inputs, p.layer.units if p.layer.recurrent else 0, 1, len(p.model.derived)
            sums.append(Sums(*(buffer(n * size, dtype, zeros=True) for n in rows)))
        count = len(self.saved.tiles)
        for index in range(count * slot // slots, count * (slot + 1) // slots):
            self._tile(index, sums)
        return sums

    def _tile(self, index: int, sums: list[Sums]) -> None:
        saved = self.saved
        first = index * saved.tile
        count = min(saved.tile, saved.batch - first)
        dtype = saved.layers[0].w_in.dtype
        down, w_down, down_units, down_width = np.zeros(1, dtype), np.zeros(1, dtype), 0, 0
        for depth in reversed(range(len(saved.layers))):
            p = saved.layers[depth]
            keep = depth > 0 or self.x_bar is not None
            size = saved.steps * saved.tile * p.layout.width if keep else 1
            xbar = buffer(size, dtype, zeros=count < saved.tile)
            self._layer(depth, index, first, count, sums[depth], (down, w_down, down_units, down_width), xbar, keep)
            down, w_down, down_units, down_width = xbar, p.w_in_back, p.layer.units, p.layout.width
        if self.x_bar is not None:
            p = saved.layers[0]
            rows = down.reshape(saved.steps, saved.tile, p.layout.width)[:, :count]
            w_in = p.layout.unpack_rows(p.w_in)[: p.inputs].T
            self.x_bar[:, first : first + count] = rows[..., : p.layout.units] @ w_in

    def _layer(
        self,
        depth: int,
        index: int,
        first: int,
        count: int,
        sums: Sums,
        above: tuple[NDArray, NDArray, int, int],
        xbar: NDArray,
        keep: bool,
    ) -> None:
        saved = self.saved
        p, tile = saved.layers[depth], saved.tiles[index][depth]
        below = saved.tiles[index][depth - 1].bits if depth else np.zeros(1, np.uint64)
        layout, part, name = p.layout, slice(first, first + count), p.layer.name
        keeps_z = "z" in p.model.states
        # Where spikes are lost, the last z is what is left of them, which the neuron's own z is not.
        follows_z = p.layer.spec.spiking and (saved.loss is not None or not keeps_z)
        final = self.final | ({f"{name}.z": np.zeros_like(self.final[f"{name}.z"])} if follows_z and keeps_z else {})
        state_bar = pack_state(p, final, part, saved.tile)
        carry = buffer(saved.tile * layout.width, p.w_in.dtype, zeros=True).reshape(-1, layout.width)
        if follows_z:
            carry[:count, : layout.units] = self.final[f"{name}.z"][part]
        is_last = depth == len(saved.layers) - 1
        down, w_down, down_units, down_width = above
        p.kernels.backward(
            *saved.input_of(p),
            below, p.w_in, p.w_rec, p.bias, p.w_rec_back, p.derived, p.constants,
            tile.bits, tile.current, tile.checkpoint, self.grad, down, w_down, state_bar, carry.reshape(-1),
            sums.d_in, sums.d_rec, sums.d_bias, sums.d_params, xbar,
            first, count, saved.batch, saved.steps, layout.units, p.inputs,
            saved.segment, saved.stores_current(p), is_last and self.has_grad, down_units, down_width, keep,
            *saved.losing(p),
        )  # fmt: skip
        unpack_state(p, state_bar, self.final, part)
        if p.layer.spec.spiking:
            through_weights = carry[:count, : layout.units]
            z_bar = self.final[f"{name}.z"]
            z_bar[part] = z_bar[part] + through_weights if keeps_z else through_weights


def weight_gradients(p: Prepared, sums: list[Sums]) -> dict[str, NDArray]:
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
