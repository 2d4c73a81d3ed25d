"""brfkit against what else one could use: the same network, data and weights, taking turns in one process.

    python benchmarks/peers.py [ecg shd smnist] [--turns 5] [--out FILE.json]

Contestants: brfkit's trainer with gradients in float32 and bfloat16, brfkit's layers in an ordinary loop of torch with
torch's own number of threads, the published network under TorchScript, and the same as a scan of JAX (extra ``peers``).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from statistics import median

import torch

from brfkit import nn
from brfkit.backends.numba_cpu import NumbaBackend
from brfkit.backends.threads import processors
from brfkit.bench.jax_loop import JaxLoop
from brfkit.bench.measure import CLIP_NORM, LEARNING_RATE, Fused, PlainLoop
from brfkit.bench.workloads import Workload, make_workload
from brfkit.runs.provenance import machine

Step = Callable[[], object]


def layers_step(workload: Workload) -> Step:
    """A training step of brfkit's layers in the user's own loop."""
    hidden, readout = workload.network.layers
    net = torch.nn.Sequential(
        nn.BRF(workload.network.inputs, hidden.units, return_state=False, dt=workload.network.dt),
        nn.LI(hidden.units, readout.units, return_state=False, dt=workload.network.dt),
    )
    with torch.no_grad():
        for module, layer in zip(net, (hidden, readout), strict=True):
            for name, parameter in module.named_parameters():
                parameter.copy_(torch.from_numpy(workload.weights[f"{layer.name}.{name}"]))
    x, labels = torch.from_numpy(workload.dense()), torch.from_numpy(workload.labels)
    optimiser = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    every = workload.task.loss_on == "every"

    def step() -> None:
        optimiser.zero_grad()
        outputs = net(x) if every else net(x)[-1]
        wanted = labels.expand(outputs.shape[:2]).reshape(-1) if every else labels
        torch.nn.functional.cross_entropy(outputs.flatten(0, -2), wanted).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP_NORM)
        optimiser.step()

    return step


def contestants(workload: Workload, threads: int) -> dict[str, tuple[Step, Step | None]]:
    """Training step and inference of each."""
    plain, jax = PlainLoop(workload, threads), JaxLoop(workload, LEARNING_RATE, CLIP_NORM)
    fused = Fused(workload, NumbaBackend(threads), threads)
    half = Fused(workload, NumbaBackend(threads), threads, "bfloat16")
    return {
        "brfkit": (fused.train_step, fused.infer),
        "brfkit bfloat16": (half.train_step, None),
        "brfkit.nn": (layers_step(workload), None),
        "jax": (jax.train_step, jax.infer),
        "torchscript": (plain.train_step, plain.infer),
    }


def timed(step: Step, seconds: float) -> float:
    """Median time of as many calls as fill some time, after one that is not timed."""
    step()
    times: list[float] = []
    while not times or sum(times) < seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", default=["ecg", "shd", "smnist"])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.2, help="that a turn of a contestant lasts at least")
    parser.add_argument("--out")
    options = parser.parse_args()
    threads = processors()
    report = {"machine": {**machine(threads), "jax": metadata.version("jax")}, "shapes": {}}
    for shape in options.shapes:
        workload = make_workload(shape, NumbaBackend(threads))
        found: dict[str, dict[str, list[float]]] = {"training": {}, "inference": {}}
        who = contestants(workload, threads)
        for train, infer in who.values():
            for step in filter(None, (train, infer)):
                step()
                step()
        for _ in range(options.turns):
            for name, pair in who.items():
                for what, step in zip(found, pair, strict=True):
                    if step is not None:
                        found[what].setdefault(name, []).append(1e3 * timed(step, options.seconds))
        table = {what: {name: median(times) for name, times in rows.items()} for what, rows in found.items()}
        report["shapes"][shape] = table
        for what, rows in table.items():
            for name, ms in rows.items():
                print(f"{shape:7} {what:10} {name:16} {ms:9.2f} ms {ms / rows['brfkit']:7.2f} x", flush=True)
    if options.out:
        Path(options.out).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
