"""Several processes that train one network: each computes a shard of every batch, gradients are summed over all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from brfkit.errors import BrfkitError


class World:
    """The processes of a run; one alone needs nothing of torch.distributed.

    Attributes:
        rank, size: number of this process, and of all.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @staticmethod
    def from_environment() -> World:
        """The processes that ``torchrun`` has started (gloo); one alone where it has not.

        Raises:
            BrfkitError: the processes do not find each other.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return World()
        if not dist.is_initialized():
            try:
                dist.init_process_group("gloo")
            except (ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())
                raise BrfkitError(f"WORLD_SIZE is {size}, but the processes do not find each other: {reason}") from None
        return World(dist.get_rank(), dist.get_world_size())

    @property
    def is_main(self) -> bool:
        """Whether this is the process that measures and writes."""
        return self.rank == 0

    def shard(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """The samples of a batch that this process computes; with more processes than samples, some have none."""
        return samples if self.size == 1 else np.array_split(samples, self.size)[self.rank]

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter], loss: float) -> float:
        """Add up gradients, in place, and the loss over all processes; returns the loss."""
        if self.size == 1:
            return loss
        grads = [p.grad for p in parameters if p.grad is not None]
        # The loss is summed with them, so that all processes see the same numbers and stop together.
        flat = torch.cat([*(g.reshape(-1) for g in grads), torch.tensor([loss], dtype=grads[0].dtype)])
        dist.all_reduce(flat)
        start = 0
        for grad in grads:
            grad.copy_(flat[start : start + grad.numel()].view_as(grad))
            start += grad.numel()
        return float(flat[-1])

    def sum_numbers(self, values: list[float]) -> list[float]:
        if self.size == 1:
            return values
        summed = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(summed)
        return [float(v) for v in summed]

    def broadcast(self, value: Any) -> Any:
        """The value of the main process, in all processes; the others wait for it."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def close(self) -> None:
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()
