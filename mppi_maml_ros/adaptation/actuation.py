"""When commands act and how fast they can, which is found before an adapter fits anything.

An adapter sees commands when they act, and ends of steps as they were without limits of acceleration; what
it makes of them serves with both, and with the slip of the data.
"""

from __future__ import annotations

import attrs
import numpy as np

from ..dynamics.identification import limits, slip, transport
from ..dynamics.residual import ResidualWeights
from ..dynamics.transitions import Transitions
from ..weights.meta_model import MetaModel
from .adapters import Adaptation


class Actuation:
    """What is known so far.

    Args:
        meta: for its taps, step and levels of noise.

    Attributes:
        known: the kinematic prior with the transport delay and the limits of acceleration that were found.
    """

    def __init__(self, meta: MetaModel) -> None:
        self._meta = meta
        self._searched: tuple[Transitions, ResidualWeights, Transitions] | None = None
        self.reset()

    def reset(self) -> None:
        """Nothing is known."""
        self.known = ResidualWeights.prior(self._meta.delay_taps, self._meta.model_dt)
        self._searched = None

    def look(self, data: Transitions) -> tuple[Transitions, Transitions]:
        """The data with commands when they act, and also with ends as they were without limits; both anew."""
        before = self.known.transport_delay
        late = transport.transport_delay(data, self._meta.delay_taps, before)
        if late != before:
            self.known = attrs.evolve(self.known, transport_delay=late)
        acting = data.delayed(self.known)
        return acting, self._unlimited(data, acting)

    def without(self, data: Transitions) -> Transitions:
        """The data without the delay and the limits that are known, of which the latter may be found anew."""
        acting = data.delayed(self.known)
        return self._unlimited(data, acting) if self.known.is_limited else acting

    def _unlimited(self, data: Transitions, acting: Transitions) -> Transitions:
        if self._searched is not None and self._searched[0] is data and self._searched[1] is self.known:
            return self._searched[2]
        physics, before = self._meta.physics, self.known
        acceleration = before.acceleration.astype(float)
        found = limits.find(acting, physics.servo, physics.noise, acceleration)
        if not np.array_equal(found.acceleration, acceleration):
            self.known = attrs.evolve(before, acceleration=found.acceleration)
        # What was found in the same data with other limits known is looked for once more.
        self._searched = data, before, found.unlimited
        return found.unlimited

    def serve(self, found: Adaptation, acting: Transitions) -> Adaptation:
        """What an adapter found, with the limits, the transport delay and the slip of the data.

        Args:
            acting: of :meth:`look`.
        """
        late = self.known.transport_delay
        weights = slip.with_slip(found.weights, acting, late)
        if self.known.is_limited:
            weights = attrs.evolve(weights, acceleration=self.known.acceleration)
        delay = found.delay + sum(late) / len(late) * acting.model_dt
        return attrs.evolve(found, weights=weights, delay=delay)
