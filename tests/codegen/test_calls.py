"""Functions that call others: their statements are inlined, and mistakes name the line that is meant."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from brfkit.codegen.parser import parse
from brfkit.errors import BrfkitError

from .test_program import call

HALF = 0.5


def pair(a, b):
    mean = (a + b) * HALF
    t1 = a - mean
    return mean, t1


def single(x):
    mean = x * x
    return mean


def calls(x, y, given):
    mean, difference = pair(x, single(y))
    a = given(difference) + HALF
    return mean, difference, a


def squared(x):
    return x**2


def test_functions_are_put_in_line(rng):
    """Of the module, given as an argument, inside each other; names of theirs are kept where they are free."""
    program = parse(calls, {"given": squared})
    assert program.inputs == ("x", "y")
    assert {"mean", "difference", "a"} <= {s.target for s in program.statements}
    assert len({s.target for s in program.statements}) == len(program.statements)
    x, y = rng.normal(0, 1, (2, 30))
    for got, wanted in zip(call(program, x=x, y=y), calls(x, y, squared), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert parse(calls, {"given": single}).statements[-2].op == "mul"


def too_few(x):
    a, b, c = pair(x, x)
    return a + b + c


def too_many(x):
    return pair(x, x) * 2.0


def wrong_arguments(x):
    a, b = pair(x)
    return a + b


def starred(x):
    a, *_b = pair(x, x)
    return a


def into_an_item(x):
    x[0], b = pair(x, x)
    return b


def without_end(x):
    return without_end(x)


def to_and_fro(x):
    return fro_and_to(x)


def fro_and_to(x):
    return to_and_fro(x)


def inner_mistake(x):
    y = x * x
    return y % 2


def outer(x):
    return inner_mistake(x)


CALLS_REFUSED = {
    too_few: (1, "too_few: pair returns 2 values, not 3"),
    too_many: (1, "too_many: pair returns 2 values, not 1"),
    wrong_arguments: (1, "wrong_arguments: pair takes 2 values, not 1"),
    starred: (1, "only assignments to one name, or to several from one call, are possible"),
    into_an_item: (1, "only assignments to one name, or to several from one call, are possible"),
    without_end: (1, "without_end is called from itself"),
    to_and_fro: (5, "fro_and_to: to_and_fro is called from itself"),
    outer: (-3, "inner_mistake: 'y % 2' is not one of the possible operations"),
}


@pytest.mark.parametrize("function", CALLS_REFUSED, ids=lambda f: f.__name__)
def test_refusals_in_calls_name_the_line_that_is_meant(function):
    after, text = CALLS_REFUSED[function]
    line = inspect.getsourcelines(function)[1] + after
    with pytest.raises(BrfkitError, match=rf"{Path(__file__).name}:{line}: in .*{text}"):
        parse(function)
