"""The training loop: one object that owns weights and optimiser and can be saved after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from brfkit.backends.base import Backend
from brfkit.backends.spike_mask import SpikeMask
from brfkit.data import Dataset
from brfkit.errors import BrfkitError
from brfkit.evaluation import evaluate
from brfkit.events import Events
from brfkit.nn.function import scan
from brfkit.nn.network import NetworkModule
from brfkit.runs.config import Config
from brfkit.runs.datasets import split_validation
from brfkit.runs.metrics import TEST, TRAIN, VALIDATION, Row
from brfkit.task import Task, any_ignored, sample_count
from brfkit.training.augment import Augmentation
from brfkit.training.averaging import WeightAverage, pack, unpack
from brfkit.training.distributed import World
from brfkit.training.divergence import DivergedError, WeightWatch, first_nonfinite, not_finite
from brfkit.training.losses import Totals, balanced_weights, fused_task_loss, weighted_task_loss
from brfkit.training.optimiser import learning_rate, make_optimizer, optimizer_arrays, restore_optimizer
from brfkit.training.regularise import (
    RateProbe,
    check_spike_dropout,
    drop_input,
    drop_spikes,
    firing_rate_penalty,
    rescale_for_dropout,
)
from brfkit.training.windows import Window, windows

# Streams of random numbers that all follow from the one seed.
_ORDER_STREAM = 2

StepDone = Callable[[int, int], None]


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


class Trainer:
    """Trains a network on a data set.

    Args:
        config: settings.
        dataset: training and test samples.
        network: description.
        weights: initial values by name.
        backend: compute backend of the scans.
        world: the processes that share the work.
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        network: Any,
        weights: Mapping[str, NDArray],
        backend: Backend,
        world: World | None = None,
    ) -> None:
        self.config = config
        self.network = network
        self.steps = dataset.steps
        self.backend = backend = backend.with_gradient_precision(config.training.gradient_precision)
        self.world = world or World()
        self.task: Task = config.task
        self.task.check(dataset.steps, dataset.labels_per_step)
        training = config.training
        self.train_split, self.validation_split = split_validation(dataset.train, config.data, training.seed)
        if len(self.train_split) == 0:
            raise BrfkitError("there are no samples to train on")
        if training.stop_accuracy is not None and self.validation_split is None:
            raise BrfkitError("training.stop_accuracy needs validation samples; give a larger data.validation_fraction")
        self.test_split = dataset.test
        self.masked = any_ignored(self.train_split.y)
        balanced = training.class_weights is not None
        self.class_weights = balanced_weights(self.train_split.y, dataset.classes) if balanced else None
        self.augmentation = Augmentation.of(training, dataset)
        self.module = self._make_module(weights)
        self.optimizer = make_optimizer(training, self.module.parameters())
        if training.spike_dropout:
            check_spike_dropout(network, backend, training.tbptt)
        self.probe = RateProbe(network) if training.rate_penalty else None
        self.average = WeightAverage(training.average, self.module.weight_tensors()) if training.average else None
        self.watch = WeightWatch(self.module.weight_tensors(), self.optimizer)
        self.epoch = 0
        self._state: dict[str, torch.Tensor] = {}
        self.threads = backend.threads or 1

    def _make_module(self, weights: Mapping[str, NDArray]) -> Any:
        return NetworkModule(self.network, weights, self.backend)

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.train_split) // self.config.training.batch_size)

    def weights(self) -> dict[str, NDArray]:
        """Copies of the weights that are measured and kept: the present ones, or their running mean."""
        return self.module.weights() if self.average is None else self.average.weights()

    def measure(self) -> list[Row]:
        """Validation and test figures of :meth:`weights`."""
        return self.world.broadcast(self._measure() if self.world.is_main else [])

    def _measure(self) -> list[Row]:
        rows = []
        weights = self.weights()
        for name, split in ((VALIDATION, self.validation_split), (TEST, self.test_split)):
            if split is None or len(split) == 0:
                continue
            e = evaluate(self.network, weights, split, self.task, self.backend)
            rows.append(Row(self.epoch, name, e.loss, e.accuracy, e.spikes_per_sample, e.seconds))
        return rows

    def train_epoch(self, step_done: StepDone | None = None) -> Row:
        """One pass over the training set.

        Raises:
            DivergedError: loss, gradient, the optimiser's state or, at the end, a weight is not finite, or a weight
                cannot change any more. Where it was loss or gradient, the weights stay as they were before that step.
        """
        self.watch.start_epoch()
        training = self.config.training
        start = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(training, self.epoch)
        order = np.random.default_rng([training.seed, _ORDER_STREAM, self.epoch]).permutation(len(self.train_split))
        sums = Totals()
        samples_per_step = training.batch_size * training.accumulate
        for batch in range(self.steps_per_epoch):
            first = batch * training.batch_size
            whole = order[first : first + training.batch_size]
            selected = self.world.shard(whole)
            x, labels = self.train_split.batch(selected, np.dtype(training.dtype))
            if self.augmentation is not None and len(selected):
                x, labels = self.augmentation.apply(x, labels, selected, training.seed, self.epoch)
            if training.input_dropout and len(selected):
                x = drop_input(x, selected, training.input_dropout, training.seed, self.epoch)
            dropped = None
            if training.spike_dropout:
                dropped = drop_spikes(selected, training.spike_dropout, training.seed, self.epoch)
            step_start = first // samples_per_step * samples_per_step
            size = self._size(order[step_start : step_start + samples_per_step])
            last = (batch + 1) % training.accumulate == 0 or batch + 1 == self.steps_per_epoch
            self.train_batch(x, labels, batch, sums, size, first % samples_per_step == 0, last, dropped)
            if step_done is not None:
                step_done(batch + 1, self.steps_per_epoch)
        bad = not_finite(self.module.weight_tensors())
        if bad is not None:
            raise DivergedError(self.epoch + 1, self.steps_per_epoch, f"weight {bad} after the update")
        self._check_watch(self.watch.stuck(), self.steps_per_epoch - 1)
        self.epoch += 1
        seconds = time.perf_counter() - start
        loss, terms, correct, answers, spikes, samples, _ = self.world.sum_numbers(list(astuple(sums)))
        return Row(self.epoch, TRAIN, loss / terms, 100.0 * correct / answers, spikes / samples, seconds)

    def train_batch(
        self,
        x: NDArray | Events,
        labels: NDArray[np.int64],
        batch: int,
        sums: Totals,
        size: int | None = None,
        zero_grad: bool = True,
        apply_step: bool = True,
        dropped: SpikeMask | None = None,
    ) -> None:
        """Learn from one batch.

        Args:
            x: [T, B, I] or events.
            labels: [B] or [T, B].
            batch: its number, for messages.
            sums: are added to.
            size: samples that the step is taken over (terms of the loss, where some labels are left out): more than B
                where gradients are accumulated or processes share the batch.
            zero_grad, apply_step: whether gradients start from 0, and whether the optimiser takes its step.
            dropped: mask of the hidden spikes of these samples; None drops none.
        """
        samples = sample_count(labels)
        steps = x.steps if isinstance(x, Events) else x.shape[0]
        share = 1.0 if not size else self._weight(self.task, labels, steps) / size
        outputs: list[NDArray] = []
        right = 0
        dtype = np.dtype(self.config.training.dtype)
        tbptt, skip = self.config.training.tbptt, self.task.skip_steps
        for window in windows(x, labels, dropped, tbptt=tbptt, skip_steps=skip, dtype=dtype):
            if zero_grad:
                self._clear_gradients()
            loss = 0.0
            if samples:  # of several processes, one may have none
                out, loss, right = self._learn(window, batch, share, sums)
                outputs.append(out)
            if apply_step:
                self._step(loss * share, batch)
        if samples:
            sums.count(self.task, outputs, labels, right)

    def _loss(self, task: Task, out: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, int]:
        """The mean loss of a window, and the number of its rows that are classified rightly."""
        smoothing = self.config.training.label_smoothing
        if self.class_weights is None and not smoothing:
            return fused_task_loss(task, out, labels, self.threads)
        return weighted_task_loss(task, out, labels, self.class_weights, smoothing)

    def _size(self, selected: NDArray[np.int64]) -> int:
        """What the weights of all batches of `selected` samples add up to."""
        y = self.train_split.y
        return self._weight(self.task, y[selected].T, self.steps) if self.masked else len(selected)

    def _weight(self, task: Task, labels: NDArray[np.int64], steps: int) -> int:
        """Weight of the mean loss of a batch among others: its samples, or its terms where they differ."""
        return task.terms(labels, steps) if self.masked else sample_count(labels)

    def _learn(self, window: Window, batch: int, share: float, sums: Totals) -> tuple[NDArray, float, int]:
        """Forward and backward pass through one window: outputs, loss, number of correctly classified rows."""
        samples = window.samples
        task = self.task if window.is_first else replace(self.task, skip_steps=0)
        out, after, spikes, penalty = self._forward(window.x, None if window.is_first else self._state, window.dropped)
        task_loss, right = self._loss(task, out, torch.from_numpy(window.labels))
        loss = task_loss.item()
        self._state = {name: value.detach() for name, value in after.items()}
        if not math.isfinite(loss) and self.world.size == 1:
            raise self._diverged(batch, "the loss")
        whole = task_loss if penalty is None else task_loss + penalty
        (whole if share == 1.0 else whole * share).backward()
        weight = self._weight(task, window.labels, len(out))
        sums.loss += loss * weight
        sums.terms += weight
        sums.spikes += spikes * samples
        return out.detach().numpy(), loss, right

    def _forward(
        self, window: Any, state: Any, dropped: SpikeMask | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], float, Any]:
        """Outputs [T, B, O], the state after them, spikes per sample, firing-rate penalty or None."""
        weights = self.module.weight_tensors()
        training = self.config.training
        if training.input_dropout:
            name = f"{self.network.layers[0].name}.w_in"
            weights[name] = weights[name] / (1.0 - training.input_dropout)
        network = self.network
        if self.probe is not None:
            network, weights = self.probe.network, self.probe.extend(weights)
        if dropped is not None:
            weights = rescale_for_dropout(network, weights, dropped.probability)
        out, after, trace = scan(self.backend, network, weights, window, state, dropped)
        if self.probe is None:
            return out, after, trace.spikes_per_sample(), None
        penalty = firing_rate_penalty(out[:, :, -1].mean(0), training.rate_penalty, training.rate_target)
        return out[:, :, :-1], after, trace.spikes_per_sample(), penalty

    def _clear_gradients(self) -> None:
        for parameter in self.module.parameters():
            parameter.grad = None if self.world.size == 1 else torch.zeros_like(parameter)

    def _step(self, loss: float, batch: int) -> None:
        """Let the optimiser take a step along the accumulated gradients."""
        loss = self.world.sum_gradients(self.module.parameters(), loss)
        if not math.isfinite(loss):
            raise self._diverged(batch, "the loss")
        squared = 0.0
        for name, parameter in self.module.weight_tensors().items():
            assert parameter.grad is not None
            flat = parameter.grad.numpy().reshape(-1)
            with np.errstate(over="ignore"):
                square = float(np.dot(flat, flat))
            if not math.isfinite(square):  # in float32 the square of a finite gradient may overflow
                if not np.isfinite(flat).all():
                    raise self._diverged(batch, f"the gradient of {name}")
                square = float(np.square(flat, dtype=np.float64).sum())
            squared += square
        self._clip(math.sqrt(squared))
        self.watch.see_gradients()
        self.optimizer.step()
        self._check_watch(self.watch.overflowed(), batch)
        if self.average is not None:
            self.average.update(self.module.weight_tensors())

    def _check_watch(self, found: tuple[str, str] | None, batch: int) -> None:
        if found is not None:
            name, fault = found
            raise DivergedError(self.epoch + 1, batch + 1, f"weight {name}", fault)

    def _diverged(self, batch: int, what: str) -> DivergedError:
        cause = first_nonfinite(self.module.weight_tensors(), self._state)
        return DivergedError(self.epoch + 1, batch + 1, what + cause)

    def _clip(self, norm: float) -> None:
        """Scale gradients down to the largest norm that is allowed, as ``torch.nn.utils.clip_grad_norm_`` does."""
        largest = self.config.training.clip_norm
        if largest is not None and norm > largest:
            grads = [p.grad for p in self.module.parameters() if p.grad is not None]
            torch._foreach_mul_(grads, largest / (norm + 1e-6))

    def state_arrays(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """The state beside :meth:`weights` as arrays and plain values."""
        arrays, plain = optimizer_arrays(self.optimizer)
        values: dict[str, Any] = {"optimizer": plain, "epoch": self.epoch}
        if self.average is not None:
            arrays |= pack(self.module.weights())
            values["averaged_steps"] = self.average.steps
        return arrays, values

    def restore(self, weights: Mapping[str, NDArray], arrays: Mapping[str, NDArray], plain: Mapping[str, Any]) -> None:
        """Bring back weights, optimiser and epoch as ``weights`` and ``state_arrays`` gave them."""
        if self.average is not None:
            self.average.restore(weights, int(plain["averaged_steps"]))
            weights = unpack(arrays)
        with torch.no_grad():
            for name, parameter in self.module.weight_tensors().items():
                parameter.copy_(torch.from_numpy(weights[name]))
        restore_optimizer(self.optimizer, arrays, plain["optimizer"])
        self.epoch = int(plain["epoch"])
