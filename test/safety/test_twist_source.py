"""Which twist is gone by."""

import numpy as np
import pytest

from mppi_maml_ros.core import se2
from mppi_maml_ros.core.types import Odometry
from mppi_maml_ros.safety.twist_source import NOISE, TwistSource

TRUE = np.array([0.4, 0.3])


def feed(source, says=lambda twist: twist, seconds=3.0, rate=50.0, start=0.0, continuous=True):
    """A robot that drives steadily, and what is made of what it says."""
    pose, given = np.zeros(3), []
    for k in range(round(seconds * rate)):
        sample = Odometry(start + k / rate, pose, says(TRUE))
        given.append(source.take(sample, continuous or k > 0))
        pose = se2.integrate(pose, np.array([TRUE[0], 0.0, TRUE[1]]), 1.0 / rate)
    return given


@pytest.mark.fault(58)
@pytest.mark.parametrize("rate", [10.0, 20.0, 50.0])
def test_auto_takes_the_rate_of_the_pose_once_the_twist_contradicts_it(rate):
    source = TwistSource("auto")
    given = feed(source, lambda twist: np.zeros(2), rate=rate)
    assert given[0].twist == pytest.approx([0.0, 0.0])
    assert given[-1].twist == pytest.approx(TRUE, abs=1e-4)
    assert source.trusted and not source.believed and "taken from the pose instead" in source.remark


def test_auto_leaves_a_twist_that_agrees_to_the_last_bit():
    source = TwistSource("auto")
    assert all((sample.twist == TRUE).all() for sample in feed(source))
    assert source.trusted and source.believed and source.remark == ""


@pytest.mark.fault(58)
def test_odom_takes_the_twist_as_it_is_but_says_that_it_is_not_to_be_learned_from():
    source = TwistSource("odom")
    assert not any(sample.twist.any() for sample in feed(source, lambda twist: np.zeros(2)))
    assert not source.trusted and "not learned from" in source.remark


def test_pose_never_looks_at_the_twist():
    given = feed(TwistSource("pose"), lambda twist: np.array([9.0, -9.0]))
    assert given[0].twist == pytest.approx([0.0, 0.0])
    assert all(sample.twist == pytest.approx(TRUE, abs=5e-4) for sample in given[1:])


def test_the_rate_is_not_late_while_the_robot_speeds_up():
    source, acceleration = TwistSource("pose"), 1.0  # [m/s^2]
    for k in range(100):
        t = 0.02 * k
        given = source.take(Odometry(t, np.array([0.5 * acceleration * t**2, 0.0, 0.0]), np.zeros(2)))
    assert given.twist[0] == pytest.approx(acceleration * t, abs=1e-6)


@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_noise_of_the_pose_is_kept_from_the_rate(noise):
    source, random, rates = TwistSource("pose"), np.random.default_rng(0), []
    for k in range(400):
        pose = np.array([0.4 * 0.02 * k, 0.0, 0.0]) + noise * random.standard_normal(3)
        rates.append(source.take(Odometry(0.02 * k, pose, np.zeros(2))).twist)
    assert (np.std(rates[100:], axis=0) <= 1.4 * NOISE).all()


def test_only_the_axis_that_contradicts_is_taken_from_the_pose_once_the_other_was_seen_to_agree():
    source = TwistSource("auto")
    feed(source)
    given = feed(source, lambda twist: twist * np.array([-1.0, 1.0]) + np.array([0.0, 1e-3]), start=3.0,
                 continuous=False)  # fmt: skip
    assert given[-1].twist[0] == pytest.approx(TRUE[0], abs=1e-4)
    assert given[-1].twist[1] == TRUE[1] + 1e-3


def test_the_rate_does_not_reach_across_a_jump():
    source = TwistSource("pose")
    feed(source)
    jumped = source.take(Odometry(3.0, np.array([50.0, 0.0, 0.0]), np.zeros(2)), continuous=False)
    assert jumped.twist == pytest.approx([0.0, 0.0])


@pytest.mark.fault(58)
def test_a_doubt_is_known_before_the_verdict():
    source, doubted, found = TwistSource("auto"), None, None
    pose = np.zeros(3)
    for k in range(150):
        source.take(Odometry(0.02 * k, pose, -TRUE))
        pose = se2.integrate(pose, np.array([TRUE[0], 0.0, TRUE[1]]), 0.02)
        doubted = 0.02 * k if doubted is None and source.suspected else doubted
        found = 0.02 * k if found is None and source.consistency.findings else found
    assert doubted <= 0.4 < found <= 1.1
    assert not source.suspected
