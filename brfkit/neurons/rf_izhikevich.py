"""Resonate-and-fire neuron with Izhikevich's reset."""

from __future__ import annotations

from brfkit.neurons.ops import spike
from brfkit.neurons.rf import B_OFFSET, DISCRETISATIONS, OMEGA, derive
from brfkit.neurons.spec import Neuron
from brfkit.neurons.threshold import THETA


def step(x, u, v, w, b, angle, sine, versine, dt, theta, advance):  # type: ignore[no-untyped-def]
    u_new, v_new = advance(x, u, v, b, w, angle, sine, versine, dt)
    z = spike(v_new - theta)
    u_next = u_new - u_new * z
    v_next = v_new - v_new * z + z
    return z, u_next, v_next


RF_IZHIKEVICH = Neuron(
    name="rf-izhikevich",
    title="resonate-and-fire with Izhikevich's reset",
    doc="Spikes when the imaginary part crosses the threshold; the state is then set to i.",
    source="Izhikevich, Neural Networks 14, 2001; as in the code of Higuchi et al. 2024",
    states=("u", "v"),
    parameters=(OMEGA, B_OFFSET),
    derive=derive,
    step=step,
    constants={"theta": 1.0},
    trainable=(THETA,),
    discretisations=DISCRETISATIONS,
    membrane="v",
    equations=(
        "u_t = u_{t-1} + δ (b u_{t-1} - ω v_{t-1} + I_t),   b = -|b'|",
        "v_t = v_{t-1} + δ (ω u_{t-1} + b v_{t-1})",
        "z_t = Θ(v_t - θ),   then u_t + i v_t ← i where z_t = 1",
    ),
)
