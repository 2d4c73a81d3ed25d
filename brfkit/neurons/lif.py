"""Leaky integrate-and-fire neuron."""

from __future__ import annotations

from brfkit.neurons.alif import TAU_MEM
from brfkit.neurons.ops import exp, spike
from brfkit.neurons.spec import Neuron
from brfkit.neurons.threshold import THETA


def derive(tau_mem):  # type: ignore[no-untyped-def]
    alpha = exp(-1.0 / abs(tau_mem))
    return (alpha,)


def step(x, u, alpha, theta):  # type: ignore[no-untyped-def]
    u_new = u * alpha + x * (1.0 - alpha)
    z = spike(u_new - theta)
    u_next = u_new - z * theta
    return z, u_next


LIF = Neuron(
    name="lif",
    title="leaky integrate-and-fire",
    doc="First-order low-pass membrane with soft reset.",
    source="as in the code of Higuchi et al. 2024",
    states=("u",),
    parameters=(TAU_MEM,),
    derive=derive,
    step=step,
    constants={"theta": 1.0},
    trainable=(THETA,),
    surrogate="linear",
    equations=(
        "u_t = α u_{t-1} + (1 - α) I_t,   α = exp(-1/|τ_mem|)",
        "z_t = Θ(u_t - θ),   then u_t ← u_t - z_t θ",
    ),
)
