"""A path as it was recorded while somebody led the robot, driven by the real controller."""

import numpy as np
import pytest

from mppi_maml_ros.control.config import ControlConfig
from mppi_maml_ros.control.loop import ControlLoop
from mppi_maml_ros.core import se2
from mppi_maml_ros.core.types import OdometryMessage, VelocityLimits
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.safety.codes import State
from mppi_maml_ros.weights.slot import WeightsSlot

DT = 0.05


def taught(spacing, noise, seed=0):
    """Four metres of a gentle slalom."""
    x = np.arange(0.0, 4.0 + 1e-9, spacing)
    path = np.column_stack([x, 0.2 * np.sin(1.5 * x), np.arctan(0.3 * np.cos(1.5 * x))])
    noisy = path + np.random.default_rng(seed).normal(size=path.shape) * [noise, noise, noise]
    noisy[-1] = path[-1]
    return noisy


def time_to_goal(path, patience=20.0):
    """Until the goal is reached [s], of a robot that does what it is told."""
    limits, mppi = VelocityLimits(), MPPIConfig(batch_size=300)
    config = ControlConfig(
        limits=limits, model="kinematic", xy_goal_tolerance=0.1, time_steps=mppi.time_steps
    )
    loop = ControlLoop(config, MPPIController(mppi, limits, 0), WeightsSlot(mppi.model_dt))
    pose, command = np.array([0.0, 0.0, 0.3]), np.zeros(2)
    for k in range(round(patience / DT)):
        now = 100.0 + k * DT
        loop.handle_odometry(OdometryMessage.planar(now, (*pose, *command)), now, now)
        if k == 10:
            assert loop.handle_path("odom", path) == ""
        out = loop.tick(now, now)
        if out.state is State.GOAL_REACHED:
            return (k - 10) * DT
        command = out.command
        pose = se2.integrate(pose, np.array([command[0], 0.0, command[1]]), DT)
    raise AssertionError(f"not there after {patience} s, but {out}")


@pytest.fixture(scope="module")
def clean_time():
    return time_to_goal(taught(0.05, 0.0))


@pytest.mark.fault(74)
@pytest.mark.parametrize("noise", [0.01, 0.02])
@pytest.mark.parametrize("spacing", [0.02, 0.05])
def test_a_taught_path_is_driven_about_as_fast_as_a_clean_one(clean_time, spacing, noise):
    assert time_to_goal(taught(spacing, noise)) <= 1.1 * clean_time


@pytest.mark.fault(74)
@pytest.mark.parametrize("seed", range(3))
def test_with_three_centimetres_of_noise_the_goal_is_reached(clean_time, seed):
    assert time_to_goal(taught(0.02, 0.03, seed)) <= 1.25 * clean_time
