"""The training loop: one object that owns weights and optimiser and can be saved after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brfkit.backends.base import Backend
from brfkit.data import Dataset, Split, holdout
from brfkit.errors import BrfkitError
from brfkit.evaluation import evaluate
from brfkit.events import Events
from brfkit.network import Network
from brfkit.nn.function import scan
from brfkit.nn.network import NetworkModule
from brfkit.task import EVERY, Task
from brfkit.training.config import Config, DataConfig, TrainingConfig
from brfkit.training.history import TEST, TRAIN, VALIDATION, Row
from brfkit.training.losses import fused_task_loss

_OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "radam": torch.optim.RAdam,
    "nadam": torch.optim.NAdam,
    "adamax": torch.optim.Adamax,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
}
# Streams of random numbers that all follow from the one seed.
_SPLIT_STREAM, _ORDER_STREAM = 1, 2

StepDone = Callable[[int, int], None]


class DivergedError(BrfkitError):
    """Loss or gradient stopped being finite; ``epoch`` and ``batch`` say where (both counted from 1)."""

    def __init__(self, epoch: int, batch: int, what: str) -> None:
        super().__init__(f"training diverged in epoch {epoch}, batch {batch}: {what} is not finite")
        self.epoch, self.batch, self.what = epoch, batch, what


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keep torch's own threads out of the way: what is left to torch is small, and its idle threads spin on the
    processors that the scans need."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def learning_rate(config: TrainingConfig, epoch: int) -> float:
    """Learning rate of an epoch, counted from 0."""
    done = epoch / config.epochs
    factors = {"linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done)), "constant": 1.0}
    return config.learning_rate * factors[config.schedule]


def split_validation(train: Split, data: DataConfig, seed: int) -> tuple[Split, Split | None]:
    """A part of the training set for validation, the same for the same seed; None where it is empty."""
    if int(len(train) * data.validation_fraction) == 0:
        return train, None
    by_group = data.validation == "speakers"
    kept, aside = holdout(train, data.validation_fraction, seed=[seed, _SPLIT_STREAM], by_group=by_group)
    return train.select(kept), train.select(aside)


@dataclass
class Totals:
    """Sums over the batches of an epoch."""

    loss: float = 0.0
    terms: int = 0
    correct: int = 0
    answers: int = 0
    spikes: float = 0.0
    samples: int = 0


class Trainer:
    """Trains a network on a data set.

    Args:
        config: settings.
        dataset: training and test samples.
        network: description.
        weights: initial values by name.
        backend: who computes the scans.
    """

    def __init__(
        self, config: Config, dataset: Dataset, network: Network, weights: Mapping[str, NDArray], backend: Backend
    ) -> None:
        self.config = config
        self.network = network
        self.backend = backend
        self.task: Task = config.task
        self.task.check(dataset.steps, dataset.labels_per_step)
        training = config.training
        self.train_split, self.validation_split = split_validation(dataset.train, config.data, training.seed)
        if len(self.train_split) == 0:
            raise BrfkitError("there are no samples to train on")
        self.test_split = dataset.test
        self.module = NetworkModule(network, weights, backend)
        fused = {"fused": True} if training.optimizer in ("adam", "adamw", "sgd", "adagrad") else {}
        self.optimizer = _OPTIMIZERS[training.optimizer](
            self.module.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, **fused
        )
        self.epoch = 0
        self.threads = getattr(backend, "threads", None) or 1

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.train_split) // self.config.training.batch_size)

    def measure(self) -> list[Row]:
        """Validation and test figures of the present weights."""
        rows = []
        weights = self.module.weights()
        for name, split in ((VALIDATION, self.validation_split), (TEST, self.test_split)):
            if split is None or len(split) == 0:
                continue
            e = evaluate(self.network, weights, split, self.task, self.backend)
            rows.append(Row(self.epoch, name, e.loss, e.accuracy, e.spikes_per_sample, e.seconds))
        return rows

    def train_epoch(self, step_done: StepDone | None = None) -> Row:
        """One pass over the training set.

        Raises:
            DivergedError: loss or gradient is not finite. The weights stay as they were before that step.
        """
        training = self.config.training
        start = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(training, self.epoch)
        order = np.random.default_rng([training.seed, _ORDER_STREAM, self.epoch]).permutation(len(self.train_split))
        sums = Totals()
        for batch in range(self.steps_per_epoch):
            chosen = order[batch * training.batch_size : (batch + 1) * training.batch_size]
            x, labels = self.train_split.batch(chosen, np.dtype(training.dtype))
            self.train_batch(x, labels, batch, sums)
            if step_done is not None:
                step_done(batch + 1, self.steps_per_epoch)
        self.epoch += 1
        seconds = time.perf_counter() - start
        accuracy = 100.0 * sums.correct / sums.answers
        return Row(self.epoch, TRAIN, sums.loss / sums.terms, accuracy, sums.spikes / sums.samples, seconds)

    def train_batch(self, x: NDArray | Events, labels: NDArray[np.int64], batch: int, sums: Totals) -> None:
        samples = labels.shape[-1]
        outputs: list[NDArray] = []
        right = 0
        for window, wanted, state in self._windows(x, labels):
            out, after, trace = scan(self.backend, self.network, self.module.weight_tensors(), window, state)
            task = self.task if state is None else replace(self.task, skip_steps=0)
            loss, right = fused_task_loss(task, out, torch.from_numpy(wanted), self.threads)
            self._step(loss, batch)
            self._state = {name: value.detach() for name, value in after.items()}
            outputs.append(out.detach().numpy())
            sums.loss += loss.item() * samples
            sums.terms += samples
            sums.spikes += trace.spikes_per_sample() * samples
        if len(outputs) == 1 and self.task.loss_on == self.task.accuracy_from:
            kept = outputs[0].shape[0] - self.task.skip_steps
            correct, answers = right, samples * (kept if self.task.loss_on == EVERY else 1)
        else:
            correct, answers = self.task.correct(np.concatenate(outputs), labels)
        sums.correct, sums.answers = sums.correct + correct, sums.answers + answers
        sums.samples += samples

    def _windows(self, x: NDArray | Events, labels: NDArray[np.int64]) -> Any:
        """Parts of a batch in time, each with its labels and the state before it (None at the start)."""
        tbptt = self.config.training.tbptt
        steps = x.steps if isinstance(x, Events) else x.shape[0]
        if tbptt is None or tbptt >= steps:
            yield x if isinstance(x, Events) else torch.from_numpy(x), labels, None
            return
        dense = torch.from_numpy(x.dense(np.dtype(self.config.training.dtype)) if isinstance(x, Events) else x)
        # The first window must hold more than the steps that are not looked at.
        starts = [0, *range(max(tbptt, self.task.skip_steps + 1), steps, tbptt)]
        for start, stop in zip(starts, [*starts[1:], steps], strict=True):
            state = None if start == 0 else self._state
            yield dense[start:stop], labels if labels.ndim == 1 else labels[start:stop], state

    def _step(self, loss: torch.Tensor, batch: int) -> None:
        if not math.isfinite(loss.item()):
            raise DivergedError(self.epoch + 1, batch + 1, "the loss")
        weights = self.module.weight_tensors()
        for parameter in weights.values():
            parameter.grad = None
        loss.backward()
        squared = 0.0
        for name, parameter in weights.items():
            assert parameter.grad is not None
            flat = parameter.grad.numpy().reshape(-1)
            square = float(np.dot(flat, flat))
            if not math.isfinite(square):  # in float32 the square of a finite gradient may overflow
                if not np.isfinite(flat).all():
                    raise DivergedError(self.epoch + 1, batch + 1, f"the gradient of {name}")
                square = float(np.square(flat, dtype=np.float64).sum())
            squared += square
        self._clip(math.sqrt(squared))
        self.optimizer.step()

    def _clip(self, norm: float) -> None:
        """Scale gradients down to the largest norm that is allowed, as ``torch.nn.utils.clip_grad_norm_`` does."""
        largest = self.config.training.clip_norm
        if largest is not None and norm > largest:
            grads = [p.grad for p in self.module.parameters() if p.grad is not None]
            torch._foreach_mul_(grads, largest / (norm + 1e-6))

    def state_arrays(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """The optimiser's state as arrays and plain values."""
        state = self.optimizer.state_dict()
        arrays, plain = {}, {}
        for index, values in state["state"].items():
            for key, value in values.items():
                name = f"optimizer/{index}/{key}"
                if isinstance(value, torch.Tensor):
                    arrays[name] = value.detach().numpy().copy()
                else:
                    plain[name] = value
        return arrays, {"optimizer": plain, "epoch": self.epoch}

    def restore(self, weights: Mapping[str, NDArray], arrays: Mapping[str, NDArray], plain: Mapping[str, Any]) -> None:
        """Bring back weights, optimiser and epoch as ``state_arrays`` gave them."""
        with torch.no_grad():
            for name, parameter in self.module.weight_tensors().items():
                parameter.copy_(torch.from_numpy(weights[name]))
        state: dict[int, dict[str, Any]] = {}
        # A checkpoint may hold other arrays too, such as the permutation of psmnist.
        own = {name: value for name, value in arrays.items() if name.startswith("optimizer/")}
        values: dict[str, Any] = {name: torch.from_numpy(value.copy()) for name, value in own.items()}
        for name, value in (values | plain["optimizer"]).items():
            _, index, key = name.split("/")
            state.setdefault(int(index), {})[key] = value
        full = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": state, "param_groups": full["param_groups"]})
        self.epoch = int(plain["epoch"])
