"""Tunables of the MPPI controller, under nav2's names where nav2 has one.

The guide's symbols map onto them so: K = batch_size, N = time_steps, lambda = temperature,
sigma = (vx_std, wz_std), Q = (position_weight, position_weight, heading_weight),
Qf = terminal_scale * Q, R = (vx_weight, wz_weight).
"""

from __future__ import annotations

import attrs

from ..core.errors import InvalidValueError
from ..core.tunable import tunable


@attrs.frozen
class MPPIConfig:
    """See the module. Ranges are checked; :class:`InvalidValueError` names the field.

    Attributes:
        batch_size: sampled command sequences a step, rounded up to a multiple of 32.
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

    batch_size: int = tunable(1000, 2, 100_000, "Command sequences sampled each step")
    time_steps: int = tunable(30, 2, 500, "Steps of the horizon", dynamic=False)
    model_dt: float = tunable(
        0.05, 0.005, 0.5, "Step of the rollouts, and of the weights", "s", dynamic=False
    )
    iteration_count: int = tunable(1, 1, 20, "Sampling rounds a step")
    temperature: float = tunable(1.0, 1e-4, 1e4, "Smaller prefers the cheapest rollouts more strongly")
    vx_std: float = tunable(0.5, 1e-4, 10.0, "Standard deviation of sampled forward velocities", "m/s")
    wz_std: float = tunable(0.5, 1e-4, 10.0, "Standard deviation of sampled yaw rates", "rad/s")
    noise_knots: int = tunable(
        8, 0, 100, "Noise is drawn at so many knots over the horizon; 0: at every step"
    )
    position_weight: float = tunable(10.0, 0.0, 1e6, "Cost of a squared distance to the reference", "1/m^2")
    heading_weight: float = tunable(1.0, 0.0, 1e6, "Cost of a squared heading error", "1/rad^2")
    terminal_scale: float = tunable(2.0, 0.0, 1e6, "How much more the last step of the horizon costs")
    vx_weight: float = tunable(0.1, 0.0, 1e6, "Cost of a squared forward velocity command", "s^2/m^2")
    wz_weight: float = tunable(0.1, 0.0, 1e6, "Cost of a squared yaw rate command", "s^2/rad^2")
    effort_about_reference: bool = tunable(
        True, description="Count commands from the reference's own velocity, not from zero"
    )
    vx_rate_weight: float = tunable(
        0.0, 0.0, 1e6, "Cost of a squared change of forward velocity a step", "s^2/m^2"
    )
    wz_rate_weight: float = tunable(0.0, 0.0, 1e6, "Cost of a squared change of yaw rate a step", "s^2/rad^2")

    def __attrs_post_init__(self) -> None:
        if self.noise_knots == 1:
            raise InvalidValueError("noise_knots must be 0 or at least 2, got 1")
