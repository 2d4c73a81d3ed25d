"""What the parser takes, what it refuses, and that a program computes what its function computes, bit for bit."""

from __future__ import annotations

import inspect
import itertools
from pathlib import Path

import numpy as np
import pytest

from brfkit.codegen.adjoint import vjp
from brfkit.codegen.model import build_model
from brfkit.codegen.parser import parse
from brfkit.codegen.program import Statement
from brfkit.codegen.python_printer import NUMPY, build, source
from brfkit.errors import BrfkitError
from brfkit.neurons import NEURONS, SURROGATES, Neuron, ops, register
from brfkit.neurons.ops import cos, exp, expm1, maximum, minimum, sin, spike, sqrt

HALF = 0.5
TEXT = "text"


def everything(x, y):
    """A docstring is no statement."""
    a = abs(x) + HALF
    b = sqrt(a) * exp(-y) / 3
    c = minimum(a, b) - maximum(x, 2.0 * y)
    d = (a - (b - c)) - -(c**2)
    e = sin(x) * cos(y) + expm1(x)
    z = spike(x - y)
    return z, d, x, e


def augmented(x):
    x += 1.0
    return x


def annotated(x):
    y: float = x
    return y


def branch(x):
    if x > 0:
        x = -x
    return x


def loop(x):
    for _ in range(3):
        x = x * x
    return x


def conditional(x):
    y = x if x else -x
    return y


def cubed(x):
    return x**3


def variable_power(x):
    return x**x


def attribute(x):
    return np.exp(x)


def unknown_call(x):
    return np_tanh(x)  # noqa: F821


def keyword(x):
    return minimum(x, x2=0.0)


def wrong_count(x):
    return exp(x, x)


def unknown_name(x):
    return x * missing  # noqa: F821


def not_a_number(x):
    return x * TEXT


def two_targets(x):
    a = b = x
    return a + b


def unpacking(x):
    a, b = x, x
    return a + b


def comparison(x):
    return x > 0


def modulo(x):
    return x % 2


def no_return(x):
    y = x  # noqa: F841


def empty_return(x):
    return


def boolean(x):
    return x * True


def division_by_zero(x):
    y = HALF / 0.0
    return x * y


def root_of_negative(x):
    return x * sqrt(-1.0)


# Function -> what the message says. The line that is meant is the first one of the body.
REFUSED = {
    augmented: "only assignments to one name",
    annotated: "only assignments to one name",
    branch: "only assignments to one name",
    loop: "only assignments to one name",
    conditional: "'x if x else -x' is not one of the possible operations",
    cubed: "the only possible power is \\*\\*2",
    variable_power: "the only possible power is \\*\\*2",
    attribute: "'np.exp\\(x\\)' is not one of the possible operations",
    unknown_call: "'np_tanh\\(x\\)' is not one of the possible operations",
    keyword: "is not one of the possible operations",
    wrong_count: "'exp\\(x, x\\)' is not one of the possible operations",
    unknown_name: "name 'missing' is neither an argument, an earlier result nor a number",
    not_a_number: "name 'TEXT' is neither an argument",
    two_targets: "only assignments to one name",
    unpacking: "only assignments to one name",
    comparison: "'x > 0' is not one of the possible operations",
    modulo: "'x % 2' is not one of the possible operations",
    no_return: "the last line must be return",
    empty_return: "the last line must be return",
    boolean: "'True' is not one of the possible operations",
    division_by_zero: "'HALF / 0.0' cannot be computed",
    root_of_negative: "'sqrt\\(-1.0\\)' cannot be computed",
}


@pytest.mark.parametrize("function", REFUSED, ids=lambda f: f.__name__)
def test_refusals_name_file_and_line(function):
    line = inspect.getsourcelines(function)[1] + 1
    where = f"{Path(__file__).name}:{line}: in {function.__name__}: "
    with pytest.raises(BrfkitError, match=where + ".*" + REFUSED[function]):
        parse(function)


@pytest.mark.parametrize("function", [lambda x: x, np.exp, eval("lambda x: x")])
def test_refuses_what_is_no_function_in_a_file(function):
    with pytest.raises(BrfkitError, match=r"plain function made with def|cannot be read"):
        parse(function)


def call(program, target="numpy", **values):
    return build(program, target, NUMPY)(*(values[name] for name in program.inputs))


def test_every_operation(rng):
    x, y = rng.normal(0, 1, (2, 50))
    for got, wanted in zip(call(parse(everything), x=x, y=y), everything(x, y), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_nothing_is_reordered():
    """``a - (b - c)`` stays so, and every statement prints as one operation between names and numbers."""
    program = parse(everything)
    ops_in_order = [s.op for s in program.statements]
    assert ops_in_order == [
        *("abs", "add", "sqrt", "neg", "exp", "mul", "div"),
        *("minimum", "mul", "maximum", "sub", "sub", "sub", "square", "neg", "sub"),
        *("sin", "cos", "mul", "expm1", "add", "sub", "spike"),
    ]
    for line in source(program, "numpy").splitlines()[1:-1]:
        assert "(" not in line.split("=")[1] or line.split("=")[1].strip().startswith(("np.", "spike"))


def folded(x, a, b):
    y = a * (x + 0.0) + b * x
    z = y * 1.0 - b
    return z / a + 0.0


def test_options_are_folded_in():
    program = parse(folded, {"a": 1.0, "b": 0.0})
    assert program.inputs == ("x",)
    assert program.statements == ()
    assert program.outputs == ("x",)
    assert [s.op for s in parse(folded, {"a": 2.0, "b": 0.0}).statements] == ["mul", "div"]


def shadowed(t1, x):
    t3 = t1 + x
    g1 = t3 * x
    u = (t3 - g1) * x * t1
    return u * x + t3, g1


def test_names_of_the_source_never_meet_generated_ones(rng):
    """``t1`` and ``g1`` are what the parser and the adjoint call their own values."""
    program = parse(shadowed)
    t1, x, p, q = rng.normal(0, 1, (4, 20))
    for got, wanted in zip(call(program, t1=t1, x=x), shadowed(t1, x), strict=True):
        np.testing.assert_array_equal(got, wanted)
    back = vjp(program, ("t1", "x"))
    names = [s.target for s in back.statements]
    assert len({*names, *back.inputs}) == len(names) + len(back.inputs)
    cotangents = dict(zip(back.inputs[2:], (p, q), strict=True))
    h = 1e-6
    for name, bar in zip(("t1", "x"), call(back, t1=t1, x=x, **cotangents), strict=True):
        up, down = ({"t1": t1, "x": x} | {name: {"t1": t1, "x": x}[name] + s * h} for s in (1, -1))
        slope = [(a - b) / (2 * h) for a, b in zip(shadowed(**up), shadowed(**down), strict=True)]
        np.testing.assert_allclose(bar, p * slope[0] + q * slope[1], atol=1e-7)


def reassigned(x):
    y = x * 2.0
    x = y + x
    y = y * x
    return y, x


def test_a_name_may_be_assigned_again(rng):
    x = rng.normal(0, 1, 10)
    for got, wanted in zip(call(parse(reassigned), x=x), reassigned(x), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert Statement("y", "mul", ("t1", "t2")) in parse(reassigned).statements


def combinations(neuron: Neuron):
    """Every choice of parts; then each other discretisation and each trained constant, the last of both together."""
    names = [option.name for option in neuron.options]
    parts = [dict(zip(names, values, strict=True)) for values in itertools.product([True, False], repeat=len(names))]
    ways = [{"discretisation": name} for name in list(neuron.discretisations)[1:]]
    trained = [neuron.trainable_options([one.name]) for one in neuron.trainable]
    return [*parts, *ways, *({**ways[-1], **one} if ways else one for one in trained)]


VARIANTS = [(neuron.name, options) for neuron in NEURONS.values() for options in combinations(neuron)]


def arguments_of(neuron: Neuron, options: dict) -> dict:
    """What the neuron's functions take beside numbers per neuron: parts as 0 or 1, functions."""
    chosen = neuron.resolve_options(options)
    way = neuron.discretisation(options)
    return {o.name: float(chosen[o.name]) for o in neuron.options} | (dict(way.functions) if way else {})


def derived_by_hand(neuron: Neuron, options: dict, values: dict, in_other=lambda function: function) -> dict:
    """What the neuron's own ``derive`` gives, by name, and trained constants as ``step`` gets them. Functions are
    called as ``in_other`` makes them."""
    fixed = arguments_of(neuron, options)
    given = values | {n: in_other(v) if callable(v) else v for n, v in fixed.items()}
    names = parse(neuron.derive, fixed).output_names
    found = in_other(neuron.derive)(*(given[a] for a in inspect.signature(neuron.derive).parameters))
    trained = [one for one in neuron.trainable if options.get(f"train_{one.name}")]
    return dict(zip(names, found, strict=True)) | {
        one.name: in_other(one.constrain)(values[one.name]) for one in trained
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_programs_equal_their_functions_bitwise(name, options, dtype, rng):
    neuron, model = NEURONS[name], build_model(name, options)
    fixed = arguments_of(neuron, options)
    values = {"dt": 0.01, **neuron.constants}
    values |= {s: rng.normal(0, 1, 200).astype(dtype) for s in ("x", *neuron.states)}
    values |= {p.name: p.init.sample(rng, 200).astype(dtype) for p in neuron.trained(options)}
    for program in (model.derive, model.step):
        assert not set(program.inputs) & set(fixed)
    by_hand = derived_by_hand(neuron, options, values)
    assert set(model.derived) <= set(by_hand)
    derived = dict(zip(model.derived, call(model.derive, **values), strict=True))
    values |= by_hand
    wanted = neuron.step(*((values | fixed)[a] for a in inspect.signature(neuron.step).parameters))
    pairs = [(derived[n], by_hand[n]) for n in model.derived]
    for got, expected in (*pairs, *zip(call(model.step, **values), wanted, strict=True)):
        np.testing.assert_array_equal(got, expected)
        assert np.asarray(got).dtype == dtype


@pytest.mark.parametrize("surrogate", SURROGATES.values(), ids=lambda s: s.name)
def test_surrogates_equal_their_functions_bitwise(surrogate, rng):
    x = rng.normal(0, 2, 200)
    (got,) = call(parse(surrogate.derivative), x=x)
    np.testing.assert_array_equal(got, surrogate.derivative(x))


def made_step(x, u, damping):
    return spike(u + x), u * damping


def made_derive(dt):
    return (exp(-dt),)


def short_step(x, u):
    return (spike(u + x),)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (made_step, "made_step takes 'damping', which is none of"),
        (short_step, "step must return its output and one value per"),
    ],
)
def test_a_wrong_specification_is_refused(monkeypatch, step, reason):
    monkeypatch.setitem(NEURONS, "made", Neuron("made", "", "", "", ("u",), (), made_derive, step, ()))
    with pytest.raises(BrfkitError, match=f"neuron made: {reason}"):
        build_model("made")


def test_registered_names_are_not_taken_twice():
    with pytest.raises(BrfkitError, match="there is a neuron 'brf' already"):
        register(NEURONS["brf"])


def test_spike_keeps_the_dtype():
    assert ops.spike(np.zeros(2, np.float32)).dtype == np.float32
