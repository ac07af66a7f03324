"""Paths with times: driven by them, to the goal, and by what the robot can follow."""

import math

import numpy as np
import pytest

from mppi_maml_ros.control.config import ControlConfig
from mppi_maml_ros.control.loop import ControlLoop
from mppi_maml_ros.control.path_follower import PathFollower
from mppi_maml_ros.core.types import OdometryMessage, VelocityLimits
from mppi_maml_ros.dynamics.reach import Reach
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.safety.codes import Code, State
from mppi_maml_ros.simulation.firmware_parameters import FirmwareParameters
from mppi_maml_ros.simulation.firmware_world import FirmwareWorld
from mppi_maml_ros.weights.slot import WeightsSlot

DT = 0.05
SPEED = 0.4
X = np.linspace(0.0, 4.0, 41)
LINE = np.column_stack([X, 0 * X, 0 * X])
TIMES = X / SPEED  # 10 s


def follower(**settings):
    return PathFollower(ControlConfig(**settings))


def led(made, seconds, start=1000.0, away=0.0):
    """Targets of a robot that is always so far behind where it is wanted."""
    targets, pose = [], np.zeros(5)
    for k in range(round(seconds / DT)):
        target = made.target(start + k * DT, pose, DT)
        wanted = target.window[0]
        pose = np.array([wanted[0] - away, *wanted[1:], SPEED, 0.0])
        targets.append(target)
    return targets


def test_the_robot_is_wanted_where_the_times_say_from_its_start_on():
    made = follower(timing="clock")
    assert made.handle_path("odom", LINE, stamps=TIMES, now=1000.0) == ""
    targets = led(made, 9.0, start=1003.0)
    wanted = [target.window[0, 0] for target in targets]
    np.testing.assert_allclose(wanted, SPEED * DT * np.arange(180), atol=1e-6)
    assert all(target.halt is None for target in targets)
    assert targets[100].remaining == pytest.approx(2.0)
    np.testing.assert_allclose(targets[0].goal, LINE[-1])


@pytest.mark.parametrize(("early", "first"), [(-2.0, 0.8), (1.5, 0.0)])
def test_a_path_on_the_clock_is_joined_where_it_is_and_waited_for_if_it_is_early(early, first):
    made = follower(timing="clock")
    assert made.handle_path("odom", LINE, stamps=1000.0 + early + TIMES, now=1000.0) == ""
    targets = led(made, 4.0)
    assert targets[0].window[0, 0] == pytest.approx(first)
    assert targets[60].window[0, 0] == pytest.approx(SPEED * (3.0 - early))


def test_without_times_the_same_path_is_driven_by_the_robots_own_progress():
    made = follower()
    for stamps in ((), np.zeros(41), 900.0 + TIMES):
        assert made.handle_path("odom", LINE, stamps=stamps, now=1000.0) == ""
        assert made.target(1000.0, np.array([1.0, 0.0, 0.0, 0.0, 0.0]), DT).window[0, 0] == 1.0


@pytest.mark.fault(18)
def test_times_that_cannot_be_driven_stop_the_robot_and_the_pose_is_named():
    made = follower()
    made.handle_path("odom", LINE)
    bad = TIMES.copy()
    bad[7] = bad[5]
    told = made.handle_path("odom", LINE, stamps=bad, now=1000.0)
    assert "pose 7 of 41" in told
    assert made.waiting().code is Code.INVALID_PATH and made.waiting().reason == told
    assert made.handle_path("odom", LINE, stamps=TIMES, now=1000.0) == "" and made.waiting() is None


def test_the_goal_counts_once_the_time_is_over():
    """A path that ends where it begins is not done at once."""
    around = np.vstack([LINE, LINE[::-1]])
    times = np.concatenate([TIMES, 12.0 + TIMES])
    made = follower(timing="clock")
    made.handle_path("odom", around, stamps=times, now=1000.0)
    targets = led(made, 25.0)
    reached = [target.halt is not None and target.halt.state is State.GOAL_REACHED for target in targets]
    assert not any(reached[: round(21.9 / DT)]) and reached[-1]


def test_a_path_told_again_does_not_begin_anew_and_may_be_driven_again_at_its_end():
    made = follower(timing="clock")

    def tell():
        return made.handle_path("odom", LINE, stamps=TIMES, now=1000.0)

    tell()
    led(made, 5.0)
    assert tell() == ""
    at = led(made, 10.0, start=1005.0)
    assert at[0].window[0, 0] == pytest.approx(2.0)
    assert at[-1].halt.state is State.GOAL_REACHED
    tell()
    assert made.target(1020.0, np.zeros(5), DT).window[0, 0] == 0.0


@pytest.mark.parametrize("away", [0.0, 0.5])
def test_a_trajectory_told_again_when_its_times_are_over_goes_on_and_another_is_refused(away):
    made = follower(timing="clock")

    def tell(stamps, now):
        return made.handle_path("odom", LINE, stamps=stamps, timed=True, now=now)

    tell(1000.0 + TIMES, 1000.0)
    before = led(made, 10.5, away=away)[-1].halt
    assert (before is not None and before.state is State.GOAL_REACHED) is (away == 0.0)
    assert tell(1000.0 + TIMES, 1010.5) == "" and made.waiting() is None
    assert made.target(1010.5, np.array([4.0 - away, 0.0, 0.0, 0.0, 0.0]), DT).halt == before
    assert tell(999.0 + TIMES, 1010.5) == "the last of its times was 1.5 s ago"
    assert made.waiting().code is Code.INVALID_PATH


def test_its_clock_stands_still_while_the_robot_is_not_driven_and_a_reset_begins_anew():
    made = follower(timing="clock")
    made.handle_path("odom", LINE, stamps=TIMES, now=1000.0)
    led(made, 3.0)
    made.hold()
    assert led(made, 0.1, start=1100.0)[0].window[0, 0] == pytest.approx(SPEED * 2.95)
    made.restart()
    assert led(made, 0.1, start=1200.0)[0].window[0, 0] == 0.0


def test_a_path_faster_than_the_robot_is_slowed_and_the_status_says_so():
    made = follower()
    made.learn(Reach(0.2, 0.2, 1.9, (0.1, 0.1), (0.0, 0.0), True))
    made.handle_path("odom", LINE, stamps=TIMES, now=1000.0)
    targets = led(made, 8.0)
    assert targets[-1].rate == pytest.approx(0.85 * 0.2 / SPEED, rel=0.05)
    assert "the robot reaches at most 0.20 m/s" in targets[-1].remark
    clock = follower(timing="clock")
    clock.handle_path("odom", LINE, stamps=TIMES, now=1000.0)
    assert led(clock, 8.0)[-1].rate == 1.0


def test_a_robot_far_from_where_the_path_is_is_stopped():
    made = follower(far_from_path=1.0)
    made.handle_path("odom", LINE, stamps=1000.0 - 5.0 + TIMES, now=1000.0)
    halt = made.target(1000.0, np.zeros(5), DT).halt
    assert halt.code is Code.FAR_FROM_PATH and "2.00 m" in halt.reason


def test_a_stuck_robot_fails_although_a_planner_replans():
    made = follower(movement_time_allowance=2.0, timing="clock", far_from_path=50.0)
    state, halts = np.zeros(5), []
    for k in range(round(4.0 / DT)):
        now = 1000.0 + k * DT
        if k % 20 == 0:
            assert made.handle_path("odom", LINE, stamps=now + TIMES + 0.1, now=now) == ""
            made._timetable._joined, made._timetable._time = True, 0.5
        halts.append(made.target(now, state, DT).halt)
    assert halts[30] is None and halts[-1].code is Code.FAILED_TO_MAKE_PROGRESS


def test_a_robot_that_does_not_reach_the_goal_fails():
    made = follower(movement_time_allowance=2.0, timing="clock")
    made.handle_path("odom", LINE, stamps=TIMES, now=1000.0)
    halt = led(made, 13.0, away=0.5)[-1].halt
    assert halt.code is Code.FAILED_TO_MAKE_PROGRESS and "goal" in halt.reason


def test_a_path_in_a_frame_that_moves_is_driven_there():
    made = follower(timing="clock")
    made.set_origin("map", [1.0, 2.0, math.pi / 2])
    assert made.handle_path("map", LINE, stamps=TIMES, now=1000.0) == ""
    target = made.target(1000.0, np.array([1.0, 2.0, math.pi / 2, 0.0, 0.0]), DT)
    np.testing.assert_allclose(target.goal, [1.0, 6.0, math.pi / 2])
    np.testing.assert_allclose(target.window[20], [1.0, 2.0 + SPEED, math.pi / 2], atol=1e-9)


@pytest.mark.fault(19)
@pytest.mark.parametrize("timing", ["auto", "clock", "progress"])
def test_whatever_a_path_with_times_asks_for_commands_stay_within_the_limits(drive, timing):
    rng = np.random.default_rng(3)
    for _ in range(40):
        ready = drive(reference="plan", timing=timing, far_from_path=float(rng.choice([1.0, 1e3])))
        ready.run(0.3)
        count = int(rng.choice([2, 3, 50]))
        poses = rng.normal(size=(count, 3)) * 10.0 ** rng.integers(-3, 3)
        stamps = np.cumsum(rng.uniform(0.002, 1.0, count) * 10.0 ** rng.integers(-2, 6))
        stamps += ready.t - stamps[0] if rng.random() < 0.5 else -stamps[0]
        told = ready.loop.handle_path("odom", poses, bool(rng.random() < 0.8), stamps, now=ready.t)
        assert not told or "pose" in told
        out = ready.run(1.5)  # each output is held against the limits
        assert out.state is not State.STOPPED or out.code in (Code.FAR_FROM_PATH, Code.INVALID_PATH)


def test_a_robot_is_where_a_path_with_times_wants_it_when_it_wants_it_there():
    """MPPI on a simulated base with lag: out, a rest of two seconds, a turn on the spot, and on."""
    corner = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [2.0, 0.0, 0.0], [2.0, 0.0, 1.57], [2.0, 1.5, 1.57]])
    times = np.array([0.0, 5.0, 7.0, 9.0, 13.0])
    limits = VelocityLimits()
    config = ControlConfig(reference="plan", limits=limits, prior="kinematic")
    loop = ControlLoop(config, MPPIController(MPPIConfig(), limits, seed=1), WeightsSlot(config.model_dt))
    world = FirmwareWorld(FirmwareParameters(), 1)
    world.reset(start=[0.0, 0.0, 0.0])
    errors, out, command = [], None, np.zeros(2)
    for k in range(round(16.0 / DT)):
        now = 1000.0 + k * DT
        odometry = world.odometry()
        loop.handle_odometry(OdometryMessage.planar(now, odometry), now, now)
        if k == 10:
            assert loop.handle_path("odom", corner, stamps=now + 0.5 + times, now=now) == ""
        out = loop.tick(now, now)
        if k >= 10:
            wanted = [np.interp(now - 1001.0, times, column) for column in corner.T[:2]]
            errors.append(math.dist(world.state[:2], wanted))
        command = out.command
        world.step(command, DT)
    assert max(errors) < 0.15 and np.sqrt(np.mean(np.square(errors))) < 0.06
    assert out.state is State.GOAL_REACHED and not command.any()
