"""Differences between groups of runs, paired over their seeds. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brfkit.analysis.runs.groups import Group


@dataclass(frozen=True)
class Difference:
    """Accuracy of a group less that of another one, over the seeds that both have.

    Attributes:
        to: label of the other one.
        mean, std: of the differences (percentage points; n - 1; nan where there are fewer than two).
        p: of a two-sided paired t-test, not corrected for the number of groups; nan where there are fewer than two
            seeds, or where all differences are 0.
        count: seeds that both have.
    """

    to: str
    mean: float
    std: float
    p: float
    count: int


def paired_difference(group: Group, reference: Group) -> Difference:
    """The difference in accuracy at the best epoch; a seed that a group has more than once is left out."""
    own, other = (_by_seed(one) for one in (group, reference))
    both = sorted(own.keys() & other.keys())
    found = np.array([own[seed] - other[seed] for seed in both])
    mean = float(found.mean()) if found.size else math.nan
    std = float(found.std(ddof=1)) if found.size > 1 else math.nan
    return Difference(reference.label, mean, std, paired_p(found.tolist()), found.size)


def paired_p(differences: Sequence[float]) -> float:
    """Two-sided p of Student's t-test that the mean of the differences is 0; nan where it says nothing."""
    from scipy.special import stdtr

    values = np.asarray(differences, np.float64)
    if values.size < 2 or not np.isfinite(values).all() or not values.any():
        return math.nan
    spread = values.std(ddof=1)
    if spread <= 1e-12 * np.abs(values).max():
        return 0.0
    t = values.mean() / (spread / math.sqrt(values.size))
    return float(2.0 * stdtr(values.size - 1, -abs(t)))


def _by_seed(group: Group) -> dict[int, float]:
    seeds = [run.seed for run in group.runs]
    return {run.seed: run.at_best("accuracy") for run in group.runs if seeds.count(run.seed) == 1}
