"""Paths: taken or refused, followed to the goal, in frames that move."""

import numpy as np
import pytest

from mppi_maml_ros.control.config import ControlConfig
from mppi_maml_ros.control.path_follower import PathFollower
from mppi_maml_ros.core.angles import wrap
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.safety.codes import Code, State

DT = 0.05
X = np.linspace(0.0, 5.0, 51)
AHEAD = np.column_stack([X, 0 * X, 0 * X])
START = np.zeros(5)


def at(x, y=0.0, yaw=0.0):
    return np.array([x, y, yaw, 0.0, 0.0])


@pytest.fixture
def follower():
    return PathFollower(ControlConfig(far_from_path=1.0, movement_time_allowance=2.0))


def test_without_a_path_a_plan_is_waited_for(follower):
    assert follower.waiting().state is State.WAITING_FOR_PLAN
    assert follower.target(0.0, START, DT).halt.state is State.WAITING_FOR_PLAN


@pytest.mark.parametrize(
    ("frame", "poses", "reason"),
    [("map", AHEAD, "'map'"), ("odom", AHEAD[:0], "empty"), ("odom", AHEAD * np.nan, "NaN")],
)
def test_a_path_that_cannot_be_followed_is_refused_with_the_reason(follower, frame, poses, reason):
    follower.handle_path("odom", AHEAD)
    told = follower.handle_path(frame, poses)
    halt = follower.waiting()
    assert reason in told and halt.code is Code.INVALID_PATH and halt.reason == told


def test_a_window_leads_along_the_path_to_its_goal(follower):
    assert follower.handle_path("odom", AHEAD) == ""
    target = follower.target(0.0, at(1.0, 0.1), DT)
    assert target.halt is None and len(target.window) == ControlConfig().time_steps + 1
    assert (np.diff(target.window[:, 0]) >= 0.0).all()
    np.testing.assert_allclose(target.goal, [5.0, 0.0, 0.0])
    assert target.remaining == pytest.approx(4.0, abs=0.1)


def test_a_robot_that_rests_beside_its_path_is_led_on_until_it_moves():
    follower = PathFollower(ControlConfig())
    follower.handle_path("odom", AHEAD)

    def led_by(x, seconds):
        for _ in range(round(seconds / DT)):
            window = follower.target(0.0, at(x, 0.1), DT).window
        return window[0, 0] - x

    assert led_by(1.0, 1.4) == pytest.approx(0.0, abs=1e-9)
    assert led_by(1.0, 2.0) == pytest.approx(0.19, abs=0.02)
    assert led_by(1.0, 5.0) == pytest.approx(0.3, abs=1e-6)
    assert led_by(1.2, 0.1) == pytest.approx(0.0, abs=1e-9)


def test_a_frame_that_was_told_of_moves_the_path_with_it(follower):
    follower.set_origin("map", (1.0, 2.0, np.pi / 2))
    assert follower.handle_path("map", AHEAD) == ""
    np.testing.assert_allclose(follower.target(0.0, at(1.0, 2.0, np.pi / 2), DT).goal, [1.0, 7.0, np.pi / 2])
    follower.set_origin("map", (0.0, 0.0, 0.0))
    np.testing.assert_allclose(follower.target(0.0, START, DT).goal, [5.0, 0.0, 0.0])


@pytest.mark.parametrize("origin", [(0.0, 0.0), (np.nan, 0.0, 0.0)])
def test_an_origin_that_is_no_pose_is_refused(follower, origin):
    with pytest.raises(InvalidValueError, match="origin of frame 'map'"):
        follower.set_origin("map", origin)


def test_a_robot_far_from_its_path_is_stopped_and_goes_on_when_it_is_nearer(follower):
    follower.handle_path("odom", AHEAD)
    assert follower.target(0.0, at(1.0, 1.1), DT).halt.code is Code.FAR_FROM_PATH
    assert follower.target(0.0, at(1.0, 0.95), DT).halt.code is Code.FAR_FROM_PATH, "hysteresis"
    assert follower.target(0.0, at(1.0, 0.85), DT).halt is None


def test_the_goal_is_reached_and_stays_reached(follower):
    follower.handle_path("odom", AHEAD)
    follower.target(0.0, START, DT)
    for x in np.arange(0.0, 5.0, 0.2):
        follower.target(0.0, at(x), DT)
    assert follower.target(0.0, at(4.95), DT).halt.state is State.GOAL_REACHED
    assert follower.target(0.0, at(4.0), DT).halt.state is State.GOAL_REACHED


@pytest.mark.fault(73)
@pytest.mark.parametrize("poses", [AHEAD[:, [1, 0, 2]], AHEAD[::-1], AHEAD[-1:]], ids=["up", "back", "place"])
def test_where_no_heading_is_wanted_the_goal_is_reached_at_any(follower, poses):
    assert follower.handle_path("odom", poses, headed=False) == ""
    x, y, _ = poses[-1]
    target = follower.target(0.0, at(poses[0, 0] - 0.5, poses[0, 1], 2.0), DT)
    if len(poses) > 1:
        along = wrap(np.arctan2(*(poses[-1] - poses[0])[1::-1]))
        np.testing.assert_allclose(target.window[:, 2], along, atol=1e-9)
        np.testing.assert_allclose(target.goal[2], along, atol=1e-9)
    else:
        np.testing.assert_allclose(target.window[:, 2], 2.0)
    for share in np.linspace(0.0, 0.99, 20):
        place = poses[0] + share * (poses[-1] - poses[0])
        out = follower.target(0.0, at(*place[:2], 2.0), DT)
    assert out.halt.state is State.GOAL_REACHED


@pytest.mark.fault(73)
def test_a_way_back_without_headings_is_not_driven_in_reverse_after_a_new_profile(follower):
    follower.handle_path("odom", np.vstack([AHEAD, AHEAD[::-1]]), headed=False)
    follower.configure(ControlConfig(desired_speed=0.4, far_from_path=1.0))
    for x in (*np.arange(0.0, 5.0, 0.2), 5.0, 4.9):
        target = follower.target(0.0, at(x), DT)
    assert abs(target.window[-1, 2]) == pytest.approx(np.pi, abs=1e-6)


@pytest.mark.fault(72)
def test_another_way_to_a_goal_without_a_heading_is_no_other_try(follower):
    from_the_side = np.column_stack([5.0 + 0 * X, 5.0 - X, 0 * X])[::-1] * [1.0, -1.0, 1.0] + [0.0, 5.0, 0.0]
    for step in range(50):
        path = AHEAD if step % 2 else np.vstack([AHEAD[:10], from_the_side[-10:]])
        follower.handle_path("odom", path, headed=False)
        halt = follower.target(0.0, START, DT).halt
    assert halt is not None and halt.code is Code.FAILED_TO_MAKE_PROGRESS


@pytest.mark.fault(72)
def test_the_same_place_with_another_heading_is_another_goal(follower):
    turned = AHEAD.copy()
    for step in range(50):
        turned[-1, 2] = 0.3 * (step // 20)
        follower.handle_path("odom", turned)
        assert follower.target(0.0, START, DT).halt is None


def test_no_progress_holds_until_a_restart(follower):
    follower.handle_path("odom", AHEAD)
    halts = [follower.target(0.0, at(1.0), DT).halt for _ in range(60)]
    assert halts[0] is None and halts[-1].code is Code.FAILED_TO_MAKE_PROGRESS
    assert follower.target(0.0, at(1.0), DT).halt.code is Code.FAILED_TO_MAKE_PROGRESS
    follower.restart()
    assert follower.target(0.0, at(1.0), DT).halt is None


def test_a_faster_profile_keeps_the_progress_on_the_path(follower):
    follower.handle_path("odom", AHEAD)
    for x in np.arange(0.0, 3.0, 0.2):
        follower.target(0.0, at(x), DT)
    before = follower.target(0.0, at(3.0), DT).remaining
    follower.configure(ControlConfig(desired_speed=0.9, far_from_path=1.0))
    assert follower.target(0.0, at(3.0), DT).remaining == pytest.approx(before, abs=1e-6)
