"""Backends are distinguished by declared capabilities, and these are correct."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import brfkit
from brfkit.backends import BACKENDS, capabilities, get_backend
from brfkit.backends.numba_cpu import NumbaBackend
from brfkit.backends.spike_mask import SpikeMask
from brfkit.errors import BrfkitError

PACKAGE = Path(brfkit.__file__).parent
ON_CPU = ("numba", "torch", "reference")


def comparisons(path: Path) -> list[str]:
    """Lines of a file that compare something with the name of a backend."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            sides += [e for side in sides if isinstance(side, ast.Tuple | ast.List | ast.Set) for e in side.elts]
            if any(isinstance(side, ast.Constant) and side.value in BACKENDS for side in sides):
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}")
    return found


def test_no_name_of_a_backend_is_compared_outside_of_the_backends():
    # These resolve a name that the user chose: nn/plan.py to a scan, the others for the LSTM, which torch alone has.
    resolving = {PACKAGE / "nn" / "plan.py", PACKAGE / "setups.py", PACKAGE / "cli" / "commands" / "train.py"}
    own = {*resolving, *(PACKAGE / "backends").rglob("*.py"), PACKAGE / "doctor.py"}
    assert [line for path in PACKAGE.rglob("*.py") if path not in own for line in comparisons(path)] == []


@pytest.mark.parametrize("name", ON_CPU)
def test_a_backend_has_the_capabilities_of_its_name(name):
    assert get_backend(name).capabilities is capabilities(name)


@pytest.mark.parametrize("name", ON_CPU)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes(name, dtype, make_network):
    network, weights, x = make_network(dtype=dtype)
    got = get_backend(name).scan(network, weights, x).outputs.dtype
    assert (got == dtype) == (np.dtype(dtype).name in capabilities(name).dtypes)
    assert got.name in capabilities(name).dtypes


@pytest.mark.parametrize("name", ON_CPU)
def test_spike_mask(name, make_network):
    network, weights, x = make_network()
    backend, mask = get_backend(name), SpikeMask.of_samples(1.0, 1, 0, 2)
    if not capabilities(name).spike_mask:
        with pytest.raises(BrfkitError, match=f"backend {name} cannot drop spikes; use numba or torch"):
            backend.scan(network, weights, x, spike_mask=mask)
        return
    assert backend.scan(network, weights, x).spikes_per_sample() > 0
    assert backend.scan(network, weights, x, spike_mask=mask).spikes_per_sample() == 0


def test_threads_of_their_own():
    backend = get_backend("numba", threads=3)
    assert backend.threads == 3
    assert backend.one_threaded().threads == 1
    assert NumbaBackend(3, recompute=True).one_threaded().recompute is True
    assert get_backend("reference").one_threaded().threads is None


@pytest.mark.parametrize("name", ON_CPU)
@pytest.mark.parametrize(
    ("final", "message"),
    [
        ({"hidden0.w": (2, 5)}, r"gradient of final state 'hidden0.w' is not a state of this network"),
        ({"hidden0.u": (5, 2)}, r"gradient of final state hidden0.u has shape \(5, 2\), not \(2, 5\)"),
        ({"readout.u": (2, 5)}, r"gradient of final state readout.u has shape \(2, 5\), not \(2, 3\)"),
    ],
)
def test_gradients_of_final_states_are_checked_alike(name, final, message, make_network):
    network, weights, x = make_network()
    trace = get_backend(name).scan(network, weights, x, differentiate=True)
    with pytest.raises(BrfkitError, match=message):
        get_backend(name).scan_vjp(trace, None, final_state_grad={n: np.zeros(s) for n, s in final.items()})
