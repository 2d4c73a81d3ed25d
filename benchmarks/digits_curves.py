"""Learning curves on the synthesised spoken digits beside those of the published code on the same files.

python benchmarks/digits_curves.py --brf RUN… --alif RUN… --out docs/img/digits.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from brfkit.plotting.style import BLUE, RED, figure, tidy
from brfkit.runs.metrics import TEST, read_metrics

# Test accuracy (%) after epochs 1 to 10, published implementation, the papers' settings, ten epochs.
PUBLISHED = {
    "brf": (
        (48.0, 61.6, 70.8, 73.8, 79.8, 81.6, 81.6, 78.2, 80.6, 79.0),
        (48.4, 64.6, 76.0, 74.0, 78.4, 76.4, 78.4, 80.6, 81.6, 80.0),
    ),
    "alif": ((43.0, 49.8, 63.2, 68.8, 70.0, 65.0, 70.8, 73.0, 69.4, 74.6),),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brf", nargs="+", type=Path, required=True)
    parser.add_argument("--alif", nargs="+", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    fig = figure(7.0, 4.2)
    ax = fig.subplots()
    for neuron, colour, dash, mark in (("brf", BLUE, "-", "o"), ("alif", RED, "--", "s")):
        curves = np.array(
            [
                [r.accuracy for r in read_metrics(run / "metrics.csv") if r.split == TEST]
                for run in getattr(arguments, neuron)
            ]
        )
        epochs = np.arange(curves.shape[1])
        ax.fill_between(epochs, curves.min(0), curves.max(0), color=colour, alpha=0.15, linewidth=0)
        label = f"{neuron.upper()}, brfkit, mean and range of {len(curves)} seeds"
        ax.plot(epochs, curves.mean(0), color=colour, linestyle=dash, label=label)
        for number, points in enumerate(PUBLISHED[neuron]):
            name = f"{neuron.upper()}, published code, single runs" if number == 0 else None
            ax.plot(np.arange(1, 11), points, mark, color=colour, markersize=4, fillstyle="none", label=name)
    ax.set_xlabel("epoch")
    ax.set_ylabel("test accuracy (%)")
    ax.set_ylim(0, 100)
    ax.legend(frameon=False, loc="lower right")
    tidy(ax)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(arguments.out)


if __name__ == "__main__":
    main()
