"""Listings of kernels: the compiled text itself, in sections, with the neuron's own statements as comments."""

from __future__ import annotations

import inspect
import json
import re

import numpy as np
import pytest

from brfkit.backends.listing import KERNELS, KernelListing, annotated
from brfkit.backends.numba_cpu.kernels import KernelText
from brfkit.backends.numba_cpu.layout import Layout
from brfkit.backends.numba_cpu.shape import Shape
from brfkit.codegen.model import build_model
from brfkit.codegen.python_printer import NUMPY, build
from brfkit.errors import BrfkitError
from brfkit.neurons import NEURONS, brf

SHOWN = ("b = b0 - smooth_reset * q", "q_next = gamma * q + z")  # of brf.step


def comments(text: str, mark: str = "#") -> list[str]:
    return [line.strip().removeprefix(mark).strip() for line in text.splitlines() if line.strip().startswith(mark)]


def bare(text: str, mark: str = "#") -> list[str]:
    """Lines without comments and without what a listing puts between sections."""
    return [line for line in text.splitlines() if line.strip() and not line.strip().startswith(mark)]


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("neuron", NEURONS)
def test_every_kernel_of_every_neuron(neuron, kernel, backward):
    listing = KernelListing(neuron, kernel, units=33, backward=backward)
    if kernel == "torch" and backward and not NEURONS[neuron].spiking:
        with pytest.raises(BrfkitError, match="nothing is generated"):
            listing.text()
        return
    text = listing.text()
    assert re.search(r"^(#|//) ── .* ─{3,}$", text, re.MULTILINE)
    if kernel != "cuda":
        compile(text, "listing", "exec")


def test_the_numba_listing_is_the_compiled_text():
    shape = Shape("float32", Layout.of(64, np.dtype("float32")), 4, "dense", True, last=False)
    sections = KernelText(build_model("brf"), shape).sections()
    for backward in (False, True):
        text = KernelListing("brf", "numba", backward=backward).text()
        kept = [part for title, part in sections.items() if title != ("forward" if backward else "backward")]
        assert bare(text) == bare("\n".join(kept))


def test_numpy_listing_runs_and_shows_the_source():
    text = KernelListing("brf", "numpy").text()
    scope = dict(NUMPY)
    exec(text, scope)
    model = build_model("brf")
    values = np.linspace(0.1, 1.0, len(model.step.inputs))
    assert scope["step"](*values) == build(model.step, "numpy", NUMPY)(*values)
    step = inspect.getsource(brf.step)
    for statement in (
        "b = b0 - smooth_reset * q",
        "z = spike(u_next - theta - refractory * q)",
        "q_next = gamma * q + z",
    ):
        assert statement in step
        assert text.count(f"# {statement}\n") == 1
    assert "    # b = b0 - smooth_reset * q\n    b = b0 - q\n" in text


@pytest.mark.parametrize(("kernel", "mark"), [("numba", "#"), ("cuda", "//"), ("torch", "#")])
def test_statements_stand_over_their_code(kernel, mark):
    assert {"b = b0 - smooth_reset * q", "q_next = gamma * q + z"} <= set(
        comments(KernelListing("brf", kernel).text(), mark)
    )


def test_options_units_and_dtype():
    wide = KernelListing("brf", "numba", units=128, dtype="float64").text()
    assert "real = np.float64" in wide
    assert KernelListing("brf", "numba").text() != wide
    bare_brf = KernelListing("brf", "numpy", options={"smooth_reset": False}).text()
    assert "b = b0 - q" not in bare_brf


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        (KernelListing("brf", "fortran"), "unknown kernel 'fortran'; there are numba, cuda, torch, numpy"),
        (KernelListing("bfr", "numba"), "unknown neuron 'bfr'; did you mean 'brf'"),
        (KernelListing("brf", "numba", units=0), "units must be at least 1, not 0"),
    ],
)
def test_mistakes(listing, message):
    with pytest.raises(BrfkitError, match=message):
        listing.text()


def test_a_note_is_written_once_for_a_run_of_lines():
    notes = {"a": "a = x + 1", "b": "a = x + 1", "c": "c = a * 2"}
    text = annotated("  a = x\n  b = a\n  c = b\n  d = c", notes, "#")
    assert text == "  # a = x + 1\n  a = x\n  b = a\n  # c = a * 2\n  c = b\n  d = c"


def test_command_line(capfd):
    from brfkit.cli import run

    assert run(["neurons", "brf", "--kernel", "numba", "--units", "20", "--backward"]) == 0
    assert capfd.readouterr().out == KernelListing("brf", "numba", units=20, backward=True).text()
    assert run(["neurons", "rf", "--kernel", "cuda", "--dtype", "float64", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found.pop("text") == KernelListing("rf", "cuda", dtype="float64").text()
    assert found == {"neuron": "rf", "kernel": "cuda", "units": 64, "dtype": "float64", "backward": False}
    assert run(["neurons", "--kernel", "numba"]) == 2
    assert "needs the NAME of a neuron" in capfd.readouterr().err
