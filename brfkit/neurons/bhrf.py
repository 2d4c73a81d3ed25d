"""Balanced harmonic resonate-and-fire neuron."""

from __future__ import annotations

from brfkit.neurons.brf import GAMMA
from brfkit.neurons.ops import spike
from brfkit.neurons.rf import B_OFFSET, OMEGA
from brfkit.neurons.spec import Neuron, ThresholdTerm
from brfkit.neurons.threshold import THETA


def derive(omega, b_offset, dt):  # type: ignore[no-untyped-def]
    w2 = abs(omega) ** 2
    b0 = w2 * (0.5 * dt) + abs(b_offset)
    return w2, b0


def step(x, u, v, q, w2, b0, dt, theta, gamma):  # type: ignore[no-untyped-def]
    b = b0 + q
    v_next = v + u * dt
    u_next = u + x * dt - b * u * (2.0 * dt) - w2 * v_next * dt
    z = spike(u_next - theta - q)
    q_next = gamma * q + z
    return z, u_next, v_next, q_next


BHRF = Neuron(
    name="bhrf",
    title="balanced harmonic resonate-and-fire",
    doc="Real second-order oscillator with the balance of BRF, semi-implicit as the published code computes it.",
    source="Higuchi, Kairat, Bohté, Otte, ICML 2024 (arXiv:2402.14603), appendix; published code",
    states=("u", "v", "q"),
    parameters=(OMEGA, B_OFFSET),
    derive=derive,
    step=step,
    constants={"theta": 1.0, "gamma": 0.9},
    trainable=(GAMMA, THETA),
    threshold_terms=(ThresholdTerm("q", before=True),),
    equations=(
        "b_t = δω²/2 + |b'| + q_{t-1}",
        "v_t = v_{t-1} + δ u_{t-1}",
        "u_t = u_{t-1} + δ (I_t - 2 b_t u_{t-1} - ω² v_t)",
        "z_t = Θ(u_t - θ - q_{t-1})",
        "q_t = γ q_{t-1} + z_t",
    ),
)
