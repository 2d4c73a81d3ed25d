"""bfloat16 in the backward product: forward unchanged, gradients near those in float32, all ways the same sums."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from brfkit import nn
from brfkit.backends import get_backend
from brfkit.backends.numba_cpu import NumbaBackend, bfloat
from brfkit.backends.numba_cpu.bfloat import bfloat_way, pack_pairs, products_of, to_bfloat
from brfkit.backends.numba_cpu.layout import Layout
from brfkit.errors import BrfkitError
from brfkit.network import recurrent_network
from brfkit.runs.config import Config, NetworkConfig, TrainingConfig

BEST = bfloat_way()
WAYS = {"amx": ("amx", "avx512", "software"), "avx512": ("avx512", "software"), "software": ("software",)}[BEST]


@pytest.fixture(autouse=True)
def _narrow_layers_too(monkeypatch):
    monkeypatch.setattr(bfloat, "LEAST_UNITS", 33)


def values(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def test_rounding():
    x = np.random.default_rng(0).standard_normal(10_000, np.float32)
    assert np.abs(values(to_bfloat(x)) / x - 1).max() <= 2.0**-8
    exact = np.array([1.0, -0.0, 2.0**100, np.inf, -np.inf, 1 + 2.0**-7], np.float32)
    np.testing.assert_array_equal(values(to_bfloat(exact)), exact)
    ties = np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8], np.float32)  # to even
    np.testing.assert_array_equal(values(to_bfloat(ties)), np.array([1.0, 1 + 2.0**-6], np.float32))
    assert np.isnan(values(to_bfloat(np.array([0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)))).all()


def test_pairs_of_rows():
    layout = Layout.of(37, np.dtype(np.float32))
    w = np.random.default_rng(0).standard_normal((37, 37), np.float32)
    flat = pack_pairs(layout, w).view(np.uint16).reshape(-1, layout.width, 2)
    np.testing.assert_array_equal(flat[3, :37, 0], to_bfloat(w[6]))
    np.testing.assert_array_equal(flat[3, :37, 1], to_bfloat(w[7]))
    assert not flat[19:].any()
    assert not flat[:, 37:].any()


def run(batch: int, units: int, precision: str, way: str | None, monkeypatch, layers: int = 1) -> tuple:
    rng = np.random.default_rng(units)
    network = recurrent_network(3, [units] * layers, 4, "brf")
    weights = {n: 60 * w if "w_" in n and "out" not in n else w for n, w in network.initialise(0, np.float32).items()}
    x = rng.standard_normal((40, batch, 3), np.float32)
    bars = rng.standard_normal((40, batch, 4), np.float32)
    if way is not None:
        monkeypatch.setattr(bfloat, "bfloat_way", lambda: way)
    backend = NumbaBackend(2, gradient_precision=precision)
    trace = backend.scan(network, weights, x, differentiate=True)
    assert precision == "float32" or trace.saved.layers[0].shape.products == way
    assert sum(trace.spike_counts["hidden0"]) > 0
    return trace, backend.scan_vjp(trace, bars, input_grad=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("batch", "units"), [(1, 33), (9, 36), (16, 64), (11, 100), (3, 255)])
def test_gradients_near_those_in_float32(batch, units, way, monkeypatch):
    exact_trace, exact = run(batch, units, "float32", None, monkeypatch)
    trace, rounded = run(batch, units, "bfloat16", way, monkeypatch)
    np.testing.assert_array_equal(trace.outputs, exact_trace.outputs)
    for name in trace.final_state:
        np.testing.assert_array_equal(trace.final_state[name], exact_trace.final_state[name])
    for name, value in {**exact.weights, "input": exact.input}.items():
        other = rounded.input if name == "input" else rounded.weights[name]
        a, b = value.ravel().astype(float), other.ravel().astype(float)
        # Operands are rounded by 2⁻⁹ at most, and there are 40 steps of which each takes part of the error on.
        assert np.linalg.norm(a - b) <= 40 * 2.0**-9 * np.linalg.norm(a), name
        assert a @ b >= 0.999 * np.linalg.norm(a) * np.linalg.norm(b), name


@pytest.mark.parametrize("way", WAYS[:-1])
@pytest.mark.parametrize("layers", [1, 2])
def test_ways_differ_by_the_order_of_sums(way, layers, monkeypatch):
    _, software = run(10, 70, "bfloat16", "software", monkeypatch, layers)
    _, hardware = run(10, 70, "bfloat16", way, monkeypatch, layers)
    for name, value in software.weights.items():
        # An entry of x̄ that lies between two bfloat16 may be rounded the other way.
        np.testing.assert_allclose(hardware.weights[name], value, rtol=0, atol=0.02 * np.abs(value).max(), err_msg=name)


def test_which_layers_it_is_for(monkeypatch):
    monkeypatch.undo()
    wide, narrow = (Layout.of(units, np.dtype(np.float32)) for units in (160, 159))
    assert products_of(wide, "bfloat16", "float32", True, "software") == "software"
    assert products_of(narrow, "bfloat16", "float32", True, "avx512") == "float32"
    assert products_of(wide, "bfloat16", "float64", True, "avx512") == "float32"
    assert products_of(wide, "bfloat16", "float32", False, "avx512") == "float32"
    assert products_of(wide, "float32", "float32", True, "avx512") == "float32"


def test_a_processor_without_such_instructions_is_told(monkeypatch, caplog):
    monkeypatch.setattr(bfloat, "processor", lambda: ("any", "+avx2,-avx512bf16,+amx-int8"))
    with caplog.at_level(logging.WARNING, "brfkit"):
        assert bfloat_way.__wrapped__() == "software"
    assert "no bfloat16 instructions" in caplog.text
    monkeypatch.setattr(bfloat, "processor", lambda: ("any", "+avx512f,+avx512bf16,+amx-tile,+amx-bf16"))
    monkeypatch.setattr(bfloat, "_amx_permitted", lambda: False)
    assert bfloat_way.__wrapped__() == "avx512"


def test_unknown_precision():
    with pytest.raises(BrfkitError, match="gradient_precision 'float16' is not one of float32, bfloat16"):
        NumbaBackend(gradient_precision="float16")


@pytest.mark.parametrize("name", ["torch", "reference"])
def test_a_backend_without_it(name):
    backend = get_backend(name)
    assert backend.with_gradient_precision("float32") is backend
    with pytest.raises(BrfkitError, match=f"backend {name} has no gradient_precision bfloat16; use numba"):
        backend.with_gradient_precision("bfloat16")


def test_layers():
    """Outputs are the same, gradients nearly; refused where the backend has none."""
    grads = {}
    x = 50 * torch.randn(30, 9, 3, generator=torch.Generator().manual_seed(0))
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(1)
        layer = nn.BRF(3, 40, return_state=False, gradient_precision=precision)
        out = layer(x)
        assert out.sum() > 0
        (out * torch.linspace(-1, 1, 40)).sum().backward()
        grads[precision] = out.detach(), layer.w_rec.grad
    torch.testing.assert_close(grads["float32"][0], grads["bfloat16"][0], rtol=0, atol=0)
    exact, rounded = grads["float32"][1], grads["bfloat16"][1]
    assert 0 < (exact - rounded).norm() < 0.05 * exact.norm()
    with pytest.raises(BrfkitError, match="gradient_precision 'half' is not one of"):
        nn.BRF(3, 4, gradient_precision="half")
    with pytest.raises(BrfkitError, match="backend torch has no gradient_precision"):
        nn.BRF(3, 4, gradient_precision="bfloat16", backend="torch")(x)


def test_configuration():
    config = Config(training=TrainingConfig(gradient_precision="bfloat16"))
    assert Config.from_dict(config.to_dict()) == config
    with pytest.raises(BrfkitError, match=r"needs training\.dtype float32"):
        Config(training=TrainingConfig(gradient_precision="bfloat16", dtype="float64"))
    with pytest.raises(BrfkitError, match="not for the LSTM"):
        Config(network=NetworkConfig(neuron="lstm"), training=TrainingConfig(gradient_precision="bfloat16"))
    with pytest.raises(BrfkitError, match="gradient_precision"):
        Config(training=TrainingConfig(gradient_precision="half"))
