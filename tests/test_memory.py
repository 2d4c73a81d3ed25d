"""Memory is estimated before work begins, and refused with one line."""

from __future__ import annotations

import os

import pytest

from brfkit import memory
from brfkit.backends import get_backend
from brfkit.errors import BrfkitError
from brfkit.memory import TrainingShape, available_bytes, check_memory, estimate_training_bytes
from brfkit.runs.resolve import resolve
from brfkit.simulation.population import simulate
from brfkit.training.run import train

SHAPE = TrainingShape(1000, 4, 2, 10, 100, 3, 5, 20, 3)


def test_the_estimate_adds_weights_batch_and_what_is_kept():
    weights, batch, kept = 1000 * 4 * 10, 10 * 100 * 4 * (6 + 15), 10 * 100 * 20 * 3 * 4 // 8 + 10 * 100 * 20 // 8
    assert estimate_training_bytes(SHAPE) == weights + batch + kept


def test_what_is_free_is_less_than_the_machine_has():
    free = available_bytes()
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_more_than_is_free_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**30)
    check_memory(2**29, "this")
    with pytest.raises(BrfkitError, match=r"^this needs 1\.0 GiB of memory, 1\.0 GiB are free; take less$"):
        check_memory(2**30, "this", "take less")


def test_a_network_too_wide_is_refused_before_anything_is_written(tmp_path):
    config = resolve("tones", overrides={"network": {"hidden": [1_000_000]}})
    text = r"training 1,000,\S+ parameters \(4 inputs, 1,000,000 hidden neurons, 10 outputs\) on 250 steps needs "
    with pytest.raises(BrfkitError, match=text):
        train(config, tmp_path / "run", get_backend("numba", threads=1))
    assert not (tmp_path / "run").exists()


def test_an_lstm_too_wide_is_refused(tmp_path):
    config = resolve("tones", "lstm", overrides={"network": {"hidden": [1_000_000]}})
    with pytest.raises(BrfkitError, match=r"parameters .* needs .* of memory"):
        train(config, tmp_path / "run", get_backend("torch"))


def test_a_population_too_large_is_refused():
    with pytest.raises(BrfkitError, match=r"a population of 10,000,000,000 neurons needs .*; take fewer --neurons"):
        simulate("brf", neurons=10**10, steps=10, record=False)
