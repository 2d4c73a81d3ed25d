"""torch tensors through the CUDA backend: the logic on the shim, the streams and devices on CUDA devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brfkit.backends import available_backends
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.network import recurrent_network
from brfkit.nn import BRF, NetworkModule, cuda, function
from brfkit.nn.function import scan
from brfkit.nn.plan import backend_name

from .conftest import make_backend

NETWORK = recurrent_network(4, (9,), 3, "brf")


def weights(dtype: torch.dtype, device: str = "cpu") -> dict[str, torch.Tensor]:
    made = NETWORK.initialise(2, np.float64)
    made["hidden0.w_in"] = made["hidden0.w_in"] * 60
    made["hidden0.w_rec"] = made["hidden0.w_rec"] * 60
    return {k: torch.tensor(v, dtype=dtype, device=device, requires_grad=True) for k, v in made.items()}


def everything(backend, dtype: torch.dtype = torch.float64, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Outputs, final states and all gradients of a scan of tensors, on the CPU."""
    given = weights(dtype, device)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(21, 3, 4, dtype=dtype, generator=generator).to(device).requires_grad_()
    state = {"hidden0.u": torch.full((3, 9), 0.3, dtype=dtype, device=device, requires_grad=True)}
    out, final, trace = scan(backend, NETWORK, given, x, state)
    weight = torch.linspace(-1, 1, out.numel(), dtype=dtype).reshape(out.shape).to(device)
    ((out * weight).sum() + sum(v.sum() for v in final.values())).backward()
    found = {"out": out, **final, "x": x.grad, "u": state["hidden0.u"].grad}
    found |= {f"gradient of {name}": value.grad for name, value in given.items()}
    found["spikes"] = torch.tensor(trace.spikes_per_sample())
    return {name: value.detach().cpu() for name, value in found.items()}


@pytest.fixture
def bridged(monkeypatch):
    """The shim behind the bridge: CPU tensors stand for tensors on a CUDA device."""
    backend = make_backend("shim")
    device = backend.device
    monkeypatch.setattr(function, "_array", lambda t: device.to_device(t.detach().contiguous().numpy()))
    monkeypatch.setattr(function, "_tensor", lambda a: torch.from_numpy(device.to_host(a)))
    monkeypatch.setattr(function, "_stream_of", lambda _: device.active())
    monkeypatch.setattr(function, "_common_device", lambda *_: torch.device("cuda:0"))
    return backend


def test_arrays_of_the_device_pass_through_autograd(bridged):
    expected = everything(make_backend("shim"))
    host = torch.from_numpy
    for name, value in everything(bridged).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)
    assert torch.from_numpy is host


def test_weights_that_change_before_the_way_back_are_noticed(bridged):
    given = weights(torch.float64)
    out, _, _ = scan(bridged, NETWORK, given, torch.rand(5, 2, 4, dtype=torch.float64))
    with torch.no_grad():
        given["hidden0.w_rec"] *= 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_events_and_no_gradient(bridged):
    events = Events.from_dense(np.ones((5, 2, 4)))
    given = {name: value.detach() for name, value in weights(torch.float64).items()}
    out, _, trace = scan(bridged, NETWORK, given, events)
    assert not out.requires_grad
    assert trace.saved is None


def test_cpu_tensors_are_taken_too():
    backend = make_backend("shim")
    module = NetworkModule(NETWORK, {n: v.detach().numpy() for n, v in weights(torch.float32).items()}, backend)
    module(torch.rand(5, 2, 4)).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in module.parameters())


def test_devices_must_be_one_and_the_backends():
    meta = {name: value.detach().to("meta") for name, value in weights(torch.float32).items()}
    x = torch.rand(5, 2, 4)
    with pytest.raises(BrfkitError, match=r"is on meta; backend cupy computes on CUDA devices"):
        scan(make_backend("shim"), NETWORK, meta, x)


def test_a_layer_chooses_its_backend(monkeypatch):
    for works, chosen in ((True, "cupy"), (False, "torch")):
        monkeypatch.setattr("brfkit.nn.plan.cupy_works", lambda works=works: works)
        assert backend_name("auto", torch.device("cuda")) == chosen
        assert backend_name("auto", torch.device("cpu")) == "numba"
    assert BRF(2, 3, backend="cupy").backend == "cupy"
    with pytest.raises(BrfkitError, match="not one of auto, numba, cupy, torch"):
        BRF(2, 3, backend="cuda")


needs_cuda = pytest.mark.skipif(
    available_backends()["cupy"] != "ok" or not torch.cuda.is_available(),
    reason="this needs a CUDA device, CuPy and a torch with CUDA",
)


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cuda_tensors(dtype):
    expected = everything(cuda.cuda_backend(0), dtype)  # arrays of NumPy, copied there and back
    for name, value in everything(cuda.cuda_backend(0), dtype, "cuda:0").items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)


@needs_cuda
def test_another_stream():
    """The scan waits for what was put on its own stream before, and nothing else needs to wait for the device."""
    expected = everything(cuda.cuda_backend(0), torch.float32, "cuda:0")
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        busy = torch.rand(4000, 4000, device="cuda")
        for _ in range(20):
            busy = busy @ busy / 2000  # keeps this stream busy while the scan is put behind it
        found = everything(cuda.cuda_backend(0), torch.float32, "cuda:0")
    assert torch.cuda.current_stream() != stream
    for name, value in found.items():  # cuBLAS promises the same bits on one stream only
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5, msg=name)


@needs_cuda
def test_torch_keeps_its_device_and_cupy_its_stream():
    import cupy

    before = torch.cuda.current_device(), cupy.cuda.Device().id, cupy.cuda.get_current_stream().ptr
    last = torch.cuda.device_count() - 1
    everything(cuda.cuda_backend(last), torch.float32, f"cuda:{last}")
    assert (torch.cuda.current_device(), cupy.cuda.Device().id, cupy.cuda.get_current_stream().ptr) == before


@needs_cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="this needs two CUDA devices")
def test_the_second_device():
    expected = everything(cuda.cuda_backend(0), torch.float32, "cuda:0")
    for name, value in everything(cuda.cuda_backend(1), torch.float32, "cuda:1").items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)
    with pytest.raises(BrfkitError, match="an array is on cuda:1, the backend computes on cuda:0"):
        everything(cuda.cuda_backend(0), torch.float32, "cuda:1")


@needs_cuda
def test_nothing_is_copied():
    tensor = torch.rand(5, 7, device="cuda")
    array = cuda.to_cupy(tensor)
    assert array.data.ptr == tensor.data_ptr()
    assert cuda.to_torch(array).data_ptr() == tensor.data_ptr()


@needs_cuda
def test_layers_on_cuda_agree_with_torch():
    torch.manual_seed(0)
    layer = BRF(3, 17, dtype=torch.float64).cuda()
    x = 40 * torch.randn(30, 4, 3, dtype=torch.float64, device="cuda")
    results = []
    for name in ("cupy", "torch"):
        layer.backend = name
        layer.zero_grad()
        out, state = layer(x)
        (out.sum() + state["u"].sum()).backward()
        results.append([out, state["v"], *(p.grad for p in layer.parameters())])
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-10)
