"""Adaptive leaky integrate-and-fire neuron in symplectic Euler form."""

from __future__ import annotations

from brfkit.neurons.ops import exp, spike
from brfkit.neurons.spec import Neuron, Parameter, Uniform
from brfkit.neurons.threshold import THETA

TAU_MEM = Parameter("tau_mem", "τ_u", "steps", 15.0, Uniform(5.0, 25.0), "membrane time constant; enters as |τ_u|")
TAU_ADP = Parameter("tau_adp", "τ_w", "steps", 180.0, Uniform(60.0, 300.0), "adaptation time constant, as |τ_w|")
A = Parameter("a", "a", "1 / q", 0.1, Uniform(0.0, 1.0), "adaptation to the membrane; enters as q |a|")
B = Parameter("b", "b", "1 / q", 1.0, Uniform(0.0, 2.0), "adaptation to spikes; enters as q |b|")


def derive(tau_mem, tau_adp, a, b, q):  # type: ignore[no-untyped-def]
    alpha = exp(-1.0 / abs(tau_mem))
    rho = exp(-1.0 / abs(tau_adp))
    a_w = q * abs(a)
    b_w = q * abs(b)
    return alpha, rho, a_w, b_w


def step(x, u, w, alpha, rho, a_w, b_w, theta):  # type: ignore[no-untyped-def]
    u_new = u * alpha + (x - w) * (1.0 - alpha)
    z = spike(u_new - theta)
    u_next = u_new * (1.0 - z)
    w_next = w * rho + (a_w * u_next + b_w * z) * (1.0 - rho)
    return z, u_next, w_next


SE_ADLIF = Neuron(
    name="se-adlif",
    title="adaptive leaky integrate-and-fire, symplectic Euler",
    doc="LIF with an adaptation current that follows membrane and spikes, taken from the new membrane value. Gradients "
    "run through the reset, too; in the published code, which keeps a, b and τ in their initial ranges, they do not.",
    source="Baronig, Ferrand, Sabathiel, Legenstein, Nat. Commun. 2025 (arXiv:2408.07517)",
    states=("u", "w"),
    parameters=(TAU_MEM, TAU_ADP, A, B),
    derive=derive,
    step=step,
    constants={"theta": 1.0, "q": 120.0},
    trainable=(THETA,),
    equations=(
        "u_t = α u_{t-1} + (1 - α) (I_t - w_{t-1}),   α = exp(-1/|τ_u|)",
        "z_t = Θ(u_t - θ),   then u_t ← (1 - z_t) u_t",
        "w_t = ρ w_{t-1} + (1 - ρ) q (|a| u_t + |b| z_t),   ρ = exp(-1/|τ_w|)",
    ),
)
