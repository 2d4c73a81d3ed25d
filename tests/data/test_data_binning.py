"""The one function that bins: against a plain loop, the published code, and what it promises to keep."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from brfkit.data import PAPER, Binning, bin_events
from brfkit.data.binning import binning_named
from brfkit.errors import BrfkitError

CHANNELS = 30


def spikes(seed: int, dtype: type = np.float16) -> tuple[NDArray, NDArray, NDArray]:
    """Times, units and offsets of 7 recordings, unsorted, some with equal times and units, two empty."""
    rng = np.random.default_rng(seed)
    counts = np.array([40, 0, 1, 90, 25, 60, 0])
    total = counts.sum()
    times = (rng.integers(0, 300, total) * 0.004 if seed % 2 else rng.uniform(0, 1.2, total)).astype(dtype)
    return times, rng.integers(0, CHANNELS, total).astype(np.uint16), np.concatenate([[0], np.cumsum(counts)])


def dense(indices: NDArray, indptr: NDArray, steps: int) -> NDArray:
    """[N, T, I] counts."""
    x = np.zeros((len(indptr), steps, CHANNELS), int)
    starts = np.concatenate([[0], np.cumsum(indptr[:, -1])])
    for n, t in itertools.product(range(len(indptr)), range(steps)):
        at = slice(starts[n] + indptr[n, t], starts[n] + indptr[n, t + 1])
        assert (np.diff(indices[at].astype(int)) >= 0).all()
        np.add.at(x[n, t], indices[at], 1)
    return x


def plain(times: NDArray, units: NDArray, offsets: NDArray, steps: int, binning: Binning) -> NDArray:
    x = np.zeros((len(offsets) - 1, steps, CHANNELS), int)
    for n, (begin, end) in enumerate(itertools.pairwise(offsets)):
        first = float(min(times[begin:end], default=0)) if binning.align else 0.0
        for time, unit in zip(times[begin:end], units[begin:end], strict=True):
            t = int((float(time) - first) / binning.width + 1e-9)
            if t >= steps and binning.late == "drop":
                continue
            channel = CHANNELS - 1 - unit if binning.order == "reversed" else unit
            x[n, min(t, steps - 1), channel] += 1
    return x if binning.counts else np.minimum(x, 1)


def published(times: NDArray, units: NDArray, steps: int, width: float) -> NDArray:
    """The rule of the published code in a few lines: what is not later than the bin's edge and not yet taken."""
    image = np.zeros((steps, CHANNELS), int)
    for t in range(steps):
        taken = times <= t * width
        lit = units[taken]
        image[t, CHANNELS - lit[lit > 0]] = 1
        times, units = times[~taken], units[~taken]
    return image


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("align", "counts", "late", "order"),
    list(itertools.product([False, True], [False, True], ["clamp", "drop"], ["stored", "reversed"])),
)
def test_agrees_with_a_plain_loop(seed: int, dtype: type, align: bool, counts: bool, late: str, order: str) -> None:
    for width, steps in ((0.004, 250), (0.05, 7), (1.0, 1)):
        binning = Binning(width, steps, align, counts, late, order)  # type: ignore[arg-type]
        times, units, offsets = spikes(seed, dtype)
        x = dense(*bin_events(times, units, offsets, CHANNELS, steps, binning), steps)
        np.testing.assert_array_equal(x, plain(times, units, offsets, steps, binning))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_published_rule(seed: int, dtype: type) -> None:
    times, units, offsets = spikes(seed, dtype)
    x = dense(*bin_events(times, units, offsets, CHANNELS, 250, PAPER), 250)
    for n, (begin, end) in enumerate(itertools.pairwise(offsets)):
        np.testing.assert_array_equal(x[n], published(times[begin:end], units[begin:end], 250, 0.004))
    assert x[:, :, 0].sum() == 0


@pytest.mark.parametrize("steps", [1, 10, 250, 400])
def test_spikes_are_conserved_by_default(steps: int) -> None:
    times, units, offsets = spikes(0)
    indices, indptr = bin_events(times, units, offsets, CHANNELS, steps, Binning(steps=steps))
    assert len(indices) == len(times)
    np.testing.assert_array_equal(indptr[:, -1], np.diff(offsets))


def test_a_later_part_of_a_file() -> None:
    times, units, offsets = spikes(1)
    whole = dense(*bin_events(times, units, offsets, CHANNELS, 100, Binning()), 100)
    tail = slice(offsets[3], None)
    part = dense(*bin_events(times[tail], units[tail], offsets[3:], CHANNELS, 100, Binning()), 100)
    np.testing.assert_array_equal(part, whole[3:])


def test_nothing_at_all() -> None:
    empty = np.zeros(0)
    indices, indptr = bin_events(
        empty, empty.astype(np.uint16), np.zeros(4, np.int64), CHANNELS, 5, Binning(align=True)
    )
    assert indices.size == 0
    np.testing.assert_array_equal(indptr, np.zeros((3, 6)))


def test_many_channels_and_large_keys() -> None:
    """More cells than 32 bits can number, and channels that do not fit into 16."""
    times = np.array([0.0, 399.9, 7.0])
    units = np.array([69_999, 0, 5])
    indices, indptr = bin_events(times, units, np.array([0, 2, 3]), 70_000, 40_000, Binning(0.01, 40_000))
    np.testing.assert_array_equal(indices, [69_999, 0, 5])
    assert indices.dtype == np.int32
    assert (np.flatnonzero(np.diff(indptr[0])).tolist(), np.flatnonzero(np.diff(indptr[1])).tolist()) == (
        [0, 39_990],
        [700],
    )


def test_decimal_edges() -> None:
    """k * width written as a decimal falls into bin k, whatever the division gives."""
    for width in (0.1, 0.001, 0.004, 0.007):
        times = np.array([round(k * width, 6) for k in range(200)])
        offsets = np.array([0, 200])
        _, indptr = bin_events(times, np.zeros(200, int), offsets, 1, 200, Binning(width))
        np.testing.assert_array_equal(indptr[0], np.arange(201))


def test_huge_times_are_late() -> None:
    for dtype in (np.float16, np.float64):
        times = np.array([np.finfo(dtype).max], dtype)
        for binning, kept in ((Binning(), 1), (Binning(late="drop"), 0), (PAPER, 0)):
            indices, _ = bin_events(times, np.array([3]), np.array([0, 1]), CHANNELS, 250, binning)
            assert len(indices) == kept


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0.0}, "bin width"),
        ({"width": float("nan")}, "bin width"),
        ({"width": -1.0}, "bin width"),
        ({"steps": 0}, "number of bins must be 1"),
        ({"steps": 100_001}, "number of bins"),
        ({"late": "keep"}, "late spikes"),
        ({"order": "up"}, "channel order"),
        ({"published": True}, "published binning"),
    ],
)
def test_refused_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(BrfkitError, match=message):
        Binning(**settings)  # type: ignore[arg-type]


def test_number_of_steps() -> None:
    assert Binning().steps_for(1.4) == 350
    assert Binning(width=0.1).steps_for(0.3) == 3
    assert Binning(width=0.1).steps_for(0.31) == 4
    assert Binning(width=9.0).steps_for(0.0) == 1
    with pytest.raises(BrfkitError, match="more than 100000"):
        Binning(width=1e-9).steps_for(1.4)


def test_names() -> None:
    assert binning_named("paper") is PAPER
    assert binning_named("full") == Binning()
    assert binning_named(PAPER) is PAPER
    with pytest.raises(BrfkitError, match="unknown binning 'papr'; there are full, paper"):
        binning_named("papr")
