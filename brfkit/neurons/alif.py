"""Adaptive leaky integrate-and-fire neuron."""

from __future__ import annotations

from brfkit.neurons.ops import exp, spike
from brfkit.neurons.spec import Neuron, Normal, Parameter, ThresholdTerm
from brfkit.neurons.threshold import THETA

TAU_MEM = Parameter("tau_mem", "τ_mem", "steps", 20.0, Normal(20.0, 5.0), "membrane time constant; enters as |τ_mem|")
TAU_ADP = Parameter("tau_adp", "τ_adp", "steps", 200.0, Normal(200.0, 50.0), "adaptation time constant, as |τ_adp|")


def derive(tau_mem, tau_adp):  # type: ignore[no-untyped-def]
    alpha = exp(-1.0 / abs(tau_mem))
    rho = exp(-1.0 / abs(tau_adp))
    return alpha, rho


def step(x, u, a, z, alpha, rho, theta, beta):  # type: ignore[no-untyped-def]
    a_next = a * rho + z * (1.0 - rho)
    theta_t = theta + a_next * beta
    u_new = u * alpha + x * (1.0 - alpha)
    z_next = spike(u_new - theta_t)
    u_next = u_new - z_next * theta_t
    return z_next, u_next, a_next, z_next


ALIF = Neuron(
    name="alif",
    title="adaptive leaky integrate-and-fire",
    doc="LIF whose threshold rises with its own spikes; soft reset.",
    source="Yin, Corradi, Bohté, Nat. Mach. Intell. 2021; as in the code of Higuchi et al. 2024",
    states=("u", "a", "z"),
    parameters=(TAU_MEM, TAU_ADP),
    derive=derive,
    step=step,
    constants={"theta": 0.01, "beta": 1.8},
    trainable=(THETA,),
    threshold_terms=(ThresholdTerm("a", factor="beta"),),
    equations=(
        "a_t = ρ a_{t-1} + (1 - ρ) z_{t-1},   ρ = exp(-1/|τ_adp|)",
        "θ_t = θ + β a_t",
        "u_t = α u_{t-1} + (1 - α) I_t,   α = exp(-1/|τ_mem|)",
        "z_t = Θ(u_t - θ_t),   then u_t ← u_t - z_t θ_t",
    ),
)
