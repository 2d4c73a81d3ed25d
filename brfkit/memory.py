"""Resident memory of the process."""

from __future__ import annotations

import sys
from pathlib import Path


def status_bytes(field: str) -> int:
    """A size from Linux's ``/proc/self/status``, such as ``VmRSS`` or ``VmHWM``; OSError elsewhere."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field}")


def peak_bytes() -> int | None:
    """Largest resident size so far; None where the system does not tell.

    On Linux this is ``VmHWM``: the maximum of ``getrusage`` is inherited from the process that started this one.
    """
    try:
        return status_bytes("VmHWM")
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
