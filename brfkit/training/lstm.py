"""A non-spiking baseline: torch's own LSTM with a linear readout, trained and measured like the spiking networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brfkit.baseline import LstmModule, run_lstm
from brfkit.checkpoints.lstm import LstmNetwork
from brfkit.errors import BrfkitError
from brfkit.events import Events
from brfkit.runs.config import LSTM, NetworkConfig
from brfkit.training.trainer import Trainer


def build_lstm(config: NetworkConfig, inputs: int, outputs: int) -> LstmNetwork:
    """The baseline that a configuration asks for; settings that belong to spiking neurons are refused."""
    names = ("layers", "options", "constants", "density", "init", "surrogate", "bias", "discretisation", "trainable")
    given = {name: getattr(config, name) for name in names}
    given["no recurrent weights"] = not config.recurrent
    for name, value in given.items():
        if value:
            raise BrfkitError(f"neuron {LSTM} takes no setting network.{name}")
    return LstmNetwork(inputs, config.hidden, outputs)


class LstmTrainer(Trainer):
    """The training loop with the baseline in the place of the spiking network."""

    def _make_module(self, weights: Mapping[str, NDArray]) -> Any:
        for name in ("rate_penalty", "spike_dropout"):
            if getattr(self.config.training, name):
                raise BrfkitError(f"training.{name}: neuron {LSTM} has no spikes")
        return LstmModule(self.network, weights)

    def _forward(self, window: Any, state: Any, dropped: Any = None) -> tuple[Tensor, dict[str, Tensor], float, Any]:
        training = self.config.training
        if isinstance(window, Events):
            window = torch.from_numpy(window.dense(np.dtype(training.dtype)))
        if training.input_dropout:
            window = window / (1.0 - training.input_dropout)
        out, after = run_lstm(self.network, self.module.weight_tensors(), window, state)
        return out, after, 0.0, None
