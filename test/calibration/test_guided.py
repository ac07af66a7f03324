"""The drive: within its box and limits, and ended by zeros whatever ends it."""

import numpy as np
import pytest

from mppi_maml_ros.calibration.box import REACTION, Box, slowed
from mppi_maml_ros.calibration.excitation import program
from mppi_maml_ros.calibration.guided import ZEROS, DriveConfig, DriveStoppedError, GuidedDrive, driven
from mppi_maml_ros.calibration.simulated import SimulatedDriver, drawn
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import Odometry, VelocityLimits


class Watched(SimulatedDriver):
    """Keeps commands and true places; ``change`` may spoil what odometry says from ``after`` [s] on."""

    def __init__(self, world, rate, after=np.inf, change=lambda heard: heard):
        super().__init__(world, rate)
        self.world, self.after, self.change = world, after, change
        self.commands, self.places = [], []

    def drive(self, command):
        self.commands.append(np.array(command))
        heard = super().drive(command)
        self.places.append(self.world.state[:3])
        return self.change(heard) if self.now > self.after else heard


def watched(seed=0, **options):
    truth = drawn(seed, dead_bands=seed % 2 == 1)
    return Watched(truth.world, truth.rate, **options)


def zeros_at_the_end(driver):
    return (np.array(driver.commands[-ZEROS:]) == 0.0).all() and len(driver.commands) > ZEROS


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("box", [(1.2, 1.2), (3.0, 1.5)])
def test_a_drawn_robot_stays_in_its_box(seed, box):
    config = DriveConfig(length=box[0], width=box[1])
    driver = watched(seed)
    drive = GuidedDrive(driver, config)
    driven(drive)
    places = np.array(driver.places)
    assert np.abs(places[:, 0]).max() <= 0.5 * box[0] and np.abs(places[:, 1]).max() <= 0.5 * box[1]
    assert drive.elapsed < 90.0
    commands = np.array(driver.commands)
    assert np.abs(commands[:, 0]).max() <= config.limits.vx_max <= 0.5
    assert np.abs(commands[:, 1]).max() <= 1.5
    assert zeros_at_the_end(driver)


def test_a_robot_that_cannot_reverse_is_never_told_to():
    driver = watched(2)
    record = driven(GuidedDrive(driver, DriveConfig(vx_min=0.0, length=4.0, width=4.0)))
    commands = np.array(driver.commands)
    assert commands[:, 0].min() == 0.0 < commands[:, 0].max()
    assert np.abs(np.array(driver.places)[:, :2]).max() <= 2.0
    assert record.stamps[-1] < 95.0


def test_the_robot_slows_down_before_the_edge():
    box = Box((1.0, 2.0, 0.5 * np.pi), length=4.0, width=2.0)
    at = np.array([1.0, 3.4, 0.5 * np.pi])  # 0.6 m before its front edge
    assert box.ahead(at, 1.0) == pytest.approx(0.6) and box.ahead(at, -1.0) == pytest.approx(3.4)
    command = slowed(box, at, np.array([1.0, 0.3]))
    np.testing.assert_allclose(command, [0.6 / REACTION, 0.3])
    np.testing.assert_allclose(slowed(box, at, np.array([-1.0, 0.3])), [-1.0, 0.3])


def test_a_robot_that_is_outside_its_box_is_stopped():
    def outside(heard):
        return [Odometry(o.stamp, o.pose + [5.0, 0.0, 0.0], o.twist) for o in heard]

    driver = watched(after=10.0, change=outside)
    with pytest.raises(DriveStoppedError, match="left its box: it is .* m ahead"):
        driven(GuidedDrive(driver, DriveConfig()))
    assert driver.now < 10.5 and zeros_at_the_end(driver)


def test_silent_odometry_stops_the_robot():
    driver = watched(after=10.0, change=lambda heard: [])
    with pytest.raises(DriveStoppedError, match=r"no odometry for 0\.5"):
        driven(GuidedDrive(driver, DriveConfig(odom_timeout=0.5)))
    assert driver.now < 10.0 + 0.5 + 0.3 and zeros_at_the_end(driver)


def test_odometry_that_is_not_finite_stops_the_robot():
    def broken(heard):
        return [Odometry(o.stamp, o.pose * np.nan, o.twist) for o in heard]

    driver = watched(after=10.0, change=broken)
    with pytest.raises(DriveStoppedError, match="not finite"):
        driven(GuidedDrive(driver, DriveConfig()))
    assert driver.now < 10.3 and zeros_at_the_end(driver)


def test_without_odometry_nothing_moves():
    driver = watched(after=0.0, change=lambda heard: [])
    with pytest.raises(DriveStoppedError, match="no odometry for 5"):
        driven(GuidedDrive(driver, DriveConfig()))
    assert not np.any(driver.commands)


def test_a_key_stops_the_robot():
    driver = watched()
    drive = GuidedDrive(driver, DriveConfig(), lambda: "a key" if driver.now > 12.0 else "")
    with pytest.raises(DriveStoppedError, match="stopped by a key"):
        driven(drive)
    assert driver.now < 12.3 and np.any(driver.commands) and zeros_at_the_end(driver)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_whatever_is_raised_the_robot_is_told_to_stop(error):
    def interrupt(progress):
        if progress.done > 8.0:
            raise error

    driver = watched()
    with pytest.raises(error):
        driven(GuidedDrive(driver, DriveConfig()), interrupt)
    # the generator is closed with its last reference
    assert zeros_at_the_end(driver)


def test_the_program_is_within_limits_and_ninety_seconds():
    limits = VelocityLimits(vx_max=0.6, vx_min=-0.4, wz_max=1.2)
    segments = program(limits)
    assert 60.0 < sum(segment.duration for segment in segments) < 85.0
    for segment in segments:
        at = np.array([segment.command(t) for t in np.arange(0.0, segment.duration, 0.02)])
        assert (at >= limits.low).all() and (at <= limits.high).all()
        if not segment.held_out:
            assert not (at[:, 0] * at[:, 1]).any(), "one axis at a time"
    assert [segment.held_out for segment in segments] == [False] * (len(segments) - 1) + [True]


def test_a_box_that_is_too_small_is_refused():
    with pytest.raises(InvalidValueError, match="width"):
        DriveConfig(width=0.5)
    with pytest.raises(InvalidValueError, match="length of the box"):
        Box((0.0, 0.0, 0.0), 0.5, 2.0)
