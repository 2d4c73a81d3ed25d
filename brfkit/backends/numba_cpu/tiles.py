"""All tiles through all layers, forward and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import State
from brfkit.backends.numba_cpu.compile import backward_kernel, forward_kernel
from brfkit.backends.numba_cpu.layout import buffer
from brfkit.backends.numba_cpu.native.driver import drive
from brfkit.backends.numba_cpu.prepare import NARROW_CHANNELS, Prepared, Source
from brfkit.backends.numba_cpu.table import Block, Table
from brfkit.backends.reference import derive_gradients
from brfkit.backends.spike_mask import SpikeMask
from brfkit.network import Network

GRADIENT_SLOTS = 16  # sums of the gradients at most


@dataclass
class LayerTiles:
    """What a layer keeps of all tiles for the backward scan."""

    bits: Block
    current: Block
    checkpoint: Block


@dataclass
class Saved:
    """A scan's network, weights and sizes, and what the backward scan needs of it."""

    network: Network
    layers: list[Prepared]
    source: Source
    tile: int
    steps: int
    batch: int
    segment: int
    recompute: bool | None
    threads: int
    spike_mask: SpikeMask | None = None
    kept: list[LayerTiles] = field(default_factory=list)

    @property
    def from_events(self) -> bool:
        return self.source.kind == "events"

    @property
    def tiles(self) -> int:
        return -(-self.batch // self.tile)

    @property
    def workers(self) -> int:
        return max(min(self.threads, self.tiles), 1)

    def stores_current(self, p: Prepared) -> bool:
        """Whether the current of every step is kept for the way back."""
        if self.recompute is not None:
            return not self.recompute
        return p is self.layers[0] and self.source.kind == "dense" and p.inputs > NARROW_CHANNELS

    def fill(self, table: Table, depth: int) -> None:
        """The arguments that forward and backward scan share."""
        p, s = self.layers[depth], self.source
        x, indptr, indices = (s.x, s.indptr, s.indices) if depth == 0 else (s.x[:1], s.indptr[:1], s.indices[:1])
        table.arrays({"x": x, "indptr": indptr, "indices": indices, "w_in": p.w_in, "bias": p.bias})
        table.arrays({"params": p.derived, "consts": p.constants})
        table.numbers({"batch": self.batch, "steps": self.steps, "units": p.layer.units, "inputs": p.inputs})
        table.numbers({"segment": self.segment, "store": self.stores_current(p)})
        if self.spike_mask is not None and p.layer.spec.spiking:
            table.arrays({"keys": np.ascontiguousarray(self.spike_mask.keys, np.uint64)})
            table.numbers({"layer": depth, "bound": int(self.spike_mask.bound)})

    def finish(self, table: Table) -> None:
        first = np.arange(self.tiles) * self.tile
        table.finish({"first": first, "count": np.minimum(self.batch - first, self.tile)})


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


def run_forward(
    saved: Saved, state: State, outputs: NDArray, counts: dict[str, NDArray], records: Records, keep: bool
) -> None:
    """Run all tiles; ``state`` is overwritten with the final one. With ``keep``, ``saved`` can be differentiated."""
    tables, states = [], []
    kept: list[LayerTiles] = []
    for depth, p in enumerate(saved.layers):
        layout, spiking = p.layout, p.layer.spec.spiking
        dtype, step = p.w_in.dtype, saved.tile * layout.width
        table = Table(forward_kernel(p.model, p.shape), saved.tiles)
        saved.fill(table, depth)
        packed = pack_state(p, state, saved)
        bits = Block(saved.tiles, (saved.steps + 1) * saved.tile * layout.words if spiking else 1, np.uint64)
        if spiking:
            bits.rows[:, : saved.tile * layout.words] = _pack_spikes(p, state, saved)
        store = keep and saved.stores_current(p)
        current = Block(saved.tiles if store else saved.workers, (saved.steps if store else 1) * step, dtype)
        segments = -(-saved.steps // saved.segment) if keep else 0
        checkpoint = Block(saved.tiles if keep else 1, segments * packed.rows.shape[1], dtype)
        table.each("state", packed)
        table.each("bits", bits)
        table.each("below", kept[-1].bits if depth else saved.source.bits or bits)
        (table.each if store else table.own)("current", current)
        table.each("checkpoint", checkpoint) if keep else table.arrays({"checkpoint": checkpoint.rows})
        record = records.states.get(p.layer.name)
        table.arrays({"w_rec": p.w_rec, "record": packed.rows if record is None else record, "out": outputs})
        table.arrays({"counts": counts[p.layer.name] if spiking else p.w_in})
        table.numbers({"keep": keep, "store": store, "recording": record is not None})
        saved.finish(table)
        tables.append(table)
        states.append(packed)
        kept.append(LayerTiles(bits, current, checkpoint))
    _run(tables, np.arange(saved.tiles + 1), saved.threads)
    for p, packed, tiles in zip(saved.layers, states, kept, strict=True):
        unpack_state(p, packed, state, saved)
        if p.layer.spec.spiking:
            _unpack_spikes(p, tiles.bits, state, records, saved)
    saved.kept = kept if keep else []


def _run(tables: Sequence[Table], starts: NDArray[np.int64], threads: int) -> None:
    """Every tile through the kernels of ``tables``; task i takes the tiles from ``starts[i]`` on."""
    calls = np.stack([table.calls for table in tables], axis=1)
    drive(np.ascontiguousarray(starts, np.int64) * len(tables), calls, threads)


def _pack_spikes(p: Prepared, state: State, saved: Saved) -> NDArray[np.uint64]:
    """The last spikes of every tile, [tiles, words of all its samples]."""
    words = np.zeros((saved.tiles * saved.tile, p.layout.words), np.uint64)
    z = state[f"{p.layer.name}.z"]
    if z.any():
        words[: saved.batch] = p.layout.pack_bits(z)
    return words.reshape(saved.tiles, saved.tile * p.layout.words)


def _unpack_spikes(p: Prepared, bits: Block, state: State, records: Records, saved: Saved) -> None:
    """The last spikes, and those of all steps where they are wanted."""
    name, layout = f"{p.layer.name}.z", p.layout
    words = bits.rows.reshape(saved.tiles, saved.steps + 1, saved.tile, layout.words)
    state[name][...] = layout.unpack_bits(words[:, -1])[: saved.batch]
    if name in records.by_name:
        z = layout.unpack_bits(words[:, 1:]).reshape(saved.tiles, saved.steps, saved.tile, layout.units).swapaxes(0, 1)
        records.by_name[name][...] = z.reshape(saved.steps, saved.tiles * saved.tile, layout.units)[:, : saved.batch]


def pack_state(p: Prepared, state: State, saved: Saved) -> Block:
    """The states of every tile as [vector][sample][state][lanes]."""
    layout, tile, tiles = p.layout, saved.tile, saved.tiles
    packed = Block(tiles, tile * p.n_states * layout.width, p.w_in.dtype, zeros=True)
    blocked = packed.rows.reshape(tiles, layout.vectors, tile, p.n_states, layout.lanes)
    rows = np.zeros((tiles * tile, layout.width), p.w_in.dtype)
    for i, s in enumerate(p.model.states):
        value = state[f"{p.layer.name}.{s}"]
        if value.any():
            rows[: saved.batch, : layout.units] = value
            blocked[:, :, :, i] = rows.reshape(tiles, tile, layout.vectors, layout.lanes).swapaxes(1, 2)
    return packed


def unpack_state(p: Prepared, packed: Block, state: State, saved: Saved) -> None:
    """Put the states of all tiles into the arrays [B, H] of ``state``."""
    layout = p.layout
    blocked = packed.rows.reshape(saved.tiles, layout.vectors, saved.tile, p.n_states, layout.lanes)
    blocked = blocked.swapaxes(1, 2)
    for i, s in enumerate(p.model.states):
        rows = blocked[:, :, :, i].reshape(saved.tiles * saved.tile, layout.width)
        state[f"{p.layer.name}.{s}"][...] = rows[: saved.batch, : layout.units]


class Sums:
    """Padded gradients of one layer, a sum for every slot."""

    def __init__(self, p: Prepared, slots: int) -> None:
        size, dtype = p.layout.width, p.w_in.dtype
        recurrent = p.layer.units if p.layer.recurrent else 0
        self.d_in = Block(slots, p.inputs * size, dtype, zeros=True)
        self.d_rec = Block(slots, recurrent * size, dtype, zeros=True)
        self.d_bias = Block(slots, size, dtype, zeros=True)
        self.d_params = Block(slots, len(p.model.derived) * size, dtype, zeros=True)


def run_backward(saved: Saved, grad: NDArray | None, final: State, x_bar: NDArray | None) -> dict[str, NDArray]:
    """Take all tiles back; gradients of the weights.

    Args:
        grad: of the outputs, contiguous [T, B, O]; None is 0.
        final: gradient of the final state, overwritten with that of the initial one.
        x_bar: is filled with the gradient of the dense input [T, B, I].
    """
    slots = max(min(saved.tiles, GRADIENT_SLOTS), 1)
    starts = np.arange(slots + 1) * saved.tiles // slots
    slot_of = np.repeat(np.arange(slots), np.diff(starts))
    sums = [Sums(p, slots) for p in saved.layers]
    tables: list[Table] = []
    carries, bars = [], []
    above: tuple[Prepared, Block] | None = None
    for depth in reversed(range(len(saved.layers))):
        p = saved.layers[depth]
        table = Table(backward_kernel(p.model, p.shape), saved.tiles)
        saved.fill(table, depth)
        state_bar, carry = _final_gradient(saved, p, final)
        nothing = carry.rows
        tiles = saved.kept[depth]
        keep = depth > 0
        xbar = Block(saved.workers, saved.steps * saved.tile * p.layout.width if keep else 1, p.w_in.dtype)
        table.each("below", saved.kept[depth - 1].bits if depth else saved.source.bits or tiles.bits)
        table.each("bits", tiles.bits)
        (table.each if saved.stores_current(p) else table.own)("current", tiles.current)
        table.each("checkpoint", tiles.checkpoint)
        table.each("state_bar", state_bar)
        table.each("carry", carry)
        table.own("xbar", xbar)
        table.arrays({"w_rec_forward": p.w_rec, "w_rec" if p.shape.products == "float32" else "w_pairs": p.w_rec_back})
        last = above is None
        table.arrays({"grad": grad if grad is not None and last else nothing})
        table.numbers({"has_grad": grad is not None and last, "keep_xbar": keep})
        if above is not None:
            table.own("down", above[1])
            table.arrays({"w_down": above[0].w_in_back})
            table.numbers({"down_units": above[0].layer.units, "down_width": above[0].layout.width})
        else:
            table.arrays({"down": nothing, "w_down": nothing})
        _input_gradient(table, p, x_bar if depth == 0 else None)
        saved.finish(table)
        for name in ("d_in", "d_rec", "d_bias", "d_params"):
            block: Block = getattr(sums[depth], name)
            table.values[:, table.kernel.slots[name]] = block.address + slot_of * block.stride
        tables.append(table)
        bars.append(state_bar)
        carries.append(carry)
        above = p, xbar
    _run(tables, starts, saved.threads)
    for p, state_bar, carry in zip(reversed(saved.layers), bars, carries, strict=True):
        _initial_gradient(saved, p, state_bar, carry, final)
    weights: dict[str, NDArray] = {}
    for p, layer_sums in zip(saved.layers, sums, strict=True):
        weights |= weight_gradients(p, layer_sums)
    return weights


def _input_gradient(table: Table, p: Prepared, x_bar: NDArray | None) -> None:
    """The arguments for the gradient of the input: the columns of W_in as rows."""
    width, w_x = 1, p.bias
    if x_bar is not None:
        step = p.layout.columns * p.layout.lanes
        width = -(-p.inputs // step) * step
        w_x = buffer(p.layout.units * width, p.w_in.dtype, zeros=True)
        w_x.reshape(-1, width)[:, : p.inputs] = p.layout.unpack_rows(p.w_in)[: p.inputs].T
    table.arrays({"w_x": w_x, "x_bar": p.bias if x_bar is None else x_bar})
    table.numbers({"wants_input": x_bar is not None, "x_width": width})


def _follows_spikes(saved: Saved, p: Prepared) -> bool:
    """Whether the last z is what goes to other neurons rather than the neuron's own state z: where there is no such
    state, and where spikes are dropped."""
    return p.layer.spec.spiking and (saved.spike_mask is not None or "z" not in p.model.states)


def _final_gradient(saved: Saved, p: Prepared, final: State) -> tuple[Block, Block]:
    """Gradients of the final states as the kernel has them, and of the last spikes."""
    name, layout = f"{p.layer.name}.z", p.layout
    follows = _follows_spikes(saved, p)
    own = final | {name: np.zeros_like(final[name])} if follows and "z" in p.model.states else final
    carry = Block(saved.tiles, saved.tile * layout.width, p.w_in.dtype, zeros=True)
    if follows and final[name].any():
        rows = np.zeros((saved.tiles * saved.tile, layout.width), p.w_in.dtype)
        rows[: saved.batch, : layout.units] = final[name]
        carry.rows[...] = rows.reshape(carry.rows.shape)
    return pack_state(p, own, saved), carry


def _initial_gradient(saved: Saved, p: Prepared, state_bar: Block, carry: Block, final: State) -> None:
    """Overwrite the gradients of a layer's final states with those of its initial ones."""
    unpack_state(p, state_bar, final, saved)
    if p.layer.spec.spiking:
        through_weights = carry.rows.reshape(saved.tiles * saved.tile, p.layout.width)[: saved.batch, : p.layout.units]
        z_bar = final[f"{p.layer.name}.z"]
        z_bar[...] = z_bar + through_weights if "z" in p.model.states else through_weights


def weight_gradients(p: Prepared, sums: Sums) -> dict[str, NDArray]:
    """Gradients of one layer's weights, summed over the slots in their order."""
    name, layout = p.layer.name, p.layout

    def total(block: Block) -> NDArray:
        rows = block.rows
        for row in rows[1:]:
            rows[0] += row
        return rows[0]

    gradients = {f"{name}.w_in": np.ascontiguousarray(layout.unpack_rows(total(sums.d_in)).T)}
    if p.layer.recurrent:
        gradients[f"{name}.w_rec"] = np.ascontiguousarray(layout.unpack_rows(total(sums.d_rec)).T)
    if p.layer.bias:
        gradients[f"{name}.bias"] = total(sums.d_bias)[: layout.units].copy()
    bars = dict(zip(p.model.derived, layout.unpack_rows(total(sums.d_params)), strict=True))
    return gradients | derive_gradients(p.model, p.layer, p.arguments, bars)
