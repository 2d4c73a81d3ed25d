"""Layers for torch: shapes, states, gradients, use in ordinary torch code."""

import pytest
import torch

from brfkit import nn
from brfkit.backends import get_backend
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import recurrent_network
from brfkit.neurons import Uniform

# Most layers here take 3 channels to 5 units with 3 or 4 samples, so that few kernels are compiled.
LAYERS = [nn.BRF, nn.RF, nn.BHRF, nn.ALIF, nn.LIF, nn.RFIzhikevich, nn.LI]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", LAYERS)
def test_numba_and_torch_agree_in_value_and_gradient(kind):
    fused = kind(3, 5, dtype=torch.float64, backend="numba", bias=True)
    eager = kind(3, 5, dtype=torch.float64, backend="torch", bias=True)
    eager.load_state_dict(fused.state_dict())
    x = 40 * torch.randn(21, 4, 3, dtype=torch.float64)
    results = []
    for layer in (fused, eager):
        signal = x.clone().requires_grad_()
        out, state = layer(signal)
        weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
        loss = (out * weight).sum() + sum(v.sum() for v in state.values())
        loss.backward()
        results.append((out, signal.grad, {n: p.grad for n, p in layer.named_parameters()}, state))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-9, atol=1e-12)
    for name, grad in results[0][2].items():
        torch.testing.assert_close(grad, results[1][2][name], rtol=1e-9, atol=1e-11)
    for name, value in results[0][3].items():
        torch.testing.assert_close(value, results[1][3][name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_state_continues_a_sequence(kind):
    layer = kind(3, 5, dtype=torch.float64)
    x = 40 * torch.randn(30, 3, 3, dtype=torch.float64)
    whole, end = layer(x)
    first, state = layer(x[:11])
    second, end_of_second = layer(x[11:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=0, atol=0)
    assert end.keys() == end_of_second.keys()
    for name, value in end.items():
        torch.testing.assert_close(end_of_second[name], value, rtol=0, atol=0)


def test_gradient_flows_through_the_state():
    layer = nn.BRF(3, 5, dtype=torch.float64)
    x = 60 * torch.randn(24, 3, 3, dtype=torch.float64)
    readout = torch.randn(24, 3, 5, dtype=torch.float64)
    (layer(x)[0] * readout).sum().backward()
    wanted = {n: p.grad.clone() for n, p in layer.named_parameters()}
    layer.zero_grad()
    first, state = layer(x[:9])
    second, _ = layer(x[9:], state)
    (torch.cat([first, second]) * readout).sum().backward()
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-10, atol=1e-12)


def test_batch_first():
    layer = nn.BRF(3, 5)
    x = 40 * torch.randn(4, 17, 3)
    other = nn.BRF(3, 5, batch_first=True)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(x)[0], layer(x.transpose(0, 1))[0].transpose(0, 1), rtol=0, atol=0)


def test_sequential_with_and_without_state():
    x = 40 * torch.randn(12, 3, 3)
    out, state = torch.nn.Sequential(nn.BRF(3, 8), nn.ALIF(8, 6), nn.LI(6, 4))(x)
    assert out.shape == (12, 3, 4)
    assert set(state) == {"u"}
    mixed = torch.nn.Sequential(nn.BRF(3, 8, return_state=False), torch.nn.Linear(8, 3))
    mixed(x).sum().backward()
    assert all(p.grad is not None for p in mixed.parameters())


def test_state_dict_names():
    names = ["w_in", "w_rec", "bias", "omega", "b_offset"]
    assert list(nn.BRF(2, 3, bias=True).state_dict()) == [*names, "_extra_state"]
    assert list(nn.LI(2, 3).state_dict()) == ["w_in", "tau_mem", "_extra_state"]
    assert "w_rec" not in nn.RF(2, 3, recurrent=False).state_dict()


def test_options_and_init_reach_the_layer():
    layer = nn.BRF(
        1, 50, init={"omega": Uniform(40.0, 41.0)}, options={"smooth_reset": False}, constants={"theta": 2.0}
    )
    assert ((layer.omega >= 40) & (layer.omega <= 41)).all()
    assert layer.layer.spec.resolve_options(layer.layer.options)["smooth_reset"] is False
    torch.manual_seed(5)
    a = nn.BRF(2, 3).w_in
    torch.manual_seed(5)
    torch.testing.assert_close(nn.BRF(2, 3).w_in, a, rtol=0, atol=0)


def test_bad_arguments_are_one_line():
    with pytest.raises(BrfkitError, match="backend"):
        nn.BRF(1, 2, backend="jax")
    with pytest.raises(BrfkitError, match="no option"):
        nn.RF(1, 2, options={"smooth_reset": False})
    with pytest.raises(BrfkitError, match="shape"):
        nn.BRF(3, 2)(torch.zeros(5, 1, 4))
    with pytest.raises(BrfkitError, match=r"BRF: state 'q' has shape \(2, 2\), not \(1, 2\)"):
        nn.BRF(3, 2)(torch.zeros(5, 1, 3), {"q": torch.zeros(2, 2)})


def test_backward_twice_and_retain_graph():
    layer = nn.BRF(3, 5)
    out, _ = layer(60 * torch.randn(10, 3, 3))
    out.sum().backward(retain_graph=True)
    first = layer.w_in.grad.clone()
    layer.zero_grad()
    out.sum().backward()
    torch.testing.assert_close(layer.w_in.grad, first, rtol=0, atol=0)


def test_no_graph_is_kept_without_gradients():
    layer = nn.BRF(3, 5)
    with torch.no_grad():
        out, _ = layer(torch.randn(10, 3, 3))
    assert out.grad_fn is None


def test_network_module_takes_events():
    network = recurrent_network(20, [7], 3)
    weights = {k: 3 * v if k.endswith("w_in") else v for k, v in network.initialise(0).items()}
    module = nn.NetworkModule(network, weights, get_backend("numba"))
    x = (torch.rand(30, 4, 20) < 0.2).float()
    dense = module(x)
    events = module(Events.from_dense(x.numpy()))
    torch.testing.assert_close(dense, events, rtol=1e-5, atol=1e-6)
    events.sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    assert set(module.weights()) == set(network.shapes())
