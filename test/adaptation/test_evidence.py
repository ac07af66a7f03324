"""What is not to be believed is not learned from, and what was learned from it is taken back."""

import math

import numpy as np
import pytest

from mppi_maml_ros.adaptation.attempt import Decision
from mppi_maml_ros.adaptation.evidence import CONSTANT, Evidence, Installed, contradictory
from mppi_maml_ros.adaptation.online import OnlineAdaptation, OnlineConfig
from mppi_maml_ros.core.se2 import integrate
from mppi_maml_ros.core.types import Odometry
from mppi_maml_ros.dynamics.residual import ResidualWeights

SLOW = ResidualWeights.first_order((0.35, 0.25), gain=(0.7, 0.8), delay=0.05)


@pytest.fixture
def learned(meta, drive):
    """An adaptation that has learned a slow robot over eight seconds and serves it since."""
    loop = OnlineAdaptation(meta, OnlineConfig(adapter="physics"))
    drive(loop.add_odometry, loop.add_command, SLOW)
    assert loop.attempt().decision is Decision.ACCEPTED
    loop.installed()
    return loop


def feed(loop, twist, start=10.0, seconds=2.0, command=(0.5, 0.3), moves=True, noise=1e-6):
    """A robot that says ``twist`` and moves along x, at 20 Hz."""
    for k in range(round(20 * seconds)):
        t = start + 0.05 * k
        loop.add_command(t, command)
        pose = np.array([0.02 * k * moves, 0.0, 0.0])
        said = np.asarray(twist, dtype=float) + noise * (k % 2)
        loop.add_odometry(Odometry(t, pose, said), continuous=k > 0)


@pytest.mark.fault(61)
def test_a_held_robot_adds_nothing_and_no_attempt_is_made(learned):
    before, serving = learned.samples, learned.serving
    feed(learned, (0.0, 0.0), moves=False)
    assert "blocked" in learned.evidence.objection
    assert learned.samples <= before
    attempt = learned.attempt()
    assert not learned.due
    assert attempt.decision is Decision.SKIPPED_NOT_TRUSTED and "has not moved" in attempt.reason
    assert learned.serving is serving


@pytest.mark.fault(88)
def test_from_a_base_that_does_not_obey_nothing_is_learned_and_what_was_is_taken_back(learned):
    good = learned.serving
    feed(learned, (0.4, 0.0), command=(0.4, 0.0))
    bad = learned._offered = ResidualWeights.first_order((0.1, 0.1), gain=(-0.1, 0.1))
    learned.installed()
    assert learned.serving is bad
    for k in range(40):
        t = 12.0 + 0.05 * k
        learned.add_command(t, (0.0, 0.0))
        learned.add_odometry(
            Odometry(t, np.array([0.8 + 0.02 * k, 0.0, 0.0]), np.array([0.4 + 1e-6 * (k % 2), 0.0]))
        )
    assert "does not obey" in learned.evidence.objection
    attempt = learned.attempt()
    assert attempt.decision is Decision.ROLLED_BACK and attempt.weights is good
    learned.installed()
    assert learned.attempt().decision is Decision.SKIPPED_NOT_TRUSTED
    assert not (learned.buffer.latest().stamps > 10.1).any()


@pytest.mark.fault(61)
@pytest.mark.fault(58)
def test_weights_learned_from_what_is_not_believed_are_taken_back(learned, drive):
    good = learned.serving
    feed(learned, (0.0, 0.0), seconds=0.4)
    bad = learned._offered = ResidualWeights.first_order((0.1, 0.1), gain=(0.1, 0.1))
    learned.installed()
    assert learned.serving is bad
    learned.distrust(since=10.1, why="the twist lies")
    assert learned.due
    attempt = learned.attempt()
    assert attempt.decision is Decision.ROLLED_BACK and attempt.weights is good
    assert "the twist lies" in attempt.reason
    learned.refused()
    assert learned.attempt().weights is good  # until it is installed
    learned.installed()
    assert learned.serving is good
    assert not (learned.buffer.latest().stamps + 0.05 > 10.1).any()


def test_where_nothing_served_before_the_prior_is_taken_back_to(meta, drive):
    loop = OnlineAdaptation(meta, OnlineConfig(adapter="physics"))
    drive(loop.add_odometry, loop.add_command, SLOW)
    loop.attempt()
    loop.installed()
    loop.distrust(since=-1.0, why="all of it")
    attempt = loop.attempt()
    assert attempt.decision is Decision.ROLLED_BACK and attempt.weights.is_prior
    loop.installed()
    assert loop.serving is None and loop.samples == 0


def test_what_served_all_along_is_not_offered_again(learned):
    learned.distrust(since=10.5, why="too late to matter")
    assert learned.attempt().decision is not Decision.ROLLED_BACK


@pytest.mark.fault(58)
def test_a_twist_of_zero_empties_the_buffer_and_the_rate_of_the_pose_fills_it(meta):
    loop = OnlineAdaptation(meta, OnlineConfig(adapter="physics"))
    feed(loop, (0.0, 0.0), start=0.0, seconds=4.0)
    assert "is zero" in loop.evidence.remark and not loop.evidence.objection
    data = loop.buffer.latest()
    assert len(data) > 20
    assert data.states[:, 3] == pytest.approx(0.4, abs=1e-6)


@pytest.mark.fault(58)
def test_with_odom_as_its_source_a_contradictory_twist_is_not_learned_from(meta):
    loop = OnlineAdaptation(meta, OnlineConfig(adapter="physics", twist_source="odom"))
    feed(loop, (0.0, 0.0), start=0.0, seconds=4.0)
    assert loop.samples == 0
    attempt = loop.attempt()
    assert attempt.decision is Decision.SKIPPED_NOT_TRUSTED and "not learned from" in attempt.reason


@pytest.mark.fault(63)
def test_an_emergency_stop_that_is_announced_ends_learning_until_it_is_released(learned):
    learned.set_emergency_stop(True)
    before = learned.samples
    feed(learned, (0.4, 0.0))
    assert learned.samples == before
    assert "emergency stop" in learned.attempt().reason
    learned.set_emergency_stop(False)
    assert learned.evidence.objection == ""
    feed(learned, (0.4, 0.0), start=13.0, seconds=0.8)
    assert learned.samples > before


@pytest.mark.fault(58)
def test_a_twist_that_does_not_change_by_a_bit_is_not_learned_from_for_long(meta):
    loop = OnlineAdaptation(meta, OnlineConfig(adapter="physics"))
    feed(loop, (0.4, 0.0), start=0.0, seconds=6.0, noise=0.0)
    assert loop.samples * 0.05 <= CONSTANT + 0.1
    assert "has been the same" in loop.evidence.objection


@pytest.mark.fault(60)
def test_answers_that_come_before_their_commands_are_told_and_not_learned_from(meta, drive):
    loop = OnlineAdaptation(meta, OnlineConfig(adapter="physics"))

    def early(sample):
        return loop.add_odometry(Odometry(sample.stamp - 0.25, sample.pose, sample.twist))

    drive(early, loop.add_command, SLOW, noise=1e-4)
    attempt = loop.attempt()
    assert attempt.decision is Decision.SKIPPED_NOT_TRUSTED
    assert "the clock of the base is behind by at least" in attempt.reason
    assert 0.1 <= loop.evidence.clock.lead <= 0.25


@pytest.mark.fault(58)
@pytest.mark.parametrize(
    ("said", "contradicts"), [((0.0, 0.0), True), ((0.4, 0.0), False), ((0.4, 0.6), True)]
)
def test_a_few_transitions_whose_twist_and_pose_disagree_are_not_decided_by(meta, said, contradicts):
    """The checks take longer than six transitions do, since they bear with a twist that is late."""
    loop = OnlineAdaptation(meta, OnlineConfig(adapter="physics"))
    for k in range(46):
        twist = (0.4, 1e-6 * (k % 2)) if k <= 40 else said
        loop.add_command(0.05 * k, (0.5, 0.3))
        loop.add_odometry(Odometry(0.05 * k, np.array([0.02 * k, 0.0, 0.0]), np.array(twist)), k > 0)
    assert loop.evidence.objection == ""
    assert contradictory(loop.buffer.latest()) is contradicts
    attempt = loop.attempt()
    assert (attempt.decision is Decision.SKIPPED_NOT_TRUSTED) is contradicts
    if contradicts:
        assert attempt.reason == "twist and pose of the newest odometry disagree"
        assert not loop.due  # until there is something new


def test_nothing_contradicts_where_there_is_nothing(meta):
    assert not contradictory(OnlineAdaptation(meta, OnlineConfig()).buffer.latest())


@pytest.mark.fault(58)
@pytest.mark.parametrize("seed", range(20))
def test_a_pose_with_noise_does_not_contradict_the_twist(meta, seed):
    """5 mm and .01 rad, which is .14 m/s and .28 rad/s from one pose to the next."""
    rng, loop = np.random.default_rng(seed), OnlineAdaptation(meta, OnlineConfig(adapter="physics"))
    found = []
    for k in range(60):
        pose = np.array([0.02 * k, 0.0, 0.0]) + rng.normal(0.0, (0.005, 0.005, 0.01))
        loop.add_command(0.05 * k, (0.5, 0.3))
        loop.add_odometry(Odometry(0.05 * k, pose, np.array([0.4, 1e-6 * (k % 2)])), k > 0)
        found.append(len(loop.buffer) > 0 and contradictory(loop.buffer.latest()))
    assert np.mean(found) < 0.05


@pytest.mark.fault(58)
@pytest.mark.parametrize(
    ("adapter", "learns"),
    [("physics", "physics"), ("maml", "maml"), ("rls", "physics"), ("ekf", "physics")],
)
def test_what_knows_no_robots_does_not_learn_from_the_rate_of_the_pose(meta, adapter, learns):
    loop = OnlineAdaptation(meta, OnlineConfig(adapter=adapter))
    feed(loop, (0.0, 0.0), start=0.0, seconds=4.0)
    assert loop.evidence.twist.replaced and not loop.evidence.objection
    assert loop.samples > 20 and loop.adapter.name == learns


def test_a_user_who_chose_the_rate_of_the_pose_has_every_adapter_learn_from_it(meta):
    loop = OnlineAdaptation(meta, OnlineConfig(adapter="rls", twist_source="pose"))
    feed(loop, (0.0, 0.0), start=0.0, seconds=4.0)
    assert not loop.evidence.twist.replaced and loop.samples > 20


def test_a_jump_of_the_clock_forgets_what_was_held(learned):
    feed(learned, (0.0, 0.0), moves=False)
    learned.reset()
    assert learned.evidence.objection == ""


def test_what_served_when_is_known():
    installed, first, second = Installed(), object(), object()
    assert installed.before(1.0) is None
    installed.add(2.0, first)
    installed.add(3.0, second)
    assert [installed.before(t) for t in (1.9, 2.0, 2.9, 3.0, 9.0)] == [None, first, first, second, second]
    installed.clear()
    assert installed.before(9.0) is None


def test_commands_that_are_not_finite_are_ignored():
    evidence = Evidence("auto", None)
    evidence.add_command(0.0, (float("nan"), 0.0))
    evidence.add_command(float("inf"), (1.0, 0.0))
    assert evidence.take(Odometry(0.0, np.zeros(3), np.zeros(2))) is not None


@pytest.mark.fault(58)
def test_a_twist_that_is_taken_from_the_pose_is_not_held_against_it(meta):
    """It lags behind: where the robot swings, more than what contradicts."""
    loop = OnlineAdaptation(meta, OnlineConfig(adapter="physics"))
    feed(loop, (0.0, 0.0), start=0.0, seconds=4.0)
    assert loop.evidence.twist.replaced
    for k in range(40):
        stamp, along = 4.0 + 0.05 * k, 0.4 * math.sin(0.05 * k * 12.0) / 12.0
        loop.add_command(stamp, (0.5, 0.3))
        loop.add_odometry(Odometry(stamp, np.array([along, 0.0, 0.0]), np.zeros(2)))
    assert loop.attempt().decision is not Decision.SKIPPED_NOT_TRUSTED


@pytest.mark.fault(58)
def test_an_axis_that_is_contradicted_later_takes_back_only_what_came_since():
    """What the pose taught in place of the other axis, which lied from the beginning, stays."""
    evidence, pose, taken_back = Evidence("auto", None), np.zeros(3), []
    for k in range(400):
        t, v, omega = 0.05 * k, 0.4, 0.6 * math.sin(0.05 * k)
        evidence.add_command(t, (v, omega))
        said = np.array([1e-3 * (k % 2), omega if t < 12.0 else 1e-3 * (k % 2)])
        evidence.take(Odometry(t, pose.copy(), said), continuous=k > 0)
        if math.isfinite(evidence.untrusted_since):
            taken_back.append((t, evidence.untrusted_since))
            evidence.untrusted_since = math.inf
        pose = integrate(pose, np.array([v, 0.0, omega]), 0.05)
    (first, since_start), (then, since_later) = taken_back
    assert first < 4.0 and since_start < 1.0
    assert 12.0 < then < 16.0 and 9.0 < since_later < 13.0
    assert evidence.twist.consistency.since() == since_start
