"""Where rollouts are computed, behind one call."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ...dynamics.residual import ResidualWeights
from .compiled import Tracking, Trajectories, rollout


class Rollout(Protocol):
    """What :func:`.rollout.rollout` does, and getting ready for it."""

    def __call__(
        self,
        weights: ResidualWeights | None,
        twist: np.ndarray,
        history: np.ndarray,
        commands: np.ndarray,
        model_dt: float,
        out: Trajectories | None,
        tracking: Tracking | None = None,
        costs: np.ndarray | None = None,
        push: np.ndarray | None = None,
    ) -> None:
        """See :func:`.rollout.rollout`."""

    def prepare(self, weights: ResidualWeights | None, steps: int, samples: int) -> None:
        """Let the first rollout of such weights in this size be as fast as the rest; may take a second."""


class CompiledRollout:
    """On the processor, in compiled vector code."""

    __call__ = staticmethod(rollout)

    def prepare(self, weights: ResidualWeights | None, steps: int, samples: int) -> None:
        """Nothing: a first rollout costs no more than the next."""


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
