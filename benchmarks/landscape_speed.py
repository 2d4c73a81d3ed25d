"""Points of an S-MNIST error surface per second: ours against the plain loop, in one process, turn about.

python benchmarks/landscape_speed.py smnist_brf.pt brf --samples 1000 --points 6 --threads 2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from brfkit.analysis.landscape.directions import WEIGHTS, random_directions
from brfkit.analysis.landscape.evaluate import PointEvaluator
from brfkit.backends import get_backend
from brfkit.bench.plain_loop import PlainNetwork, loss, script
from brfkit.checkpoints.native import open_checkpoint
from brfkit.evaluation import BATCH_SIZE, batches
from brfkit.runs.datasets import load_dataset
from brfkit.runs.resolve import trained_on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="published S-MNIST network")
    parser.add_argument("neuron")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--points", type=int, default=6, help="drawn from the square of the surface")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    checkpoint = open_checkpoint(given.checkpoint, given.neuron)
    network, centre = checkpoint.network, checkpoint.weights
    data, task = trained_on(checkpoint, "smnist")
    split = load_dataset(data, seed=0, splits=("test",)).test.select(np.arange(given.samples))
    directions = random_directions(network, centre, WEIGHTS, given.seed)
    rng = np.random.default_rng(given.seed)
    points = [directions.point(centre, rng.uniform(-1, 1, 2), np.float32) for _ in range(given.points)]
    ours = PointEvaluator(network, split, task, get_backend("numba", threads=given.threads))
    module = script(network, centre)
    parts = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in batches(split, BATCH_SIZE, np.float32)]

    def plain(point: Mapping[str, NDArray]) -> float:
        """Loss of a point by the plain loop, scripted once as a user would."""
        module.load_state_dict(PlainNetwork(network, point).state_dict())
        with torch.no_grad():
            return sum(float(loss(module(x)[0], y, task.loss_on)) * len(y) for x, y in parts) / len(split)

    plain(centre), plain(centre), ours([centre])  # compiled and warm
    ratios = []
    for number, point in enumerate(points):
        start = time.perf_counter()
        theirs = plain(point)
        middle = time.perf_counter()
        mine = float(ours([point]).loss[0])
        end = time.perf_counter()
        ratios.append((middle - start) / (end - middle))
        print(f"point {number}: plain {middle - start:.2f} s, ours {end - middle:.3f} s, {ratios[-1]:.1f} x; "
              f"losses {theirs:.4f}, {mine:.4f}")  # fmt: skip
    start = time.perf_counter()
    ours(points)
    rate = len(points) / (time.perf_counter() - start)
    print(f"median {median(ratios):.1f} x; all points at once: {rate:.2f} points/s")


if __name__ == "__main__":
    main()
