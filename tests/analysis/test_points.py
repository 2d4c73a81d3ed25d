"""Many weights at once give what one evaluation after the other gives, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from brfkit.analysis.landscape.evaluate import PointEvaluator
from brfkit.backends import get_backend
from brfkit.data import DenseSplit
from brfkit.errors import BrfkitError
from brfkit.evaluation import evaluate
from brfkit.network import recurrent_network
from brfkit.task import Task

POINTS, SAMPLES, BATCH = 5, 21, 8
TASK = Task(loss_on="last", accuracy_from="last")


@pytest.fixture(scope="module")
def network():
    return recurrent_network(2, [9], 3)


@pytest.fixture(scope="module")
def split():
    rng = np.random.default_rng(0)
    return DenseSplit(rng.normal(size=(SAMPLES, 20, 2)).astype(np.float32), rng.integers(0, 3, SAMPLES))


@pytest.fixture(scope="module")
def points(network):
    def weights(seed):
        made = network.initialise(seed)
        return made | {"hidden0.w_in": np.float32(40 + 5 * seed) * made["hidden0.w_in"]}

    return [weights(seed) for seed in range(POINTS)]


@pytest.mark.parametrize("threads", [1, 3])
def test_equals_single_evaluations_bit_for_bit(network, split, points, threads):
    backend = get_backend("numba", threads=threads)
    done = []
    values = PointEvaluator(network, split, TASK, backend, batch_size=BATCH)(points, point_done=lambda: done.append(1))
    single = [evaluate(network, w, split, TASK, backend, batch_size=BATCH) for w in points]
    assert list(values.loss) == [s.loss for s in single]
    assert list(values.accuracy) == [s.accuracy for s in single]
    assert list(values.spikes_per_sample) == [s.spikes_per_sample for s in single]
    assert len(set(values.loss)) == POINTS
    assert values.spikes_per_sample.min() > 0
    assert len(done) == POINTS


def test_other_backends_compute_the_same(network, split, points):
    numba, reference = (
        PointEvaluator(network, split, TASK, get_backend(name), batch_size=BATCH)(points[:2])
        for name in ("numba", "reference")
    )
    # float32 against float64: a few spikes of some thousand may flip
    assert numba.loss == pytest.approx(reference.loss, rel=0.01)


def test_nothing_to_evaluate(network, split):
    with pytest.raises(BrfkitError, match="no samples"):
        PointEvaluator(network, split.select([]), TASK, get_backend("numba"))
