"""What a run's figures have to be read with, and the option that helps. Needs no torch."""

from __future__ import annotations

from brfkit.runs.config import FROM_DATA, NetworkConfig

GRADIENT_REMEDY = "bound the gradient with --clip-norm, shorten the backward pass with --tbptt, or lower --lr"


def silence_remedy(settings: NetworkConfig) -> str:
    """What makes neurons spike; it depends on whether the input weights were scaled to the data already."""
    if settings.w_in_init == FROM_DATA:
        return "a larger --dt or larger inputs help"
    return "--w-in-init data scales the input weights until half of the neurons spike"


def frozen_note(count: int) -> str:
    """About single weights that did not change in the last epoch although they had a gradient."""
    return f"{count:,} weights did not change in the last epoch although they had a gradient; {GRADIENT_REMEDY}"
