"""Robots drawn at random, calibrated in simulated time, and how far off what was found is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import numpy as np

from .fit import identify
from .guided import DriveConfig, GuidedDrive, driven
from .simulated import SimulatedDriver, drawn

FLOOR = DriveConfig(vx_max=1.0, vx_min=-1.0, length=4.0, width=4.0)
"""How they are driven: by the controller's own largest velocity, on a floor of 4 by 4 m."""
GAIN, LAG, DELAY = 0.05, 0.10, 1.0
"""Largest errors that are allowed: shares of gain and time constant, samples of odometry."""


@attrs.frozen
class Outcome:
    """One axis of one robot.

    Attributes:
        seed, axis: which.
        gain, time_constant, delay, dead_band: the truth.
        gain_error, time_constant_error: as shares; delay_error: in samples of odometry;
            dead_band_error: in m/s or rad/s.
        seconds: of driving.
    """

    seed: int
    axis: str
    gain: float
    time_constant: float
    delay: float
    dead_band: float
    gain_error: float
    time_constant_error: float
    delay_error: float
    dead_band_error: float
    seconds: float

    @property
    def good(self) -> bool:
        """Within what is promised."""
        errors = abs(self.gain_error), abs(self.time_constant_error), abs(self.delay_error)
        return bool(np.all(np.array(errors) <= (GAIN, LAG, DELAY)))


def calibrate_drawn(seed: int, config: DriveConfig = FLOOR) -> list[Outcome]:
    """Both axes of one robot; those of odd seeds have dead bands."""
    truth = drawn(seed, dead_bands=seed % 2 == 1)
    drive = GuidedDrive(SimulatedDriver(truth.world, truth.rate), config)
    found = identify(driven(drive))
    return [
        Outcome(
            seed,
            axis.name,
            float(truth.gain[i]),
            float(truth.time_constant[i]),
            float(truth.delay[i]),
            float(truth.dead[i]),
            axis.gain.value / float(truth.gain[i]) - 1.0,
            axis.time_constant.value / float(truth.time_constant[i]) - 1.0,
            (axis.delay.value - float(truth.delay[i])) * truth.rate,
            axis.dead.value - float(truth.dead[i]),
            drive.elapsed,
        )
        for i, axis in enumerate(found)
    ]


def study(seeds: Iterable[int]) -> Iterator[list[Outcome]]:
    """Outcomes of each robot, as they come."""
    for seed in seeds:
        yield calibrate_drawn(seed)


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """For a file: what was asked, the largest errors, and each robot."""

    def largest(name: str) -> float:
        return round(max(abs(getattr(outcome, name)) for outcome in outcomes), 4)

    names = ("gain_error", "time_constant_error", "delay_error", "dead_band_error", "seconds")
    return {
        "robots": len({outcome.seed for outcome in outcomes}),
        "allowed": {"gain_error": GAIN, "time_constant_error": LAG, "delay_error": DELAY},
        "within": sum(outcome.good for outcome in outcomes),
        "axes": len(outcomes),
        "largest": {name: largest(name) for name in names},
        "outcomes": [
            {k: round(v, 4) if isinstance(v, float) else v for k, v in attrs.asdict(outcome).items()}
            for outcome in outcomes
        ],
    }
