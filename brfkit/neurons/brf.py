"""Balanced resonate-and-fire neuron."""

from __future__ import annotations

from brfkit.neurons.ops import minimum, spike, sqrt
from brfkit.neurons.rf import B_OFFSET, OMEGA
from brfkit.neurons.spec import Neuron, Option

BOUND = 0.9999  # δω is held below 1, where p(ω) ends


def derive(omega, b_offset, dt, divergence_boundary):  # type: ignore[no-untyped-def]
    w = minimum(abs(omega), BOUND / dt)
    dw = dt * w
    p = -(dw * w) / (1.0 + sqrt(1.0 - dw**2))
    b0 = divergence_boundary * p - abs(b_offset)
    return w, b0


def step(x, u, v, q, w, b0, dt, theta, gamma, smooth_reset, refractory):  # type: ignore[no-untyped-def]
    b = b0 - smooth_reset * q
    u_next = u + b * u * dt - w * v * dt + x * dt
    v_next = v + w * u * dt + b * v * dt
    z = spike(u_next - theta - refractory * q)
    q_next = gamma * q + z
    return z, u_next, v_next, q_next


BRF = Neuron(
    name="brf",
    title="balanced resonate-and-fire",
    doc="RF with divergence boundary p(ω), smooth reset and refractory threshold; δ|ω| is bounded at 0.9999.",
    source="Higuchi, Kairat, Bohté, Otte, ICML 2024 (arXiv:2402.14603), eq. 5-10",
    states=("u", "v", "q"),
    parameters=(OMEGA, B_OFFSET),
    derive=derive,
    step=step,
    constants={"theta": 1.0, "gamma": 0.9},
    options=(
        Option("refractory", "q raises the threshold (RP)"),
        Option("smooth_reset", "q raises the damping (SR)"),
        Option("divergence_boundary", "p(ω) keeps the discrete oscillator from diverging (DB)"),
    ),
    equations=(
        "b_t = p(ω) - |b'| - q_{t-1},   p(ω) = (-1 + √(1 - (δω)²)) / δ",
        "u_t = u_{t-1} + δ (b_t u_{t-1} - ω v_{t-1} + I_t)",
        "v_t = v_{t-1} + δ (ω u_{t-1} + b_t v_{t-1})",
        "z_t = Θ(u_t - θ - q_{t-1})",
        "q_t = γ q_{t-1} + z_t",
    ),
)
