"""Tunables of the MPPI controller, under nav2's names where nav2 has one.

The guide's symbols map onto them so: K = batch_size, N = time_steps, lambda = temperature,
sigma = (vx_std, wz_std), Q = (position_weight, position_weight, heading_weight),
Qf = terminal_scale * Q, R = (vx_weight, wz_weight).
"""

from __future__ import annotations

import attrs

from ..core.errors import InvalidValueError
from ..core.validators import within


def _real(default, low, high):
    return attrs.field(default=default, converter=float, validator=within(low, high))


def _integer(default, low, high):
    def check(instance, attribute, value):
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidValueError(f"{attribute.name} must be an integer, got {value!r}")
        within(low, high)(instance, attribute, value)

    return attrs.field(default=default, validator=check)


@attrs.frozen
class MPPIConfig:
    """See the module. Ranges are checked; :class:`InvalidValueError` names the field.

    Attributes:
        batch_size: sampled command sequences a step.
        time_steps: horizon [steps of model_dt].
        model_dt: step of the rollout [s].
        iteration_count: sampling rounds a step; each starts from the result of the one before.
        temperature: selectiveness of the softmax over costs; smaller is greedier.
        vx_std, wz_std: standard deviation of the sampled velocity [m/s] and yaw rate [rad/s].
        noise_knots: the noise is drawn at this many knots over the horizon and interpolated
            linearly between them; 0, or as many as steps: each step is drawn on its own (white noise).
        position_weight: cost of a squared distance to the reference [1/m^2].
        heading_weight: cost of a squared heading error [1/rad^2].
        terminal_scale: the last step costs this many times more.
        vx_weight, wz_weight: cost of a squared deviation of the command from the reference's
            own velocity (or of the command itself, see effort_about_reference).
        effort_about_reference: True: effort is counted from the reference's velocity, which
            leaves no steady error; False: from zero, as in the guide.
        vx_rate_weight, wz_rate_weight: cost of a squared change of the command between steps.
    """

    batch_size: int = _integer(1000, 2, 100_000)
    time_steps: int = _integer(30, 2, 500)
    model_dt: float = _real(0.05, 0.005, 0.5)
    iteration_count: int = _integer(1, 1, 20)
    temperature: float = _real(1.0, 1e-4, 1e4)
    vx_std: float = _real(0.5, 1e-4, 10.0)
    wz_std: float = _real(0.5, 1e-4, 10.0)
    noise_knots: int = _integer(8, 0, 100)
    position_weight: float = _real(10.0, 0.0, 1e6)
    heading_weight: float = _real(1.0, 0.0, 1e6)
    terminal_scale: float = _real(2.0, 0.0, 1e6)
    vx_weight: float = _real(0.1, 0.0, 1e6)
    wz_weight: float = _real(0.1, 0.0, 1e6)
    effort_about_reference: bool = True
    vx_rate_weight: float = _real(0.0, 0.0, 1e6)
    wz_rate_weight: float = _real(0.0, 0.0, 1e6)

    def __attrs_post_init__(self):
        if self.noise_knots == 1:
            raise InvalidValueError("noise_knots must be 0 or at least 2, got 1")
