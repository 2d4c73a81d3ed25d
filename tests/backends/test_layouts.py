"""How arrays come and what threads and fresh memory hold must not matter."""

from __future__ import annotations

import re

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.backends.base import Gradients, Trace
from brfkit.backends.numba_cpu import NumbaBackend
from brfkit.backends.numba_cpu.compile import backward_kernel, forward_kernel
from brfkit.backends.numba_cpu.kernels import KernelText
from brfkit.events import Events

from .cases import CASES, Case, Problem, cotangents, problem

SOME = [case for case in CASES if case.name in ("brf", "alif", "two-layers", "three-layers", "events", "spikes-out")]


def dtype_of(case: Case) -> str:
    return case.dtypes.split()[0]


def everything(backend, p: Problem, signal, weights=None, bars=None) -> list[tuple[str, np.ndarray]]:
    """All numbers that a forward and a backward scan return."""
    trace: Trace = backend.scan(
        p.network, weights or p.weights, signal, initial_state=p.state, record=p.record, differentiate=True
    )
    bars = bars or cotangents(p, np.ones(p.x.shape[1], bool))
    dense = not isinstance(signal, Events)
    grads: Gradients = backend.scan_vjp(trace, **bars, input_grad=dense, initial_state_grad=True)
    named = {"outputs": trace.outputs, **trace.records}
    named |= {f"final {name}": value for name, value in trace.final_state.items()}
    named |= {f"count {name}": value for name, value in trace.spike_counts.items()}
    named |= {f"gradient {name}": value for name, value in grads.weights.items()}
    named |= {f"gradient of initial {name}": value for name, value in (grads.initial_state or {}).items()}
    if grads.input is not None:
        named["gradient of input"] = grads.input
    return list(named.items())


def assert_same(got, wanted) -> None:
    for (name, value), (_, other) in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(value, other, err_msg=name)


def strided(a: np.ndarray) -> np.ndarray:
    """The same numbers as every second entry of a larger array that runs backwards, NaN between them."""
    wide = np.full((*a.shape, 2), np.nan, a.dtype)
    wide[::-1, ..., 0] = a
    return wide[::-1, ..., 0]


@pytest.mark.parametrize("case", SOME, ids=str)
@pytest.mark.parametrize("arrange", [strided, np.asfortranarray], ids=["strided", "fortran"])
@pytest.mark.parametrize("name", ["numba", "torch"])
def test_arrangement_in_memory(name, case, arrange):
    p, backend = problem(case, dtype_of(case)), get_backend(name)
    bars = cotangents(p, np.ones(case.batch, bool))
    other = {
        "output_grad": arrange(bars["output_grad"]),
        "final_state_grad": {k: arrange(v) for k, v in bars["final_state_grad"].items()},
    }
    weights = {key: arrange(value) for key, value in p.weights.items()}
    signal = p.signal if case.events else arrange(p.x)
    assert_same(everything(backend, p, signal, weights, other), everything(backend, p, p.signal))


@pytest.mark.parametrize("case", SOME, ids=str)
def test_threads_give_bitwise_the_same(case):
    p = problem(case, dtype_of(case))
    one = everything(NumbaBackend(1), p, p.signal)
    for threads in (2, 3):
        assert_same(everything(NumbaBackend(threads), p, p.signal), one)


@pytest.mark.parametrize("case", SOME, ids=str)
def test_fresh_arrays_are_never_read(case, monkeypatch):
    p = problem(case, dtype_of(case))
    expected = everything(NumbaBackend(2), p, p.signal)
    real_empty = np.empty

    def poisoned(shape, dtype=float, *args, **kwargs):
        array = real_empty(shape, dtype, *args, **kwargs)
        array.fill(np.nan if array.dtype.kind == "f" else 1)
        return array

    monkeypatch.setattr(np, "empty", poisoned)
    got = everything(NumbaBackend(2), p, p.signal)
    monkeypatch.undo()
    assert_same(got, expected)


def test_fresh_arrays_inside_kernels_are_never_read(monkeypatch):
    """The same kernels, compiled from a text in which every ``np.empty`` is filled with NaN, or 1 for indices."""
    case = next(case for case in SOME if case.name == "brf")  # its last tile holds one sample of eight
    p, plain = problem(case, "float32"), KernelText.module
    expected = everything(NumbaBackend(1), p, p.signal)

    def poisoned(self: KernelText) -> str:
        text, count = re.subn(r"np\.empty\((.*), (\S+)\)", r"np.full(\1, \2(FILL), \2)", plain(self))
        assert count > 3
        for dtype, value in (("real", "np.nan"), ("np.int64", "1"), ("np.int32", "1")):
            text = text.replace(f"{dtype}(FILL)", f"{dtype}({value})")
        return text

    monkeypatch.setattr(KernelText, "module", poisoned)
    for cached in (forward_kernel, backward_kernel):
        cached.cache_clear()
    try:
        got = everything(NumbaBackend(1), p, p.signal)
    finally:
        for cached in (forward_kernel, backward_kernel):
            cached.cache_clear()
    assert_same(got, expected)


def test_events_equal_the_dense_input():
    """Adding a row once is the same as adding it times 1 and all others times 0."""
    case = next(c for c in CASES if c.name == "events")
    p = problem(case, "float32")
    backend = NumbaBackend()
    from_events = dict(everything(backend, p, p.signal))
    from_dense = dict(everything(backend, p, p.x))
    for name, value in from_events.items():
        if name == "gradient h0.w_in":  # summed over the steps in another order
            error = np.abs(value - from_dense[name]).max() / np.abs(value).max()
            assert error < 1000 * np.finfo(np.float32).eps
        else:
            np.testing.assert_array_equal(value, from_dense[name], err_msg=name)
