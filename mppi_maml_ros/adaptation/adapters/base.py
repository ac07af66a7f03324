"""The adapter interface and the registry of names."""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np

from ...core.errors import InvalidValueError
from ...dynamics.residual import ResidualWeights
from ...weights.meta_model import MetaModel
from ..sgd import SGDConfig
from ..transitions import Transitions


@attrs.frozen(eq=False)
class Adaptation:
    """What an adapter made of the data.

    Attributes:
        weights: candidate residual.
        loss_before, loss_after: training loss at the starting point and of the candidate
            (normalised, mean square).
        delay: estimated command delay [s]; NaN when not estimated.
        gain, time_constant: of (v, omega), shape (2,) [-, s]; NaN when not estimated.
        steps: gradient steps taken.
    """

    weights: ResidualWeights
    loss_before: float
    loss_after: float
    delay: float = float("nan")
    gain: np.ndarray = attrs.field(factory=lambda: np.full(2, np.nan))
    time_constant: np.ndarray = attrs.field(factory=lambda: np.full(2, np.nan))
    steps: int = 0


class Adapter(Protocol):
    """Restores its starting point and adapts it; never changes the meta-model."""

    name: str

    def start(self) -> ResidualWeights:
        """The weights before any data: theta*."""

    def adapt(self, data: Transitions) -> Adaptation:
        """A candidate from ``data`` (at least one transition); deterministic."""


def make_adapter(name: str, meta: MetaModel, sgd: SGDConfig) -> Adapter:
    """The adapter called ``name``.

    Raises:
        InvalidValueError: unknown, or the meta-model has no network for it.
    """
    if name not in ADAPTERS:
        raise InvalidValueError(f"adapter must be one of {', '.join(ADAPTERS)}, got {name!r}")
    from .maml import MAMLAdapter
    from .physics import PhysicsAdapter

    if name == "physics":
        return PhysicsAdapter(meta)
    return MAMLAdapter(meta, sgd, physics=name == "physics+maml")


ADAPTERS = ("physics+maml", "maml", "physics")
