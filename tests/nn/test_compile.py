"""Layers under torch.compile, torch.export, torch.jit.trace, on meta tensors, and under torch.func."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
import torch
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, stack_module_state, vmap

from brfkit import nn
from brfkit.errors import BrfkitError

from .plain import LAYERS, signal

STEPS = 5


def model(backend: str = "auto") -> torch.nn.Sequential:
    torch.manual_seed(3)
    return torch.nn.Sequential(nn.BRF(3, 5, backend=backend), nn.LI(5, 4, return_state=False, backend=backend))


def losses(run: torch.nn.Module, parameters) -> list[float]:
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    found = []
    for _ in range(STEPS):
        loss = (run(signal(nn.BRF)) - 0.1).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_compiled_without_a_graph_break_it_trains_to_the_same_losses(backend):
    torch.compiler.reset()
    plain, compiled = model(backend), model(backend)
    wanted = losses(plain, plain.parameters())
    # aot_eager is all of the compiler but the code for operations that are not ours
    run = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    assert losses(run, compiled.parameters()) == pytest.approx(wanted, rel=1e-6)
    assert wanted[-1] < wanted[0]


def test_compiled_with_state_and_states_of_every_step():
    torch.compiler.reset()
    layer = nn.BRF(3, 5, return_states=True)
    x = signal(nn.BRF)
    _, state, _ = layer(x)
    run = torch.compile(layer, fullgraph=True, backend="aot_eager")
    given = {"u": state["u"].detach(), "z": state["z"].detach()}
    for got, wanted in zip(run(x, given), layer(x, given), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_compiled_stack_in_both_directions():
    torch.compiler.reset()
    layer = nn.BRF(3, 5, num_layers=2, bidirectional=True)
    run = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(run(signal(nn.BRF))[0], layer(signal(nn.BRF))[0], rtol=0, atol=0)


def test_exported_and_loaded_it_gives_the_same_output():
    net = model()
    file = io.BytesIO()
    torch.export.save(torch.export.export(net, (signal(nn.BRF),)), file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    torch.testing.assert_close(loaded(signal(nn.BRF)), net(signal(nn.BRF)), rtol=0, atol=0)


def test_exported_it_runs_in_a_process_that_knows_brfkit_nn(tmp_path):
    net = model()
    torch.export.save(torch.export.export(net, (signal(nn.BRF),)), tmp_path / "net.pt2")
    torch.save((signal(nn.BRF), net(signal(nn.BRF)).detach()), tmp_path / "pair.pt")
    code = (
        "import torch, brfkit.nn\n"
        "x, y = torch.load('pair.pt')\n"
        "assert torch.equal(torch.export.load('net.pt2').module()(x), y)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)


def test_traced_by_jit():
    """As the graph of TensorBoard does it."""
    net = model()
    traced = torch.jit.trace(net, signal(nn.BRF))
    torch.testing.assert_close(traced(signal(nn.BRF)), net(signal(nn.BRF)), rtol=0, atol=0)
    traced(signal(nn.BRF)).sum().backward()
    found = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    net(signal(nn.BRF)).sum().backward()
    for p, got in zip(net.parameters(), found, strict=True):
        torch.testing.assert_close(got, p.grad, rtol=0, atol=0)


def test_tensorboard_draws_the_graph(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_graph(model(), signal(nn.BRF))
    assert list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", LAYERS)
def test_shapes_are_known_on_meta(kind):
    real = kind(3, 5, return_states=True)
    ghost = kind(3, 5, return_states=True, device="meta")
    wanted, found = real(signal(kind)), ghost(signal(kind).to("meta"))
    assert found[0].is_meta
    assert found[0].shape == wanted[0].shape
    for got, expected in zip(found[1:], wanted[1:], strict=True):
        assert {n: v.shape for n, v in got.items()} == {n: v.shape for n, v in expected.items()}
    found[0].sum().backward()
    assert ghost.w_in.grad.is_meta


def test_built_on_meta_and_filled_later():
    with torch.device("meta"):
        layer = nn.BRF(3, 5)
    assert layer.omega.is_meta
    layer.to_empty(device="cpu").reset_parameters()
    assert ((layer.omega >= 5) & (layer.omega <= 10)).all()
    assert layer(signal(nn.BRF))[0].shape == (21, 4, 5)


def parts(backend: str = "numba", kind=nn.BRF):
    layer = kind(3, 5, backend=backend, dtype=torch.float64)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(p, x):
        y = functional_call(layer, p, (x,))[0]
        return (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)).sum()

    return layer, parameters, loss, signal(kind, dtype=torch.float64)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_grad_of_torch_func(backend):
    layer, parameters, loss, x = parts(backend)
    loss(dict(layer.named_parameters()), x).backward()
    for name, value in grad(loss)(parameters, x).items():
        torch.testing.assert_close(value, layer.get_parameter(name).grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_vmap_over_inputs_and_states(backend):
    layer, _, _, x = parts(backend)
    state = {"u": torch.randn(3, 4, 5, dtype=torch.float64)}
    several = torch.stack([x, 0.5 * x, -x], 1)  # the batch of vmap need not stand first
    found = vmap(lambda a, s: layer(a, s)[0], in_dims=(1, 0))(several, state)
    for i in range(3):
        wanted = layer(several[:, i], {"u": state["u"][i]})[0]
        torch.testing.assert_close(found[i], wanted, rtol=1e-12, atol=1e-12)


def test_gradients_of_every_sample():
    _, parameters, loss, x = parts()
    found = vmap(grad(lambda p, a: loss(p, a.unsqueeze(1))), in_dims=(None, 1))(parameters, x)
    for i in range(4):
        for name, value in grad(loss)(parameters, x[:, i : i + 1]).items():
            torch.testing.assert_close(found[name][i], value, rtol=1e-12, atol=1e-14)


def test_an_ensemble_of_weights():
    layers = [nn.BRF(3, 5, dtype=torch.float64) for _ in range(3)]
    x = signal(nn.BRF, dtype=torch.float64)
    stacked, _ = stack_module_state(layers)

    def loss(p):
        return functional_call(layers[0], p, (x,))[0].sum()

    found, grads = vmap(loss)(stacked), vmap(grad(loss))(stacked)
    for i, layer in enumerate(layers):
        wanted = layer(x)[0].sum()
        wanted.backward()
        assert found[i].item() == wanted.item()
        for name, p in layer.named_parameters():
            torch.testing.assert_close(grads[name][i], p.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_jacobian_by_torch_func(backend):
    _, parameters, _, x = parts(backend, nn.LI)
    layer = nn.LI(3, 5, backend=backend, dtype=torch.float64)

    def output(tau):
        return functional_call(layer, {**parameters, "tau_mem": tau}, (x,))[0].sum((0, 1))

    found = jacrev(output)(parameters["tau_mem"])
    h = 1e-5 * torch.eye(5, dtype=torch.float64)
    by_differences = torch.stack(
        [(output(parameters["tau_mem"] + e) - output(parameters["tau_mem"] - e)) / 2e-5 for e in h], -1
    )
    torch.testing.assert_close(found, by_differences, rtol=1e-6, atol=1e-8)
    if backend == "torch":
        torch.testing.assert_close(jacfwd(output)(parameters["tau_mem"]), found, rtol=1e-10, atol=1e-12)


def test_what_the_fused_scans_do_not_have_is_refused():
    layer, parameters, loss, x = parts()
    for transform in (jacfwd, hessian):
        with pytest.raises(BrfkitError, match='backend="torch"'):
            transform(lambda w: loss({**parameters, "omega": w}, x))(parameters["omega"])
    with pytest.raises(BrfkitError, match=r"use torch\.func\.jacrev"):
        torch.autograd.functional.jacobian(lambda a: layer(a)[0].sum((0, 1)), x, vectorize=True)
    with pytest.raises(BrfkitError, match='backend="torch"'), torch.autograd.forward_ad.dual_level():
        layer(torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)))


def test_second_derivatives_by_torch_func_with_the_torch_backend():
    _, parameters, loss, x = parts("torch")
    found = hessian(lambda w: loss({**parameters, "b_offset": w}, x))(parameters["b_offset"])
    assert found.shape == (5, 5)
    torch.testing.assert_close(found, found.T, rtol=1e-6, atol=1e-8)
