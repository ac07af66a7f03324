"""Several processes, on one machine or many, started by ``torchrun``: each takes its share of the tasks.

    torchrun --nproc-per-node 4 -m mppi_maml_ros.cli meta-train

All processes draw the same tasks from the same seed, each differentiates its share, and the
mean of the gradients moves the same parameters everywhere: the result is that of one process,
up to the order in which floats are added.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist

from ..core.errors import InvalidValueError


@contextlib.contextmanager
def process_group(device: str = "cpu") -> Iterator[None]:
    """Join the group that ``torchrun`` has announced in the environment; alone without one."""
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or dist.is_initialized():
        yield
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process; 0 writes the files."""
    return dist.get_rank() if world() > 1 else 0


def share(tasks: int) -> slice:
    """Which of ``tasks`` tasks this process takes.

    Raises:
        InvalidValueError: they cannot be shared out evenly, which would weigh them unequally.
    """
    if tasks % world():
        raise InvalidValueError(f"task_batch_size must be a multiple of the {world()} processes, got {tasks}")
    size = tasks // world()
    return slice(rank() * size, (rank() + 1) * size)


def average(tensor: torch.Tensor) -> torch.Tensor:
    """Mean over all processes, in place."""
    if world() > 1:
        dist.all_reduce(tensor)
        tensor /= world()
    return tensor


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process: all of them have to stop together."""
    if world() == 1:
        return flag
    value = torch.tensor([float(flag)], device=f"cuda:{torch.cuda.current_device()}"
                         if dist.get_backend() == "nccl" else "cpu")  # fmt: skip
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return bool(value.item())
