"""Dense input that is zeros and few ones is taken as spikes, and gives the same results bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from brfkit.backends.numba_cpu import NumbaBackend, prepare
from brfkit.backends.numba_cpu.binary import MOST_ONES, pack_binary
from brfkit.network import recurrent_network


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("steps", "batch", "inputs"), [(5, 3, 9), (3, 17, 64), (4, 9, 131), (1, 1, 16)])
def test_bits_are_the_ones(dtype, steps, batch, inputs):
    x = (np.random.default_rng(inputs).random((steps, batch, inputs)) < 0.1).astype(dtype)
    x[0, 0, 0] = -0.0
    bits = pack_binary(x, 4, 2)
    words = -(-inputs // 64)
    rows = bits.rows.reshape(-1, steps + 1, 4, words)[:, 1:]
    unpacked = np.unpackbits(np.ascontiguousarray(rows).view(np.uint8), axis=-1, bitorder="little")
    dense = unpacked.transpose(1, 0, 2, 3).reshape(steps, -1, words * 64)
    np.testing.assert_array_equal(dense[:, :batch, :inputs], x)
    assert dense.sum() == x.sum()  # nothing in what is added


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, np.nan, np.inf, -np.inf, 1 + 1e-6, 1e-30])
@pytest.mark.parametrize("place", [(0, 0, 0), (3, 8, 17), (6, 10, 32)])
def test_any_other_number_is_found(value, place, monkeypatch):
    """Also beyond the numbers that are looked at first."""
    monkeypatch.setattr("brfkit.backends.numba_cpu.binary._SAMPLE", 1)
    x = np.zeros((7, 11, 33), np.float32)
    x[0, 0, 1] = 1.0
    assert pack_binary(x, 8, 2) is not None
    x[place] = value
    assert pack_binary(x, 8, 2) is None


def test_many_ones_are_no_spikes():
    x = np.zeros((10, 4, 20), np.float32)
    x.reshape(-1)[: int(x.size * MOST_ONES)] = 1
    assert pack_binary(x, 4, 1) is not None
    x.reshape(-1)[: int(x.size * MOST_ONES) + 1] = 1
    assert pack_binary(x, 4, 1) is None


@pytest.mark.parametrize("batch", [1, 11, 16])
@pytest.mark.parametrize("density", [0.05, None])
def test_the_same_results_as_without(batch, density, monkeypatch):
    """Spikes against the dense path, for ones and zeros; a tile's product against single samples for other numbers."""
    rng = np.random.default_rng(3)
    network = recurrent_network(70, [40], 3, "brf")
    weights = {
        name: 150 * value if "w_" in name else value for name, value in network.initialise(0, np.float32).items()
    }
    x = rng.standard_normal((30, batch, 70), np.float32)
    if density is not None:
        x = (rng.random(x.shape) < density).astype(np.float32)
    bars = rng.standard_normal((30, batch, 3), np.float32)

    def results(part: slice) -> tuple:
        backend = NumbaBackend(2)
        trace = backend.scan(network, weights, x[:, part], differentiate=True)
        gradients = backend.scan_vjp(trace, bars[:, part], input_grad=True)
        return trace, gradients

    trace, gradients = results(slice(None))
    assert trace.saved.source.kind == ("dense" if density is None else "spikes")
    assert sum(trace.spike_counts["hidden0"]) > 0
    if density is None:
        for sample in range(batch):
            alone = results(slice(sample, sample + 1))
            np.testing.assert_array_equal(alone[0].outputs[:, 0], trace.outputs[:, sample])
            np.testing.assert_allclose(alone[1].input[:, 0], gradients.input[:, sample], rtol=1e-4, atol=1e-6)
        return
    monkeypatch.setattr(prepare, "pack_binary", lambda *_: None)
    dense = results(slice(None))
    assert dense[0].saved.source.kind == "dense"
    np.testing.assert_array_equal(dense[0].outputs, trace.outputs)
    np.testing.assert_array_equal(dense[1].input, gradients.input)
    for name, value in gradients.weights.items():  # W_in's are summed in another order
        np.testing.assert_allclose(dense[1].weights[name], value, rtol=1e-4, atol=1e-4 * np.abs(value).max())
