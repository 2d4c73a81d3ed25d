"""Augmentation: what is moved, what goes with it, and that a sample's change is its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from brfkit.backends import get_backend
from brfkit.data import Dataset, DataSpec, DenseSplit, load
from brfkit.errors import BrfkitError
from brfkit.runs.config import Config, TrainingConfig
from brfkit.training.augment import Augmentation

LEADS = ((0, 1), (2, 3))


def spikes(seed: int, steps: int = 200, samples: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = (rng.random((steps, samples, 4)) < 0.1).astype(np.float32)  # [T, B, I]
    return x, np.repeat(np.arange(steps)[:, None], samples, 1)  # labels that say where they came from


def test_stretched_spikes_and_labels_go_together() -> None:
    x, labels = spikes(0)
    new, moved = Augmentation(time_stretch=0.3, spikes=True).apply(x, labels, np.arange(6), 0, 1)
    for b in range(6):
        factor = 60 / moved[60, b]  # steps of new time per step of old time
        old_steps, new_steps = np.flatnonzero(x[:, b].any(-1)), np.flatnonzero(new[:, b].any(-1))
        expected = np.unique(np.rint(old_steps * factor))
        # the factor is read off 60 labels, so it is known to 1 in 60; a spike is where its label is to a step or so
        for step in new_steps:
            assert np.abs(expected - step).min() <= 1 + step / 60
            assert np.abs(old_steps - moved[step, b]).min() <= 2
    assert not np.array_equal(new, x)
    assert set(np.unique(new)) == {0.0, 1.0}


def test_a_stretch_keeps_spikes_that_stay_inside() -> None:
    x = np.zeros((100, 1, 1), np.float32)
    x[[3, 10, 40]] = 1
    counts = set()
    for epoch in range(20):
        new, _ = Augmentation(time_stretch=0.2, spikes=True).apply(x, np.zeros(1, np.int64), np.arange(1), 0, epoch)
        assert new.sum() == 3
        first = np.flatnonzero(new[:, 0, 0])
        assert 3 * np.exp(-0.2) - 0.5 <= first[0] <= 3 * np.exp(0.2) + 0.5
        counts.add(int(first[2]))
    assert min(counts) >= 32
    assert max(counts) <= 49
    assert len(counts) > 5


def test_values_are_sampled_anew() -> None:
    x = np.linspace(0, 1, 100, dtype=np.float32)[:, None, None]
    new, _ = Augmentation(time_stretch=0.2).apply(x, np.zeros(1, np.int64), np.arange(1), 3, 0)
    slope = new[50, 0, 0] / x[50, 0, 0]
    assert 0.8 <= slope <= 1.25
    np.testing.assert_allclose(new[:80, 0, 0], np.minimum(x[:80, 0, 0] * slope, 1), atol=0.02)  # two steps of 1/99


def test_leads_are_lost_and_swapped_as_often_as_said() -> None:
    x = np.tile(np.array([1, 2, 3, 4], np.float32), (5, 2000, 1))
    labels, numbers = np.zeros(2000, np.int64), np.arange(2000)
    lost, _ = Augmentation(lead_dropout=0.3, leads=LEADS).apply(x, labels, numbers, 0, 0)
    gone = lost[0] == 0  # [B, I]
    assert not gone.all(-1).any()
    np.testing.assert_array_equal(gone[:, 0], gone[:, 1])
    assert 0.26 <= gone.any(-1).mean() <= 0.34  # four standard deviations of 2000 draws
    swapped, _ = Augmentation(lead_swap=1.0, leads=LEADS).apply(x, labels, numbers, 0, 0)
    turned = (swapped[0] == [3, 4, 1, 2]).all(-1)
    assert (turned | (swapped[0] == [1, 2, 3, 4]).all(-1)).all()
    assert 0.45 <= turned.mean() <= 0.55


def test_a_change_follows_from_seed_epoch_and_sample_alone() -> None:
    x, labels = spikes(1)
    augment = Augmentation(0.2, 0.5, 0.5, LEADS, True)
    whole = augment.apply(x, labels, np.arange(6), 0, 4)
    part = augment.apply(x[:, [4, 2]], labels[:, [4, 2]], np.array([4, 2]), 0, 4)
    np.testing.assert_array_equal(part[0], whole[0][:, [4, 2]])
    np.testing.assert_array_equal(part[1], whole[1][:, [4, 2]])
    for seed, epoch in ((1, 4), (0, 5)):
        assert not np.array_equal(augment.apply(x, labels, np.arange(6), seed, epoch)[0], whole[0])
    np.testing.assert_array_equal(x, spikes(1)[0])  # the data themselves stay as they are


def dataset(leads: tuple[tuple[int, ...], ...] = LEADS) -> Dataset:
    x, _ = spikes(2)
    split = DenseSplit(np.ascontiguousarray(x.transpose(1, 0, 2)), np.zeros(6, np.int64))
    spec = DataSpec("mine", "", 4, 200, ("a", "b"), False, lambda request: split, "", "", leads=leads)
    return Dataset(spec, {"train": split, "test": split})


@pytest.mark.parametrize(
    ("settings", "leads", "message"),
    [({"lead_dropout": 0.1}, (), "not grouped into leads"), ({"lead_swap": 0.1}, (), "not grouped into leads")],
)
def test_refused(settings: Mapping[str, float], leads: tuple[tuple[int, ...], ...], message: str) -> None:
    with pytest.raises(BrfkitError, match=message):
        Augmentation.of(TrainingConfig(**settings), dataset(leads))  # type: ignore[arg-type]


def test_of_settings() -> None:
    assert Augmentation.of(TrainingConfig(), dataset()) is None
    assert Augmentation.of(TrainingConfig(time_stretch=0.1), dataset()) == Augmentation(0.1, leads=LEADS, spikes=True)
    tones = Augmentation.of(TrainingConfig(time_stretch=0.1), load("tones"))
    assert tones is not None
    assert not tones.spikes
    with pytest.raises(BrfkitError, match=r"training\.time_stretch must be from 0 to 1"):
        Config(training=TrainingConfig(time_stretch=1.5))


def test_training_sees_changed_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    from brfkit.training.trainer import Trainer

    config = Config(training=TrainingConfig(time_stretch=0.2, batch_size=4, seed=5))
    network = dataclasses.replace(config.network, hidden=(3,)).build(4, 2)
    trainer = Trainer(config, dataset(), network, network.initialise(0), get_backend("reference"))
    seen: list[np.ndarray] = []
    monkeypatch.setattr(trainer, "train_batch", lambda x, *rest: (seen.append(x), _count(rest))[0])
    trainer.train_epoch()
    unchanged = dataset().train.batch(np.arange(6))[0]
    assert sum(x.shape[1] for x in seen) == 6
    for x in np.concatenate(seen, 1).swapaxes(0, 1):
        assert not any(np.array_equal(x, unchanged[:, sample]) for sample in range(6))


def _count(rest: tuple[object, ...]) -> None:
    sums = rest[2]
    sums.terms = sums.answers = sums.samples = 1  # type: ignore[attr-defined]
