"""What layers take as input and state, what they refuse and in which words; stacks, directions, recorded states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import brfkit
from brfkit import nn
from brfkit.backends import get_backend
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import Network

from .plain import LAYERS, SPIKING, signal

each = pytest.mark.parametrize("kind", LAYERS)


def test_the_error_class_stands_at_the_top():
    assert brfkit.BrfkitError is BrfkitError


@each
def test_no_steps_and_no_samples(kind, backend):
    """T = 0 gives an empty output and the state as it was; B = 0 empty results, as an LSTM; gradients are 0."""
    if backend == "numba" and kind is not nn.BRF and nn.function.choose.__name__ == "<lambda>":
        pytest.skip("the CUDA sources of other neurons are tested with the backend")
    layer = kind(3, 5, backend=backend)
    start = {name: torch.full((4, 5), 1.0) for name in layer.state_names}
    y, state = layer(torch.zeros(0, 4, 3), start)
    assert y.shape == (0, 4, 5)
    for name, value in state.items():
        torch.testing.assert_close(value, start[name], rtol=0, atol=0)
    y, state = layer(signal(kind)[:, :0])
    assert y.shape == (21, 0, 5)
    assert all(value.shape == (0, 5) for value in state.values())
    y.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in layer.parameters())


def test_gradients_through_no_steps(backend):
    layer = nn.BRF(3, 5, backend=backend)
    start = {name: torch.ones(4, 5, requires_grad=True) for name in layer.state_names}
    y, state = layer(torch.zeros(0, 4, 3), start)
    (y.sum() + 2 * state["u"].sum() + 3 * state["z"].sum()).backward()
    assert (start["u"].grad == 2).all()
    assert (start["z"].grad == 3).all()
    assert start["q"].grad is None or not start["q"].grad.any()


@pytest.mark.parametrize("kind", SPIKING)
def test_initial_spikes_are_0_or_1(kind, backend):
    layer = kind(3, 5, backend=backend)
    with pytest.raises(BrfkitError, match=f"{kind.__name__}: state 'z' must hold spikes, 0 or 1"):
        layer(signal(kind), {"z": torch.full((4, 5), 0.25)})


@pytest.mark.parametrize("name", ["numba", "torch", "reference"])
def test_initial_spikes_are_0_or_1_in_scans(name):
    network = nn.BRF(3, 5).network
    weights = network.initialise(0)
    x, state = np.zeros((4, 2, 3), np.float32), {"layer.z": np.full((2, 5), 0.25, np.float32)}
    with pytest.raises(BrfkitError, match=r"initial state layer\.z must hold spikes, 0 or 1"):
        get_backend(name).scan(network, weights, x, initial_state=state)


@each
def test_without_a_batch_as_an_lstm(kind):
    layer, x = kind(3, 5), signal(kind)
    y, state = layer(x[:, 0])
    whole, after = layer(x[:, :1])
    torch.testing.assert_close(y, whole[:, 0], rtol=0, atol=0)
    more, _ = layer(x[:, 0], state)
    expected, _ = layer(x[:, :1], after)
    torch.testing.assert_close(more, expected[:, 0], rtol=0, atol=0)
    assert all(value.shape == (5,) for value in state.values())


def test_one_step_at_a_time():
    for batch_first in (False, True):
        layer = nn.BRF(3, 5, batch_first=batch_first)
        x = signal(nn.BRF)
        state, outputs = None, []
        for one in x:
            y, state = layer.step(one, state)
            outputs.append(y)
        whole, end = layer(x.transpose(0, 1) if batch_first else x)
        torch.testing.assert_close(torch.stack(outputs), whole.transpose(0, 1) if batch_first else whole)
        torch.testing.assert_close(state["u"], end["u"])
    with pytest.raises(BrfkitError, match=r"BRF\.step takes one time step \[B, 3\]"):
        layer.step(signal(nn.BRF))


def test_events_and_other_number_types():
    layer = nn.BRF(20, 7, init={"w_in": ("normal", 0.0, 20.0)})
    x = torch.rand(30, 4, 20) < 0.2
    wanted = layer(x.float())[0]
    assert wanted.sum() > 0
    for same in (x, x.to(torch.uint8), x.double()):
        torch.testing.assert_close(layer(same)[0], wanted, rtol=0, atol=0)
    events = Events.from_dense(x.numpy().astype(np.float32))
    found, _ = layer(events)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    found.sum().backward()
    assert layer.w_in.grad is not None
    with pytest.raises(BrfkitError, match="BRF: the events have 20 channels, not in_features = 3"):
        nn.BRF(3, 5)(events)


def test_inputs_that_are_refused_in_one_line():
    layer, x = nn.BRF(3, 5), signal(nn.BRF)
    for wrong, said in (
        (x.numpy(), "not an array; use torch.from_numpy"),
        ([1.0, 2.0], "must be a tensor or brfkit.events.Events, not list"),
        (x.to_sparse(), "is a sparse tensor; give x.to_dense"),
        (pack_padded_sequence(x, [21, 9, 5, 1]), "not a PackedSequence; pad it"),
        (x + 1j, "must be real, not torch.complex64"),
        (x[0, 0], r"shape \(T, B, 3\) or \(T, 3\) without a batch, not \(3,\)"),
        (torch.zeros(4, 7), r"not \(4, 7\); layer.step takes one step \(B, 3\)"),
    ):
        with pytest.raises(BrfkitError, match=said) as error:
            layer(wrong)
        assert "\n" not in str(error.value)
    with pytest.raises(BrfkitError, match=r"\(B, T, 3\)"):
        nn.BRF(3, 5, batch_first=True)(torch.zeros(2, 4, 5))


def test_states_that_are_refused_in_one_line():
    layer, x = nn.BRF(3, 5), signal(nn.BRF)
    for wrong, said in (
        (torch.zeros(4, 5), r"state must be a dict as the layer returns it \(u, v, q, z\), not Tensor"),
        ((torch.zeros(4, 5),), "not tuple"),
        ({"w": torch.zeros(4, 5)}, "BRF has no state 'w'; it has u, v, q, z"),
        ({"u": np.zeros((4, 5))}, "state 'u' must be a tensor, not ndarray"),
        (layer(x[:, :3])[1], r"state 'u' has shape \(3, 5\), not \(4, 5\) as this input needs"),
    ):
        with pytest.raises(BrfkitError, match=said) as error:
            layer(x, wrong)
        assert "layer." not in str(error.value)


def test_a_state_that_is_not_whole_is_filled_with_zeros():
    layer, x = nn.BRF(3, 5), signal(nn.BRF)
    found = layer(x, {"u": torch.ones(4, 5)})[0]
    others = {name: torch.zeros(4, 5) for name in ("v", "q", "z")}
    torch.testing.assert_close(found, layer(x, {"u": torch.ones(4, 5), **others})[0], rtol=0, atol=0)


def test_sizes_that_are_refused_in_one_line():
    for sizes, said in (
        ((3, 0), "BRF: units must be a positive integer, not 0"),
        ((3.0, 5), "BRF: in_features must be a positive integer, not 3.0"),
        ((3, True), "BRF: units must be a positive integer, not True"),
    ):
        with pytest.raises(BrfkitError, match=said):
            nn.BRF(*sizes)
    with pytest.raises(BrfkitError, match="BRF: num_layers must be a positive integer, not 0"):
        nn.BRF(3, 5, num_layers=0)
    with pytest.raises(BrfkitError, match="LI: neuron li has no spikes, so it cannot be recurrent"):
        nn.LI(3, 5, recurrent=True)
    with pytest.raises(BrfkitError, match="num_layers must be 1 for neuron li"):
        nn.NeuronLayer("li", 3, 5, num_layers=2)


@each
def test_states_of_every_step(kind, backend):
    if backend == "numba" and kind is not nn.BRF and nn.function.choose.__name__ == "<lambda>":
        pytest.skip("the CUDA sources of other neurons are tested with the backend")
    layer, x = kind(3, 5, return_states=True, backend=backend), signal(kind)
    y, end, states = layer(x)
    assert set(states) == set(layer.state_names)
    for name, value in states.items():
        assert value.shape == (21, 4, 5)
        torch.testing.assert_close(value[-1], end[name])
    if "z" in states:
        torch.testing.assert_close(states["z"], y)
    layer.return_state = False
    short, between = layer(x[:9])
    torch.testing.assert_close(between["u"], states["u"][:9])
    assert short.shape == (9, 4, 5)


def test_gradients_from_states_of_every_step():
    x = signal(nn.BRF)
    layer = nn.BRF(3, 5, return_states=True)
    y, _, states = layer(x)
    with pytest.raises(BrfkitError, match='backend="torch" has it'):
        (y.sum() + states["u"].pow(2).sum()).backward()
    layer(x)[0].sum().backward()
    eager = nn.BRF(3, 5, return_states=True, backend="torch")
    eager(x)[2]["u"].pow(2).sum().backward()
    assert eager.w_in.grad.abs().sum() > 0


def test_layers_on_top_of_each_other():
    stacked = nn.BRF(3, 5, num_layers=2)
    assert [n for n, _ in stacked.named_parameters()] == [
        *("w_in", "w_rec", "omega", "b_offset"),
        *("w_in_l1", "w_rec_l1", "omega_l1", "b_offset_l1"),
    ]
    with torch.no_grad():
        stacked.w_in_l1.mul_(400.0)
    low, high = nn.BRF(3, 5), nn.BRF(5, 5)
    for name in ("w_in", "w_rec", "omega", "b_offset"):
        setattr(low, name, getattr(stacked, name))
        setattr(high, name, getattr(stacked, f"{name}_l1"))
    x = signal(nn.BRF)
    y, state = stacked(x)
    between, first = low(x)
    wanted, second = high(between)
    assert wanted.sum() > 0
    torch.testing.assert_close(y, wanted)
    torch.testing.assert_close(state["u"], torch.stack([first["u"], second["u"]]))
    again, _ = stacked(x, state)
    torch.testing.assert_close(again, high(low(x, first)[0], second)[0])


def test_both_directions():
    layer = nn.BRF(3, 5, num_layers=2, bidirectional=True, batch_first=True)
    x = signal(nn.BRF)
    y, state = layer(x.transpose(0, 1))
    assert y.shape == (4, 21, 10)
    assert state["u"].shape == (4, 4, 5)
    lstm = torch.nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True)
    assert y.shape == lstm(x.transpose(0, 1))[0].shape
    single = nn.BRF(3, 5, bidirectional=True)
    forth, back = nn.BRF(3, 5), nn.BRF(3, 5)
    for name in ("w_in", "w_rec", "omega", "b_offset"):
        setattr(forth, name, getattr(single, name))
        setattr(back, name, getattr(single, f"{name}_reverse"))
    both = torch.cat([forth(x)[0], back(x.flip(0))[0].flip(0)], -1)
    torch.testing.assert_close(single(x)[0], both, rtol=0, atol=0)
    single(x)[0].sum().backward()
    assert all(p.grad is not None for p in single.parameters())


def test_the_description_of_a_layer():
    layer = nn.BRF(3, 5)
    assert isinstance(layer.network, Network)
    assert (layer.layer.neuron, layer.layer.units, layer.network.inputs) == ("brf", 5, 3)
    assert layer.state_names == ("u", "v", "q", "z")
