"""Scans of a whole network, tile by tile."""

from __future__ import annotations

import numpy as np

from brfkit.backends.base import Backend, Gradients, ScanCall, Trace, VjpCall, get_initial_state
from brfkit.backends.capabilities import CAPABILITIES, PRECISIONS
from brfkit.backends.numba_cpu.layout import segment_length, tile_size
from brfkit.backends.numba_cpu.prepare import make_source, prepare
from brfkit.backends.numba_cpu.tiles import Records, Saved, run_backward, run_forward
from brfkit.backends.threads import default_threads
from brfkit.errors import BrfkitError


class NumbaBackend(Backend):
    """Fused CPU scans in float32 or float64 (the dtype of the weights).

    Results do not depend on the number of threads: a tile is always computed alone, and gradients are added in the
    order of the tiles.

    Args:
        threads: CPU threads; None takes all that the process may use.
        recompute: gather the input currents again on the way back instead of keeping them, which takes a fraction of
            the memory. None does so except for dense input of many channels: to gather spikes again takes no longer
            than to get the memory. The results are the same bit for bit.
        gradient_precision: ``bfloat16`` rounds both operands of the backward scan's product with W_rec to bfloat16 and
            adds in float32, which is several times faster where the processor has instructions for it. Outputs, states
            and spikes are the same bit for bit. Weights in float64 are not affected, nor layers below
            160 units, for which it would be slower.
    """

    name = "numba"
    capabilities = CAPABILITIES["numba"]
    threads: int

    def __init__(
        self, threads: int | None = None, recompute: bool | None = None, gradient_precision: str = "float32"
    ) -> None:
        if gradient_precision not in PRECISIONS:
            raise BrfkitError(f"gradient_precision {gradient_precision!r} is not one of {', '.join(PRECISIONS)}")
        self.threads = default_threads() if threads is None else threads
        self.recompute = recompute
        self.gradient_precision = gradient_precision

    def one_threaded(self) -> NumbaBackend:
        return self if self.threads == 1 else NumbaBackend(1, self.recompute, self.gradient_precision)

    def with_gradient_precision(self, precision: str) -> NumbaBackend:
        same = precision == self.gradient_precision
        return self if same else NumbaBackend(self.threads, self.recompute, precision)

    def _scan(self, call: ScanCall) -> Trace:
        network, steps, batch, dtype = call.network, call.steps, call.batch, call.dtype
        tile = tile_size(batch)
        source = make_source(call.x, dtype, tile, self.threads)
        masked = call.spike_mask is not None
        layers = prepare(network, call.weights, dtype, tile, source.kind, masked, self.gradient_precision)
        segment = min(segment_length(steps, tile, p.layout.width, p.n_states, dtype) for p in layers)
        state = get_initial_state(network, batch, dtype, call.initial_state)
        last = network.layers[-1]
        outputs = np.empty((steps, batch, last.units), dtype)
        counts = {layer.name: np.zeros(batch, np.int64) for layer in network.spiking_layers}
        records = Records(network, call.record, steps, batch, dtype)
        threads, mask = self.threads, call.spike_mask
        saved = Saved(network, layers, source, tile, steps, batch, segment, self.recompute, threads, mask)
        run_forward(saved, state, outputs, counts, records, call.differentiate)
        return Trace(outputs, counts, state, records.by_name, saved if call.differentiate else None)

    def _scan_vjp(self, call: VjpCall) -> Gradients:
        saved: Saved = call.trace.saved
        output_grad = call.output_grad
        dtype = saved.layers[0].w_in.dtype
        grad = None if output_grad is None else np.ascontiguousarray(output_grad, dtype)
        final = get_initial_state(saved.network, saved.batch, dtype, call.final_state_grad)
        x_bar = np.zeros((saved.steps, saved.batch, saved.network.inputs), dtype) if call.input_grad else None
        weights = run_backward(saved, grad, final, x_bar)
        weights = {name: weights[name] for name in saved.network.shapes()}
        return Gradients(weights, x_bar, final if call.initial_state_grad else None)
