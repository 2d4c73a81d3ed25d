"""Balanced resonate-and-fire neuron."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from brfkit.neurons.ops import minimum, spike
from brfkit.neurons.oscillator import (
    BOUND,
    clip_omega_euler,
    clip_omega_symplectic,
    euler_boundary,
    no_growth,
    rotation,
    unbounded,
)
from brfkit.neurons.rf import B_OFFSET, DISCRETISATIONS, OMEGA
from brfkit.neurons.spec import Discretisation, Neuron, Option, ThresholdTerm, Trainable
from brfkit.neurons.threshold import THETA

Function = Callable[..., Any]


def derive(omega, b_offset, dt, divergence_boundary, clip_omega, boundary):  # type: ignore[no-untyped-def]
    w = clip_omega(omega, dt)
    p = boundary(w, dt)
    b0 = divergence_boundary * p - abs(b_offset)
    angle, sine, versine = rotation(w, dt)
    return w, b0, angle, sine, versine


def step(  # type: ignore[no-untyped-def]
    x, u, v, q, w, b0, angle, sine, versine, dt, theta, gamma, smooth_reset, refractory, advance
):  # fmt: skip
    b = b0 - smooth_reset * q
    u_next, v_next = advance(x, u, v, b, w, angle, sine, versine, dt)
    z = spike(u_next - theta - refractory * q)
    q_next = gamma * q + z
    return z, u_next, v_next, q_next


def decay(gamma):  # type: ignore[no-untyped-def]
    # Mirrored at 0 and at 1, so that a step of the optimiser beyond 1 does not leave it without gradient.
    mirrored = abs(1.0 - abs(1.0 - abs(gamma)))
    return minimum(mirrored, BOUND)


GAMMA = Trainable("gamma", "γ", "per step", "decay of q; mirrored at 0 and 1, clipped at 0.9999", decay)


def _balanced(name: str, clip_omega: Function, boundary: Function, bound: float | None) -> Discretisation:
    """RF's discretisation with what belongs to it in ``derive``: the clipping of ω, and the divergence boundary."""
    of = DISCRETISATIONS[name]
    equations = ("p(ω) = 0", *of.equations) if boundary is no_growth else of.equations
    functions = {**of.functions, "clip_omega": clip_omega, "boundary": boundary}
    return replace(of, functions=functions, equations=equations, bound=bound)


BRF = Neuron(
    name="brf",
    title="balanced resonate-and-fire",
    doc="RF with divergence boundary p(ω), smooth reset and refractory threshold; δ|ω| is bounded at 0.9999 "
    "(symplectic: 1.9998, exact: not).",
    source="Higuchi, Kairat, Bohté, Otte, ICML 2024 (arXiv:2402.14603), eq. 5-10",
    states=("u", "v", "q"),
    parameters=(OMEGA, B_OFFSET),
    derive=derive,
    step=step,
    constants={"theta": 1.0, "gamma": 0.9},
    options=(
        Option("refractory", "q raises the threshold (RP)", "the refractory threshold"),
        Option("smooth_reset", "q raises the damping (SR)", "the smooth reset"),
        Option("divergence_boundary", "p(ω) keeps the discrete oscillator from diverging (DB)", "p(ω)"),
    ),
    discretisations={
        "euler": _balanced("euler", clip_omega_euler, euler_boundary, BOUND),
        "symplectic": _balanced("symplectic", clip_omega_symplectic, no_growth, 2.0 * BOUND),
        "exact": _balanced("exact", unbounded, no_growth, None),
    },
    trainable=(GAMMA, THETA),
    threshold_terms=(ThresholdTerm("q", before=True, option="refractory"),),
    equations=(
        "b_t = p(ω) - |b'| - q_{t-1},   p(ω) = (-1 + √(1 - (δω)²)) / δ",
        "u_t = u_{t-1} + δ (b_t u_{t-1} - ω v_{t-1} + I_t)",
        "v_t = v_{t-1} + δ (ω u_{t-1} + b_t v_{t-1})",
        "z_t = Θ(u_t - θ - q_{t-1})",
        "q_t = γ q_{t-1} + z_t",
    ),
)
