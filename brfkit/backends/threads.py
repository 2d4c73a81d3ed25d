"""CPU threads: how many the process may use, and work spread over them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

MOST_THREADS = 1024  # beyond what any machine has, and still few enough for every operating system to start


_pools: dict[int, ThreadPoolExecutor] = {}


def _pool(threads: int) -> ThreadPoolExecutor:
    pool = _pools.get(threads)
    if pool is None:
        pool = _pools.setdefault(threads, ThreadPoolExecutor(threads, thread_name_prefix="brfkit"))
    return pool


if hasattr(os, "register_at_fork"):
    # The threads of a pool do not live on in a forked child, where its queue would wait for ever.
    os.register_at_fork(after_in_child=_pools.clear)


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
            helper.result()
    return [results[index] for index in range(count)]


def default_threads() -> int:
    """``BRFKIT_THREADS`` if set, else the processors that the process may run on; at most ``MOST_THREADS``."""
    given = os.environ.get("BRFKIT_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return min(int(given), MOST_THREADS)
    return processors()


def processors() -> int:
    """Processors that the process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
