"""Times and memory of a training step and of inference on a CUDA device, against the plain loop on the same device."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np
import torch

from brfkit.backends.cupy_gpu.backend import DeviceBackend
from brfkit.bench.measure import CLIP_NORM, LARGEST_LOSS_DIFFERENCE, LEARNING_RATE, WARM_UP
from brfkit.bench.plain_loop import loss as task_loss
from brfkit.bench.plain_loop import script, train_step
from brfkit.bench.workloads import Workload
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.nn import NetworkModule

REPEATS = 5
POINTS = 16  # of an error surface in one launch, as many as a block of ``brfkit landscape`` has
OUR_CALLS = 20  # in each turn, of which the median counts


class Plain:
    """The published network under TorchScript on the device, with the usual training step."""

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self.loss_on: Any = workload.task.loss_on
        self.model = script(workload.network, workload.weights).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.x = torch.from_numpy(np.ascontiguousarray(workload.dense())).to(device)
        self.labels = torch.from_numpy(workload.labels).to(device)

    def train(self) -> torch.Tensor:
        return train_step(self.model, self.x, self.labels, self.optimizer, self.loss_on, CLIP_NORM)

    def infer(self) -> None:
        with torch.no_grad():
            self.model(self.x)


class Ours:
    """The same step with the fused scans; input and labels lie on the device, as for the plain loop."""

    def __init__(self, workload: Workload, backend: DeviceBackend, device: torch.device) -> None:
        self.loss_on: Any = workload.task.loss_on
        self.module = NetworkModule(workload.network, workload.weights, backend).to(device)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=LEARNING_RATE, fused=True)
        events = isinstance(workload.x, Events)
        self.x: Any = workload.x if events else torch.from_numpy(np.ascontiguousarray(workload.x)).to(device)
        self.labels = torch.from_numpy(workload.labels).to(device)

    def train(self) -> torch.Tensor:
        self.optimizer.zero_grad()
        value = task_loss(self.module(self.x), self.labels, self.loss_on)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), CLIP_NORM)
        self.optimizer.step()
        return value.detach()

    def infer(self) -> None:
        with torch.no_grad():
            self.module(self.x)


def timed(function: Callable[[], Any]) -> float:
    """Seconds of a call, until the device has finished it."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def take_turns(plain: Callable[[], Any], ours: Callable[[], Any], turns: int) -> dict[str, float]:
    """Milliseconds and ratios: plain, ours, plain, ours, …"""
    a, b = [], []
    for _ in range(turns):
        a.append(timed(plain))
        ours()
        b.append(median(timed(ours) for _ in range(OUR_CALLS)))
    ratios = [x / y for x, y in zip(a, b, strict=True)]
    return {
        "plain_ms": 1e3 * median(a),
        "ours_ms": 1e3 * median(b),
        "ratio": median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "turns": turns,
    }


def peak_mib(function: Callable[[], Any]) -> float:
    """Device memory that a call takes beyond what was held before, of torch and of CuPy together.

    CuPy's pool keeps what it has taken, so after it was emptied its size is its peak.
    """
    import cupy

    pool = cupy.get_default_memory_pool()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    pool.free_all_blocks()
    held, pooled = torch.cuda.memory_allocated(), pool.total_bytes()
    torch.cuda.reset_peak_memory_stats()
    function()
    torch.cuda.synchronize()
    taken = torch.cuda.max_memory_allocated() - held + pool.total_bytes() - pooled
    return taken / 2**20


@contextmanager
def kernel_times(backend: DeviceBackend) -> Iterator[dict[str, float]]:
    """Milliseconds per kernel, by events around every launch; products of cuBLAS are ``matmul``."""
    import cupy

    device, spans = backend.device, []
    plain = {name: getattr(device, name) for name in ("kernel", "matmul", "matmul_of_stacks")}

    def between(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            start, end = cupy.cuda.Event(), cupy.cuda.Event()
            start.record()
            result = call(*arguments)
            end.record()
            spans.append((name, start, end))
            return result

        return run

    def kernel(source: str, name: str) -> Callable[..., Any]:
        wide = [line.split()[-1] for line in source.splitlines() if line.startswith("#define UNITS ")]
        return between(" ".join([name, *wide]), plain["kernel"](source, name))

    replaced: dict[str, Any] = {name: between("matmul", plain[name]) for name in ("matmul", "matmul_of_stacks")}
    found: dict[str, float] = {}
    vars(device).update(replaced | {"kernel": kernel})
    try:
        yield found
    finally:
        for name in plain:
            delattr(device, name)
    torch.cuda.synchronize()
    sums: dict[str, float] = defaultdict(float)
    for name, start, end in spans:
        sums[name] += cupy.cuda.get_elapsed_time(start, end)
    found.update(sorted(sums.items(), key=lambda item: -item[1]))


def time_points(workload: Workload, backend: Any, points: int = POINTS, turns: int = REPEATS) -> dict[str, Any]:
    """A batch through the points of an error surface, one by one and in one launch, with what comes back to the host.

    Raises:
        BrfkitError: a point together with others is not what it is alone.
    """
    rng = np.random.default_rng(0)
    sets = [
        {name: (w * rng.uniform(0.99, 1.01, w.shape)).astype(w.dtype) for name, w in workload.weights.items()}
        for _ in range(points)
    ]

    def one_by_one() -> list[Any]:
        return [backend.scan(workload.network, weights, workload.x).outputs for weights in sets]

    def together() -> list[Any]:
        return [trace.outputs for trace in backend.scan_points(workload.network, sets, workload.x)]

    if not all(np.array_equal(a, b) for a, b in zip(one_by_one(), together(), strict=True)):
        raise BrfkitError(f"{workload.name}: points in one launch differ from those alone, so no times are reported")
    found: dict[str, list[float]] = {"one_by_one_ms": [], "together_ms": []}
    for _ in range(turns):
        for name, call in (("one_by_one_ms", one_by_one), ("together_ms", together)):
            start = time.perf_counter()
            call()  # its results are arrays of NumPy, so the device has finished
            found[name].append(1e3 * (time.perf_counter() - start))
    ratios = [a / b for a, b in zip(*found.values(), strict=True)]
    times = {name: median(values) for name, values in found.items()}
    return {"points": {"points": points, **times, "ratio": median(ratios), "turns": turns}}


def compare(workload: Workload, backend: DeviceBackend, device: torch.device, repeats: int = REPEATS) -> dict[str, Any]:
    """One workload on both.

    Raises:
        BrfkitError: they do not compute the same; then a ratio of their times would mean nothing.
    """
    plain, ours = Plain(workload, device), Ours(workload, backend, device)
    losses = {}
    for name, contestant in (("plain", plain), ("ours", ours)):
        for _ in range(WARM_UP):
            losses[name] = float(contestant.train())
            contestant.infer()
    if not abs(losses["ours"] - losses["plain"]) <= LARGEST_LOSS_DIFFERENCE * abs(losses["plain"]):
        raise BrfkitError(f"{workload.name}: the losses {losses} differ, so no times are reported")
    result: dict[str, Any] = {**workload.facts(), "backend": backend.name, "plain_device": str(device)}
    result["train"] = take_turns(plain.train, ours.train, repeats)
    result["inference"] = take_turns(plain.infer, ours.infer, repeats)
    result |= {"loss": losses["ours"], "plain_loss": losses["plain"]}
    with kernel_times(backend) as kernels:
        ours.train()
    result["kernels_ms"] = kernels
    result["memory"] = {"ours_mib": peak_mib(ours.train), "plain_mib": peak_mib(plain.train)}
    result["memory"]["ratio"] = result["memory"]["plain_mib"] / max(result["memory"]["ours_mib"], 1e-9)
    return result
