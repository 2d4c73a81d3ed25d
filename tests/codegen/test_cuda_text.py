"""The text of the CUDA kernels: reviewed as code, and without numbers of another precision."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from brfkit.backends.cupy_gpu.layout import adjoint_shape, scan_shape
from brfkit.backends.cupy_gpu.printer import ScalarPrinter
from brfkit.backends.cupy_gpu.source import (
    NeuronText,
    adjoint_source,
    derive_source,
    helper_source,
    scan_source,
)
from brfkit.codegen.model import build_model

from .test_kernel_text import MODELS

GOLDEN = Path(__file__).parent / "golden"
# Numbers with a point or an exponent, with what follows them; not parts of names, not whole numbers.
NUMBER = re.compile(r"(?<![\w.])(?:\d+\.\d*|\.\d+|\d+(?=e[+-]?\d))(?:e[+-]?\d+)?(\w*)")


def backward(neuron: str, dtype: str, units: int = 128, inline: int = 0) -> str:
    recurrent = MODELS[neuron].neuron.spiking
    shape = adjoint_shape(dtype, units, inline, recurrent, 32, 132, 227 * 1024)
    return adjoint_source(MODELS[neuron], shape)


def forward(neuron: str, dtype: str, units: int = 128, inline: int = 0) -> str:
    return scan_source(MODELS[neuron], scan_shape(dtype, units, inline, MODELS[neuron].neuron.spiking))


def neuron_text(neuron: str, dtype: str) -> str:
    text = NeuronText(MODELS[neuron], dtype)
    return "\n".join([text.step(), text.slopes(), text.adjoint()])


FILES = {
    "cuda_brf_scan_float32.cu.txt": lambda: forward("brf", "float32"),
    "cuda_brf_scan_vjp_float32.cu.txt": lambda: backward("brf", "float32"),
    "cuda_brf_derive_float32.cu.txt": lambda: derive_source(build_model("brf"), "float32"),
    "cuda_alif_neuron_float64.cu.txt": lambda: neuron_text("alif", "float64"),
    "cuda_li_neuron_float32.cu.txt": lambda: neuron_text("li", "float32"),
}


@pytest.mark.parametrize("name", FILES)
def test_golden_text(name, request):
    """A change of generated code is seen in review; ``pytest --update-golden`` writes these files anew."""
    path, made = GOLDEN / name, FILES[name]()
    if request.config.getoption("--update-golden"):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8"), "run pytest --update-golden and look at the diff"


def suffixes(text: str) -> set[str]:
    code = re.sub(r"//[^\n]*", "", text)
    return {match[1] for match in NUMBER.finditer(code)}


@pytest.mark.parametrize("inline", [0, 2])
@pytest.mark.parametrize("neuron", MODELS)
def test_float32_kernels_hold_no_double(neuron, inline):
    """A bare ``0.5`` would pull the arithmetic around it to double precision, which most devices do slowly."""
    for text in (forward(neuron, "float32", 40, inline), backward(neuron, "float32", 40, inline)):
        # What the loops write themselves goes through real(…), which is folded when it is compiled.
        own = re.sub(r"real\(-?[\d.]+\)", "", text)
        assert suffixes(own) <= {"f"}
        assert "double" not in own
        assert not re.search(r"\b(exp|expm1|sqrt|fabs)\(", own)
        assert "using real = float;" in own
    assert suffixes(neuron_text(neuron, "float32")) <= {"f"}


@pytest.mark.parametrize("neuron", MODELS)
def test_float64_kernels_hold_no_float(neuron):
    for text in (
        forward(neuron, "float64"),
        backward(neuron, "float64"),
        derive_source(MODELS[neuron], "float64"),
    ):
        assert suffixes(text) <= {""}
        assert not re.search(r"\b(expf|expm1f|sinf|cosf|sqrtf|fabsf|float)\b", text)
    assert "float" not in helper_source("float64")


@pytest.mark.parametrize("value", [0.01, 1.8, -0.055555555555555, 1e-30, 3.0, 0.1 + 0.2, -1.0, 12345678.9])
def test_literals_come_back(value):
    single = ScalarPrinter("float32").literal(value)
    number = single.strip("()")
    assert number.endswith("f")
    assert np.float32(number[:-1]) == np.float32(value)
    assert float(ScalarPrinter("float64").literal(value).strip("()")) == value
    assert single.startswith("(") == (value < 0)


def test_numbers_are_found():
    """The pattern above finds what it must and leaves names and whole numbers alone."""
    assert suffixes("a = 0.5; b = 1.f; c = 2e-3f; d[3] = x1e5 + 7 + 32u;") == {"", "f"}
    assert suffixes("d[3] = v2.x + 7 + 0xffu;") == set()
