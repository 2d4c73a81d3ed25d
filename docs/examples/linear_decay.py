"""BRF whose membrane loses a constant amount per unit time instead of a share of itself."""

from brfkit.neurons import Neuron, Parameter, Uniform
from brfkit.neurons.ops import minimum, spike, sqrt


def derive(omega, b_offset, dt):
    w = minimum(abs(omega), 0.9999 / dt)
    b0 = (sqrt(1.0 - (dt * w) ** 2) - 1.0) / dt - abs(b_offset)
    return w, b0


def step(x, u, v, q, w, b0, dt, theta, gamma):
    b = b0 - q
    u_next = u - b * dt - w * v * dt + x * dt
    v_next = v + w * u * dt - b * dt
    z = spike(u_next - theta - q)
    q_next = gamma * q + z
    return z, u_next, v_next, q_next


LINEAR_DECAY = Neuron(
    name="linear-decay",
    title="BRF with linear decay",
    doc="A variant that a public reproduction of BRF networks tried.",
    source="github.com/ianjoshi/brf-neurons-reproduction, snn/modules_linear/rf.py",
    states=("u", "v", "q"),
    parameters=(
        Parameter("omega", "ω", "rad per unit time", 10.0, Uniform(5.0, 10.0), "angular frequency"),
        Parameter("b_offset", "b'", "per unit time", 1.0, Uniform(2.0, 3.0), "decay offset"),
    ),
    derive=derive,
    step=step,
    constants={"theta": 1.0, "gamma": 0.9},
    equations=("b_t = p(ω) - |b'| - q_{t-1}", "u_t = u_{t-1} + δ (I_t - ω v_{t-1} - b_t)",
               "v_t = v_{t-1} + δ (ω u_{t-1} - b_t)", "z_t = Θ(u_t - θ - q_{t-1})", "q_t = γ q_{t-1} + z_t"),
)  # fmt: skip
