"""Scans of a whole network, tile by tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import (
    Backend,
    Gradients,
    Input,
    Trace,
    check_input,
    check_names,
    check_vjp,
    common_dtype,
    get_initial_state,
)
from brfkit.backends.numba_cpu.layout import segment_length, tile_size
from brfkit.backends.numba_cpu.prepare import make_source, prepare
from brfkit.backends.numba_cpu.tiles import BackwardTile, ForwardTile, Records, Saved, weight_gradients
from brfkit.backends.spike_loss import SpikeLoss
from brfkit.backends.threads import default_threads, parallel
from brfkit.network import Network

GRADIENT_SLOTS = 16


class NumbaBackend(Backend):
    """Fused CPU scans in float32 or float64 (the dtype of the weights).

    Results do not depend on the number of threads: a tile is always computed alone, and gradients are added in the
    order of the tiles.

    Args:
        threads: CPU threads; None takes all that the process may use.
        recompute: gather the input currents again on the way back instead of keeping them, which takes a fraction of
            the memory. None does so except for dense input of many channels: to gather spikes again takes no longer
            than to get the memory. The results are the same bit for bit.

    ``scan`` takes a further argument, ``spike_loss``: which spikes are lost on their way. Outputs, counts, recurrence
    and the final ``z`` are those of the spikes that are left; a neuron's own states have seen all of its spikes.
    """

    name = "numba"
    loses_spikes = True

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
        spike_loss: SpikeLoss | None = None,
    ) -> Trace:
        steps, batch = check_input(network, x)
        check_names(network, record, "record")
        dtype = common_dtype(network, weights)
        source = make_source(x, dtype)
        tile = tile_size(batch)
        layers = prepare(network, weights, dtype, tile, source.kind, spike_loss is not None)
        segment = min(segment_length(steps, tile, p.layout.width, p.n_states, dtype) for p in layers)
        state = get_initial_state(network, batch, dtype, initial_state)
        last = network.layers[-1]
        outputs = np.empty((steps, batch, last.units), dtype)
        counts = {layer.name: np.zeros(batch, np.int64) for layer in network.spiking_layers}
        records = Records(network, record, steps, batch, dtype)
        saved = Saved(network, layers, source, [], tile, steps, batch, segment, self.recompute, spike_loss)
        run = ForwardTile(saved, state, outputs, counts, records, differentiate)
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
        check_vjp(trace, output_grad, input_grad)
        saved: Saved = trace.saved
        dtype = saved.layers[0].w_in.dtype
        grad = np.zeros(1, dtype)
        if output_grad is not None:
            grad = np.ascontiguousarray(output_grad, dtype).reshape(-1)
        final = get_initial_state(saved.network, saved.batch, dtype, final_state_grad)
        x_bar = np.zeros((saved.steps, saved.batch, saved.network.inputs), dtype) if input_grad else None
        run = BackwardTile(saved, grad, output_grad is not None, final, x_bar)
        slots = max(min(len(saved.tiles), GRADIENT_SLOTS), 1)
        sums = parallel(lambda slot: run.slot(slot, slots), slots, self.threads)
        weights: dict[str, NDArray] = {}
        for index, prepared in enumerate(saved.layers):
            weights |= weight_gradients(prepared, [slot[index] for slot in sums])
        weights = {name: weights[name] for name in saved.network.shapes()}
        return Gradients(weights, x_bar, final if initial_state_grad else None)
