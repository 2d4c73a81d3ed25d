"""What all tests share: folders that live outside the project, random numbers, small networks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from brfkit.network import Network, Weights, recurrent_network


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden text files anew; review the diff")


def pytest_configure() -> None:
    """Where the tests run in the background of a script, SIGINT is ignored, and commands that they start would inherit
    that and could not be interrupted."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Samples in which rounding turned a spike, as the tests recorded them under ``flipped``."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    for dtype in ("float32", "float64"):
        found = [v[1:] for r in reports for k, v in r.user_properties if k == "flipped" and v[0] == dtype]
        if found:
            flipped, samples = (sum(column) for column in zip(*found, strict=True))
            terminalreporter.write_line(f"{dtype}: a spike flipped in {flipped} of {samples} samples")


def _folder(variable: str) -> Path:
    given = os.environ.get(variable)
    if not given:
        pytest.skip(f"{variable} is not set")
    if not Path(given).is_dir():
        pytest.skip(f"{variable} points to {given}, which is not a folder")
    return Path(given)


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Golden traces and published figures (docs: where they come from)."""
    return _folder("BRFKIT_REFERENCE_DIR")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data sets."""
    return _folder("BRFKIT_DATA_DIR")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240601)


@pytest.fixture
def make_network(rng: np.random.Generator) -> Callable[..., tuple[Network, Weights, np.ndarray]]:
    """Makes a small random network that spikes, its weights and a dense input [T, B, I]."""

    def make(
        neuron: str = "brf",
        hidden: tuple[int, ...] = (5,),
        *,
        inputs: int = 4,
        outputs: int = 3,
        steps: int = 20,
        batch: int = 2,
        dtype: type = np.float64,
        gain: float = 20.0,
        **options: object,
    ) -> tuple[Network, Weights, np.ndarray]:
        network = recurrent_network(inputs, hidden, outputs, neuron, **options)  # type: ignore[arg-type]
        weights = network.initialise(7, dtype)
        for name in weights:
            if name.startswith("hidden") and name.endswith((".w_in", ".w_rec")):
                weights[name] = weights[name] * dtype(gain)
        return network, weights, rng.uniform(0, 1, (steps, batch, inputs)).astype(dtype)

    return make
