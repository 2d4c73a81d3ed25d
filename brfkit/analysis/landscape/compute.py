"""From pending points to a finished surface, block by block, in one process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

import numpy as np
from numpy.typing import DTypeLike, NDArray

from brfkit.analysis.landscape.directions import Directions
from brfkit.analysis.landscape.evaluate import PointEvaluator
from brfkit.analysis.landscape.surface import Surface


class Stopped(Exception):
    """Ends the threads that compute points, after Ctrl-C."""


class Stop:
    """Whether the work is to end."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def check(self) -> None:
        """Raise :class:`Stopped` if so."""
        if self._event.is_set():
            raise Stopped


@contextmanager
def stopping() -> Iterator[Stop]:
    """Ctrl-C and SIGTERM (a scheduler's limit) set the `Stop` that is yielded and raise KeyboardInterrupt here.

    Threads that compute see it at their next point; without that a block would be finished before anything ends.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    except Stopped:
        raise KeyboardInterrupt from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Block:
    """Evaluates points of a surface by their numbers.

    Args:
        evaluator: of the network on the samples.
        centre: weights by name.
        directions: from the centre.
        dtype: of the computation.
        stop: asked after every point.
        point_done: called after every point, from any thread.
    """

    def __init__(
        self,
        evaluator: PointEvaluator,
        centre: Mapping[str, NDArray],
        directions: Directions,
        dtype: DTypeLike,
        stop: Stop,
        point_done: Callable[[], None] | None = None,
    ) -> None:
        self.evaluator, self.centre, self.directions, self.dtype = evaluator, centre, directions, dtype
        self.stop, self.point_done = stop, point_done

    def __call__(self, coordinates: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """Figures [3, k] of the points at `coordinates`, in the order of ``VALUES``."""
        points = [self.directions.point(self.centre, c, self.dtype) for c in coordinates]
        with np.errstate(all="ignore"):  # a network may diverge away from the centre; its loss says so
            found = self.evaluator(points, point_done=self._done)
        return np.stack([found.loss, found.accuracy, found.spikes_per_sample])

    def _done(self) -> None:
        self.stop.check()
        if self.point_done is not None:
            self.point_done()


def blocks(pending: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Points that are evaluated together."""
    return [pending[first : first + size] for first in range(0, len(pending), size)]


def compute(surface: Surface, block: Block, size: int, save: Callable[[], None]) -> None:
    """Evaluate what is pending; ``save`` is called after every block.

    Raises:
        KeyboardInterrupt: Ctrl-C. What was finished is in the surface and saved.
    """
    for part in blocks(surface.pending, size):
        surface.put(part, block([surface.coordinates(int(index)) for index in part]))
        save()
