"""What the machine can do: matrix product, cache and memory, measured; and what it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from brfkit.backends.numba_cpu.compile import compile_text
from brfkit.backends.numba_cpu.kernels import KernelText
from brfkit.backends.numba_cpu.layout import SEGMENT_BYTES, Layout, tile_size
from brfkit.backends.numba_cpu.shape import Shape, fill
from brfkit.bench.measure import torch_threads
from brfkit.codegen.model import build_model

_LANES = 16
_BEST_OF_AT_LEAST, _BEST_OF_SECONDS = 5, 0.3
_MEMORY_BYTES = 128 * 2**20
_MATRIX = 1024

_STREAMS = '''"""Generated from brfkit/bench/rates.py."""

import numba
import numpy as np

from brfkit.backends.numba_cpu import simd


@numba.njit(nogil=True, error_model="numpy")
def reads(n, a, b):
    """Sums up `a` n times; several sums, so that loads wait for nothing."""
    @ZERO
    for _ in range(n):
        for i in range(0, len(a), @STEP):
            @ADD
    @STORE


@numba.njit(nogil=True, error_model="numpy")
def copies(n, a, b):
    """Copies back and forth; 1 is added, so that no copy can be left out."""
    one = simd.broadcast(np.float32(1.0), @LANES)
    for _ in range(n):
        for i in range(0, len(a), @LANES):
            simd.store(b, i, simd.load(a, i, @LANES) + one)
        for i in range(0, len(a), @LANES):
            simd.store(a, i, simd.load(b, i, @LANES) + one)
'''

_PRODUCTS = '''

@numba.njit(nogil=True, error_model="numpy")
def products(n, x, w, rows, width, z):
    """Products one after the other, each with the result of the one before, as going back in time has them."""
    for _ in range(n):
        product(x, 0, width, w, rows, width, z, False)
        product(z, 0, width, w, rows, width, x, False)
'''


@dataclass(frozen=True)
class Rates:
    """What `threads` processors together reach.

    Attributes:
        threads: how many.
        sgemm: flop/s of a float32 product of 1024 x 1024 matrices by torch.
        cache_read, cache_copy: bytes/s from and to the second-level cache; a copy counts its reads and its writes.
        memory_copy: the same from and to main memory.
    """

    threads: int
    sgemm: float
    cache_read: float
    cache_copy: float
    memory_copy: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)

    def at_most(self, single: Rates, used: int) -> Rates:
        """Rates of only `used` of the threads."""
        if used >= self.threads:
            return self
        names = ("sgemm", "cache_read", "cache_copy", "memory_copy")
        return Rates(used, *(min(getattr(self, n), used * getattr(single, n)) for n in names))


@lru_cache(maxsize=4)
def measure_rates(threads: int) -> Rates:
    """Measure the machine with so many threads."""
    return Rates(
        threads,
        _sgemm(threads),
        _stream("reads", threads, bytes_per_number=4),
        _stream("copies", threads, bytes_per_number=16),
        _memory(threads),
    )


@lru_cache(maxsize=16)
def product_rate(units: int, batch: int, threads: int) -> float:
    """Useful flop/s of the blocked product that takes gradients back through W_rec, at the size of a layer.

    A call multiplies the rows of a tile of samples [tile, H] with W [H, H]: 2 tile H² flops; what is spent on padding
    does not count.
    """
    layout, tile = Layout.of(units, np.dtype(np.float32)), tile_size(batch)
    shape = Shape("float32", layout, tile, "dense", recurrent=True, last=False)
    run = compile_text(KernelText(build_model("brf"), shape).module() + _PRODUCTS)["products"]
    w = layout.rows(np.eye(units, dtype=np.float32))

    def start(n: int) -> Callable[[], None]:
        x, z = (np.ones(tile * layout.width, np.float32) for _ in range(2))
        return lambda: run(n, x, w, units, layout.width, z)

    return 2 * 2 * tile * units**2 * _calls_per_second(start, threads)


def _sgemm(threads: int) -> float:
    import torch

    a, b = torch.rand(_MATRIX, _MATRIX), torch.rand(_MATRIX, _MATRIX)
    with torch_threads(threads):
        seconds = _best(lambda: torch.mm(a, b))
    return 2.0 * _MATRIX**3 / seconds


def _stream(name: str, threads: int, bytes_per_number: int) -> float:
    """Bytes/s of every thread on arrays of its own that together fill a quarter megabyte, as a segment does."""
    sums = range(4)
    text = fill(
        _STREAMS,
        lanes=_LANES,
        step=len(sums) * _LANES,
        zero=[f"sum{i} = simd.broadcast(np.float32(0.0), {_LANES})" for i in sums],
        add=[f"sum{i} = sum{i} + simd.load(a, i + {i * _LANES}, {_LANES})" for i in sums],
        store=[f"simd.store(b, {i * _LANES}, sum{i})" for i in sums],
    )
    run = compile_text(text)[name]
    numbers = SEGMENT_BYTES // 4 // (1 if name == "reads" else 2)

    def start(n: int) -> Callable[[], None]:
        a, b = (np.zeros(numbers, np.float32) for _ in range(2))
        return lambda: run(n, a, b)

    return bytes_per_number * numbers * _calls_per_second(start, threads)


def _memory(threads: int) -> float:
    a, b = (np.zeros(_MEMORY_BYTES // 4, np.float32) for _ in range(2))
    bounds = np.linspace(0, len(a), threads + 1).astype(int)

    def copy(part: int) -> None:
        here = slice(bounds[part], bounds[part + 1])
        np.copyto(b[here], a[here])

    with ThreadPoolExecutor(threads) as pool:
        seconds = _best(lambda: list(pool.map(copy, range(threads))))
    return 2.0 * _MEMORY_BYTES / seconds


def _calls_per_second(start: Callable[[int], Callable[[], None]], threads: int) -> float:
    """Rate at which all threads together go round the loop that ``start(n)`` makes with n rounds."""
    probe = start(16)
    probe()
    before = time.perf_counter()
    probe()
    n = max(int(16 * 0.01 / (time.perf_counter() - before)), 1)
    jobs = [start(n) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        seconds = _best(lambda: list(pool.map(lambda job: job(), jobs)))
    return n * threads / seconds


def _best(function: Callable[[], Any]) -> float:
    """Shortest of several times: what the machine can do when nothing disturbs it."""
    function()
    best, calls, end = float("inf"), 0, time.perf_counter() + _BEST_OF_SECONDS
    while calls < _BEST_OF_AT_LEAST or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        best, calls = min(best, time.perf_counter() - start), calls + 1
    return best
