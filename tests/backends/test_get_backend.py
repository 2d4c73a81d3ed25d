"""Choosing a backend: by name, loudly, and without importing what was not asked for."""

from __future__ import annotations

import subprocess
import sys
import types

import numpy as np
import pytest
import torch

import brfkit.backends as backends
from brfkit.backends import available_backends, get_backend
from brfkit.backends.threads import processors
from brfkit.errors import BrfkitError


@pytest.mark.parametrize("name", ["reference", "numba", "torch"])
def test_by_name(name):
    assert get_backend(name).name == name
    assert get_backend(name, device="cpu", threads=1).name == name
    assert available_backends()[name] == "ok"


def test_importing_the_package_is_cheap():
    code = "import sys, brfkit.backends as b; b.available_backends(); print({'torch', 'numba'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_unknown_name_suggests():
    with pytest.raises(BrfkitError, match="unknown backend 'nunba'; did you mean 'numba'"):
        get_backend("nunba")


@pytest.mark.parametrize("name", ["numba", "reference"])
def test_device_of_another_backend(name):
    with pytest.raises(BrfkitError, match="computes on the CPU, not on cuda"):
        get_backend(name, device="cuda")


@pytest.mark.parametrize("threads", [0, -1, 1025, 100_000])
def test_number_of_threads(threads):
    with pytest.raises(BrfkitError, match=f"threads must be 1 … 1024, not {threads}"):
        get_backend("numba", threads=threads)


def test_no_more_threads_of_torch_than_processors(make_network, monkeypatch):
    """OpenMP starts as many as it is told at once; 100,000 end the process."""
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    backend = get_backend("torch", threads=1024)
    network, weights, x = make_network()
    backend.scan(network, weights, x)
    assert asked[0] == processors()


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", "meta"])
def test_missing_torch_device_is_one_line(device):
    with pytest.raises(BrfkitError, match=f"device '{device}' cannot be used") as caught:
        get_backend("torch", device=device)
    assert "\n" not in str(caught.value)


def fake_cupy(devices: int | Exception) -> types.ModuleType:
    def count() -> int:
        if isinstance(devices, Exception):
            raise devices
        return devices

    cupy = types.ModuleType("cupy")
    cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=count))  # type: ignore[attr-defined]
    return cupy


@pytest.mark.parametrize(
    ("cupy", "reason"),
    [
        (None, r"CuPy .* install it with pip install 'brfkit\[cuda12\]' or 'brfkit\[cuda13\]'"),
        (fake_cupy(0), "there is no CUDA device"),
        (fake_cupy(RuntimeError("driver too old\nmore")), r"no CUDA device works here \(driver too old\)"),
    ],
)
def test_cupy_says_what_is_missing_and_nothing_takes_its_place(monkeypatch, caplog, cupy, reason):
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    for name, device in (("cupy", None), ("cupy", "cuda"), ("auto", "cuda")):
        with pytest.raises(BrfkitError, match=f"backend cupy: {reason}"):
            get_backend(name, device=device)
    assert available_backends()["cupy"] != "ok"
    with caplog.at_level("INFO", "brfkit.backends"):
        assert get_backend("auto").name == "numba"
    assert "backend auto: numba (cupy: " in caplog.text


def test_cupy_without_its_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(1))
    monkeypatch.setattr(backends, "_CUDA_MODULE", "brfkit.backends.not_there")
    with pytest.raises(BrfkitError, match="CUDA backend is not part of this version"):
        get_backend("cupy")


def test_auto_on_the_cpu():
    assert get_backend("auto", device="cpu").name == "numba"
    with pytest.raises(BrfkitError, match="knows the devices cpu and cuda, not mps"):
        get_backend("auto", device="mps")


def test_torch_threads_are_set_for_the_scan_only(make_network):
    network, weights, x = make_network()
    before = torch.get_num_threads()
    backend = get_backend("torch", threads=before + 1)
    backend.scan_vjp(backend.scan(network, weights, x, differentiate=True), None)
    assert torch.get_num_threads() == before


def test_torch_keeps_its_own_copy_of_weights_and_input(make_network):
    """An optimiser changes weights in place between a scan and its gradient."""
    network, weights, x = make_network()
    backend = get_backend("torch")
    trace = backend.scan(network, weights, x, differentiate=True)
    bar = np.ones_like(trace.outputs)
    expected = backend.scan_vjp(trace, bar, input_grad=True)
    for value in (*weights.values(), x):
        value *= 2
    again = backend.scan_vjp(trace, bar, input_grad=True)
    np.testing.assert_array_equal(again.input, expected.input)
    for name, value in expected.weights.items():
        np.testing.assert_array_equal(again.weights[name], value)
