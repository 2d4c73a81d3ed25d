"""Setting samples aside for validation: at random, in blocks, or whole groups (speakers) at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brfkit.data.base import Split
from brfkit.errors import BrfkitError


def holdout(
    split: Split, fraction: float, *, seed: int | Sequence[int] = 0, by_group: bool = False, blocks: int = 0
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Divides the samples of a split into those that are kept for training and those that are set aside.

    Args:
        split: N samples.
        fraction: share of the samples to set aside, between 0 and 1; rounded down, but at least one sample.
        seed: of the draw, at least 0; several numbers are one seed.
        by_group: set aside whole groups (``split.groups``, the speakers of SHD), drawn at random and as many as come
            nearest to `fraction`; at least one on each side. Otherwise single samples are drawn.
        blocks: cut the samples, in their order, into so many blocks of about equal size and set aside whole blocks:
            where neighbours are pieces of one recording, single samples would have theirs in the training set.

    Returns:
        ``(kept, aside)``: two ascending index arrays that together are ``range(N)``; neither is empty.

    Raises:
        BrfkitError: `fraction` is not between 0 and 1, there are fewer than two samples (groups, blocks), or groups are
            asked for and not known.
    """
    if not 0 < fraction < 1:
        raise BrfkitError(f"the fraction set aside must lie between 0 and 1, it is {fraction}")
    if min([seed] if isinstance(seed, int) else seed) < 0:
        raise BrfkitError(f"the seed must not be negative, it is {seed}")
    samples = len(split)
    rng = np.random.default_rng(seed)
    if by_group or blocks:
        member = _groups(split) if by_group else np.arange(samples) * min(blocks, samples) // max(samples, 1)
        order = rng.permutation(len(np.unique(member)))
        if len(order) < 2:
            what = "of one group (speaker)" if by_group else "in one block"
            raise BrfkitError(f"all {samples} samples are {what}; draw samples instead")
        sizes = np.cumsum(np.bincount(member)[order])[:-1]
        chosen = order[: int(np.argmin(np.abs(sizes - fraction * samples))) + 1]
        aside = np.flatnonzero(np.isin(member, chosen))
    else:
        if samples < 2:
            raise BrfkitError(f"{samples} sample cannot be divided; at least 2 are needed")
        count = max(1, int(fraction * samples))
        aside = np.sort(rng.permutation(samples)[:count])
    return np.setdiff1d(np.arange(samples), aside), aside


def _groups(split: Split) -> NDArray[np.intp]:
    """The number of each sample's group."""
    if split.groups is None:
        raise BrfkitError("these data do not say which group (speaker) a sample belongs to; draw samples instead")
    return np.unique(split.groups, return_inverse=True)[1]
