"""Training and evaluation on samples that are objects in Python: arrays, splits, data sets of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, TensorDataset

import brfkit
from brfkit.data import load
from brfkit.errors import BrfkitError
from brfkit.setups import dataset_of

SETTINGS = {"network": {"hidden": [8]}, "training": {"epochs": 2, "batch_size": 8}}


def arrays(samples: int, per_step: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(samples)
    y = np.arange(samples) % 2
    x = np.sin((0.3 + 0.6 * y)[:, None] * np.arange(20) + rng.uniform(0, 6, (samples, 1)))[:, :, None]
    return x.astype(np.float32), np.repeat(y[:, None], 20, 1) if per_step else y


class Pairs(TorchDataset):
    def __init__(self, samples: int) -> None:
        self.x, self.y = arrays(samples)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.x[index]), int(self.y[index])


def test_all_forms_train_the_same_network(tmp_path: Path) -> None:
    train, test = arrays(24), arrays(10)
    tensors = [TensorDataset(*map(torch.from_numpy, part)) for part in (train, test)]
    forms: list[Any] = [
        {"train": train, "test": test},
        {"train": Pairs(24), "test": Pairs(10)},
        {"train": tensors[0], "test": tensors[1]},
        dataset_of({"train": train, "test": test}),
    ]
    results = []
    for n, data in enumerate(forms):
        run = brfkit.train(data=data, run_dir=tmp_path / str(n), settings=SETTINGS, backend="torch")
        found = brfkit.evaluate(run.network, Pairs(10) if n % 2 else test, backend="torch")
        assert found.samples == 10
        assert found.accuracy == pytest.approx(run.test_accuracy)
        results.append(run.network.sha256)
    assert len(set(results)) == 1
    with pytest.raises(BrfkitError, match="given as arrays from Python; give them again"):
        brfkit.evaluate(tmp_path / "0")


def test_labels_per_step_choose_the_task(tmp_path: Path) -> None:
    data: Any = {"train": arrays(12, True), "test": arrays(6, True)}
    run = brfkit.train(data=data, run_dir=tmp_path / "run", settings=SETTINGS, backend="torch")
    assert run.network.task is not None
    assert run.network.task.accuracy_from == brfkit.Task().accuracy_from


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter([])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"train": arrays(4)}, "no part 'test'"),
        ({"train": arrays(4), "test": (np.zeros((2, 21, 1)), [0, 1])}, "the parts differ in steps, channels"),
        ({"train": arrays(4), "test": arrays(4, True)}, "kind of labels"),
        ({"train": arrays(4), "test": []}, "no samples in the test part"),
        ({"train": arrays(4), "test": [1, 2]}, "sample 0 of the test part is int, not a pair"),
        ({"train": arrays(4), "test": [(np.zeros(3), 1)]}, r"has x of shape \(3,\)"),
        ({"train": arrays(4), "test": [(np.zeros((3, 1)), 1), (np.zeros((4, 1)), 1)]}, r"sample 1 .* shape \(4, 1\)"),
        ({"train": arrays(4), "test": Stream()}, "the test part is Stream; arrays"),
        ({"train": arrays(4), "test": (np.full((2, 20, 1), np.nan), [0, 1])}, "not finite"),
    ],
)
def test_objects_that_are_refused(data: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(BrfkitError, match=says) as found:
        brfkit.train(data=data, run_dir=tmp_path / "run")
    assert "\n" not in str(found.value)
    assert not (tmp_path / "run").exists()


def test_a_name_and_objects(tmp_path: Path) -> None:
    with pytest.raises(BrfkitError, match="give one of them"):
        brfkit.train("tones", data=load("tones", limit_train=10, limit_test=10), run_dir=tmp_path / "run")
