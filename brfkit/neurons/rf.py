"""Resonate-and-fire neuron without reset."""

from __future__ import annotations

import math

from brfkit.neurons.ops import spike
from brfkit.neurons.oscillator import euler, exact, rotation, symplectic
from brfkit.neurons.spec import Discretisation, Neuron, Parameter, Uniform
from brfkit.neurons.threshold import THETA

OMEGA = Parameter("omega", "ω", "rad / time", 10.0, Uniform(5.0, 10.0), "angular frequency; enters as |ω|")
B_OFFSET = Parameter("b_offset", "b'", "1 / time", 1.0, Uniform(0.1, 1.0), "damping offset; enters as |b'|")

DISCRETISATIONS = {
    "euler": Discretisation("explicit Euler, stable for b below p(ω)", {"advance": euler}),
    "symplectic": Discretisation(
        "semi-implicit Euler, stable for b below 0 and δω below 2 + δb",
        {"advance": symplectic},
        ("u_t as above, then v_t = v_{t-1} + δ (ω u_t + b v_{t-1})",),
        limit=2.0,
    ),
    "exact": Discretisation(
        "exponential: exact for a current held over the step, stable for b below 0",
        {"advance": exact},
        ("z_t = e^{λδ} z_{t-1} + I_t (e^{λδ} - 1)/λ,   z = u + iv, λ = b + iω",),
        limit=math.inf,
    ),
}


def derive(omega, b_offset, dt):  # type: ignore[no-untyped-def]
    w = abs(omega)
    b = -abs(b_offset)
    angle, sine, versine = rotation(w, dt)
    return w, b, angle, sine, versine


def step(x, u, v, w, b, angle, sine, versine, dt, theta, advance):  # type: ignore[no-untyped-def]
    u_next, v_next = advance(x, u, v, b, w, angle, sine, versine, dt)
    z = spike(u_next - theta)
    return z, u_next, v_next


RF = Neuron(
    name="rf",
    title="resonate-and-fire",
    doc="Damped complex oscillator; spikes on the real part, no reset.",
    source="Izhikevich 2001; Higuchi et al., ICML 2024, eq. 1-3",
    states=("u", "v"),
    parameters=(OMEGA, B_OFFSET),
    derive=derive,
    step=step,
    constants={"theta": 1.0},
    trainable=(THETA,),
    discretisations=DISCRETISATIONS,
    equations=(
        "u_t = u_{t-1} + δ (b u_{t-1} - ω v_{t-1} + I_t),   b = -|b'|",
        "v_t = v_{t-1} + δ (ω u_{t-1} + b v_{t-1})",
        "z_t = Θ(u_t - θ)",
    ),
)
