"""The rollouts of a device."""

from __future__ import annotations

from ...core.errors import NEEDS_TORCH, InvalidValueError
from .base import Rollout
from .compiled import CompiledRollout


def rollout_on(device: str) -> Rollout:
    """The rollouts of a device: ``cpu`` compiled, ``cuda`` and ``cuda:N`` in torch.

    Raises:
        InvalidValueError: there is no such device, or no torch.
    """
    if device == "cpu":
        return CompiledRollout()
    try:
        import torch

        from .cuda import TorchRollout
    except ModuleNotFoundError as error:
        raise InvalidValueError(f"device must be cpu here, got {device!r}: {NEEDS_TORCH}") from error

    torch.set_num_threads(1)  # the device has the work; a second thread here would only stall
    return TorchRollout(device)
