"""Peak memory of a training step, and the time of the first step, each in a process of its own."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brfkit.backends.capabilities import capabilities
from brfkit.bench.contestants import make_contestant
from brfkit.bench.jax_loop import JaxLoop
from brfkit.bench.measure import WARM_UP
from brfkit.bench.workloads import Workload
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.memory import peak_bytes, status_bytes
from brfkit.network import Network
from brfkit.task import Task

MIB = 2.0**20
_WARM_UP_STEPS = 4
_WEIGHT = "weight/"
_CACHE_VARIABLE = "BRFKIT_CACHE_DIR"


@dataclass(frozen=True)
class FreshProcess:
    """What a process of its own found.

    Attributes:
        extra_mib: peak memory of a whole training step above what the process held before it; None where the system
            does not tell.
        first_step_s: time of the first training step (of a few time steps) in that process, kernels from the cache.
        compile_s: the same with an empty cache of kernels; None where nothing is compiled, or it was not asked for.
    """

    extra_mib: float | None
    first_step_s: float
    compile_s: float | None = None


def measure_fresh(
    workload: Workload, who: str, threads: int, gradient_precision: str = "float32", compile_time: bool = True
) -> FreshProcess:
    """Run training steps of `who` in a fresh process.

    Args:
        workload: what to run.
        who: the name of a peer or of a backend.
        threads: CPU threads.
        gradient_precision: of a backend.
        compile_time: for numba, start another one with an empty cache.

    Raises:
        BrfkitError: the process failed.
    """
    with tempfile.TemporaryDirectory(prefix="brfkit-bench-") as folder:
        file = Path(folder) / "workload.npz"
        save_workload(file, workload)
        arguments = [str(file), who, str(threads), gradient_precision]
        found = _start(arguments)
        cold = None
        if compile_time and capabilities(who).compiled:
            cold = _start(arguments, {_CACHE_VARIABLE: str(Path(folder) / "cache")})["first_step_s"]
    return FreshProcess(found["extra_mib"], found["first_step_s"], cold)


def _start(arguments: list[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    command = [sys.executable, "-m", "brfkit.bench.memory", *arguments]
    done = subprocess.run(command, env=os.environ | (environment or {}), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise BrfkitError(f"the process that measures the memory of {arguments[1]} failed: {reason[0]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def save_workload(path: Path, workload: Workload) -> None:
    """Write what :func:`load_workload` reads."""
    meta = {
        "name": workload.name,
        "network": workload.network.to_dict(),
        "task": vars(workload.task),
        "channels": workload.network.inputs,
    }
    x = workload.x
    inputs = {"indptr": x.indptr, "indices": x.indices} if isinstance(x, Events) else {"x": x}
    weights = {_WEIGHT + name: value for name, value in workload.weights.items()}
    arrays = {"labels": workload.labels, **inputs, **weights}
    np.savez(path, meta=np.array(json.dumps(meta).encode()), **arrays)  # type: ignore[arg-type]


def load_workload(path: Path) -> Workload:
    """A workload without its firing rate."""
    with np.load(path) as file:
        arrays = dict(file)
    meta = json.loads(arrays["meta"].item())
    x = arrays["x"] if "x" in arrays else Events(arrays["indptr"], arrays["indices"], meta["channels"])
    weights = {name[len(_WEIGHT) :]: value for name, value in arrays.items() if name.startswith(_WEIGHT)}
    network = Network.from_dict(meta["network"])
    return Workload(meta["name"], network, weights, x, arrays["labels"], Task(**meta["task"]), "", "")


def peak_of_step(workload: Workload, who: str, threads: int, gradient_precision: str = "float32") -> dict[str, Any]:
    """In this process: warm up with a few time steps, then measure a whole training step.

    Everything that the step allocates counts: gradients and the optimiser's state too, since they are made anew.
    """
    short = workload.first_steps(min(_WARM_UP_STEPS + workload.task.skip_steps, workload.steps))
    contestant = make_contestant(short, who, threads, gradient_precision)
    start = time.perf_counter()
    contestant.train_step()
    first_step = time.perf_counter() - start
    for _ in range(WARM_UP):
        contestant.train_step()
    contestant.use(workload)
    if isinstance(contestant, JaxLoop):
        contestant.train_step()  # compiles for this number of steps
        contestant.reset()
    else:
        contestant.optimizer.state = defaultdict(dict)
        contestant.optimizer.zero_grad()
    before = _begin()
    contestant.train_step()
    after = peak_bytes()
    extra = None if before is None or after is None else max(after - before, 0) / MIB
    return {"extra_mib": extra, "first_step_s": first_step}


def _begin() -> int | None:
    """Memory held now, in bytes, after free memory went back to the system; what peaks from here on is seen later."""
    with suppress(OSError, AttributeError):
        # What the compiler has freed would otherwise hide what the step allocates.
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return status_bytes("VmRSS")
    except OSError:
        return peak_bytes()


def main(arguments: list[str]) -> None:
    file, who, threads, precision = arguments
    sys.stdout.write(json.dumps(peak_of_step(load_workload(Path(file)), who, int(threads), precision)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
