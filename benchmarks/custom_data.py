"""Custom data with default settings against a linear classifier on the means over time (the table in docs/data.md).

    python benchmarks/custom_data.py --data-dir DIR --out results

DIR holds ``fsdd/<word>/<speaker>_<n>.wav`` (Free Spoken Digit Dataset) and ``wfdb/100.{hea,dat,atr}`` (record 100 of
MIT-BIH); what is not there is left out. Every data set is written as a custom file and trained with nothing but its
path and a seed.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends import get_backend
from brfkit.data import Dataset, load
from brfkit.runs.metrics import TRAIN
from brfkit.runs.resolve import resolve
from brfkit.training.run import train

Arrays = dict[str, Any]


def oscillations() -> Arrays:
    """Sines of three frequencies and any phase in noise, in units of a hundred: [400, 80, 2]."""
    rng = np.random.default_rng(0)
    y, t = np.arange(400) % 3, np.arange(80)
    frequency = np.array([0.03, 0.06, 0.1])[y]
    phase = rng.uniform(0, 2 * np.pi, (400, 1, 2))
    x = 300 * np.sin(2 * np.pi * frequency[:, None, None] * t[:, None] + phase) + rng.normal(0, 150, (400, 80, 2))
    return split(x.astype(np.float32), y, np.arange(400) >= 300)


def volleys() -> Arrays:
    """Spike trains: four groups of five channels fire a volley each, in an order that is the class, in noise."""
    rng = np.random.default_rng(1)
    orders = np.array([(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
    content: Arrays = {"bin_width": 0.01, "steps": 100, "channels": 20}
    for part, samples in (("train", 300), ("test", 100)):
        y, times, units, counts = np.arange(samples) % 3, [], [], []
        for label in y:
            centres = 0.2 + 0.2 * orders[label].repeat(5)
            at = [np.append(rng.uniform(0, 1, rng.poisson(4)), rng.normal(centre, 0.02, 3)) for centre in centres]
            times += at
            units += [np.full(len(t), c) for c, t in enumerate(at)]
            counts.append(sum(map(len, at)))
        content |= {f"times_{part}": np.clip(np.concatenate(times), 0, 0.999), f"units_{part}": np.concatenate(units)}
        content |= {f"offsets_{part}": np.concatenate([[0], np.cumsum(counts)]), f"y_{part}": y}
    return content


def spoken_digits(folder: Path) -> Arrays:
    """Logarithm of the power in 18 bands, every 10 ms, 600 ms; a fifth of the recordings is the test part."""
    from scipy.io import wavfile
    from scipy.signal import spectrogram

    words = sorted(path.name for path in folder.iterdir() if path.is_dir())
    x, y, test = [], [], []
    for label, word in enumerate(words):
        for number, file in enumerate(sorted((folder / word).glob("*.wav"))):
            rate, sound = wavfile.read(file)
            frequencies, _, power = spectrogram(sound / 32768.0, rate, nperseg=200, noverlap=120)
            edges = np.unique(np.round(np.geomspace(2, len(frequencies), 21)).astype(int))
            bands = np.stack([power[a:b].mean(0) for a, b in pairwise(edges)], 1)
            frames = np.zeros((60, bands.shape[1]))
            frames[: len(bands)] = bands[:60]
            x.append(np.log(frames + 1e-8))
            y.append(label)
            test.append(number % 5 == 0)
    return split(np.array(x, np.float32), np.array(y), np.array(test)) | {"class_names": words}


def beats(folder: Path) -> Arrays:
    """One second around the 33 atrial premature beats and 99 normal ones of record 100, two leads in mV, 90 Hz."""
    import wfdb

    signal = wfdb.rdrecord(str(folder / "100")).p_signal[::4]
    notes = wfdb.rdann(str(folder / "100"), "atr")
    places, symbols = np.asarray(notes.sample) // 4, np.asarray(notes.symbol)
    inside = (places > 54) & (places < len(signal) - 36)
    early = places[inside & (symbols == "A")]
    normal = places[inside & (symbols == "N")]
    normal = normal[np.linspace(0, len(normal) - 1, 3 * len(early)).astype(int)]
    at = np.concatenate([early, normal])
    x = np.stack([signal[p - 54 : p + 36] for p in at]).astype(np.float32)
    y = np.repeat([1, 0], [len(early), len(normal)])
    return split(x, y, np.arange(len(at)) % 3 == 0) | {"class_names": ["normal", "premature"]}


def split(x: NDArray, y: NDArray, test: NDArray[np.bool_]) -> Arrays:
    return {"x_train": x[~test], "y_train": y[~test], "x_test": x[test], "y_test": y[test]}


def linear_on_means(data: Dataset) -> float:
    """Test accuracy (%) of a logistic regression on the standardised means over time, by gradient descent."""
    (a, y), (b, wanted) = (_means(data, name) for name in ("train", "test"))
    centre, spread = a.mean(0), a.std(0) + 1e-9
    a, b = (np.column_stack([(m - centre) / spread, np.ones(len(m))]) for m in (a, b))
    weights, targets = np.zeros((a.shape[1], data.classes)), np.eye(data.classes)[y]
    for _ in range(3000):
        p = np.exp(a @ weights - (a @ weights).max(1, keepdims=True))
        weights -= 0.5 * (a.T @ (p / p.sum(1, keepdims=True) - targets) / len(a) + 1e-3 * weights)
    return float(100.0 * ((b @ weights).argmax(1) == wanted).mean())


def _means(data: Dataset, name: str) -> tuple[NDArray, NDArray]:
    part = data.split(name)
    x, y = part.batch(np.arange(len(part)), np.float64)
    return (x if isinstance(x, np.ndarray) else x.dense(np.float64)).mean(0), y


def sets(folder: Path) -> Iterator[tuple[str, Arrays]]:
    yield "oscillations (own dense)", oscillations()
    yield "volleys (own events)", volleys()
    if (folder / "fsdd").is_dir():
        yield "spoken digits, `fsdd`", spoken_digits(folder / "fsdd")
    if (folder / "wfdb" / "100.dat").exists():
        yield "beats of record 100, `wfdb`", beats(folder / "wfdb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for files and runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", type=int, help="number of the data set, from 0")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    options.out.mkdir(parents=True, exist_ok=True)
    backend = get_backend("numba", threads=1)
    columns = ("data", "samples (train / test)", "T × channels, classes", "linear on means %", "BRF, defaults %")
    print(f"| {' | '.join(columns)} | spikes per neuron and sample, first epoch |\n|{'---|' * 6}")
    for number, (name, content) in enumerate(sets(options.data_dir)):
        if options.only not in (None, number):
            continue
        path = options.out / f"set{number}.npz"
        np.savez(path, **content)
        data = load(str(path))
        accuracies, spikes = [], []
        for seed in range(options.seeds):
            config = resolve(str(path), overrides={"training": {"seed": seed}})
            run = train(config, options.out / f"run{number}-{seed}", backend, force=True)
            accuracies.append(run.test_accuracy)
            first = next(row for row in run.metrics if row.split == TRAIN and row.epoch == 1)
            spikes.append(first.spikes_per_sample / sum(config.network.hidden))
        spread = f" ± {np.std(accuracies, ddof=1):.1f}" if options.seeds > 1 else ""
        print(
            f"| {name} | {len(data.train):,} / {len(data.test):,} | {data.steps} × {data.channels}, {data.classes} | "
            f"{linear_on_means(data):.1f} | {np.mean(accuracies):.1f}{spread} | {np.mean(spikes):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
