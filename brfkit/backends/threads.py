"""How many CPU threads the process may use."""

from __future__ import annotations

import os


def default_threads() -> int:
    """``BRFKIT_THREADS`` if set, else the processors that the process may run on."""
    given = os.environ.get("BRFKIT_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
