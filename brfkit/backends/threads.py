"""CPU threads: how many the process may use, and work spread over them.

torch's operations run on the threads of an OpenMP library, which wait for more by spinning for milliseconds. Other
threads that compute meanwhile lose a factor, so native work runs on those same threads where that library is known.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

MOST_THREADS = 1024  # beyond what any machine has, and still few enough for every operating system to start


_pools: dict[int, ThreadPoolExecutor] = {}


def _pool(threads: int) -> ThreadPoolExecutor:
    pool = _pools.get(threads)
    if pool is None:
        pool = _pools.setdefault(threads, ThreadPoolExecutor(threads, thread_name_prefix="brfkit"))
    return pool


def parallel(function: Callable[[int], T], count: int, threads: int) -> list[T]:
    """``[function(0), function(1), …]``, computed by this thread and its helpers as they come."""
    results: dict[int, T] = {}
    left = iter(range(count))

    def work() -> None:
        for index in left:
            results[index] = function(index)

    helpers = [_pool(threads).submit(work) for _ in range(min(threads, count) - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            if not helper.cancel():  # one that has not begun has nothing left to do
                helper.result()
    return [results[index] for index in range(count)]


_CROWDED = 1.5  # load per processor; a process that computes with all threads makes 1 by itself
_Native = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_forked = False
_started_openmp = False


def _after_fork() -> None:
    """No thread lives on in a forked child: OpenMP's would be waited for in vain, and so would a pool's queue.

    torch's operations would wait for them too, so they get one thread, as torch's DataLoader does in its workers.
    """
    global _forked
    _forked = True
    _pools.clear()
    if _started_openmp:
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def run_native(function: int, data: int, threads: int) -> None:
    """Call the native function ``void f(void *data)`` at an address on up to ``threads`` threads at once.

    It runs on the OpenMP threads of torch where torch has several and their library is known, else on the threads of
    :func:`parallel`, which sleep when they have nothing to do. The function must cope with fewer calls than threads.
    """
    threads = min(threads, processors())  # more gain nothing, and OpenMP starts them all
    start = None if threads == 1 or _forked else _openmp()
    if start is not None:
        global _started_openmp
        _started_openmp = True
        start(function, data, threads, 0)
        return
    call = _Native(function)
    parallel(lambda _: call(data), threads, threads)


def _openmp() -> Callable[[int, int, int, int], None] | None:
    """``GOMP_parallel`` of the library that torch has loaded; None without torch, where it has one thread, with another
    library, and where other processes hold the processors: a thread that waits by spinning then keeps away the one that
    it waits for."""
    torch = sys.modules.get("torch")
    return None if torch is None or torch.get_num_threads() == 1 or _crowded() else _find_openmp()


def _crowded() -> bool:
    """Whether clearly more threads want to run than there are processors, by the load of the last minute."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > _CROWDED * (os.cpu_count() or 1)


@lru_cache(maxsize=1)
def _find_openmp() -> Callable[[int, int, int, int], None] | None:
    folder = Path(str(sys.modules["torch"].__file__)).parent / "lib"
    mode = getattr(os, "RTLD_NOLOAD", None)
    if mode is None or os.name != "posix":
        return None
    for name in (*(str(path) for path in sorted(folder.glob("lib*omp*"))), "libgomp.so.1", "libiomp5.so", "libomp.so"):
        try:
            start = ctypes.CDLL(name, mode=mode | os.RTLD_NOW).GOMP_parallel
        except (OSError, AttributeError):  # not loaded, or another library
            continue
        start.argtypes, start.restype = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint), None
        found: Callable[[int, int, int, int], None] = start
        return found
    return None


def default_threads() -> int:
    """``BRFKIT_THREADS`` if set, else the processors that the process may run on; at most ``MOST_THREADS``."""
    given = os.environ.get("BRFKIT_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return min(int(given), MOST_THREADS)
    return processors()


def processors() -> int:
    """Processors that the process may run on: those of its affinity, and of a container's quota rounded up."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return count if quota is None else max(min(count, math.ceil(quota)), 1)


@lru_cache(maxsize=1)
def cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Processors' worth of time that control groups (version 2 or 1) leave the process; None without a limit."""
    limits = []
    for folder in _control_groups(root):
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            try:
                quota = (folder / "cpu.cfs_quota_us").read_text().strip()
                period = (folder / "cpu.cfs_period_us").read_text().strip()
            except OSError:
                continue
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            limits.append(int(quota) / int(period))
    return min(limits, default=None)


def _control_groups(root: Path) -> list[Path]:
    """Folders of the process's own group and of those above it, as version 2 and as version 1 arrange them."""
    folders = [root, root / "cpu"]
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        number, _, path = line.split(":", 2)
        base = root if number == "0" else root / "cpu"
        inside = base / path.lstrip("/")
        folders += [inside, *(p for p in inside.parents if p.is_relative_to(base))]
    return folders
