"""Robots that were calibrated, and drives of them."""

import math

import attrs
import pytest

from mppi_maml_ros.calibration.guided import DriveConfig, GuidedDrive, driven
from mppi_maml_ros.calibration.result import Calibration, Response
from mppi_maml_ros.calibration.simulated import SimulatedDriver
from mppi_maml_ros.calibration.world import CalibratedWorld

AXIS = Response(
    gain=0.8,
    gain_within=0.01,
    time_constant=0.2,
    time_constant_within=0.01,
    delay=0.1,
    delay_within=0.005,
    dead_band=0.0,
    dead_band_within=0.0,
    lost=0.0,
    acceleration=math.inf,
    deceleration=math.inf,
    explained=0.99,
    noise=0.01,
    linear_gain=0.8,
    linear_time_constant=0.2,
    linear_delay=0.1,
)
FOUND = Calibration(AXIS, AXIS, vx_max=0.5, vx_min=-0.5, wz_max=1.5, odometry_rate=40.0, seconds=80.0)


@pytest.fixture
def found():
    """A robot with the same axis twice."""
    return FOUND


@pytest.fixture
def record_of():
    """Drives a robot with other values of v, omega and the drive, and returns the record."""

    def drive(v=None, omega=None, config=None, rate=37.0):
        robot = attrs.evolve(
            FOUND, v=attrs.evolve(AXIS, **(v or {})), omega=attrs.evolve(AXIS, **(omega or {}))
        )
        driver = SimulatedDriver(CalibratedWorld(robot, seed=3), rate)
        return driven(GuidedDrive(driver, config or DriveConfig()))

    return drive
