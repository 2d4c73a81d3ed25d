"""Leaky integrators: the readouts."""

from __future__ import annotations

from brfkit.neurons.alif import TAU_MEM
from brfkit.neurons.ops import exp
from brfkit.neurons.spec import Neuron, Normal, Parameter


def derive(tau_mem):  # type: ignore[no-untyped-def]
    alpha = exp(-1.0 / abs(tau_mem))
    return (alpha,)


def derive_sigmoid(tau_mem):  # type: ignore[no-untyped-def]
    alpha = 1.0 / (1.0 + exp(-tau_mem))
    return (alpha,)


def step(x, u, alpha):  # type: ignore[no-untyped-def]
    u_next = u * alpha + x * (1.0 - alpha)
    return u_next, u_next


LI = Neuron(
    name="li",
    title="leaky integrator",
    doc="Non-spiking readout: low-pass filtered sum of spikes, one unit per class.",
    source="Higuchi et al., ICML 2024",
    states=("u",),
    parameters=(TAU_MEM,),
    derive=derive,
    step=step,
    surrogate=None,
    memoryless={"tau_mem": 1e-3},  # α = exp(-1000) is 0
    equations=("u_t = α u_{t-1} + (1 - α) I_t,   α = exp(-1/|τ_mem|)",),
)

LI_SIGMOID = Neuron(
    name="li-sigmoid",
    title="leaky integrator with sigmoid decay",
    doc="Readout of the published BHRF networks: the trained number is the logit of the decay.",
    source="published code of Higuchi et al. 2024",
    states=("u",),
    parameters=(Parameter("tau_mem", "τ", "logit", 0.0, Normal(0.0, 0.1), "logit of the decay per step"),),
    derive=derive_sigmoid,
    step=step,
    surrogate=None,
    memoryless={"tau_mem": -80.0},  # α is 1e-35
    equations=("u_t = α u_{t-1} + (1 - α) I_t,   α = 1 / (1 + exp(-τ))",),
)
