"""How the cost of a point of an error surface grows: CPU seconds and peak memory, one process per line.

python benchmarks/landscape_scaling.py > scaling.csv
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import numpy as np

# What is varied around 784 steps, 256 units, 256 samples in batches of 256, 2 points.
BASE = {"steps": 784, "units": 256, "layers": 1, "samples": 256, "batch": 256, "points": 2}
VALUES = {
    "steps": (98, 196, 392, 784, 1568),
    "units": (64, 128, 256, 512, 1024),
    "layers": (1, 2, 3),
    "samples": (64, 256, 1024),
    "batch": (32, 64, 128, 256, 512, 1024),
    "points": (1, 4, 16),
}
GAIN = 90.0  # makes 5 to 12 % of the neurons spike at a step, as in trained networks
COLUMNS = ("varied", *BASE, "cpu_seconds_per_point", "peak_mib", "firing_rate")


def measure(steps: int, units: int, layers: int, samples: int, batch: int, points: int) -> tuple[float, float, float]:
    """CPU seconds per point, peak memory of the process in MiB, and the share of neurons that spike."""
    from brfkit.analysis.landscape.directions import random_directions
    from brfkit.analysis.landscape.evaluate import PointEvaluator
    from brfkit.backends import get_backend
    from brfkit.data import DenseSplit
    from brfkit.memory import peak_bytes
    from brfkit.network import recurrent_network
    from brfkit.task import Task

    network = recurrent_network(1, (units,) * layers, 10)
    weights = network.initialise(0)
    rng = np.random.default_rng(0)
    # Uneven currents make a part of the neurons spike, about as many as in trained networks.
    weights["hidden0.w_in"] = rng.normal(0, GAIN, weights["hidden0.w_in"].shape).astype(np.float32)
    x = rng.uniform(0, 1, (samples, steps, 1)).astype(np.float32)
    split = DenseSplit(x, rng.integers(0, 10, samples))
    directions = random_directions(network, weights, "weights", 0)
    backend = get_backend("numba", threads=1)
    task = Task("last", "last")
    warm = PointEvaluator(network, split.take(batch), task, backend, batch_size=batch)
    warm([weights])
    evaluator = PointEvaluator(network, split, task, backend, batch_size=batch)
    sets = [directions.point(weights, (0.001 * k, 0.0), np.float32) for k in range(points)]
    best = np.inf
    for _ in range(3):
        began = time.process_time()
        found = evaluator(sets)
        best = min(best, time.process_time() - began)
    rate = float(found.spikes_per_sample[0]) / (steps * units * layers)
    return best / points, (peak_bytes() or 0) / 2**20, rate


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", help="a single measurement: six numbers with commas")
    given = parser.parse_args().one
    if given:
        print(*measure(*map(int, given.split(","))), sep=",")
        return
    print(*COLUMNS, sep=",")
    for varied, values in VALUES.items():
        for value in values:
            numbers = ",".join(str(v) for v in {**BASE, varied: value}.values())
            done = subprocess.run(
                [sys.executable, __file__, "--one", numbers], capture_output=True, text=True, check=True
            )
            print(varied, numbers, done.stdout.strip(), sep=",", flush=True)


if __name__ == "__main__":
    main()
