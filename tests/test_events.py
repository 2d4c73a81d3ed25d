"""Events and dense arrays say the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brfkit.errors import BrfkitError
from brfkit.events import Events

SHAPES = st.tuples(st.integers(0, 6), st.integers(0, 4), st.integers(1, 5))


@given(SHAPES.flatmap(lambda shape: arrays(np.bool_, shape)))
def test_there_and_back(x):
    events = Events.from_dense(x.astype(np.float32))
    assert (events.steps, events.batch, events.channels) == x.shape
    assert events.indices.size == x.sum()
    assert (events.indptr.dtype, events.indices.dtype) == (np.int64, np.int32)
    np.testing.assert_array_equal(events.dense(np.float64), x)


def test_indexing_is_by_sample_then_step():
    """Sample b has at step t the channels indices[indptr[b, t]:indptr[b, t + 1]]."""
    x = np.zeros((3, 2, 4))
    x[0, 0, 1] = x[2, 0, 3] = x[2, 0, 0] = x[1, 1, 2] = 1
    events = Events.from_dense(x)
    assert events.indptr.tolist() == [[0, 1, 1, 3], [3, 3, 4, 4]]
    assert events.indices.tolist() == [1, 0, 3, 2]


def test_a_channel_that_stands_twice_counts_twice():
    events = Events(np.array([[0, 3]]), np.array([2, 0, 2], np.int32), 3)
    np.testing.assert_array_equal(events.dense(), [[[1, 0, 2]]])
    assert events.dense().dtype == np.float32


def test_samples_may_share_indices():
    """A batch picked from a larger one keeps the larger one's indices."""
    x = np.random.default_rng(1).random((5, 4, 3)) < 0.5
    events = Events.from_dense(x)
    picked = Events(events.indptr[[3, 1, 3]], events.indices, 3)
    np.testing.assert_array_equal(picked.dense(), x[:, [3, 1, 3]])


@pytest.mark.parametrize("name", ["numba", "torch"])
def test_every_backend_reads_them_alike(name, make_network):
    """Duplicates, silent samples and samples in another order, against the dense array."""
    from brfkit.backends import get_backend

    network, weights, _ = make_network("brf", inputs=3)
    indptr = np.array([[4, 4, 6, 7], [0, 3, 3, 4], [7, 7, 7, 7]])
    events = Events(indptr, np.array([2, 0, 2, 1, 0, 1, 2], np.int32), 3)
    backend = get_backend(name)
    sparse, dense = (backend.scan(network, weights, x, record=["hidden0.u"]) for x in (events, events.dense(float)))
    np.testing.assert_allclose(sparse.records["hidden0.u"], dense.records["hidden0.u"], rtol=0, atol=1e-13)
    assert np.abs(sparse.records["hidden0.u"][:, :2]).max() > 0


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0, np.nan])
def test_only_zeros_and_ones_become_events(value):
    with pytest.raises(BrfkitError, match="array of zeros and ones"):
        Events.from_dense(np.full((2, 1, 1), value))


def test_needs_three_dimensions():
    with pytest.raises(BrfkitError, match=r"\(T, B, I\), this one has shape \(2, 3\)"):
        Events.from_dense(np.zeros((2, 3)))
