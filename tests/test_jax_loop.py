"""The peer computes what brfkit computes: outputs, loss and gradients."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("optax")

import torch

from brfkit.backends import get_backend
from brfkit.bench.jax_loop import JaxLoop
from brfkit.bench.measure import PlainLoop
from brfkit.bench.workloads import PaperShape, make_workload
from brfkit.errors import BrfkitError


@pytest.mark.parametrize("dataset", ["ecg", "smnist"])
def test_the_same_network(dataset, tmp_path, monkeypatch):
    monkeypatch.delenv("BRFKIT_REFERENCE_DIR", raising=False)
    labels_per_step = dataset == "ecg"
    inputs = 4 if labels_per_step else 1
    shape = PaperShape(dataset, 5, 60, inputs, 12, 6, firing_rate=0.1, density=0.3, labels_per_step=labels_per_step)
    workload = make_workload("small", get_backend("numba"), shape=shape, data_dir=tmp_path)
    jax, plain = JaxLoop(workload, 1e-3, 1e9), PlainLoop(workload, 1)
    outputs = plain.model(plain.x)[0]
    # Of float32, where a spike that rounding turns would show: there is none in so short a run.
    np.testing.assert_allclose(jax.infer(), outputs.detach().numpy(), rtol=1e-3, atol=1e-5)
    loss, gradients = jax.gradients()
    trace = get_backend("numba").scan(workload.network, workload.weights, workload.x, differentiate=True)
    ours = torch.from_numpy(trace.outputs).requires_grad_()
    last = ours if labels_per_step else ours[-1]
    wanted = torch.from_numpy(workload.labels)
    value = torch.nn.functional.cross_entropy(last.flatten(0, -2), wanted.reshape(-1))
    value.backward()
    assert loss == pytest.approx(value.item(), rel=1e-4)
    expected = get_backend("numba").scan_vjp(trace, ours.grad.numpy()).weights
    for name, gradient in gradients.items():
        np.testing.assert_allclose(
            gradient, expected[name], rtol=1e-2, atol=1e-3 * np.abs(expected[name]).max(), err_msg=name
        )
    assert jax.train_step() == pytest.approx(loss, rel=1e-5)
    assert jax.train_step() < loss
    jax.reset()
    step = jax.stream()
    found = np.stack([step(x) for x in np.ascontiguousarray(workload.dense()[:, :1])])
    np.testing.assert_allclose(found, outputs.detach().numpy()[:, :1], rtol=1e-3, atol=1e-5)
    assert jax.train_step() == pytest.approx(loss, rel=1e-5)


def test_without_the_extra(monkeypatch, tmp_path):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("brfkit.bench.jax_loop.importlib.import_module", missing)
    with pytest.raises(BrfkitError, match=r"jax is not installed; pip install 'brfkit\[peers\]'"):
        JaxLoop(None, 0.1, 1.0)
