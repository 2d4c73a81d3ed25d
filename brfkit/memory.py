"""Memory: what the process has taken, and what there is left to take."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from brfkit.errors import BrfkitError

_SPARE = 0.9  # share of what is free that one array or one run may ask for


@dataclass(frozen=True)
class TrainingShape:
    """What the memory of a training step depends on.

    Attributes:
        parameters: trained numbers.
        itemsize: bytes of one of them.
        moments: numbers that the optimiser keeps for each.
        batch: samples at a time, those of an evaluation included.
        steps: T.
        inputs: dense input channels; 0 for events.
        outputs: of the readout.
        units, states: hidden neurons of all layers, and numbers that each carries from step to step.
    """

    parameters: int
    itemsize: int
    moments: int
    batch: int
    steps: int
    inputs: int
    outputs: int
    units: int
    states: int


# Copies of a weight beside the optimiser's moments: itself, its gradient, two that are watched, one that is measured,
# those that kernels read forwards and backwards, and the float64 draw it begins as.
_WEIGHT_COPIES = 8
_KEPT_EVERY = 8  # steps between states that are kept for the backward pass, at the closest


def estimate_training_bytes(shape: TrainingShape) -> int:
    """What training is going to take, from below: weights, gradients, optimiser, one batch and what is kept of it."""
    weights = shape.parameters * shape.itemsize * (_WEIGHT_COPIES + shape.moments)
    rows = shape.batch * shape.steps
    batch = rows * shape.itemsize * (2 * shape.inputs + 3 * shape.outputs)
    kept = rows * shape.units * shape.states * shape.itemsize // _KEPT_EVERY + rows * shape.units // 8
    return weights + batch + kept


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


def available_bytes() -> int | None:
    """What this process can still take: free memory of the machine, within the limits of its control group and of its
    address space (``ulimit -v``); None where the system does not tell."""
    found = [_free_of_machine(), _left_of_group(), _left_of_addresses()]
    return min((value for value in found if value is not None), default=None)


def check_memory(needed: int, what: str, way_out: str = "") -> None:
    """Refuse what does not fit into memory, before any of it is taken.

    Args:
        needed: bytes.
        what: that needs them, as the beginning of a sentence.
        way_out: what the user can do, as its end.

    Raises:
        BrfkitError: more is needed than there is.
    """
    free = available_bytes()
    if free is not None and needed > _SPARE * free:
        end = f"; {way_out}" if way_out else ""
        raise BrfkitError(f"{what} needs {_size(needed)} of memory, {_size(free)} are free{end}")


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**29 else f"{count / 2**20:,.1f} MiB"


def _free_of_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _left_of_group() -> int | None:
    """Of the control group that the process sees as its root, or is in (versions 2 and 1)."""
    root = Path("/sys/fs/cgroup")
    places = [(root, "memory.max", "memory.current")]
    try:
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                inside = root / path.lstrip("/")
                places += [(p, "memory.max", "memory.current") for p in (inside, *inside.parents) if root in p.parents]
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
                places += [(root / "memory" / path.lstrip("/"), *names), (root / "memory", *names)]
    except (OSError, ValueError):
        pass
    left = []
    for folder, limit, used in places:
        try:
            left.append(int((folder / limit).read_text()) - int((folder / used).read_text()) + _file_cache(folder))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return max(min(left), 0) if left else None


def _file_cache(folder: Path) -> int:
    """What a group has taken for copies of files, which it gives back when it needs the space."""
    try:
        lines = (line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        values = {name: int(number) for name, number in lines}
    except (OSError, ValueError):
        return 0
    names = ("inactive_file", "active_file")
    return sum(values.get(f"total_{name}", values.get(name, 0)) for name in names)


def _left_of_addresses() -> int | None:
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        return None if limit == resource.RLIM_INFINITY else max(limit - status_bytes("VmSize"), 0)
    except (ImportError, OSError, ValueError):  # other systems
        return None
