"""Every kernel of every neuron compiled by NVRTC, and what the compiler says it uses."""

from __future__ import annotations

import pytest

from brfkit.backends.cupy_gpu.layout import adjoint_shape, adjoint_shared_bytes, max_units, scan_shape
from brfkit.backends.cupy_gpu.options import TESTED_ARCHITECTURES, kernel_names
from brfkit.backends.cupy_gpu.source import adjoint_source, derive_source, helper_source, scan_source
from brfkit.codegen.model import build_model
from brfkit.neurons import NEURONS, SURROGATES

from . import nvrtc

pytestmark = pytest.mark.skipif(
    nvrtc.library() is None, reason="NVRTC is not installed; pip install nvidia-cuda-nvrtc-cu12"
)

DTYPES = ("float32", "float64")
KB = 1024
# Dynamic shared memory per block and multiprocessors: A100, H100 and H200.
DEVICES = {"sm_80": (163 * KB, 108), "sm_90": (227 * KB, 132)}


def sources(neuron: str, dtype: str, arch: str, units: int, inline: int, batch: int, recurrent: bool = True, **kwargs):
    """The texts of all kernels of a layer."""
    model = build_model(neuron, **kwargs)
    shared, processors = DEVICES[arch]
    recurrent = recurrent and NEURONS[neuron].spiking
    back = adjoint_shape(dtype, units, inline, recurrent, batch, processors, shared)
    return [
        scan_source(model, scan_shape(dtype, units, inline, recurrent)),
        adjoint_source(model, back),
        derive_source(model, dtype),
    ]


@pytest.mark.parametrize("arch", TESTED_ARCHITECTURES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("neuron", NEURONS)
def test_every_neuron(neuron, dtype, arch):
    for source in sources(neuron, dtype, arch, 33, 3, 8):
        cubin, usage = nvrtc.compile_cubin(source, arch)
        assert cubin[:4] == b"\x7fELF"
        assert set(usage) == set(kernel_names(source))


@pytest.mark.parametrize("arch", TESTED_ARCHITECTURES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_helpers(dtype, arch):
    _, usage = nvrtc.compile_cubin(helper_source(dtype), arch)
    assert len(usage) == len(kernel_names(helper_source(dtype))) == 9
    assert all(u.spilled == u.stack == 0 for u in usage.values())


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_every_surrogate(surrogate):
    for source in sources("brf", "float32", "sm_90", 40, 0, 8, surrogate=surrogate):
        nvrtc.compile_cubin(source, "sm_90")


@pytest.mark.parametrize("option", [o.name for o in NEURONS["brf"].options])
def test_every_option(option):
    for source in sources("brf", "float32", "sm_90", 40, 0, 8, options={option: False}):
        nvrtc.compile_cubin(source, "sm_90")


WAYS = [(n, {"discretisation": way}) for n, neuron in NEURONS.items() for way in list(neuron.discretisations)[1:]]
TRAINED = [(n, neuron.trainable_options([one.name])) for n, neuron in NEURONS.items() for one in neuron.trainable]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("neuron", "options"), WAYS + TRAINED, ids=str)
def test_every_discretisation_and_trained_constant(neuron, options, dtype):
    for source in sources(neuron, dtype, "sm_90", 40, 3, 8, options=options):
        _, usage = nvrtc.compile_cubin(source, "sm_90")
        assert set(usage) == set(kernel_names(source))
        # The sine of any angle needs a little stack; only derive has it, once per sequence.
        assert all(u.spilled == u.stack == 0 for name, u in usage.items() if name.startswith("scan")), usage


@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("units", [1, 32, 100, 1024, 2048])
def test_sizes(units, recurrent):
    for source in sources("alif", "float32", "sm_90", units, 0, 300, recurrent):
        nvrtc.compile_cubin(source, "sm_90")


@pytest.mark.parametrize("arch", TESTED_ARCHITECTURES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_largest_layer_fits_a_block(dtype, arch):
    """1024 threads can have 64 registers each; spilling is accepted there, not launching is not."""
    units = max_units(int(dtype[-2:]) // 8)
    for source in sources("brf", dtype, arch, units, 0, 8)[:2]:
        _, usage = nvrtc.compile_cubin(source, arch)
        assert all(u.registers <= 64 for u in usage.values())


# Layers of the papers: SHD, ECG, S-MNIST (units, inline channels, batch).
LAYERS = {"shd": (128, 0, 32), "ecg": (36, 4, 16), "smnist": (256, 1, 256)}


@pytest.mark.parametrize("neuron", ["brf", "rf", "bhrf", "alif"])
@pytest.mark.parametrize("layer", LAYERS)
def test_layers_of_the_papers_do_not_spill(layer, neuron):
    """A register that is spilled inside the loop over time would cost a memory access at every step."""
    units, inline, batch = LAYERS[layer]
    for source in sources(neuron, "float32", "sm_90", units, inline, batch)[:2]:
        _, usage = nvrtc.compile_cubin(source, "sm_90")
        assert all(u.spilled == u.stack == 0 for u in usage.values()), usage
    shape = adjoint_shape("float32", units, inline, True, batch, 132, 227 * KB)
    assert shape.register_rows + shape.shared_rows == shape.rows, "W_rec stays on the multiprocessor"
    assert adjoint_shared_bytes(shape) <= 227 * KB
