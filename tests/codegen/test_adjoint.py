"""Derivatives: every rule against differences, every neuron's step against torch, BRF's Jacobian against SymPy."""

from __future__ import annotations

import inspect
import types

import numpy as np
import pytest
import sympy
import torch

from brfkit.codegen.adjoint import vjp
from brfkit.codegen.model import build_model
from brfkit.codegen.operations import OPERATIONS
from brfkit.codegen.program import Program, Statement
from brfkit.codegen.python_printer import NUMPY, build
from brfkit.neurons import NEURONS, SURROGATES, get_surrogate

from .test_program import VARIANTS, arguments_of, derived_by_hand

SPIKING = [name for name, neuron in NEURONS.items() if neuron.spiking]


def call(program: Program, values: dict) -> tuple:
    return build(program, "numpy", NUMPY)(*(values[name] for name in program.inputs))


@pytest.mark.parametrize("op", sorted(set(OPERATIONS) - {"spike"}))
def test_rule_against_central_differences(op, rng):
    """Error h² f''' / 6 + eps f / h, with h = 1e-6 some 1e-10 for values of order 1; no argument is near a kink."""
    names = ("a", "b")[: OPERATIONS[op].arity]
    program = Program("one", names, (Statement("y", op, names),), ("y",), ("y",))
    values = {name: rng.uniform(0.5, 2, 100) for name in names}
    if op in ("neg", "abs", "square", "sign", "add", "sub", "mul", "sin", "cos", "expm1"):
        values = {name: value * rng.choice([-1, 1], 100) for name, value in values.items()}
    bar, h = rng.normal(0, 1, 100), 1e-6
    for name, got in zip(names, call(vjp(program, names), values | {"y_bar": bar}), strict=True):
        (up,), (down,) = (call(program, values | {name: values[name] + s * h}) for s in (1, -1))
        np.testing.assert_allclose(got, bar * (up - down) / (2 * h), atol=1e-8, err_msg=name)


@pytest.mark.parametrize(("op", "wanted"), [("minimum", [3.0, 0.0]), ("maximum", [0.0, 3.0])])
def test_a_tie_gives_the_gradient_to_one_side(op, wanted):
    program = Program("tie", ("a", "b"), (Statement("y", op, ("a", "b")),), ("y",), ("y",))
    one = np.ones(1)
    assert [float(np.sum(g)) for g in call(vjp(program, ("a", "b")), {"a": one, "b": one, "y_bar": 3 * one})] == wanted


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_spike_is_differentiated_as_the_surrogate(surrogate, rng):
    model = build_model("rf", surrogate=surrogate)
    program = Program("fire", ("a",), (Statement("z", "spike", ("a",)),), ("z",), ("z",))
    a, bar = rng.normal(0, 1, (2, 50))
    (got,) = call(vjp(program, ("a",), model.surrogate), {"a": a, "z_bar": bar})
    np.testing.assert_allclose(got, bar * get_surrogate(surrogate).derivative(a), rtol=1e-15)


def test_spike_needs_a_surrogate():
    program = Program("fire", ("a",), (Statement("z", "spike", ("a",)),), ("z",), ("z",))
    with pytest.raises(ValueError, match="needs a surrogate"):
        vjp(program, ("a",))


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x)
        ctx.slope = slope
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.slope(*ctx.saved_tensors), None


def in_torch(function, surrogate: str | None = None):
    """The very source of a neuron's function, with torch's operations in place of NumPy's: no code is generated."""
    scope = {k: v for k, v in function.__globals__.items() if isinstance(v, float)}
    own = {k: v for k, v in function.__globals__.items() if inspect.isfunction(v) and k in function.__code__.co_names}
    scope |= {k: in_torch(v, surrogate) for k, v in own.items() if k != "spike"}
    scope |= {name: getattr(torch, name) for name in ("exp", "expm1", "sin", "cos", "sqrt", "abs")}
    scope["minimum"] = lambda a, b: torch.minimum(torch.as_tensor(a), torch.as_tensor(b, dtype=torch.float64))
    scope["maximum"] = lambda a, b: torch.maximum(torch.as_tensor(a), torch.as_tensor(b, dtype=torch.float64))
    if surrogate is not None:
        slope = in_torch(get_surrogate(surrogate).derivative)
        scope["spike"] = lambda x: _Fire.apply(x, slope)
    return types.FunctionType(function.__code__, scope)


def assert_equals_autograd(program, function, wrt, values, rng):
    """``function`` takes tensors by name and gives the outputs in the order of the program's cotangents.

    1e-12 relative to the largest entry: some 50 operations of eps 2e-16, and sums over a few paths.
    """
    tensors = {k: torch.tensor(v, dtype=torch.float64, requires_grad=k in wrt) for k, v in values.items()}
    outputs = function(tensors)
    names = [name for name in program.inputs if name.endswith("_bar")]
    shape = next(v.shape for v in values.values() if np.ndim(v))
    bars = {name: rng.normal(0, 1, shape) for name in names}
    loss = sum((o * torch.tensor(bars[n])).sum() for n, o in zip(names, outputs, strict=True))
    grads = torch.autograd.grad(loss, [tensors[n] for n in wrt], allow_unused=True)
    for name, got, wanted in zip(wrt, call(program, values | bars), grads, strict=True):
        wanted = np.zeros(shape) if wanted is None else wanted.numpy()
        got = np.broadcast_to(got, wanted.shape)
        assert np.abs(got - wanted).max() <= 1e-12 * max(1.0, np.abs(wanted).max()), name


def sample(model, options, rng) -> dict:
    """Parameters of either sign, states and currents on both sides of the threshold."""
    neuron = model.neuron
    values = {"dt": 0.01, **neuron.constants}
    values |= {s: rng.normal(0.5, 1, 300) for s in neuron.states} | {"x": rng.normal(0, 60, 300)}
    return values | {p.name: p.init.sample(rng, 300) * rng.choice([-1, 1], 300) for p in neuron.trained(options)}


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_step_against_autograd(name, options, surrogate, rng):
    if name not in SPIKING and surrogate != "linear":
        pytest.skip("no spike, so one run is enough")
    model = build_model(name, options, surrogate if name in SPIKING else None)
    values, wrt = sample(model, options, rng), ("x", *model.states, *model.derived)
    values |= dict(zip(model.derived, call(model.derive, values), strict=True))
    fixed = {n: in_torch(v) if callable(v) else v for n, v in arguments_of(model.neuron, options).items()}

    def step(tensors):
        given = derived_by_hand(model.neuron, options, tensors, in_torch) | tensors | fixed
        names = inspect.signature(model.neuron.step).parameters
        return in_torch(model.neuron.step, surrogate)(*(given[a] for a in names))

    assert_equals_autograd(model.step_vjp, step, wrt, values, rng)


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_derive_against_autograd(name, options, rng):
    model = build_model(name, options)

    def derive(tensors):
        found = derived_by_hand(model.neuron, options, tensors, in_torch)
        return [found[n] for n in model.derived]

    assert_equals_autograd(model.derive_vjp, derive, model.parameters, sample(model, options, rng), rng)


def test_derive_beyond_the_bound_has_no_gradient_in_omega():
    model = build_model("brf")
    values = {"omega": np.array([150.0, -150.0]), "b_offset": np.ones(2), "dt": 0.01}
    omega_bar, b_bar = call(model.derive_vjp, values | {"w_bar": np.ones(2), "b0_bar": np.ones(2)})
    np.testing.assert_array_equal(omega_bar, 0)
    np.testing.assert_array_equal(b_bar, -1)


def test_brf_jacobian_against_sympy(rng):
    """Rows of J_t = ∂(u, v, q)_t / ∂(u, v, q)_{t-1}, from the equations of the paper; φ is the surrogate."""
    u, v, q, x, w, b0, dt, theta, gamma, phi = sympy.symbols("u v q x w b0 dt theta gamma phi")
    fire = sympy.Function("fire")
    b = b0 - q
    u_next = u + dt * (b * u - w * v + x)
    v_next = v + dt * (w * u + b * v)
    q_next = gamma * q + fire(u_next - theta - q)
    exact = sympy.Matrix([u_next, v_next, q_next]).jacobian([u, v, q])
    exact = exact.replace(lambda e: isinstance(e, sympy.Subs | sympy.Derivative), lambda e: phi)
    a, r = 1 + dt * b, dt * w
    printed = [[a, -r, -dt * u], [r, a, -dt * v], [phi * a, -phi * r, gamma - phi - phi * dt * u]]
    assert sympy.simplify(exact - sympy.Matrix(printed)) == sympy.zeros(3)

    model = build_model("brf")
    values = {name: rng.normal(0, 1, 50) for name in ("u", "v", "q", "x", "w", "b0")}
    values |= {"dt": 0.01, "theta": 1.0, "gamma": 0.9, "out_bar": np.zeros(50)}
    slope = get_surrogate("double_gaussian").derivative(call(model.step, values)[1] - 1.0 - values["q"])
    symbols = (u, v, q, x, w, b0, dt, theta, gamma, phi)
    wanted = sympy.lambdify(symbols, exact, "numpy")(*(values[str(s)] for s in symbols[:-1]), slope)
    for row, state in enumerate(("u", "v", "q")):
        bars = {f"{s}_next_bar": np.full(50, float(s == state)) for s in ("u", "v", "q")}
        got = call(model.step_vjp, values | bars)[1:4]
        for column in range(3):
            np.testing.assert_allclose(got[column], np.broadcast_to(wanted[row][column], 50), atol=1e-14)
