"""Time discretisations of z' = (b + iω) z + I, z = u + iv: written once, for all resonators.

Each ``advance(x, u, v, b, w, angle, sine, versine, dt)`` returns u and v after a step with the current x; b may be
another at every step. ``angle, sine, versine = rotation(w, dt)`` are made once per sequence; a scheme that does not
read them costs nothing for them.
"""

from __future__ import annotations

from brfkit.neurons.ops import expm1, maximum, minimum, sin, sqrt

BOUND = 0.9999  # how far a bounded neuron goes towards the δω at which its region of stability ends
# |λ|² δ² is divided by, so it is held above 0 where ω = b = 0; a turn this small is below rounding, and its square is
# still a normal number in float32.
SMALLEST_ANGLE = 1e-16


def rotation(w, dt):  # type: ignore[no-untyped-def]
    angle = maximum(dt * w, SMALLEST_ANGLE)
    sine = sin(angle)
    versine = 2.0 * sin(0.5 * angle) ** 2  # 1 - cos without its cancellation
    return angle, sine, versine


def euler(x, u, v, b, w, angle, sine, versine, dt):  # type: ignore[no-untyped-def]
    """Explicit: z_t = z_{t-1} + δ (λ z_{t-1} + I_t), λ = b + iω."""
    u_next = u + b * u * dt - w * v * dt + x * dt
    v_next = v + w * u * dt + b * v * dt
    return u_next, v_next


def symplectic(x, u, v, b, w, angle, sine, versine, dt):  # type: ignore[no-untyped-def]
    """Semi-implicit: as explicit Euler, but v turns with the new u; the determinant of a step is (1 + δb)²."""
    u_next = u + b * u * dt - w * v * dt + x * dt
    v_next = v + w * u_next * dt + b * v * dt
    return u_next, v_next


def exact(x, u, v, b, w, angle, sine, versine, dt):  # type: ignore[no-untyped-def]
    """The solution for a current and a b that stay as they are for a step: z_t = z_{t-1} + (e^{λδ} - 1)(z_{t-1} + I/λ).

    e^{λδ} - 1 = grow + i turn comes from expm1, sine and versine, so it keeps its digits where λδ is small.
    """
    decay = b * dt
    less = expm1(decay)
    grow = less * (1.0 - versine) - versine
    turn = sine + less * sine
    push = x * dt / (decay**2 + angle**2)
    u_far = u + push * decay
    v_far = v - push * angle
    u_next = u + (grow * u_far - turn * v_far)
    v_next = v + (turn * u_far + grow * v_far)
    return u_next, v_next


def no_growth(w, dt):  # type: ignore[no-untyped-def]
    """The boundary of schemes that neither grow nor shrink an undamped oscillation."""
    return 0.0


def euler_boundary(w, dt):  # type: ignore[no-untyped-def]
    """p(ω) = (-1 + √(1 - (δω)²)) / δ, where |1 + δ(p + iω)| = 1, in a form that does not cancel."""
    dw = dt * w
    p = -(dw * w) / (1.0 + sqrt(1.0 - dw**2))
    return p


def clip_omega_euler(omega, dt):  # type: ignore[no-untyped-def]
    """|ω| with δ|ω| below 1, where p(ω) ends."""
    return minimum(abs(omega), BOUND / dt)


def clip_omega_symplectic(omega, dt):  # type: ignore[no-untyped-def]
    """|ω| with δ|ω| below 2, where the symplectic step stops turning."""
    return minimum(abs(omega), 2.0 * BOUND / dt)


def unbounded(omega, dt):  # type: ignore[no-untyped-def]
    """|ω|."""
    return abs(omega)
