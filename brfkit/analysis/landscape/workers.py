"""One surface, many processes: a queue of blocks on the store of torchrun, and one process that writes.

Nothing but the store of torch.distributed is used. The processes never wait for each other in a collective operation,
so one that dies takes nothing with it but its block.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.landscape.compute import Block, blocks
from brfkit.analysis.landscape.directions import Directions
from brfkit.analysis.landscape.surface import Settings, Surface
from brfkit.errors import BrfkitError

POLL, BEAT = 0.05, 1.0  # seconds
NEXT, LEFT, PLAN, FAILED = "next", "left", "plan", "failed"
_ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launched() -> bool:
    """Whether torchrun, or whatever sets the same variables, started this as one process of several."""
    return all(name in os.environ for name in _ENVIRONMENT) and os.environ["WORLD_SIZE"] != "1"


def restarts() -> int:
    """How often torchrun has started the processes anew because one had failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def threads_per_process(available: int) -> int:
    """Share of this machine's processors for one of its processes."""
    return max(available // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


class _Store:
    """The store, its failures in one line."""

    def __init__(self) -> None:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else a lost connection is a page of C++ frames
        from torch.distributed import rendezvous

        with _one_line():
            self._store, self.rank, self.size = next(rendezvous("env://"))

    def set(self, key: str, value: bytes | str) -> None:
        with _one_line():
            self._store.set(key, value)

    def get(self, key: str) -> bytes | None:
        """What stands under a key, None where there is nothing yet."""
        with _one_line():
            return bytes(self._store.get(key)) if self._store.check([key]) else None

    def add(self, key: str, amount: int) -> int:
        """A counter after `amount` was added to it."""
        with _one_line():
            return int(self._store.add(key, amount))

    def delete(self, key: str) -> None:
        with _one_line():
            self._store.delete_key(key)


class Crew:
    """The processes that work on surfaces together; process 0 writes.

    Args:
        patience: seconds of silence after which a process counts as dead and process 0 takes over its block.
    """

    def __init__(self, patience: float = 30.0) -> None:
        self.patience = patience
        self._store = _Store()
        self.rank, self.size = self._store.rank, self._store.size
        self._surface = 0
        self._end = threading.Event()
        if self.rank:
            threading.Thread(target=self._beat, daemon=True).start()

    @property
    def writes(self) -> bool:
        return self.rank == 0

    def close(self) -> None:
        self._end.set()

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            try:
                self._store.add(f"brfkit/{restarts()}/beat/{self.rank}", 1)
            except BrfkitError:  # the store has gone, which the main thread finds out and reports
                return

    def _key(self, *parts: object) -> str:
        # A store may outlive a restart, and what the processes before left in it is about other blocks.
        return "/".join(map(str, ("brfkit", restarts(), self._surface, *parts)))

    def failed(self) -> None:
        """Process 0 could not begin; it reports why, the others leave."""
        self._store.set(self._key(FAILED), b"1")
        self._dismiss(5.0)

    def lead(self, surface: Surface, block: Block, size: int, save: Callable[[], None]) -> None:
        """Share out what is pending, evaluate along with the others, write what they find."""
        parts = blocks(surface.pending, size)
        self._store.set(self._key(PLAN), _pack(surface, parts))
        _Leader(self, surface, parts, save).run(block)
        self._dismiss(self.patience)
        self._surface += 1

    def _dismiss(self, seconds: float) -> None:
        """Wait until the others know that there is no more, for the store may end with this process."""
        limit = time.monotonic() + seconds
        while self._store.add(self._key(LEFT), 0) < self.size - 1 and time.monotonic() < limit:
            time.sleep(POLL)

    def follow(self, settings: Settings, make_block: Callable[[Directions], Block]) -> None:
        """Evaluate blocks until there are none.

        Raises:
            BrfkitError: this process sees another checkpoint or other data than process 0, or process 0 has gone.
        """
        while (plan := self._store.get(self._key(PLAN))) is None:
            if self._store.get(self._key(FAILED)) is not None:
                self._store.add(self._key(LEFT), 1)
                raise SystemExit(1)
            time.sleep(POLL)
        found, directions, parts = _unpack(plan)
        different = settings.difference(found)
        if different is not None:
            raise BrfkitError(f"process {self.rank} is not set up as process 0: {different}")
        surface, block = Surface(found, directions), make_block(directions)
        while (number := self.take()) < len(parts):
            self._store.set(self._key("claim", number), str(self.rank))
            values = block([surface.coordinates(int(index)) for index in parts[number]])
            self._store.set(self._key("result", number), values.tobytes())
        self._store.add(self._key(LEFT), 1)
        self._surface += 1

    # What the leader asks of the store.

    def take(self) -> int:
        """Number of the next block in the queue."""
        return self._store.add(self._key(NEXT), 1) - 1

    def taken(self) -> int:
        """How many blocks have been taken, or more."""
        return self._store.add(self._key(NEXT), 0)

    def result(self, number: int) -> NDArray[np.float64] | None:
        key = self._key("result", number)
        data = self._store.get(key)
        if data is None:
            return None
        self._store.delete(key)
        return np.frombuffer(data).reshape(3, -1)

    def beats(self, number: int) -> tuple[int, int]:
        """Who has claimed a block (-1: not yet known) and that process's signs of life so far."""
        rank = int(self._store.get(self._key("claim", number)) or -1)
        return rank, self._store.add(f"brfkit/{restarts()}/beat/{rank}", 0) if rank > 0 else 0


class _Leader:
    """Process 0 at work on one surface: its main thread computes, another one collects and writes."""

    def __init__(self, crew: Crew, surface: Surface, parts: list[NDArray[np.int64]], save: Callable[[], None]) -> None:
        self.crew, self.surface, self.parts, self.save = crew, surface, parts, save
        self.missing = set(range(len(parts)))
        self._mine: set[int] = set()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._error: BaseException | None = None

    def run(self, block: Block) -> None:
        collector = threading.Thread(target=self._collect, daemon=True)
        collector.start()
        try:
            while (number := self.crew.take()) < len(self.parts):
                self._compute(block, number)
            self._finish(block)
        finally:
            self._end.set()
            collector.join()
        if self._error is not None:
            raise self._error

    def _compute(self, block: Block, number: int) -> None:
        self._mine.add(number)
        values = block([self.surface.coordinates(int(index)) for index in self.parts[number]])
        self._enter({number: values})

    def _enter(self, found: dict[int, NDArray[np.float64]]) -> None:
        with self._lock:
            for number, values in found.items():
                self.surface.put(self.parts[number], values)
                self.missing.discard(number)
            self.save()

    def _collect(self) -> None:
        try:
            while not self._end.wait(POLL):
                others = sorted(n for n in self.missing - self._mine if n < self.crew.taken())
                found = {n: values for n in others if (values := self.crew.result(n)) is not None}
                if found:
                    self._enter(found)
        except BaseException as error:
            self._error = error

    def _finish(self, block: Block) -> None:
        """Wait for blocks of others; take over those whose process sends no heartbeat."""
        last_signs: dict[int, tuple[tuple[int, int], float]] = {}
        while self.missing and self._error is None:
            block.stop.check()
            for number in sorted(self.missing):
                sign, now = self.crew.beats(number), time.monotonic()
                if number not in last_signs or last_signs[number][0] != sign:
                    last_signs[number] = sign, now
                elif now - last_signs[number][1] > self.crew.patience and number in self.missing:
                    self._compute(block, number)
            time.sleep(POLL)


def _pack(surface: Surface, parts: list[NDArray[np.int64]]) -> bytes:
    import json

    arrays: dict[str, Any] = {"settings": np.array(json.dumps(surface.settings.to_dict()).encode())}
    arrays |= {f"part{n}": part for n, part in enumerate(parts)}
    for n, vector in enumerate(surface.directions.vectors):
        arrays |= {f"direction{n}/{name}": value for name, value in vector.items()}
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _unpack(data: bytes) -> tuple[Settings, Directions, list[NDArray[np.int64]]]:
    import json

    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        settings = Settings.from_dict(json.loads(arrays["settings"].item()))
        parts = [arrays[f"part{n}"] for n in range(sum(name.startswith("part") for name in arrays.files))]
        vectors: list[dict[str, NDArray]] = [{} for _ in range(1 if settings.line else 2)]
        for name in arrays.files:
            if name.startswith("direction"):
                number, _, weight = name.removeprefix("direction").partition("/")
                vectors[int(number)][weight] = arrays[name]
    return settings, Directions(tuple(vectors)), parts


@contextmanager
def _one_line() -> Iterator[None]:
    """What the store raises when its other side has gone, in one line."""
    try:
        yield
    except (RuntimeError, OSError, ValueError) as error:  # torch's errors of distribution are RuntimeErrors
        reason = " ".join(str(error).split())[:200]
        raise BrfkitError(
            f"the processes have lost each other ({reason}); finished blocks are in the file, --resume goes on"
        ) from error
