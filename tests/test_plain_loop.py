"""The speed baseline computes what the published code computes, so a ratio to it compares like with like."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from brfkit.bench.plain_loop import PlainNetwork, double_gaussian, loss, script, spike, train_step
from brfkit.errors import BrfkitError
from brfkit.network import Network, Weights, recurrent_network
from brfkit.neurons import get_surrogate

REFERENCE = os.environ.get("BRFKIT_REFERENCE_DIR")
NEURONS = ("brf", "rf", "alif")
GRADIENTS = {"omega": "cell.omega", "b_offset": "cell.b_offset", "tau_mem": "cell.tau_mem", "tau_adp": "cell.tau_adp"}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors this small gain nothing from more, and lose much on busy cores
    yield
    torch.set_num_threads(before)


def golden(name: str) -> tuple[dict[str, np.ndarray], Network, Weights]:
    if not REFERENCE:
        pytest.skip("BRFKIT_REFERENCE_DIR does not point to the golden traces")
    with np.load(Path(REFERENCE) / "golden" / f"{name}.npz") as file:
        data = dict(file)
    kind = name.split("_")[0]
    network = recurrent_network(data["x"].shape[2], [len(data["w_in"])], len(data["w_out"]), kind, dt=float(data["dt"]))
    weights = {"hidden0.w_in": data["w_in"], "hidden0.w_rec": data["w_rec"]}
    weights |= {f"hidden0.{p.name}": data[p.name] for p in network.layers[0].spec.parameters}
    weights |= {"readout.w_in": data["w_out"], "readout.tau_mem": data["out_tau_mem"]}
    return data, network, weights


def run(model: torch.nn.Module, data: dict[str, np.ndarray]) -> tuple[np.ndarray, float, float]:
    model.zero_grad()
    outputs, spikes = model(torch.from_numpy(data["x"]))
    value = loss(outputs, torch.from_numpy(data["y"]), "last" if data["label_last"] else "every")
    value.backward()
    return outputs.detach().numpy(), float(spikes), float(value.detach())


@pytest.mark.parametrize("build", [PlainNetwork, script])
@pytest.mark.parametrize("name", [f"{n}_{on}" for n in NEURONS for on in ("mean", "last")])
def test_equals_the_golden_traces_in_float64(name, build):
    data, network, weights = golden(name)
    model = build(network, weights)
    for _ in range(3):  # TorchScript profiles, then optimises: each call may run other code
        outputs, spikes, value = run(model, data)
        np.testing.assert_allclose(outputs, data["out"], rtol=1e-10, atol=1e-12)
        assert spikes == data["z"].sum() > 0
        assert value == pytest.approx(float(data["loss"]), rel=1e-10)
        grads = {n: p.grad.numpy() for n, p in model.named_parameters()}
        close(grads["cell.weight"], np.hstack([data["g_w_in"], data["g_w_rec"]]))
        close(grads["readout.weight"], data["g_w_out"])
        close(grads["readout.tau_mem"], data["g_out_tau_mem"])
        for parameter in network.layers[0].spec.parameters:
            close(grads[GRADIENTS[parameter.name]], data[f"g_{parameter.name}"])


def close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


def test_injected_gradient_is_the_surrogate():
    x = torch.linspace(-4, 4, 81, dtype=torch.float64, requires_grad=True)
    z = spike(x, True)
    z.sum().backward()
    np.testing.assert_allclose(
        double_gaussian(x).detach(), get_surrogate("double_gaussian").derivative(x.detach().numpy())
    )
    np.testing.assert_allclose(x.grad, double_gaussian(x).detach())
    assert torch.equal(z.detach(), spike(x.detach(), False))
    assert float(spike(torch.zeros(1), True)) == 0.0


@pytest.mark.parametrize("neuron", NEURONS)
def test_inference_gives_the_outputs_of_training(neuron):
    model, x, _ = small(neuron)
    trained, spikes = model(x)
    with torch.no_grad():
        for _ in range(3):
            outputs, count = model(x)
            np.testing.assert_allclose(outputs, trained.detach(), rtol=1e-5, atol=1e-6)
            assert count == spikes


@pytest.mark.parametrize("loss_on", ["every", "last", "mean"])
def test_training_steps_lower_the_loss(loss_on):
    model, x, y = small("brf")
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    values = [float(train_step(model, x, y, optimizer, loss_on, clip_norm=1.0)) for _ in range(12)]
    assert values[-1] < values[0]


def test_loss_takes_a_class_per_step():
    outputs = torch.randn(5, 3, 4)
    y = torch.randint(0, 4, (5, 3))
    expected = -outputs.log_softmax(-1).gather(-1, y[..., None]).mean()
    assert float(loss(outputs, y, "every")) == pytest.approx(float(expected))
    with pytest.raises(ValueError, match="loss_on"):
        loss(outputs, y, "first")


@pytest.mark.parametrize(
    ("network", "complaint"),
    [
        (recurrent_network(2, [3, 3], 2), "3 layers"),
        (recurrent_network(2, [3], 2, "bhrf"), "not bhrf"),
        (recurrent_network(2, [3], 2, recurrent=False), "recurrent"),
        (recurrent_network(2, [3], 2, readout="li-sigmoid"), "li-sigmoid"),
        (recurrent_network(2, [3], 2, options={"refractory": False}), "switch off"),
        (recurrent_network(2, [3], 2, surrogate="linear"), "not linear"),
    ],
)
def test_other_networks_are_refused(network, complaint):
    with pytest.raises(BrfkitError, match=complaint):
        PlainNetwork(network, network.initialise(0))


def test_the_bias_takes_part():
    network = recurrent_network(2, [4], 3, bias=True)
    weights = network.initialise(0)
    x = torch.zeros(30, 2, 2)
    without = PlainNetwork(network, weights)(x)[0]
    weights["hidden0.bias"][:] = 200.0
    with_bias = PlainNetwork(network, weights)(x)[0]
    assert torch.isfinite(with_bias).all()
    assert not torch.equal(without, with_bias)


def test_omega_beyond_the_bound_is_refused():
    network = recurrent_network(2, [4], 3)
    weights = network.initialise(0)
    weights["hidden0.omega"][1] = -100.0  # p(ω) ends at δω = 1
    with pytest.raises(BrfkitError, match="omega"):
        PlainNetwork(network, weights)


def test_counts_the_spikes_of_every_step():
    model, x, _ = small("brf")
    with torch.no_grad():
        counts = [float(model(x[: t + 1])[1]) for t in range(len(x))]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def small(neuron: str) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    network = recurrent_network(3, [8], 2, neuron)
    weights = network.initialise(1)
    weights["hidden0.w_in"] *= 20.0  # at the initial scale nothing spikes
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 6, 3, generator=generator)
    model = script(network, weights)
    assert float(model(x)[1]) > 0
    return model, x, torch.randint(0, 2, (6,), generator=generator)
