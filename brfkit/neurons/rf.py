"""Resonate-and-fire neuron without reset."""

from __future__ import annotations

from brfkit.neurons.ops import spike
from brfkit.neurons.spec import Neuron, Parameter, Uniform

OMEGA = Parameter("omega", "ω", "rad / time", 10.0, Uniform(5.0, 10.0), "angular frequency; enters as |ω|")
B_OFFSET = Parameter("b_offset", "b'", "1 / time", 1.0, Uniform(0.1, 1.0), "damping offset; enters as |b'|")


def derive(omega, b_offset):  # type: ignore[no-untyped-def]
    w = abs(omega)
    b = -abs(b_offset)
    return w, b


def step(x, u, v, w, b, dt, theta):  # type: ignore[no-untyped-def]
    u_next = u + b * u * dt - w * v * dt + x * dt
    v_next = v + w * u * dt + b * v * dt
    z = spike(u_next - theta)
    return z, u_next, v_next


RF = Neuron(
    name="rf",
    title="resonate-and-fire",
    doc="Damped complex oscillator, explicit Euler; spikes on the real part, no reset.",
    source="Izhikevich 2001; Higuchi et al., ICML 2024, eq. 1-3",
    states=("u", "v"),
    parameters=(OMEGA, B_OFFSET),
    derive=derive,
    step=step,
    constants={"theta": 1.0},
    equations=(
        "u_t = u_{t-1} + δ (b u_{t-1} - ω v_{t-1} + I_t),   b = -|b'|",
        "v_t = v_{t-1} + δ (ω u_{t-1} + b v_{t-1})",
        "z_t = Θ(u_t - θ)",
    ),
)
