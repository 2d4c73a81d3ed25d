"""From spike times to time steps: the one function that bins, and its settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError

MAX_STEPS = 100_000

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
"""Units of time in which a file may state spike times, in seconds."""

# Times written as decimal multiples of the bin width must not fall below their edge: 0.3 / 0.1 is 2.9999999999999996.
_EDGE = 1e-9


@dataclass(frozen=True)
class Binning:
    """How spike times become time steps.

    As it stands, every spike is kept: bins of 4 ms up to the end of the recordings, each holding how often each
    channel spiked. Step t holds the spikes with ``t * width <= time < (t + 1) * width``, computed in float64; a time
    within 1e-9 bins of an edge stands on it.

    Attributes:
        width: length of a bin in seconds (or in the unit of the times, where that is another of its own).
        steps: number of bins T; None takes as many as the data set's longest recording needs.
        align: count time from the first spike of each recording, not from its start.
        counts: a channel that spikes n times in a bin counts n; otherwise it counts once.
        late: what becomes of spikes after the last bin: ``"clamp"`` puts them into the last bin, ``"drop"`` leaves
            them out.
        order: channel of unit k: k (``"stored"``), or units - 1 - k (``"reversed"``).
        published: the rule of the published code in place of the one above, bit for bit: step t holds the spikes with
            ``time <= t * width`` that are in no earlier step, compared in the times' own type (float16 in SHD); unit 0
            is left out, unit k goes to channel units - k, so that channel 0 stays silent.
        unit: in which the file states its times, ``"s"``, ``"ms"`` or ``"us"``.

    Raises:
        BrfkitError: a width or number of steps out of range, or settings that contradict `published`.
    """

    width: float = 0.004
    steps: int | None = None
    align: bool = False
    counts: bool = True
    late: Literal["clamp", "drop"] = "clamp"
    order: Literal["stored", "reversed"] = "stored"
    published: bool = False
    unit: Literal["s", "ms", "us"] = "s"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.width) and self.width > 0):
            raise BrfkitError(f"the bin width must be a positive time, not {self.width}")
        if self.steps is not None and not 1 <= self.steps <= MAX_STEPS:
            raise BrfkitError(f"the number of bins must be 1 to {MAX_STEPS}, not {self.steps}")
        if self.late not in ("clamp", "drop"):
            raise BrfkitError(f"late spikes can be put into the last bin (clamp) or left out (drop), not {self.late!r}")
        if self.order not in ("stored", "reversed"):
            raise BrfkitError(f"the channel order can be stored or reversed, not {self.order!r}")
        if self.unit not in UNITS:
            raise BrfkitError(f"the unit of time can be {', '.join(UNITS)}, not {self.unit!r}")
        if self.published and (self.align or self.counts or self.late != "drop" or self.order != "reversed"):
            raise BrfkitError(
                "the published binning neither aligns nor counts, drops late spikes and reverses channels"
            )

    @property
    def file_width(self) -> float:
        """Length of a bin in the unit of the file's times."""
        return self.width / UNITS[self.unit]

    def steps_for(self, duration: float) -> int:
        """Number of bins T: `steps`, or what a recording of `duration` (in the unit of `width`) needs."""
        if self.steps is not None:
            return self.steps
        needed = duration / self.width
        if not needed <= MAX_STEPS:
            raise BrfkitError(
                f"bins of {self.width:g} for {duration:g} would be more than {MAX_STEPS}; take wider ones"
            )
        return max(1, math.ceil(needed - _EDGE))


PAPER = Binning(steps=250, counts=False, late="drop", order="reversed", published=True)
"""The papers' preprocessing of SHD: 250 bins of 4 ms. About 1 % of the spikes of SHD come too late and are dropped."""

NAMED = {"full": Binning(), "paper": PAPER}


def binning_named(name: str | Binning) -> Binning:
    """`name` itself if it is a `Binning`, or the one of `NAMED`; BrfkitError for an unknown name."""
    if isinstance(name, Binning):
        return name
    if name not in NAMED:
        raise BrfkitError(f"unknown binning {name!r}; there are {', '.join(NAMED)}")
    return NAMED[name]


def bin_events(
    times: NDArray[Any], units: NDArray[Any], offsets: NDArray[np.int64], channels: int, steps: int, binning: Binning
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Bins the spikes of N recordings.

    Args:
        times: float [S], not negative, in any order within a recording.
        units: integers [S] in ``range(channels)``.
        offsets: int64 [N + 1]; recording n has the spikes ``offsets[n]:offsets[n + 1]``, counted from ``offsets[0]``.
        channels: number of channels I.
        steps: number of bins T.
        binning: the rule; its own `steps` is ignored.

    Returns:
        ``(indices, indptr)``: uint16 [nnz] (int32 from 65537 channels on) active channels by recording, step and
        channel, and int32 [N, T + 1], the offsets of each recording's steps from its first.
    """
    recordings = len(offsets) - 1
    recording = np.repeat(np.arange(recordings), np.diff(offsets))  # [S]
    first = _first_times(times, offsets) if binning.align else None
    step, keep = _steps(times, None if first is None else first[recording], steps, binning)
    if binning.published:
        keep &= units > 0
        channel = channels - units.astype(np.int64)
    else:
        channel = units.astype(np.int64)
        if binning.order == "reversed":
            channel = channels - 1 - channel
    cells = recordings * steps * channels
    key = ((recording * steps + step) * channels + channel)[keep].astype(np.uint32 if cells < 1 << 32 else np.int64)
    key.sort(kind="stable")  # nearly sorted where times ascend, which this kind makes use of
    if not binning.counts and len(key):
        key = key[np.concatenate([[True], key[1:] != key[:-1]])]
    edges = np.searchsorted(key, (np.arange(recordings * steps + 1) * channels).astype(key.dtype))
    bounds = np.arange(recordings)[:, None] * steps + np.arange(steps + 1)  # [N, T + 1]
    indptr = edges[bounds] - edges[bounds[:, :1]]
    return (key % channels).astype(np.uint16 if channels <= 1 << 16 else np.int32), indptr.astype(np.int32)


def _steps(
    times: NDArray[Any], first: NDArray[np.float64] | None, steps: int, binning: Binning
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The step of each spike, and which spikes are kept."""
    if binning.published:
        edges = (np.arange(steps) * binning.file_width).astype(times.dtype)
        if times.dtype == np.float16:  # the same numbers and order, compared by the processor itself
            edges, times = edges.astype(np.float32), times.astype(np.float32)
        step = np.searchsorted(edges, times, side="left")
        return np.minimum(step, steps - 1), step < steps
    time = times.astype(np.float64)
    if first is not None:
        time -= first
    with np.errstate(over="ignore"):  # what becomes infinite is late
        position = np.floor(time / binning.file_width + _EDGE)
    keep = position < steps if binning.late == "drop" else np.ones(len(times), bool)
    return np.minimum(position, steps - 1).astype(np.int64), keep


def _first_times(times: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """The earliest time of each recording, 0 for an empty one."""
    first = np.zeros(len(offsets) - 1)
    begins = offsets[:-1] - offsets[0]
    filled = np.diff(offsets) > 0
    if filled.any():
        first[filled] = np.minimum.reduceat(times, begins[filled]).astype(np.float64)
    return first
