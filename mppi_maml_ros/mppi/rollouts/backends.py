"""The rollouts of a device."""

from __future__ import annotations

from .base import Rollout
from .compiled import CompiledRollout


def rollout_on(device: str) -> Rollout:
    """The rollouts of a device: ``cpu`` compiled, ``cuda`` and ``cuda:N`` in torch.

    Raises:
        InvalidValueError: there is no such device.
    """
    if device == "cpu":
        return CompiledRollout()
    import torch

    from .cuda import TorchRollout

    torch.set_num_threads(1)  # the device has the work; a second thread here would only stall
    return TorchRollout(device)
