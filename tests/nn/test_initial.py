"""Initial values of layers: seeds, distributions, presets, calibration; time steps and silent layers that are told."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from brfkit import nn
from brfkit.errors import BrfkitError
from brfkit.network import recurrent_network
from brfkit.neurons import Uniform

from .plain import LAYERS, SPIKING, signal

each = pytest.mark.parametrize("kind", LAYERS)


@each
def test_the_seed_of_torch_decides(kind):
    torch.manual_seed(5)
    one = kind(3, 5)
    torch.manual_seed(5)
    two = kind(3, 5)
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, msg=name)
    torch.manual_seed(5)
    two.w_in.data.zero_()
    two.reset_parameters()
    torch.testing.assert_close(one.w_in, two.w_in, rtol=0, atol=0)
    assert not torch.equal(kind(3, 5).w_in, one.w_in)


def test_what_init_takes():
    given = {
        "omega": 5.0,
        "b_offset": torch.arange(5.0),
        "w_in": ("uniform", 1, 2),
        "w_rec": np.zeros((5, 5)),
    }
    layer = nn.BRF(3, 5, init=given)
    assert layer.omega.tolist() == [5.0] * 5
    assert layer.b_offset.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert 1 <= layer.w_in.min() < layer.w_in.max() <= 2
    assert layer.w_rec.abs().sum() == 0
    assert nn.BRF(3, 5, init={"omega": Uniform(6, 7)}).omega.min() >= 6
    for wrong, said in (
        (5.0, "init must map parameters to initial values or name a preset, not 5.0"),
        ("large", "init 'large' is none of published, active"),
        ({"u": 1.0}, "BRF has no parameter 'u' to give init for; it has w_in, w_rec, omega, b_offset"),
        ({"omega": "x"}, "init of omega must be"),
        ({"omega": ("uniform", 1)}, "init of omega must be"),
        ({"omega": float("nan")}, "init of omega must be"),
        ({"omega": torch.zeros(3)}, r"shape \(3,\) do not fit a parameter of shape \(5,\)"),
    ):
        with pytest.raises(BrfkitError, match=said):
            nn.BRF(3, 5, init=wrong)


@pytest.mark.parametrize("kind", [nn.BRF, nn.RF, nn.BHRF, nn.RFIzhikevich])
def test_a_time_step_at_which_nothing_works_is_refused(kind):
    with pytest.raises(BrfkitError, match=rf"{kind.__name__}: dt=1 is too large for 8 of 8 neurons"):
        kind(4, 8, dt=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(4, 8, dt=0.01)


def test_a_time_step_at_which_some_neurons_do_not_work_is_told():
    with pytest.warns(UserWarning, match=r"too large for 1 of 2 neurons \(\|ω\| ≥ 99.99 is held"):
        nn.BRF(1, 2, init={"omega": torch.tensor([10.0, 120.0])})


@pytest.mark.parametrize("kind", SPIKING)
def test_the_active_preset_spikes_for_white_noise(kind):
    layer = kind(16, 64, init="active", recurrent=False)
    rate = layer(torch.randn(100, 8, 16))[0].mean()
    assert 0.002 < rate < 0.1
    assert kind(16, 64, init="published").w_in.shape == (64, 16)


def test_calibrate_makes_layers_behind_each_other_spike():
    x = torch.randn(100, 8, 16)
    model = torch.nn.Sequential(nn.BRF(16, 64), nn.BRF(64, 32), nn.LI(32, 3, return_state=False))
    assert model[0](x)[0].sum() == 0
    done = nn.calibrate(model, x, rate=0.03)
    assert [one.name for one in done] == ["0", "1"]
    assert all(one.rate == pytest.approx(0.03, rel=0.3) for one in done)
    first, _ = model[0](x)
    assert first.mean().item() == pytest.approx(done[0].rate)
    assert model[1](first)[0].mean().item() == pytest.approx(done[1].rate)
    with pytest.raises(BrfkitError, match="gives no spike however large"):
        nn.calibrate(nn.BRF(3, 5), torch.zeros(5, 1, 3))
    with pytest.raises(BrfkitError, match="between 0 and 1"):
        nn.calibrate(nn.BRF(3, 5), torch.zeros(5, 1, 3), rate=2.0)


def test_calibrate_a_network_module_and_a_stack():
    x = torch.randn(60, 8, 3)
    module = nn.NetworkModule(recurrent_network(3, [16, 8], 4))
    done = nn.calibrate(module, x)
    assert [one.name for one in done] == ["hidden0", "hidden1"]
    assert all(one.rate == pytest.approx(0.02, rel=0.5) for one in done)
    stacked = nn.BRF(3, 16, num_layers=2)
    assert [one.name for one in nn.calibrate(stacked, x)] == ["", "_l1"]
    assert 0.005 < stacked(x)[0].mean() < 0.06


def call_often(layer, x):
    for _ in range(10):
        layer(x)


def test_a_layer_without_a_spike_is_told_once():
    layer, x = nn.BRF(3, 5), torch.randn(10, 4, 3)
    with pytest.warns(nn.SilentLayerWarning, match=r"BRF\(3, 5.* gave no spike in its first 10 batches"):
        call_often(layer, x)
    loud, quiet = nn.BRF(3, 5), nn.BRF(3, 5).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(12):
            layer(x)
            loud(signal(nn.BRF))
            quiet(x)
            nn.LI(3, 5)(x)
