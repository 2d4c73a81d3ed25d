"""Learning curves of runs on the published ones.

    python benchmarks/published_curves.py ecg_brf RUN… --out docs/img/ecg-brf.png

Needs BRFKIT_REFERENCE_DIR with published.json (learning curves of the authors, five seeds).
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np

from brfkit.plotting.style import BLUE, RED, figure, tidy
from brfkit.runs.metrics import TEST, best_epoch, read_metrics


def epoch_of_share(accuracy: np.ndarray, final: float, share: float) -> int:
    """First epoch whose test accuracy reaches ``share`` of ``final``."""
    return int(np.flatnonzero(accuracy >= share * final)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", help="name in published.json, such as ecg_brf")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    reference = Path(os.environ["BRFKIT_REFERENCE_DIR"]) / "published.json"
    published = json.loads(reference.read_text())["training_runs"][arguments.experiment]

    curves, chosen, reached = [], [], []
    for run in arguments.runs:
        rows = read_metrics(run / "metrics.csv")
        accuracy = np.array([r.accuracy for r in rows if r.split == TEST])
        curves.append(accuracy)
        chosen.append(float(accuracy[best_epoch(rows)]))
        reached.append(epoch_of_share(accuracy, accuracy[-1], 0.95))
        print(f"{run}: best epoch {best_epoch(rows)}, test {chosen[-1]:.2f} %, 95 % of the end at epoch {reached[-1]}")
    spread = np.std(chosen, ddof=int(len(chosen) > 1))
    print(f"brfkit:    {np.mean(chosen):.2f} ± {spread:.2f} %, 95 % at {np.mean(reached):.1f}")
    wanted = published["test_accuracy_at_best_validation"]
    print(
        f"published: {np.mean(wanted):.2f} ± {np.std(wanted, ddof=1):.2f} %, "
        f"95 % at {np.mean(published['epoch_of_95_percent']):.1f}"
    )
    draw(np.array(curves), published, arguments.experiment, arguments.out)


def draw(curves: np.ndarray, published: dict, title: str, out: Path) -> None:
    fig = figure(7.0, 4.2)
    ax = fig.subplots()
    epochs = np.arange(curves.shape[1])
    ax.fill_between(epochs, curves.min(0), curves.max(0), color=BLUE, alpha=0.2, linewidth=0)
    ax.plot(epochs, curves.mean(0), color=BLUE, label=f"brfkit, mean and range of {len(curves)} seeds")
    points = {int(k): v for k, v in published["mean_test_accuracy_by_epoch"].items()}
    ax.plot(list(points), list(points.values()), "o", color=RED, markersize=5, label="published, mean of 5 seeds")
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xticks([k for k in points if k in (0, 1, 2, 5, 10, 20, 50, 100, 200, 400)])
    ax.get_xaxis().set_major_formatter("{x:g}")
    ax.set_xlabel("epoch")
    ax.set_ylabel("test accuracy (%)")
    ax.set_title(title.replace("_", ", ").upper())
    ax.legend(frameon=False, loc="lower right")
    tidy(ax)
    out.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(out)


if __name__ == "__main__":
    main()
