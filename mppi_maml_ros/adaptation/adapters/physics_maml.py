"""``physics+maml``: the physics layer or ``maml``, whichever foretells the drive better.

Where a robot is of the physics layer's families a handful of coefficients says all of it; where it is not,
what was meta-learned does. Both are adapted to the older part of the data; how far each is off over the steps
that the newer part then drove decides, with a memory, so that luck in one attempt does not.

Source: Cesa-Bianchi and Lugosi, Prediction, Learning, and Games (2006), 2.11 (following the better of two with
discounted losses).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from ...dynamics.residual import ResidualWeights
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from ..sgd import SGDConfig
from .base import Adaptation, Adapter
from .maml import MAMLAdapter
from .physics import PhysicsAdapter

MEMORY = 0.7  # of the mean log ratio, from one attempt to the next
BETTER = -0.1  # mean log ratio of the squared errors below which the other one takes over


class PhysicsMAMLAdapter:
    """See the module.

    Args:
        meta: meta-model.
        sgd: inner loop of ``maml``.

    Attributes:
        parts: the two adapters.
    """

    name = "physics+maml"

    def __init__(self, meta: MetaModel, sgd: SGDConfig) -> None:
        self.parts: tuple[Adapter, ...] = (PhysicsAdapter(meta), MAMLAdapter(meta, sgd))
        self._ratio = 0.0  # mean log of maml's squared error over that of physics
        self._chosen = 0

    def start(self) -> ResidualWeights:
        """The typical robot of the physics layer."""
        return attrs.evolve(self.parts[0].start(), adapter=self.name)

    def prefer(self, errors: Sequence[float]) -> int:
        """Which part adapts from now on.

        Args:
            errors: mean squared error of each on data that it was not adapted to; NaN where unknown.
        """
        physics, learned = errors
        if 0.0 < physics < math.inf and 0.0 < learned < math.inf:
            self._ratio = MEMORY * self._ratio + (1.0 - MEMORY) * math.log(learned / physics)
            ratio = self._ratio if self._chosen == 0 else -self._ratio
            if ratio < BETTER:
                self._chosen = 1 - self._chosen
        elif not physics < math.inf and learned < math.inf:
            self._chosen = 1
        elif not learned < math.inf:
            self._chosen = 0
        return self._chosen

    def adapt(self, data: Transitions) -> Adaptation:
        found = self.parts[self._chosen].adapt(data)
        return attrs.evolve(found, weights=attrs.evolve(found.weights, adapter=self.name))
