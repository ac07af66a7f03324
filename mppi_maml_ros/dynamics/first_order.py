"""A robot known beforehand: its velocities follow the command with a lag, a gain and a delay."""

from __future__ import annotations

from functools import partial

import attrs

from ..core.tunable import tunable
from .residual import ResidualWeights

_known = partial(tunable, dynamic=False)


@attrs.frozen
class FirstOrderConfig:
    """``tau x' = gain u(t - delay) - x`` of both velocities.

    Attributes:
        time_constant_v, time_constant_omega: tau of the forward velocity and the yaw rate [s].
        gain_v, gain_omega: velocity reached per commanded one.
        delay: from a command to its effect [s].

    Raises:
        InvalidValueError: names the field and what is allowed.
    """

    time_constant_v: float = _known(0.2, 1e-2, 10.0, "Lag of the forward velocity in the dynamic model", "s")
    time_constant_omega: float = _known(0.2, 1e-2, 10.0, "Lag of the yaw rate in the dynamic model", "s")
    gain_v: float = _known(1.0, 0.05, 5.0, "Forward velocity reached per commanded one")
    gain_omega: float = _known(1.0, 0.05, 5.0, "Yaw rate reached per commanded one")
    delay: float = _known(0.0, 0.0, 1.0, "Time from a command to its effect", "s")

    def weights(self, model_dt: float) -> ResidualWeights:
        """The exact discretisation with a step of ``model_dt`` [s]."""
        return ResidualWeights.first_order(
            (self.time_constant_v, self.time_constant_omega),
            (self.gain_v, self.gain_omega),
            self.delay,
            model_dt,
        )


TYPICAL = FirstOrderConfig(time_constant_v=0.1, time_constant_omega=0.1)
"""The median robot of the population that meta-training draws from, as ``PhysicsPrior.typical`` has it."""


def typical(model_dt: float) -> ResidualWeights:
    """What to predict with while nothing is known of a robot, over steps of ``model_dt`` [s].

    Without a push (see identification.error_models): on a robot that is later than its model, the push comes
    late as well, and makes it swing.
    """
    return attrs.evolve(TYPICAL.weights(model_dt), adapter="typical")
