"""Initial weights: from the spectrum and the scale of the training data, or from a network that was trained before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.backends.base import Backend
from brfkit.checkpoints.native import Checkpoint, open_checkpoint
from brfkit.checkpoints.published import is_published
from brfkit.data import Dataset, Split
from brfkit.errors import BrfkitError
from brfkit.network import Network, Weights
from brfkit.runs.config import FROM_DATA, Config, NetworkConfig
from brfkit.runs.datasets import split_validation
from brfkit.runs.remarks import silence_remedy
from brfkit.simulation.calibration import calibrate_weights, channel_scale, samples_for
from brfkit.training.spectrum import initialise_omega

SAMPLES = 64  # of the training set that input weights are scaled on
_SCALE_STREAM = 7


def initialise_from_data(
    config: Config, network: Network, weights: Weights, dataset: Dataset, backend: Backend
) -> dict[str, Any]:
    """Change initial weights, in place, as ``network.omega_init`` and ``network.w_in_init`` ask for.

    Returns:
        What the run folder records of it, by the name of the setting; empty where neither is set.
    """
    origin: dict[str, Any] = {}
    settings, seed = config.network, config.training.seed
    if settings.omega_init is None and settings.w_in_init != FROM_DATA:
        return origin
    train, _ = split_validation(dataset.train, config.data, seed)
    if settings.omega_init is not None:
        origin["omega_init"] = initialise_omega(network, weights, train, seed, settings.omega_init)
    if settings.w_in_init == FROM_DATA and settings.start_from is None:
        origin["w_in_init"] = _scale_input(network, weights, train, dataset.steps, seed, backend)
    return origin


def _scale_input(
    network: Network, weights: Weights, train: Split, steps: int, seed: int, backend: Backend
) -> dict[str, Any]:
    """First every channel to a root mean square of 1, then every layer to the share of neurons that is to spike."""
    count = samples_for(network, steps, SAMPLES)
    selected = np.sort(np.random.default_rng([seed, _SCALE_STREAM]).permutation(len(train))[:count])
    name = f"{network.layers[0].name}.w_in"
    x, _ = train.batch(selected, weights[name].dtype)
    recorded: dict[str, Any] = {"samples": len(selected)}
    scale = channel_scale(x)
    if scale is not None:
        weights[name] = np.ascontiguousarray(weights[name] / scale, weights[name].dtype)
        recorded["channel_rms"] = [float(scale.min()), float(scale.max())]
    for done in calibrate_weights(network, weights, x, backend):
        recorded[done.layer] = {"gain": done.gain, "share": done.share}
    return recorded


def period_note(network: Network, weights: Weights, steps: int) -> str | None:
    """A note where the sequences are shorter than one period of most resonators; None where they are not."""
    for layer in network.spiking_layers:  # none in an LSTM, which has no δ either
        omega = weights.get(f"{layer.name}.omega")
        if omega is None:
            continue
        length = steps * network.dt
        periods = 2.0 * np.pi / np.maximum(np.abs(omega.astype(np.float64)), 1e-12)
        longer = int((periods > length * (1.0 + 1e-6)).sum())
        if 2 * longer > layer.units:
            return (
                f"sequences of {steps} steps last {length:.3g} (steps · δ, δ = {network.dt:g}), which is shorter than "
                f"one period 2π/ω of {longer} of the {layer.units} neurons of {layer.name} (median "
                f"{np.median(periods):.3g}); --omega-init spectrum takes ω from the data, a larger --dt makes the "
                "sequences longer"
            )
    return None


def silence_note(network: Network, spikes: Sequence[float], settings: NetworkConfig) -> str | None:
    """A note where no neuron of a spiking layer spikes; None where all layers do.

    Args:
        network: description.
        spikes: per sample, of every spiking layer.
        settings: say whether the input weights were scaled to the data.
    """
    silent = [layer.name for layer, count in zip(network.spiking_layers, spikes, strict=True) if count == 0]
    if not silent:
        return None
    return (
        f"no neuron of {', '.join(silent)} spikes: its outputs do not depend on the input; {silence_remedy(settings)}"
    )


def starting_weights(
    path: str | Path, network: Network, neuron: str, permutation: NDArray | None
) -> tuple[Weights, dict[str, Any]]:
    """The weights of a checkpoint for the network that is to be trained.

    The two need not be alike in more than the names and shapes of their weights: RF may go on as BRF.

    Args:
        path: run folder, checkpoint file, or published ``.pt``.
        network: what is to be trained.
        neuron: its hidden neurons, which a published file does not tell.
        permutation: of the pixels, where the data set has one.

    Returns:
        Weights by name in the dtype that they were stored in, and what a run folder records of their origin.

    Raises:
        BrfkitError: the checkpoint cannot be read, does not fit the network, or saw the pixels in another order.
    """
    file = Path(path)
    checkpoint = open_checkpoint(file, neuron if file.is_file() and is_published(file) else None)
    _check(path, checkpoint, network)
    order = checkpoint.extra.get("permutation")
    if order is not None and permutation is not None and not np.array_equal(order, permutation):
        raise BrfkitError(
            f"start_from: {path} was trained on another permutation of the pixels; give its own with --permutation"
        )
    recorded = {"path": str(path), "sha256": checkpoint.sha256, "neuron": checkpoint.network.layers[0].neuron}
    return checkpoint.weights, recorded


def _check(path: str | Path, checkpoint: Checkpoint, network: Network) -> None:
    """Refuse weights of other names or shapes."""
    have, wanted = checkpoint.network.shapes(), network.shapes()
    for name in {**wanted, **have}:
        if have.get(name) != wanted.get(name):
            there, here = (f"{s[name]}" if name in s else "absent" for s in (have, wanted))
            raise BrfkitError(f"start_from: {path} does not fit this network: {name} is {there} there and {here} here")
