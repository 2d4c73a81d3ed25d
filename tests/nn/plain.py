"""Layers written out in plain torch: a loop over time, a spike with its surrogate, and autograd for the rest."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from brfkit import nn

LAYERS = [nn.BRF, nn.RF, nn.BHRF, nn.ALIF, nn.SEAdLIF, nn.LIF, nn.RFIzhikevich, nn.LI, nn.LISigmoid]
SPIKING = LAYERS[:7]
GAIN = {nn.ALIF: 1.0, nn.LIF: 4.0, nn.SEAdLIF: 6.0}  # of the input, for some spikes
DT = 0.01


def double_gaussian(x: Tensor) -> Tensor:
    def normal(s: float) -> Tensor:
        return torch.exp(-0.5 * (x / s) ** 2) / (s * math.sqrt(2 * math.pi))

    return 0.5 * (1.15 * normal(0.5) - 0.3 * normal(3.0))


def triangle(x: Tensor) -> Tensor:
    return torch.clamp(1 - x.abs(), min=0)


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x)
        ctx.slope = slope
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.slope(ctx.saved_tensors[0]), None


def spike(x: Tensor) -> Tensor:
    return Spike.apply(x, double_gaussian)


def oscillate(x, u, v, b, w):
    return u + DT * (b * u - w * v + x), v + DT * (w * u + b * v)


def brf(p, x, s):
    w = p["omega"].abs()
    b = (-1 + torch.sqrt(1 - (DT * w) ** 2)) / DT - p["b_offset"].abs() - s["q"]
    u, v = oscillate(x, s["u"], s["v"], b, w)
    z = spike(u - 1 - s["q"])
    return z, {"u": u, "v": v, "q": 0.9 * s["q"] + z, "z": z}


def rf(p, x, s):
    u, v = oscillate(x, s["u"], s["v"], -p["b_offset"].abs(), p["omega"].abs())
    z = spike(u - 1)
    return z, {"u": u, "v": v, "z": z}


def rf_izhikevich(p, x, s):
    u, v = oscillate(x, s["u"], s["v"], -p["b_offset"].abs(), p["omega"].abs())
    z = spike(v - 1)
    return z, {"u": u * (1 - z), "v": v * (1 - z) + z, "z": z}


def bhrf(p, x, s):
    w = p["omega"].abs()
    b = DT * w**2 / 2 + p["b_offset"].abs() + s["q"]
    v = s["v"] + DT * s["u"]
    u = s["u"] + DT * (x - 2 * b * s["u"] - w**2 * v)
    z = spike(u - 1 - s["q"])
    return z, {"u": u, "v": v, "q": 0.9 * s["q"] + z, "z": z}


def alif(p, x, s):
    alpha, rho = torch.exp(-1 / p["tau_mem"].abs()), torch.exp(-1 / p["tau_adp"].abs())
    a = rho * s["a"] + (1 - rho) * s["z"]
    theta = 0.01 + 1.8 * a
    u = alpha * s["u"] + (1 - alpha) * x
    z = spike(u - theta)
    return z, {"u": u - z * theta, "a": a, "z": z}


def se_adlif(p, x, s):
    alpha, rho = torch.exp(-1 / p["tau_mem"].abs()), torch.exp(-1 / p["tau_adp"].abs())
    u = alpha * s["u"] + (1 - alpha) * (x - s["w"])
    z = spike(u - 1)
    u = u * (1 - z)
    w = rho * s["w"] + (1 - rho) * 120 * (p["a"].abs() * u + p["b"].abs() * z)
    return z, {"u": u, "w": w, "z": z}


def lif(p, x, s):
    alpha = torch.exp(-1 / p["tau_mem"].abs())
    u = alpha * s["u"] + (1 - alpha) * x
    z = Spike.apply(u - 1, triangle)
    return z, {"u": u - z, "z": z}


def li(p, x, s):
    alpha = torch.exp(-1 / p["tau_mem"].abs())
    u = alpha * s["u"] + (1 - alpha) * x
    return u, {"u": u}


def li_sigmoid(p, x, s):
    alpha = torch.sigmoid(p["tau_mem"])
    u = alpha * s["u"] + (1 - alpha) * x
    return u, {"u": u}


STEPS = dict(zip(LAYERS, (brf, rf, bhrf, alif, se_adlif, lif, rf_izhikevich, li, li_sigmoid), strict=True))


def run(kind, p: dict[str, Tensor], x: Tensor, state: dict[str, Tensor]):
    """Output [T, B, H] and the state after the last step, of a layer of this kind with these parameters."""
    outputs = []
    for signal in x:
        current = signal @ p["w_in"].T + p.get("bias", 0.0)
        if "w_rec" in p:
            current = current + state["z"] @ p["w_rec"].T
        output, state = STEPS[kind](p, current, state)
        outputs.append(output)
    return torch.stack(outputs), state


def signal(kind, steps: int = 21, batch: int = 4, dtype: torch.dtype = torch.float32) -> Tensor:
    """Input of 3 channels for which a layer of this kind spikes now and then."""
    generator = torch.Generator().manual_seed(1)
    return GAIN.get(kind, 40.0) * torch.randn(steps, batch, 3, generator=generator, dtype=torch.float64).to(dtype)
