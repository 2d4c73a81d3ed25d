"""One layer forward, one layer back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from brfkit.backends.cupy_gpu.device import Array, Device
from brfkit.backends.cupy_gpu.helpers import Helpers
from brfkit.backends.cupy_gpu.layout import (
    SEGMENT,
    adjoint_shape,
    adjoint_shared_bytes,
    pad,
    scan_shared_bytes,
    tiles,
)
from brfkit.backends.cupy_gpu.prepare import Prepared, Source, stack_states
from brfkit.backends.cupy_gpu.source import adjoint_source, scan_source


@dataclass
class LayerScan:
    """What the forward scan of a layer leaves.

    Attributes:
        states: [STATES, B, H] after the last step.
        bits: spikes [T + 1, B, words], row 0 before the first step; None without spikes.
        counts: int32 [B, words], spikes over all steps; None without spikes.
        output: [T, B, H] of a layer without spikes.
        records: [STATES, T, B, H], if any was asked for.
        kept: whole current of every step [T, B, H], for the backward pass.
        checkpoints: [ceil(T / SEGMENT), STATES, B, H], for the backward pass.
    """

    states: Array
    bits: Array | None
    counts: Array | None
    output: Array | None
    records: Array | None
    kept: Array | None
    checkpoints: Array | None


class ForwardPass:
    """Forward scans of the layers of one batch.

    Args:
        device, helpers: device and its compiled helper kernels.
        steps, samples: T and B of the input.
        sets: sets of weights that the input runs through, one after the other in the batch of sets * B.
        keep: whether the backward pass will be requested.
    """

    def __init__(self, device: Device, helpers: Helpers, steps: int, samples: int, sets: int, keep: bool) -> None:
        self.device, self.helpers, self.keep = device, helpers, keep
        self.steps, self.samples, self.sets, self.batch = steps, samples, sets, sets * samples

    def currents(self, p: Prepared, source: Source, below: Array | None) -> Array | None:
        """Input currents [T, B, H], without bias from dense input; None where the scan multiplies that itself."""
        if p.shape.inline:
            return None
        bias, w_in = p.weights.get("bias"), p.weights["w_in"]
        if below is None and source.x is not None:
            return self._products(p, source.x)
        by_input = self.helpers.arrange(w_in, (p.inputs, p.units), transpose=True)
        if below is not None:
            return self.helpers.gather_spikes(below[1:], by_input, bias)
        return self.helpers.gather_events(source.indptr, source.indices, by_input, bias)

    def _products(self, p: Prepared, x: Array) -> Array:
        """Currents of dense input, a product for each set: one for all could round its sums otherwise."""
        flat, shape = x.reshape(-1, p.inputs), (self.steps, self.samples, p.units)
        products = [self.device.matmul(flat, w_in.T).reshape(shape) for w_in in p.weights["w_in"]]
        if self.sets == 1:
            return products[0]
        currents = self.device.empty((self.steps, self.sets, self.samples, p.units), p.shape.dtype)
        for i, product in enumerate(products):
            currents[:, i] = product
        return currents.reshape(self.steps, self.batch, p.units)

    def run(
        self, p: Prepared, source: Source, below: Array | None, given: Mapping[str, Array], record: bool
    ) -> LayerScan:
        device, dtype, shape = self.device, p.shape.dtype, (self.steps, self.batch, p.units)
        states = stack_states(device, p, self.batch, given)
        currents = self.currents(p, source, below)
        bits = counts = output = w_rec = kept = checkpoints = records = None
        if p.spiking:
            bits = device.empty((self.steps + 1, self.batch, p.words), "uint32")
            counts = device.empty((self.batch, p.words), "int32")
            if f"{p.name}.z" in given:
                self.helpers.pack_spikes(given[f"{p.name}.z"], bits[0])
            else:
                bits[0].fill(0)
        else:
            output = device.empty(shape, dtype)
        if p.layer.recurrent:
            w_rec = self.helpers.arrange(p.weights["w_rec"], (p.units + 1, p.units), transpose=True)
        if record:
            records = device.empty((len(p.model.states), *shape), dtype)
        if self.keep:
            kept = currents if currents is not None else device.empty(shape, dtype)
            segments = -(-self.steps // SEGMENT)
            checkpoints = device.empty((segments, len(p.model.states), self.batch, p.units), dtype)
        adds_bias = p.layer.bias and below is None and not source.is_events
        whole = currents is not None and not adds_bias and not p.layer.recurrent
        w_in = None
        if p.shape.inline:
            w_in = self.helpers.arrange(p.weights["w_in"], (p.inputs, p.units), transpose=True)
        device.kernel(scan_source(p.model, p.shape), "scan")(
            self.batch * tiles(p.shape), p.shape.threads, scan_shared_bytes(p.shape),
            source.x if currents is None else currents, w_in,
            p.weights["bias"] if adds_bias else None, w_rec, p.derived, p.constants,
            states, bits, counts, output, None if whole else kept, checkpoints, records, self.steps, self.batch,
            self.samples,
        )  # fmt: skip
        return LayerScan(states, bits, counts, output, records, kept, checkpoints)


@dataclass
class LayerAdjoint:
    """What the backward scan of a layer gives.

    Attributes:
        x_bar: gradient of the currents [T, B, H].
        sums: [SUMS, H], over steps and samples: derived values, bias, W_in of inline channels.
        state_bars: [STATES, B, H], gradient of the initial state.
        z_bars: [B, H], gradient of the spikes before the first step.
    """

    x_bar: Array
    sums: Array
    state_bars: Array
    z_bars: Array


class BackwardPass:
    """Backward scans of the layers of one batch."""

    def __init__(self, device: Device, helpers: Helpers, steps: int, batch: int) -> None:
        self.device, self.helpers, self.steps, self.batch = device, helpers, steps, batch

    def run(
        self, p: Prepared, scan: LayerScan, source: Source, grad: Array | None, own: bool, given: Mapping[str, Array]
    ) -> LayerAdjoint:
        """``grad`` is the gradient of the layer's output [T, B, H]; it is overwritten if it is ``own``."""
        device, dtype = self.device, p.shape.dtype
        shape = adjoint_shape(
            dtype, p.units, p.shape.inline, p.layer.recurrent, self.batch, device.processors, device.shared_bytes
        )
        state_bars = stack_states(device, p, self.batch, given)
        z_bars = device.zeros((self.batch, p.units), dtype)
        follows_z = p.spiking and "z" not in p.model.states
        if follows_z and f"{p.name}.z" in given:
            z_bars[...] = given[f"{p.name}.z"]
        w_rec = None
        if p.layer.recurrent:
            w_rec = self.helpers.arrange(p.weights["w_rec"][0], (shape.splits * shape.rows, pad(p.units)))
        x_bar = grad if own else device.empty((self.steps, self.batch, p.units), dtype)
        blocks = -(-self.batch // shape.samples)
        pairs = shape.samples * pad(p.units)
        sums = device.empty((self.batch, len(p.model.derived) + 1 + shape.inline, p.units), dtype)
        scratch = device.empty((blocks, SEGMENT, len(p.model.states), pairs), dtype)
        device.kernel(adjoint_source(p.model, shape), "scan_vjp")(
            blocks * tiles(shape), shape.threads, adjoint_shared_bytes(shape),
            scan.kept, scan.checkpoints, p.derived, p.constants, w_rec, source.x if shape.inline else None,
            grad, x_bar, state_bars, z_bars, sums, scratch, self.steps, self.batch,
        )  # fmt: skip
        return LayerAdjoint(x_bar, self.helpers.sum_rows(sums), state_bars, z_bars)

    def through_weights(self, p: Prepared, x_bar: Array) -> Array:
        """Gradient of what the layer was given [T, B, I], from that of its currents."""
        flat = self.device.matmul(x_bar.reshape(-1, p.units), p.weights["w_in"][0])
        return flat.reshape(self.steps, self.batch, p.inputs)

    def input_weights(self, p: Prepared, source: Source, x_bar: Array) -> Array:
        """Gradient of W_in of the first layer, where it is not among the sums."""
        dense = source.x
        if dense is not None:
            return self._one([(x_bar, 0)], lambda first, last: dense[first:last], p.inputs, False)

        def spread(first: int, last: int) -> Array:
            return self.helpers.spread_events(source.indptr, source.indices, first, last, p.inputs)

        return self._one([(x_bar, 0)], spread, p.inputs, True)

    def spike_weights(self, bits: Array, units: int, targets: Sequence[tuple[Array, int]]) -> list[Array]:
        """Gradients of the weights that a layer's spikes go through; the shift is 0 for W_rec, 1 for W_in above."""

        def unpack(first: int, last: int) -> Array:
            return self.helpers.unpack_spikes(bits[first:last], units)

        return self.helpers.weight_gradients(targets, unpack, units, True)

    def _one(
        self, targets: list[tuple[Array, int]], factor: Callable[[int, int], Array], columns: int, cut: bool
    ) -> Array:
        return self.helpers.weight_gradients(targets, factor, columns, cut)[0]
