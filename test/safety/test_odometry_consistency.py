"""Twist against displacement: what contradicts is named, and nothing else is."""

import math

import numpy as np
import pytest

from mppi_maml_ros.core import se2
from mppi_maml_ros.core.types import Odometry, VelocityLimits
from mppi_maml_ros.safety.odometry_consistency import Contradiction, OdometryConsistency, contradictions
from mppi_maml_ros.simulation.commands import tracking_commands
from mppi_maml_ros.simulation.worlds import WORLDS, make_world

SAYS = {
    Contradiction.ZERO: lambda pose, twist, command: np.zeros(2),
    Contradiction.SIGN: lambda pose, twist, command: -twist,
    Contradiction.FRAME: lambda pose, twist, command: twist * np.array([math.cos(pose[2]), 1.0]),
    Contradiction.ECHO: lambda pose, twist, command: command,
    Contradiction.HANGING: lambda pose, twist, command: np.array([0.9, -0.7]),
    Contradiction.SCALE: lambda pose, twist, command: 1.6 * twist,
}


def drive(says=lambda pose, twist, command: twist, rate=50.0, seconds=20.0, noise=0.002, gain=0.75, seed=0):
    """A robot that turns and reaches ``gain`` of its command; (samples, commands)."""
    random = np.random.default_rng(seed)
    pose, twist, samples, commands = np.zeros(3), np.zeros(2), [], []
    for k in range(round(seconds * rate)):
        t = k / rate
        command = np.array([0.3 + 0.1 * math.sin(0.7 * t), 0.5 + 0.2 * math.sin(0.4 * t)])
        commands.append((t, command))
        measured = pose + noise * random.standard_normal(3)
        jitter = 2.0 * noise * random.standard_normal(2) * (says is not SAYS[Contradiction.HANGING])
        samples.append(Odometry(t, measured, says(pose, twist, command) + jitter))
        twist = twist + (gain * command - twist) / rate / 0.3
        pose = se2.integrate(pose, np.array([twist[0], 0.0, twist[1]]), 1.0 / rate)
    return samples, commands


@pytest.mark.fault(58)
@pytest.mark.parametrize("rate", [10.0, 50.0])
@pytest.mark.parametrize("contradiction", list(SAYS))
def test_a_twist_that_contradicts_the_pose_is_named(contradiction, rate):
    found = contradictions(*drive(SAYS[contradiction], rate))
    assert found[0].contradiction is contradiction and contradiction.value in str(found[0])
    assert all(finding.contradiction is contradiction for finding in found.values())


@pytest.mark.fault(58)
@pytest.mark.parametrize("says", [SAYS[Contradiction.ZERO], SAYS[Contradiction.ECHO]])
def test_it_is_found_within_a_second_and_a_half_of_driving(says):
    samples, commands = drive(says)
    consistency = OdometryConsistency()
    for sample, command in zip(samples, commands, strict=True):
        consistency.add_command(*command)
        if consistency.add_odometry(sample):
            break
    assert sample.stamp <= 1.5 and consistency.contradicted(0)
    assert consistency.since() <= 0.5


@pytest.mark.parametrize("rate", [10.0, 20.0, 50.0])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_robot_that_says_what_it_does_is_believed(rate, noise):
    assert contradictions(*drive(rate=rate, noise=noise)) == {}


@pytest.mark.parametrize("late", [0.1, 0.2])
def test_a_twist_that_comes_late_is_no_contradiction(late):
    samples, commands = drive()
    behind = round(late * 50.0)
    delayed = [
        Odometry(s.stamp, s.pose, before.twist)
        for s, before in zip(samples[behind:], samples[:-behind], strict=True)
    ]
    assert contradictions(delayed, commands) == {}


@pytest.mark.parametrize("name", [name for name in WORLDS if name not in ("echo", "perturbed", "firmware")])
def test_no_world_raises_a_false_alarm(name):
    """Slip, dead bands, delays, noise, coarse encoders; in perturbed displacements really are scaled."""
    world = make_world(name, 3, noise_scale=1.0, duration=20.0)
    commands = tracking_commands(np.random.default_rng(10), 1, 400, 0.05, VelocityLimits())[0]
    samples = []
    for command in commands:
        row = world.step(command, 0.05)
        stamp = world.time - world.odometry_age
        if not samples or stamp > samples[-1].stamp + 1e-9:
            samples.append(Odometry(stamp, row[:3], row[3:]))
    assert contradictions(samples, [(0.05 * k, command) for k, command in enumerate(commands)]) == {}


def test_a_contradiction_is_over_after_ten_seconds_of_agreement_and_twice_as_many_the_next_time():
    wrong, _ = drive(SAYS[Contradiction.ZERO], seconds=3.0)
    right, _ = drive(seconds=30.0)
    consistency, changes = OdometryConsistency(), []
    for samples, start in ((wrong, 0.0), (right, 3.0), (wrong, 33.0), (right, 36.0)):
        for k, sample in enumerate(samples):
            moved = Odometry(start + sample.stamp, sample.pose, sample.twist)
            if consistency.add_odometry(moved, continuous=k > 0):
                changes.append((moved.stamp, bool(consistency.findings)))
    over = [stamp for stamp, found in changes if not found]
    assert len(over) == 2
    assert 10.0 <= over[0] - 3.0 <= 14.0 and 20.0 <= over[1] - 36.0 <= 24.0


def test_a_jump_of_the_pose_is_no_motion():
    samples, commands = drive()
    jump = np.array([2.0, 1.0, 0.5])
    jumped = [Odometry(s.stamp, s.pose + (s.stamp > 5.0) * jump, s.twist) for s in samples]
    consistency = OdometryConsistency()
    assert not any(consistency.add_odometry(s, continuous=abs(s.stamp - 5.02) > 1e-6) for s in jumped)
