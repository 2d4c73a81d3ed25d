"""Layers as modules: parameters, state dicts, copies, dtypes, devices, backends by name."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch.nn.utils import parametrizations, prune

from brfkit import nn
from brfkit.errors import BrfkitError
from brfkit.network import recurrent_network
from brfkit.neurons import NEURONS
from brfkit.nn.generate import NAMES, stub_text

from .plain import LAYERS, SPIKING, run, signal

each = pytest.mark.parametrize("kind", LAYERS)


def test_every_neuron_of_the_registry_has_a_class():
    own = {name for name, neuron in NEURONS.items() if neuron.derive.__module__.startswith("brfkit.neurons")}
    assert own == NAMES.keys()
    assert {kind.__name__ for kind in LAYERS} == set(NAMES.values()) <= set(nn.__all__)


def test_the_stub_file_says_what_the_classes_are():
    from pathlib import Path

    path = Path(nn.__file__).parent / "classes.pyi"
    assert path.read_text(encoding="utf-8") == stub_text()


def test_signature_and_documentation_of_a_class():
    import inspect

    names = list(inspect.signature(nn.BRF).parameters)
    assert names[:2] == ["in_features", "units"]
    assert {"num_layers", "bidirectional", "threshold", "discretisation", "refractory", "gamma", "device"} <= {*names}
    assert "surrogate" not in inspect.signature(nn.LI).parameters
    assert "u_t = u_{t-1} + δ (b_t u_{t-1} - ω v_{t-1} + I_t)" in inspect.getdoc(nn.BRF)


def test_options_and_constants_as_keywords():
    layer = nn.BRF(3, 5, smooth_reset=False, gamma=0.8, discretisation="exact", threshold=0.5)
    assert layer.layer.options == {"smooth_reset": False, "discretisation": "exact"}
    assert layer.layer.constants == {"gamma": 0.8, "theta": 0.5}
    assert (layer.in_features, layer.units, layer.dt, layer.threshold, layer.recurrent) == (3, 5, 0.01, 0.5, True)
    text = "BRF(3, 5, dt=0.01, recurrent=True, smooth_reset=False, discretisation=exact, gamma=0.8, theta=0.5)"
    assert repr(layer) == text
    with pytest.raises(TypeError, match="unexpected keyword argument 'reset'"):
        nn.BRF(3, 5, reset=False)


def test_the_threshold_decides_about_spikes():
    low, high = nn.LIF(3, 5, threshold=0.2), nn.LIF(3, 5, threshold=0.8)
    high.w_in, high.w_rec, high.tau_mem = low.w_in, low.w_rec, low.tau_mem
    assert low(signal(nn.LIF))[0].sum() > high(signal(nn.LIF))[0].sum() > 0


@pytest.mark.parametrize("kind", SPIKING)
def test_a_trained_threshold(kind):
    """Numba and torch agree in its gradient; it begins where the constant is, and is a parameter like others."""
    found, saved = [], None
    for backend in ("numba", "torch"):
        layer = kind(3, 5, trainable=("threshold",), backend=backend, dtype=torch.float64)
        assert (layer.threshold == layer.layer.spec.constants["theta"]).all()
        saved = layer.state_dict() if saved is None else saved
        layer.load_state_dict(saved)
        y, _ = layer(signal(kind, dtype=torch.float64))
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
        found.append((y, layer.theta.grad))
    assert layer.theta.grad.abs().sum() > 0
    for got, wanted in zip(*found, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)


@each
def test_copies_and_files(kind):
    layer = kind(3, 5)
    wanted = layer(signal(kind))[0]
    wanted.sum().backward()
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    others = (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), torch.load(file, weights_only=False))
    for other in others:
        assert type(other) is kind
        assert repr(other) == repr(layer)
        torch.testing.assert_close(other(signal(kind))[0], wanted, rtol=0, atol=0)


def test_a_network_module_after_a_call_can_be_saved():
    module = nn.NetworkModule(recurrent_network(3, [5], 4))
    wanted = module(signal(nn.BRF))
    assert module.trace.spike_counts["hidden0"].shape == (4,)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert other.trace is None
        torch.testing.assert_close(other(signal(nn.BRF)), wanted, rtol=0, atol=0)


@each
def test_state_dict_fits_after_other_batch_sizes(kind):
    layer, other = kind(3, 5), kind(3, 5)
    for batch in (1, 9, 2):
        layer(signal(kind, batch=batch))
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    torch.testing.assert_close(other(signal(kind))[0], layer(signal(kind))[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dt": 0.005}, "dt is 0.01 there and 0.005 here"),
        ({"threshold": 0.8}, "theta is 1.0 there and 0.8 here"),
        ({"discretisation": "exact"}, "discretisation is euler there and exact here"),
        ({"smooth_reset": False}, "smooth_reset is True there and False here"),
    ],
)
def test_a_state_dict_of_another_neuron_is_noticed(changed, said):
    model = torch.nn.Sequential(nn.BRF(3, 5, **changed))
    saved = torch.nn.Sequential(nn.BRF(3, 5)).state_dict()
    for strict in (True, False):
        with pytest.raises(RuntimeError, match=f"0: {said}"):
            model.load_state_dict(saved, strict=strict)
    assert "0._extra_state" in saved
    model.load_state_dict({name: value for name, value in saved.items() if name != "0._extra_state"})


def test_a_state_dict_of_another_network_is_noticed():
    network = recurrent_network(3, [5], 4)
    saved = nn.NetworkModule(network).state_dict()
    nn.NetworkModule(network).load_state_dict(saved)
    with pytest.raises(RuntimeError, match=r"hidden0\.discretisation is euler there and symplectic here"):
        nn.NetworkModule(recurrent_network(3, [5], 4, discretisation="symplectic")).load_state_dict(saved)


def test_a_state_dict_without_extra_state_is_taken():
    layer = nn.BRF(3, 5)
    old = {name: value for name, value in nn.BRF(3, 5).state_dict().items() if name != "_extra_state"}
    layer.load_state_dict(old, strict=True)
    torch.testing.assert_close(layer.w_in.detach(), old["w_in"], rtol=0, atol=0)


def test_pruned_and_parametrised_weights_are_read_as_they_are():
    x = signal(nn.BRF)
    layer = nn.BRF(3, 5)
    prune.l1_unstructured(layer, "w_rec", 0.5)
    other = nn.BRF(3, 5)
    other.load_state_dict({**layer.state_dict(), "w_rec": layer.w_rec.detach()}, strict=False)
    torch.testing.assert_close(layer(x)[0], other(x)[0], rtol=0, atol=0)
    layer(x)[0].sum().backward()
    assert (layer.w_rec_orig.grad[layer.w_rec_mask == 0] == 0).all()
    assert layer.w_rec_orig.grad.abs().sum() > 0


@pytest.mark.parametrize("change", ["orthogonal", "weight_norm", "spectral_norm"])
def test_parametrisations_of_torch(change):
    layer = nn.BRF(3, 5)
    getattr(parametrizations, change)(layer, "w_rec")
    layer(signal(nn.BRF))[0].sum().backward()
    inner = [p for name, p in layer.named_parameters() if name.startswith("parametrizations")]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in inner)
    layer.eval()
    x = signal(nn.BRF)
    with torch.no_grad():
        plain, _ = run(nn.BRF, {n: getattr(layer, n) for n in ("w_in", "w_rec", "omega", "b_offset")}, x, zeros(layer))
        torch.testing.assert_close(layer(x)[0], plain)


def zeros(layer):
    return {name: torch.zeros(4, layer.units) for name in layer.state_names}


def test_tied_replaced_and_further_parameters():
    x = signal(nn.BRF)
    first, second = nn.BRF(3, 5), nn.BRF(3, 5)
    second.w_rec = first.w_rec
    both = torch.nn.ModuleList([first, second])
    (first(x)[0].sum() + second(x)[0].sum()).backward()
    assert len(list(both.parameters())) == 7
    del second.omega
    second.omega = torch.full((5,), 7.0, requires_grad=True)
    second(x)[0].sum().backward()
    assert second.omega.grad is not None

    class Scaled(nn.BRF):
        def __init__(self, *sizes, **given):
            super().__init__(*sizes, **given)
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, x, state=None):
            return super().forward(self.scale * x, state)

    for backend in ("numba", "torch"):
        layer = Scaled(3, 5, backend=backend)
        layer(x)[0].sum().backward()
        assert layer.scale.grad is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    layer = nn.BRF(3, 5, dtype=dtype)
    x = signal(nn.BRF).to(dtype).requires_grad_()
    y, state = layer(x)
    assert (y.dtype, state["u"].dtype, x.dtype) == (dtype, torch.float32, dtype)
    y.sum().backward()
    assert layer.w_in.grad.dtype == x.grad.dtype == dtype
    single = nn.BRF(3, 5)
    single.load_state_dict(layer.state_dict())
    torch.testing.assert_close(y.float(), single(x.detach().float())[0], rtol=0, atol=0)
    assert layer(x, state)[1]["u"].dtype == torch.float32


def test_autocast_does_not_lower_the_precision():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), nn.BRF(3, 5, return_state=False))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model[0](signal(nn.BRF)).dtype == torch.bfloat16
        assert model(signal(nn.BRF)).dtype == torch.float32


def test_dtype_and_device_as_for_an_lstm():
    assert nn.BRF(3, 5, dtype="float64").w_in.dtype == torch.float64
    assert nn.BRF(3, 5, device="cpu", dtype=torch.float64).omega.dtype == torch.float64
    torch.set_default_dtype(torch.float64)
    try:
        assert nn.BRF(3, 5).w_in.dtype == torch.nn.LSTM(3, 5).weight_ih_l0.dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    for wrong in ("floating", torch.int64, 3):
        with pytest.raises(BrfkitError, match="dtype must be a floating-point dtype"):
            nn.BRF(3, 5, dtype=wrong)


def test_moving_module_and_state():
    layer = nn.BRF(3, 5)
    _, state = layer(signal(nn.BRF))
    layer.to(torch.float64)
    y, _ = layer(signal(nn.BRF), state)  # a state of another precision is converted
    assert y.dtype == torch.float64
    with pytest.raises(BrfkitError, match="the input is on meta, the layer on cpu"):
        layer(signal(nn.BRF).to("meta"))
    with pytest.raises(BrfkitError, match="state 'u' is on meta, the layer on cpu"):
        layer(signal(nn.BRF), {"u": torch.zeros(4, 5, device="meta")})


def test_parameter_groups_by_name():
    layer = nn.BRF(3, 5, bias=True)
    names = [name for name, _ in layer.named_parameters()]
    assert names == ["w_in", "w_rec", "bias", "omega", "b_offset"]
    slow = [p for name, p in layer.named_parameters() if name in ("omega", "b_offset")]
    optimizer = torch.optim.SGD([{"params": slow, "lr": 0.0}, {"params": [layer.w_in]}], lr=0.1)
    before = layer.omega.detach().clone()
    layer(signal(nn.BRF))[0].sum().backward()
    optimizer.step()
    torch.testing.assert_close(layer.omega.detach(), before, rtol=0, atol=0)


def test_registered_neurons_and_backends_by_name():
    assert nn.NeuronLayer("se-adlif", 3, 5)(signal(nn.SEAdLIF))[0].shape == (21, 4, 5)
    assert repr(nn.NeuronLayer("lif", 3, 5)) == "NeuronLayer(3, 5, neuron=lif, dt=0.01, recurrent=True)"
    module = nn.NetworkModule(recurrent_network(3, [5], 4), backend="torch", return_state=True)
    x = signal(nn.BRF)
    whole, end = module(x)
    first, state = module(x[:9])
    second, after = module(x[9:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(after["hidden0.u"], end["hidden0.u"])
    module.backend = "numba"
    torch.testing.assert_close(module(x)[0], whole, rtol=1e-4, atol=1e-5)
    with pytest.raises(BrfkitError, match="initial state 'u' is not a state of this network"):
        module(x, {"u": torch.zeros(4, 5)})
