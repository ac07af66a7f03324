"""A simulated robot to calibrate, with odometry at a rate of its own; and robots as they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from ..core.types import Array, Odometry
from ..simulation.firmware_worlds import BASE_RANGES
from ..simulation.parameters import WorldParameters
from ..simulation.seed_world import SEED_NOISE
from ..simulation.world import DynamicWorld, World
from .guided import Driver

PERIOD = 0.02  # [s] between commands


class SimulatedDriver(Driver):
    """Drives a world.

    Args:
        world: reset.
        rate: of odometry [Hz].
        period: between commands [s].
    """

    def __init__(self, world: World, rate: float, period: float = PERIOD) -> None:
        self.period, self._world, self._spacing = period, world, 1.0 / rate
        self._count = 0
        world.reset()

    @property
    def now(self) -> float:
        return self._world.time

    def drive(self, command: Array) -> Sequence[Odometry]:
        world, heard = self._world, []
        end = world.time + self.period
        while end - world.time > 1e-9:
            due = (self._count + 1) * self._spacing
            until = min(end, due)
            state = world.step(command, max(until - world.time, 1e-6))
            if until == due:
                self._count += 1
                heard.append(Odometry(world.time - world.odometry_age, state[:3], state[3:]))
        return heard


@attrs.frozen
class Truth:
    """A drawn robot.

    Attributes:
        world: it; rate: of its odometry [Hz].
        gain, time_constant, delay, dead: of (v, omega), (2,).
    """

    world: DynamicWorld
    rate: float
    gain: Array
    time_constant: Array
    delay: Array
    dead: Array


def drawn(seed: int, dead_bands: bool) -> Truth:
    """Lags U(.05, .5) s, delay U(0, .3) s, gain U(.3, 1.1), the noise of the worlds, odometry at 20 to 50 Hz.

    Args:
        seed: of everything.
        dead_bands: a wheel loses U(.02, .1) m/s of its command.
    """
    rng = np.random.default_rng([seed, 15])
    lags, gain = rng.uniform(0.05, 0.5, 2), rng.uniform(0.3, 1.1)
    delay, rate = rng.uniform(0.0, 0.3), rng.uniform(20.0, 50.0)
    lost = rng.uniform(0.02, 0.1) if dead_bands else 0.0
    process = rng.uniform(0.2, 1.0) * np.array(SEED_NOISE)
    axes = ("x", "y", "yaw", "v", "omega")
    odometry = [rng.uniform(*BASE_RANGES[f"odometry_noise_{axis}"]) for axis in axes]
    parameters = (
        WorldParameters(
            lag_v=lags[0], lag_omega=lags[1], motor_gain_left=gain, motor_gain_right=gain,
            dead_zone=lost, command_delay=delay, acceleration_limit=50.0,
        )
        .with_process_noise(process)
        .with_odometry_noise(odometry)
    )  # fmt: skip
    return Truth(
        world=DynamicWorld(parameters, seed),
        rate=rate,
        gain=np.array([gain, gain]),
        time_constant=lags,
        delay=np.array([delay, delay]),
        dead=lost * np.array([1.0, 2.0 / parameters.track]),
    )
