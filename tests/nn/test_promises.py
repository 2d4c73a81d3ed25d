"""What layers promise to autograd, compared with ``torch.nn.LSTM`` in the same place."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from brfkit import nn
from brfkit.errors import BrfkitError
from brfkit.network import recurrent_network
from brfkit.nn import function
from brfkit.nn.function import token_of

from .plain import LAYERS, run, signal


def network_module(**given) -> nn.NetworkModule:
    return nn.NetworkModule(recurrent_network(3, [5], 4), **given)


EVERY = [*LAYERS, network_module]
every = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)


def make(kind, backend: str = "numba"):
    return kind(backend=backend) if kind is network_module else kind(3, 5, backend=backend)


def first(result):
    return result[0] if isinstance(result, tuple) else result


def outcome(action, module) -> str:
    """What torch says, up to the details; ``fine`` where it says nothing."""
    try:
        action(module)
    except RuntimeError as error:
        return str(error).split(":")[0].split("(")[0]
    return "fine"


def change_input(module):
    x = signal(type(module))
    y = first(module(x))
    x.zero_()
    y.sum().backward()


def change_weight(module):
    y = first(module(signal(type(module))))
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(2.0)
    y.sum().backward()


def step_between(module):
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    first(module(signal(type(module)))).sum().backward()
    y = first(module(signal(type(module))))
    optimizer.step()
    y.sum().backward()


def backward_twice(module):
    loss = first(module(signal(type(module)))).sum()
    loss.backward()
    loss.backward()


def change_output(module):
    y = first(module(signal(type(module)).requires_grad_()))
    y.mul_(2.0)
    y.sum().backward()


def retain_graph(module):
    loss = first(module(signal(type(module)))).sum()
    loss.backward(retain_graph=True)
    once = [p.grad.clone() for p in module.parameters()]
    loss.backward()
    for p, grad in zip(module.parameters(), once, strict=True):
        torch.testing.assert_close(p.grad, 2 * grad, rtol=0, atol=0)


ACTIONS = [change_input, change_weight, step_between, backward_twice, retain_graph]


@every
@pytest.mark.parametrize("action", ACTIONS, ids=lambda f: f.__name__)
def test_autograd_says_what_it_says_of_an_lstm(kind, action):
    said = outcome(action, torch.nn.LSTM(3, 5))
    assert said == ("fine" if action is retain_graph else said) != ""
    assert outcome(action, make(kind)) == said


@pytest.mark.parametrize("action", ACTIONS, ids=lambda f: f.__name__)
def test_autograd_on_every_backend(backend, action):
    assert outcome(action, nn.BRF(3, 5, backend=backend)) == outcome(action, torch.nn.LSTM(3, 5))


def test_the_expected_messages_are_those_of_torch():
    modified, again = "one of the variables needed for gradient computation", "Trying to backward through the graph"
    for action in (change_input, change_weight, step_between):
        assert outcome(action, nn.BRF(3, 5)).startswith(modified)
    assert outcome(backward_twice, nn.BRF(3, 5)).startswith(again)


def test_outputs_may_be_changed_in_place():
    change_output(layer := nn.BRF(3, 5))
    changed = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    (2 * layer(signal(nn.BRF))[0]).sum().backward()
    for p, grad in zip(layer.parameters(), changed, strict=True):
        torch.testing.assert_close(p.grad, grad, rtol=0, atol=0)


@every
def test_second_derivatives_are_refused_and_the_way_out_is_named(kind):
    module, x = make(kind), signal(kind).requires_grad_()
    grad, *_ = torch.autograd.grad(first(module(x)).sum(), x, create_graph=True)
    assert grad.requires_grad
    with pytest.raises(BrfkitError, match='backend="torch" has second derivatives'):
        grad.sum().backward()


def test_second_derivatives_with_the_torch_backend():
    """Against a difference of first derivatives, in a parameter in which the readout is smooth."""
    layer = nn.LI(3, 5, backend="torch", dtype=torch.float64)
    x = signal(nn.LI, dtype=torch.float64)

    def slope():
        return torch.autograd.grad(layer(x)[0].pow(2).sum(), layer.tau_mem, create_graph=True)[0].sum()

    (second,) = torch.autograd.grad(slope(), layer.tau_mem)
    h = 1e-4
    with torch.no_grad():
        layer.tau_mem[0] += h
    above = slope().item()
    with torch.no_grad():
        layer.tau_mem[0] -= 2 * h
    assert second[0].item() == pytest.approx((above - slope().item()) / (2 * h), rel=1e-6)


@pytest.fixture
def traces(monkeypatch):
    """How many traces of this test are still there."""
    made: list[weakref.ref] = []

    def noted(trace):
        made.append(weakref.ref(trace.saved))
        return token_of(trace)

    def count() -> int:
        gc.collect()
        return sum(one() is not None for one in made)

    monkeypatch.setattr(function, "token_of", noted)
    return count


@every
def test_backward_frees_what_was_saved_though_losses_are_kept(kind, traces):
    module = make(kind)
    total = torch.zeros(())
    for _ in range(3):
        loss = first(module(signal(kind))).sum()
        loss.backward()
        total = total + loss
    assert traces() == 0
    kept = first(module(signal(kind)))
    assert traces() == 1
    del kept
    assert traces() == 0


def test_an_output_is_not_kept_by_its_graph():
    layer = nn.BRF(3, 5)
    y = layer(signal(nn.BRF))[0]
    loss = y.sum()
    gone = weakref.ref(y)
    loss.backward()
    del y
    gc.collect()
    assert gone() is None


@every
def test_a_state_handed_on_without_detach(kind):
    def two_windows(module):
        y, state = module(signal(kind))
        y.sum().backward()
        module(signal(kind), state)[0].sum().backward()

    module = network_module(return_state=True) if kind is network_module else kind(3, 5)
    said = outcome(two_windows, torch.nn.LSTM(3, 5))
    assert said.startswith("Trying to backward through the graph a second time")
    assert outcome(two_windows, module) == said


@pytest.mark.parametrize("kind", LAYERS)
def test_agrees_with_a_plain_loop(kind, backend):
    """Outputs, states and every gradient, those of the input and of the initial state included, to 1e-12."""
    if backend == "numba" and kind not in (nn.BRF, nn.LI) and nn.function.choose.__name__ == "<lambda>":
        pytest.skip("the CUDA sources of other neurons are tested with the backend")
    layer = kind(3, 5, bias=True, dtype=torch.float64, backend=backend)
    x = signal(kind, dtype=torch.float64).requires_grad_()
    start = {s: 0.1 * torch.rand(4, 5, dtype=torch.float64) for s in layer.state_names}
    if "z" in start:
        start["z"] = (start["z"] > 0.05).double()
    start = {s: v.requires_grad_() for s, v in start.items()}
    parameters = dict(layer.named_parameters())
    leaves = [x, *start.values(), *parameters.values()]
    found = []
    for output, state in (layer(x, start), run(kind, parameters, x, start)):
        weight = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).reshape(output.shape)
        loss = (output * weight).sum() + sum((i + 1) * state[s].sum() for i, s in enumerate(layer.state_names))
        found.append([output, *(state[s] for s in layer.state_names), *torch.autograd.grad(loss, leaves)])
    assert kind in (nn.LI, nn.LISigmoid) or 0 < found[0][0].mean() < 0.6
    for got, wanted in zip(*found, strict=True):
        scale = max(1.0, wanted.abs().max().item())
        torch.testing.assert_close(got / scale, wanted / scale, rtol=0, atol=1e-12)


@every
def test_frozen_parameters_get_no_gradient(kind):
    module = make(kind)
    names = [name for name, _ in module.named_parameters()]
    dict(module.named_parameters())[names[0]].requires_grad_(False)
    first(module(signal(kind))).sum().backward()
    assert [n for n, p in module.named_parameters() if p.grad is None] == names[:1]
    module.requires_grad_(False)
    assert first(module(signal(kind))).grad_fn is None
    x = signal(kind).requires_grad_()
    first(module(x)).sum().backward()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_gives_the_same_gradients_and_keeps_no_trace(reentrant, traces):
    layer = nn.BRF(3, 5)
    x = signal(nn.BRF).requires_grad_()
    layer(x)[0].sum().backward()
    wanted = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    assert traces() == 0
    y = checkpoint(lambda a: layer(a)[0], x, use_reentrant=reentrant)
    assert traces() == 0
    y.sum().backward()
    for p, grad in zip(layer.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, grad, rtol=0, atol=0)


def test_saved_tensors_may_be_moved_elsewhere(traces):
    """Hooks that store copies, on disk for example, keep no trace; it is made again from what they give back."""
    layer = nn.BRF(3, 5)
    layer(signal(nn.BRF))[0].sum().backward()
    wanted = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    assert traces() == 0
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(force=True).copy(), torch.from_numpy):
        y = layer(signal(nn.BRF))[0]
    assert traces() == 0
    y.sum().backward()
    for p, grad in zip(layer.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, grad, rtol=0, atol=0)


@every
def test_layouts_of_input_and_gradient_do_not_matter(kind):
    """Transposed, strided and expanded input, and an expanded gradient, as ``sum`` makes it."""
    module = make(kind)
    x = signal(kind)
    wide = torch.zeros(42, 4, 6)
    wide[::2, :, ::2] = x
    for other in (x.transpose(0, 1).contiguous().transpose(0, 1), wide[::2, :, ::2]):
        assert not other.is_contiguous()
        torch.testing.assert_close(first(module(other)), first(module(x)), rtol=0, atol=0)
    one = x[:, :1].requires_grad_()
    first(module(one.expand(21, 4, 3))).sum().backward()
    expanded = one.grad.clone()
    whole = one.detach().repeat(1, 4, 1).requires_grad_()
    y = first(module(whole))
    y.backward(torch.ones_like(y))
    torch.testing.assert_close(expanded, whole.grad.sum(1, keepdim=True), rtol=1e-6, atol=1e-7)
