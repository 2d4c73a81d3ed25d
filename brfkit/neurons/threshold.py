"""The threshold as a constant that can be trained."""

from __future__ import annotations

from brfkit.neurons.spec import Trainable


def positive(theta):  # type: ignore[no-untyped-def]
    return abs(theta)


THETA = Trainable("theta", "θ", "as the membrane", "threshold; enters as |θ|", positive)
