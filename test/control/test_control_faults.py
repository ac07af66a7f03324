"""What the robot is told, and what the status says, under each fault of the table."""

import math
import time
from types import SimpleNamespace

import attrs
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from mppi_maml_ros.core.errors import NoValidControlError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.mppi import prediction
from mppi_maml_ros.references.figures import circle
from mppi_maml_ros.safety.codes import Code, State

NO_QUATERNION = (0.0, 0.0, 0.0, 0.0)


def is_running(out):
    return out.state is State.RUNNING


def is_stopped(out):
    return out.state is State.STOPPED


def slowed_down(outputs, since):
    """Seconds from output ``since`` on to the first that commands less than the one before."""
    for number in range(since, len(outputs)):
        if outputs[number].state is not State.RUNNING:
            return 0.05 * (number - since + 1)
    raise AssertionError("never")


@pytest.mark.fault(1)
def test_without_odometry_at_start_only_zero_goes_out(drive):
    ready = drive()
    ready.run(5.0, odometry=False)
    for out in ready.outputs:
        assert (
            (out.command == 0.0).all() and out.state is State.WAITING_FOR_ODOMETRY and out.code is Code.NONE
        )


@pytest.mark.fault(2)
@pytest.mark.fault(43)
@pytest.mark.parametrize("rate", [20.0, 50.0])
def test_when_odometry_stops_a_stop_begins_within_the_timeout_and_ends_in_zero(drive, rate):
    ready = drive(limits=VelocityLimits(vx_max=1.0))
    for _ in range(40):
        for _ in range(round(rate / 20.0)):
            ready.advance(1.0 / rate)
            ready.message()
        ready.tick()
    assert ready.outputs[-1].state is State.RUNNING and ready.command[0] > 0.3
    silent_since = len(ready.outputs)
    out = ready.until(is_stopped, 0.6, odometry=False)
    assert out.code is Code.ODOMETRY_TIMEOUT and out.reason
    assert slowed_down(ready.outputs, silent_since) <= 0.25 + 1e-9
    assert ready.run(10.0, odometry=False).command.tolist() == [0.0, 0.0]


@pytest.mark.fault(2)
def test_from_full_speed_the_command_is_zero_within_six_tenths_of_a_second(drive):
    ready = drive(limits=VelocityLimits(vx_max=1.0))
    ready.mppi.override = lambda state, reference: SimpleNamespace(command=np.array([1.0, 0.0]))
    ready.run(2.0)
    assert ready.command[0] == 1.0
    ready.until(is_stopped, 0.6, odometry=False)


@pytest.mark.fault(2)
def test_after_a_silence_five_good_messages_let_it_go_on(running):
    running.run(5.0, odometry=False)
    for _ in range(4):
        assert running.step().state is State.STOPPED
    assert running.step().state is State.RUNNING


@pytest.mark.fault(3)
def test_odometry_that_stutters_at_the_timeout_changes_the_state_at_most_once_a_second(running):
    rng = np.random.default_rng(3)
    changes, was_running = [], True
    next_message = running.t
    for step in range(1200):
        running.advance(0.05)
        if running.t >= next_message:
            running.message()
            next_message = running.t + rng.uniform(0.15, 0.35)
        if is_running(running.tick()) != was_running:
            was_running = not was_running
            changes.append(0.05 * step)
    assert changes and all(b - a >= 1.0 for a, b in zip(changes, changes[1:], strict=False))


@pytest.mark.fault(4)
@pytest.mark.parametrize("field, size", [("position", 3), ("orientation", 4), ("linear", 3), ("angular", 3)])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_odometry_that_is_not_finite_stops_the_robot_if_it_persists(running, field, size, bad):
    good = running.verdicts[-1].odometry
    out = running.step(**{field: (bad,) * size})
    assert out.state is State.RUNNING and running.loop.odometry is good
    out = running.until(is_stopped, 0.8, **{field: (bad,) * size})
    assert out.code is Code.ODOMETRY_INVALID and out.odometry_rejected > 5
    assert running.loop.odometry is good, "never in a buffer"
    running.run(2.0)
    running.until(is_running, 2.0)


@pytest.mark.fault(4)
def test_now_and_then_a_bad_message_does_not_stop_the_robot(running):
    for _ in range(50):
        running.message(linear=(math.nan, 0, 0))
        assert running.step().state is State.RUNNING
    assert running.outputs[-1].odometry_rejected == 50


@pytest.mark.fault(5)
@pytest.mark.parametrize("orientation", [NO_QUATERNION, (0.0, 0.0, 0.0, 1.02)])
def test_a_bad_quaternion_stops_the_robot_if_it_persists(running, orientation):
    out = running.until(is_stopped, 0.8, orientation=orientation)
    assert out.code is Code.ODOMETRY_INVALID and "norm" in out.reason


@pytest.mark.fault(6)
def test_a_single_outlier_is_flagged_and_not_followed(running):
    resets = running.mppi.resets
    out = running.step(position=(50.0, 50.0, 0.0))
    assert out.state is State.RUNNING and out.code is Code.ODOMETRY_TELEPORT and "jumped" in out.reason
    assert np.linalg.norm(out.predicted_pose[:2] - running.pose[:2]) < 0.1
    assert running.mppi.resets == resets + 1
    after = running.step()
    assert after.state is State.RUNNING and after.code is Code.NONE


@pytest.mark.fault(6)
def test_a_relocation_is_followed_from_its_second_message_on_with_a_new_warm_start(running):
    running.pose = running.pose + [2.0, 0.0, 0.0]
    assert running.step().code is Code.ODOMETRY_TELEPORT
    resets = running.mppi.resets
    out = running.step()
    assert out.state is State.RUNNING and running.verdicts[-1].relocated
    assert np.linalg.norm(out.predicted_pose[:2] - running.pose[:2]) < 0.1
    assert running.mppi.resets == resets + 1


@pytest.mark.fault(6)
def test_repeated_teleports_stop_the_robot(running):
    running.step(position=(50.0, 50.0, 0.0))
    running.step()
    out = running.step(position=(50.0, 50.0, 0.0))
    assert out.state is State.STOPPING and out.code is Code.ODOMETRY_TELEPORT
    running.until(is_stopped, 0.6)
    running.until(is_running, 3.0)


@pytest.mark.fault(7)
def test_a_robot_that_turns_through_pi_drives_on_smoothly(drive):
    ready = drive(pose=(0.0, 0.0, 3.0))
    ready.run(6.0)
    moving = [out for out in ready.outputs if out.state is State.RUNNING]
    assert len(moving) > 110 and all(out.code is Code.NONE for out in moving)
    assert {np.sign(out.predicted_pose[2]) for out in moving} == {-1.0, 1.0}
    commands = np.array([out.command for out in moving[40:]])
    assert abs(np.diff(commands, axis=0)).max() < 0.05
    assert max(abs(out.heading_error) for out in moving) < 0.5


@pytest.mark.fault(8)
def test_an_old_message_does_not_replace_the_newest_state(running):
    newest = running.loop.odometry
    running.message(stamp=running.t - 0.02, position=(99.0, 0.0, 0.0))
    assert running.loop.odometry is newest and running.step().state is State.RUNNING


@pytest.mark.fault(9)
def test_a_source_that_repeats_one_stamp_is_as_good_as_silent(running):
    frozen = running.t
    out = running.until(is_stopped, 0.6, stamp=frozen)
    assert out.code is Code.ODOMETRY_STALE and out.reason


@pytest.mark.fault(9)
def test_each_message_sent_twice_is_no_fault(running):
    for _ in range(60):
        running.advance(0.05)
        running.message()
        running.message()
        assert running.tick().state is State.RUNNING
    assert running.loop.counters["odometry_duplicate"] == 60


@pytest.mark.fault(10)
def test_odometry_without_stamps_is_usable_with_one_warning(drive):
    ready = drive()
    assert ready.run(2.0, stamp=0.0).state is State.RUNNING
    assert sum(bool(verdict.warning) for verdict in ready.verdicts) == 1


@pytest.mark.fault(11)
def test_stamps_in_the_future_do_not_postpone_the_stop(running):
    silent_since = len(running.outputs)
    for _ in range(20):
        running.step(stamp=running.t + 5.0)
    out = running.outputs[-1]
    assert out.state is State.STOPPED and out.code is Code.ODOMETRY_FUTURE and "ahead" in out.reason
    assert slowed_down(running.outputs, silent_since) <= 0.25 + 1e-9


@pytest.mark.fault(12)
def test_old_stamps_on_fresh_messages_stop_the_robot(running):
    for step in range(20):
        running.step(stamp=running.t - 3.0 + 0.05 * step)
    out = running.outputs[-1]
    assert out.state is State.STOPPED and out.code is Code.ODOMETRY_STALE and "old" in out.reason


@pytest.mark.fault(13)
def test_when_the_clock_jumps_back_everything_starts_anew_from_fresh_odometry(running):
    running.t -= 500.0
    running.advance(0.05)
    out = running.tick()
    assert out.state is State.STOPPING and out.code is Code.CLOCK_JUMP and "back" in out.reason
    assert out.predicted_pose is None
    assert running.until(is_stopped, 0.6, odometry=False).code is Code.CLOCK_JUMP
    running.run(2.0, odometry=False)  # longer than the history reaches
    resets = running.mppi.resets
    for _ in range(4):
        assert (running.step().command == 0.0).all()
    out = running.step()
    assert out.state is State.RUNNING and running.mppi.resets == resets + 1
    assert (running.mppi.calls[-1][3] == 0.0).all(), "no command of the time before"
    assert out.tracking_error == pytest.approx(0.0, abs=1e-9), "the figure begins anew"


@pytest.mark.fault(13)
def test_a_jump_back_that_a_message_shows_first_is_a_jump_as_well(running):
    running.t -= 500.0
    out = running.step()
    assert out.code is Code.CLOCK_JUMP and running.verdicts[-1].accepted


@pytest.mark.fault(13)
def test_after_a_jump_back_a_path_is_driven_from_where_the_robot_is(on_path):
    on_path.run(8.0)
    on_path.run(1.0, odometry=False)
    on_path.t -= 500.0
    on_path.pose[:] = 0.0
    out = on_path.until(is_running, 2.0)
    assert out.reference[0] < 0.1


@pytest.mark.fault(14)
def test_when_the_clock_jumps_ahead_the_robot_stops_until_odometry_is_fresh(running):
    phase = running.outputs[-1].reference
    out = running.step(node_period=3600.0)
    assert out.state is State.STOPPING and out.code is Code.CLOCK_JUMP and "ahead" in out.reason
    resets = running.mppi.resets
    resumed = running.until(is_running, 1.0)
    assert running.mppi.resets == resets + 1
    assert np.linalg.norm(resumed.reference[:2] - phase[:2]) < 0.1, "the figure has not run on"
    history = running.mppi.calls[-1][3]
    assert (abs(history[0]) < abs(running.outputs[19].command) + 1e-9).all()


@pytest.mark.fault(15)
def test_when_the_clock_pauses_the_robot_stops_and_says_why_and_goes_on_cleanly(running):
    resets = running.mppi.resets
    silent_since = len(running.outputs)
    for _ in range(20):
        running.step(node_period=0.0, stamp=running.t)
    out = running.outputs[-1]
    assert out.state is State.STOPPED and out.code is Code.CLOCK_PAUSED
    assert slowed_down(running.outputs, silent_since) <= 0.25 + 1e-9
    resumed = running.until(is_running, 3.0)
    assert running.mppi.resets == resets + 1 and abs(resumed.command[0]) <= 3.0 * 0.05 + 1e-9


@pytest.mark.fault(15)
def test_a_paused_clock_without_any_messages_is_noticed_too(running):
    for _ in range(20):
        running.step(odometry=False, node_period=0.0)
    assert running.outputs[-1].code is Code.CLOCK_PAUSED


@pytest.mark.fault(16)
def test_odometry_in_a_wrong_frame_is_refused_and_both_frames_are_named(drive):
    ready = drive()
    out = ready.run(2.0, frame_id="map")
    assert out.state is State.WAITING_FOR_ODOMETRY and out.code is Code.ODOMETRY_FRAME
    assert "'map'" in out.reason and "'odom'" in out.reason
    assert ready.until(is_running, 2.0)


@pytest.mark.fault(17)
def test_two_publishers_of_odometry_stop_the_robot_until_there_is_one(running):
    running.loop.set_publisher_count(2)
    out = running.step()
    assert out.state is State.STOPPING and out.code is Code.MULTIPLE_ODOMETRY_PUBLISHERS and "2" in out.reason
    running.until(is_stopped, 0.6)
    assert running.run(3.0).code is Code.MULTIPLE_ODOMETRY_PUBLISHERS
    running.loop.set_publisher_count(1)
    assert running.step().state is State.STOPPED, "five good messages first"
    running.until(is_running, 1.0)


PATH_X = np.linspace(0.0, 10.0, 201)
BAD_PATHS = {
    "empty": [],
    "empty with columns": np.zeros((0, 3)),
    "NaN": np.column_stack([PATH_X, PATH_X * 0, np.where(PATH_X == 5.0, math.nan, 0.0)]),
    "infinite": [[0.0, 0.0, 0.0], [math.inf, 0.0, 0.0]],
    "absurdly far": [[0.0, 0.0, 0.0], [1e300, 0.0, 0.0]],
    "two columns": np.zeros((5, 2)),
    "ragged": [[0.0, 0.0, 0.0], [1.0]],
    "no numbers": [["x", 0.0, 0.0]],
    "nothing": None,
    "too large": [[10**400, 0, 0]],
}


@pytest.mark.fault(18)
@pytest.mark.fault(19)
@pytest.mark.parametrize("poses", BAD_PATHS.values(), ids=BAD_PATHS.keys())
def test_a_path_that_cannot_be_followed_stops_the_robot(on_path, poses):
    reason = on_path.loop.handle_path("odom", poses)
    assert reason
    out = on_path.step()
    assert out.state is State.STOPPING and out.code is Code.INVALID_PATH and out.reason == reason
    on_path.until(is_stopped, 0.6)
    on_path.loop.handle_path("odom", np.column_stack([PATH_X, 0 * PATH_X, 0 * PATH_X]))
    assert on_path.step().state is State.RUNNING


@pytest.mark.fault(18)
def test_an_empty_path_as_the_first_one_is_reported_as_well(drive):
    ready = drive(reference="plan")
    ready.loop.handle_path("odom", [])
    out = ready.run(1.0)
    assert out.state is State.STOPPED and out.code is Code.INVALID_PATH and "empty" in out.reason


@pytest.mark.fault(21)
@pytest.mark.parametrize("length", [50e3, 100.0, 1.0])
def test_a_path_of_a_million_poses_does_not_cost_the_period(drive, length):
    ready = drive(reference="plan")
    ready.run(0.5)
    x = np.linspace(0.0, length, 10**6)
    poses = np.column_stack([x, np.sin(0.3 * x), np.arctan(0.3 * np.cos(0.3 * x))])
    started = time.process_time()
    assert ready.loop.handle_path("odom", poses) == ""
    assert time.process_time() - started < 0.5
    ready.mppi.override = lambda state, reference: SimpleNamespace(command=np.array([0.1, 0.0]))
    costs = []
    for _ in range(40):
        ready.advance(0.05)
        ready.message()
        started = time.process_time()
        assert ready.tick().state is State.RUNNING
        costs.append(time.process_time() - started)
    assert np.median(costs) < 2e-3


@pytest.mark.fault(22)
@pytest.mark.parametrize("frame", ["map", "", None])
def test_a_path_in_another_frame_stops_the_robot_and_both_frames_are_named(on_path, frame):
    reason = on_path.loop.handle_path(frame, np.column_stack([PATH_X, 0 * PATH_X, 0 * PATH_X]))
    assert repr(frame) in reason and "'odom'" in reason
    assert on_path.step().code is Code.INVALID_PATH


@pytest.mark.fault(22)
def test_a_path_far_away_is_not_driven_to(drive):
    ready = drive(reference="plan", far_from_path=2.0)
    ready.run(0.5)
    path = np.column_stack([PATH_X, 0 * PATH_X + 2.1, 0 * PATH_X])
    ready.loop.handle_path("odom", path)
    out = ready.run(2.0)
    assert out.state is State.STOPPED and out.code is Code.FAR_FROM_PATH and "2.10 m" in out.reason
    path[:, 1] = 1.9
    ready.loop.handle_path("odom", path)
    assert ready.step().state is State.RUNNING


@pytest.mark.fault(22)
def test_a_robot_at_the_edge_of_far_does_not_start_and_stop_by_noise(drive):
    ready = drive(reference="plan", far_from_path=2.0)
    ready.run(0.5)
    ready.loop.handle_path("odom", np.column_stack([PATH_X, 0 * PATH_X + 2.05, 0 * PATH_X]))
    for step in range(40):
        out = ready.step(position=(0.0, 0.1 * (step % 2), 0.0))
        assert out.code is Code.FAR_FROM_PATH
    ready.pose[1] = 0.26
    assert ready.step().state is State.RUNNING


@pytest.mark.fault(23)
def test_without_progress_for_ten_seconds_the_robot_stops_until_told_otherwise(on_path):
    on_path.mppi.override = lambda state, reference: SimpleNamespace(command=np.array([0.0, 0.3]))
    started = len(on_path.outputs)
    out = on_path.until(lambda out: out.code is not Code.NONE, 11.0)
    assert out.code is Code.FAILED_TO_MAKE_PROGRESS
    assert 0.05 * (len(on_path.outputs) - started) >= 9.0
    on_path.until(is_stopped, 0.6)
    on_path.mppi.override = None
    assert on_path.run(5.0).code is Code.FAILED_TO_MAKE_PROGRESS
    on_path.loop.request_reset()
    on_path.until(is_running, 0.5)


@pytest.mark.fault(23)
def test_a_planner_that_replans_every_second_does_not_hide_a_stuck_robot(on_path):
    on_path.mppi.override = lambda state, reference: SimpleNamespace(command=np.zeros(2))
    for second in range(12):
        detour = 1.0 if second % 2 else 0.0
        x = np.linspace(on_path.pose[0], 10.0, 100)
        y = detour * np.sin(np.pi * (10.0 - x) / (10.0 - x[0]))
        on_path.loop.handle_path("odom", np.column_stack([x, y, 0 * x]))
        out = on_path.run(1.0)
        if out.code is Code.FAILED_TO_MAKE_PROGRESS:
            break
    assert out.code is Code.FAILED_TO_MAKE_PROGRESS and second >= 8
    on_path.loop.handle_path("odom", np.column_stack([PATH_X, 0 * PATH_X, 0 * PATH_X]))
    assert on_path.step().code is Code.FAILED_TO_MAKE_PROGRESS, "a path to the same goal is no other try"


def replanning(drive, seconds, goal=10.0, empty=False):
    """Five paths a second from where the robot is; the last output."""
    for _ in range(round(5 * seconds)):
        if empty:
            drive.loop.handle_path("odom", [])
        x = np.linspace(drive.pose[0], goal, 100)
        drive.loop.handle_path("odom", np.column_stack([x, 0 * x, 0 * x]))
        out = drive.run(0.2)
    return out


@pytest.mark.fault(75)
def test_a_robot_that_does_not_move_on_a_figure_is_stopped_until_it_moves(running):
    held = running.pose.copy()
    started = len(running.outputs)
    for _ in range(round(11.0 / 0.05)):
        out = running.step()
        running.pose = held.copy()
    assert out.state is State.STOPPED and out.code is Code.FAILED_TO_MAKE_PROGRESS
    driven = next(k for k, o in enumerate(running.outputs[started:]) if o.state is not State.RUNNING)
    assert 9.9 <= 0.05 * driven <= 10.8
    assert running.run(5.0).code is Code.FAILED_TO_MAKE_PROGRESS
    running.pose[:2] += 0.15
    out = running.run(1.0)
    assert out.state is State.RUNNING and out.tracking_error < 5.0, "the figure has waited since it stopped"


@pytest.mark.fault(75)
def test_a_held_robot_is_noticed_although_slow_odometry_lets_it_seem_to_move(drive):
    held = drive(min_odometry_rate=5.0, model="kinematic")
    for step in range(round(12.0 / 0.05)):
        out = held.step(odometry=step % 4 == 0)
        held.pose = np.zeros(3)
    assert out.code is Code.FAILED_TO_MAKE_PROGRESS


@pytest.mark.fault(75)
def test_a_reset_is_another_try_for_a_robot_that_did_not_move(running):
    held = running.pose.copy()
    for _ in range(round(11.0 / 0.05)):
        running.step()
        running.pose = held.copy()
    running.loop.request_reset()
    running.until(is_running, 0.5)


@pytest.mark.fault(75)
def test_a_figure_that_is_slow_or_stands_still_is_followed_for_as_long_as_it_takes(drive):
    slow = drive(figure=circle(radius=5.0, speed=0.005))
    slow.run(60.0)
    assert all(out.code is Code.NONE for out in slow.outputs)


def slowly(drive, seconds, rate):
    """Odometry at a low rate; the last output."""
    every = round(20.0 / rate)
    for step in range(round(20 * seconds)):
        out = drive.step(odometry=step % every == 0)
    return out


@pytest.mark.fault(70)
def test_by_odometry_at_5_hz_it_does_not_drive_and_says_what_it_needs(drive):
    ready = drive()
    out = slowly(ready, 5.0, 5.0)
    assert all((out.command == 0.0).all() for out in ready.outputs)
    assert out.state is State.WAITING_FOR_ODOMETRY and out.code is Code.ODOMETRY_TIMEOUT
    assert "5.0 Hz" in out.reason and "6.7 Hz are needed" in out.reason


@pytest.mark.fault(70)
@pytest.mark.parametrize("rate", [5.0, 20.0 / 3.0, 10.0])
def test_where_the_lowest_rate_allows_it_drives_by_prediction_and_stops_when_nothing_comes(drive, rate):
    ready = drive(min_odometry_rate=5.0, model="kinematic")
    slowly(ready, 3.0, rate)
    before = len(ready.outputs)
    slowly(ready, 10.0, rate)
    assert all(is_running(out) for out in ready.outputs[before:])
    assert max(out.tracking_error for out in ready.outputs[before:]) < 0.05
    before = len(ready.outputs)
    out = ready.until(is_stopped, 1.0, odometry=False)
    assert out.code is Code.ODOMETRY_TIMEOUT and slowed_down(ready.outputs, before) <= 0.4 + 1e-9


@pytest.mark.fault(70)
def test_a_lowest_rate_that_is_changed_while_it_stands_lets_it_drive(drive):
    ready = drive()
    slowly(ready, 3.0, 5.0)
    ready.loop.reconfigure(attrs.evolve(ready.config, min_odometry_rate=5.0))
    assert slowly(ready, 3.0, 5.0).state is State.RUNNING


@pytest.mark.fault(72)
@pytest.mark.parametrize("empty", [False, True])
def test_a_held_robot_stays_stopped_however_often_the_way_is_planned_anew(on_path, empty):
    drives, on_path.mppi.override = on_path.mppi.override, lambda *_: SimpleNamespace(command=np.zeros(2))
    assert replanning(on_path, 12.0, empty=empty).code is Code.FAILED_TO_MAKE_PROGRESS
    on_path.mppi.override, tried = drives, len(on_path.outputs)
    replanning(on_path, 20.0, empty=empty)
    assert all((out.command == 0.0).all() for out in on_path.outputs[tried:])


@pytest.mark.fault(72)
@pytest.mark.parametrize("way_out", ["reset", "new goal", "progress"])
def test_a_robot_that_made_no_progress_goes_on_after(on_path, way_out):
    drives, on_path.mppi.override = on_path.mppi.override, lambda *_: SimpleNamespace(command=np.zeros(2))
    assert replanning(on_path, 12.0).code is Code.FAILED_TO_MAKE_PROGRESS
    on_path.mppi.override = drives
    if way_out == "reset":
        on_path.loop.request_reset()
    elif way_out == "progress":
        on_path.pose[0] += 0.15
    assert replanning(on_path, 2.0, goal=9.0 if way_out == "new goal" else 10.0).state is State.RUNNING


@pytest.mark.fault(72)
def test_a_robot_that_comes_nearer_makes_progress_even_if_every_period_brings_another_path(on_path):
    on_path.mppi.override = lambda *_: SimpleNamespace(command=np.array([0.1, 0.0]))
    for _ in range(300):
        x = np.linspace(on_path.pose[0], 10.0, 100)
        on_path.loop.handle_path("odom", np.column_stack([x, 0 * x, 0 * x]))
        assert on_path.step().state is State.RUNNING


@pytest.mark.fault(72)
def test_a_goal_that_moves_away_little_by_little_is_a_new_goal(on_path):
    on_path.mppi.override = lambda *_: SimpleNamespace(command=np.array([0.1, 0.0]))
    for second in range(30):
        x = np.linspace(on_path.pose[0], 10.0 + 0.1 * second, 100)
        on_path.loop.handle_path("odom", np.column_stack([x, 0 * x, 0 * x]))
        assert on_path.run(1.0).state is State.RUNNING


@pytest.mark.fault(23)
def test_a_slow_robot_that_comes_nearer_is_not_stuck(on_path):
    on_path.mppi.override = lambda state, reference: SimpleNamespace(command=np.array([0.02, 0.0]))
    on_path.run(30.0)
    assert all(out.state is not State.STOPPED for out in on_path.outputs[-500:])


@pytest.mark.fault(23)
def test_time_in_which_the_robot_was_stopped_for_another_reason_does_not_count(on_path):
    on_path.mppi.override = lambda state, reference: SimpleNamespace(command=np.zeros(2))
    on_path.run(6.0)
    on_path.run(6.0, odometry=False)
    on_path.until(is_running, 2.0)
    assert on_path.run(2.0).state is State.RUNNING


def raising(error):
    def override(state, reference):
        raise error

    return override


@pytest.mark.fault(24)
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_without_a_valid_rollout_it_resets_and_retries_so_often_and_then_stops(drive, retries):
    ready = drive(retry_attempt_limit=retries)
    ready.run(1.0)
    ready.mppi.override = raising(NoValidControlError("every cost is NaN"))
    ready.mppi.calls.clear()
    resets = ready.mppi.resets
    out = ready.step()
    assert [call[0] for call in ready.mppi.calls] == ["predict"] + ["compute"] * (retries + 1)
    assert ready.mppi.resets == resets + retries + 1
    assert out.state is State.STOPPING and out.code is Code.NO_VALID_CONTROL and "every cost" in out.reason
    assert ready.until(is_stopped, 0.6).code is Code.NO_VALID_CONTROL
    ready.mppi.override = None
    assert ready.step().state is State.RUNNING


@pytest.mark.fault(24)
def test_a_retry_that_succeeds_is_used(running):
    tries = iter([NoValidControlError("once"), None])

    def once(state, reference):
        error = next(tries)
        if error:
            raise error
        return SimpleNamespace(command=np.array([0.5, 0.0]))

    running.mppi.override = once
    out = running.step()
    assert out.state is State.RUNNING and out.code is Code.NONE


@pytest.mark.fault(25)
@pytest.mark.parametrize("bad", [(math.nan, 0.0), (0.0, math.nan), (math.inf, 0.0), (0.0, -math.inf)])
def test_a_command_that_is_not_finite_ramps_to_a_published_zero(running, bad):
    running.mppi.override = lambda state, reference: SimpleNamespace(command=np.array(bad))
    out = running.step()
    assert out.code is Code.NO_VALID_CONTROL
    running.until(is_stopped, 0.6)


@pytest.mark.fault(25)
@pytest.mark.parametrize("bad", [(1e9, 1e9), (-1e300, 50.0)])
def test_a_command_above_a_limit_is_limited(running, bad):
    running.mppi.override = lambda state, reference: SimpleNamespace(command=np.array(bad))
    out = running.run(2.0)
    limits = running.config.limits
    assert out.command.tolist() == [limits.vx_max if bad[0] > 0 else limits.vx_min, limits.wz_max]


@pytest.mark.fault(26)
def test_an_exception_in_a_step_is_zero_in_the_same_cycle_and_the_next_cycle_goes_on(running):
    running.jumps_allowed = True
    assert running.command[0] > 0.3
    running.mppi.override = raising(RuntimeError("boom"))
    out = running.step()
    assert out.command.tolist() == [0.0, 0.0] and out.state is State.STOPPED
    assert out.code is Code.CONTROL_EXCEPTION and "RuntimeError: boom" in out.reason
    running.mppi.override = None
    running.jumps_allowed = False
    resumed = running.step()
    assert resumed.state is State.RUNNING and 0.0 < resumed.command[0] <= 3.0 * 0.05 + 1e-9


@pytest.mark.fault(26)
@pytest.mark.parametrize("limit", [1, 3, 5])
def test_so_many_exceptions_in_a_row_stop_it_until_a_reset(drive, limit):
    ready = drive(exception_limit=limit)
    ready.run(1.0)
    ready.jumps_allowed = True
    for failures in (limit - 1, limit):
        ready.mppi.override = raising(ValueError("again"))
        for _ in range(failures):
            assert ready.step().code is Code.CONTROL_EXCEPTION
        ready.mppi.override = None
        out = ready.step()
        assert (out.state is State.RUNNING) == (failures < limit)
    out = ready.run(5.0)
    assert out.state is State.STOPPED and out.code is Code.CONTROL_EXCEPTION and "again" in out.reason
    ready.loop.request_reset()
    assert ready.step().state is State.RUNNING


@pytest.mark.fault(26)
@pytest.mark.parametrize("part", ["predict", "reset", "weights", "figure", "command shape", "state"])
def test_whatever_fails_within_a_step_a_zero_goes_out(drive, part, monkeypatch):
    ready = drive()
    ready.jumps_allowed = True
    ready.run(1.0)

    def fail(*_, **__):
        raise KeyError("gone")

    if part == "predict":
        ready.predictor.now = fail
    elif part == "reset":
        ready.loop.request_reset()
        ready.mppi.reset = fail
    elif part == "weights":
        ready.loop._weights = None
    elif part == "figure":
        ready.loop._step.follower._reference = SimpleNamespace(window=fail)
    elif part == "command shape":
        ready.mppi.override = lambda state, reference: SimpleNamespace(command=np.zeros(3))
    else:
        monkeypatch.setattr(prediction, "advance", lambda *_: np.full(5, math.nan))
    for _ in range(5):
        out = ready.step()
        assert out.command.tolist() == [0.0, 0.0]
        assert out.state is State.STOPPED and out.code is Code.CONTROL_EXCEPTION


@pytest.mark.fault(55)
@pytest.mark.parametrize(
    "error",
    [MemoryError("out of memory"), RuntimeError("CUDA error: device-side assert"), OSError("device lost")],
)
def test_an_accelerator_that_is_lost_stops_the_robot_and_one_that_returns_drives_it(running, error):
    running.jumps_allowed = True
    running.mppi.override = raising(error)
    for count in range(1, 3):
        out = running.step()
        assert not out.command.any() and out.code is Code.CONTROL_EXCEPTION and str(error) in out.reason
        assert count < running.config.exception_limit
    running.mppi.override = None
    assert running.step().state is State.RUNNING
    running.mppi.override = raising(error)
    running.run(0.5)
    running.mppi.override = None
    latched = running.run(1.0)  # no loop of crash and restart: it stays at zero until told otherwise
    assert latched.state is State.STOPPED and latched.code is Code.CONTROL_EXCEPTION
    running.loop.request_reset()
    running.until(is_running, 1.0)


@pytest.mark.fault(27)
def test_one_missed_period_is_counted_and_nothing_more(running):
    out = running.step(period=0.15)
    assert out.state is State.RUNNING and out.late_cycles == 1 and out.period_ms == pytest.approx(150.0)


@pytest.mark.fault(27)
def test_more_than_three_missed_periods_in_a_row_stop_the_robot_with_the_real_rate(running):
    for _ in range(3):
        assert running.step(period=0.125).state is State.RUNNING
    out = running.step(period=0.125)
    assert out.state is State.STOPPING and out.code is Code.CONTROL_OVERRUN
    assert "8.0 Hz" in out.reason and "20 Hz" in out.reason
    running.until(is_stopped, 0.6)
    on_time = 1
    while not is_running(running.step()):
        on_time += 1
        assert on_time < 25
    assert on_time + 6 >= 20, "a second of periods on time"


@pytest.mark.fault(27)
def test_missed_periods_that_are_not_in_a_row_do_not_stop_it(running):
    for _ in range(10):
        for period in (0.125, 0.125, 0.125, 0.05):
            assert running.step(period=period).state is State.RUNNING


@pytest.mark.fault(27)
def test_late_periods_that_miss_none_do_not_stop_it(running):
    assert running.run(4.0, period=0.099).state is State.RUNNING
    assert running.outputs[-1].late_cycles == 40


@pytest.mark.fault(27)
def test_a_late_period_allows_no_jump_of_the_command(running):
    running.mppi.override = lambda state, reference: SimpleNamespace(command=np.array([-9.0, 0.0]))
    before = running.command[0]
    out = running.step(period=0.24)
    assert before - out.command[0] <= 3.0 * 0.1 + 1e-9


@pytest.mark.fault(54)
def test_a_flood_of_odometry_costs_little_and_changes_nothing(running):
    running.advance(0.05)
    base = running.t - 0.05
    started = time.process_time()
    for k in range(500):
        running.message(stamp=base + 1e-4 * (k + 1))
    assert (time.process_time() - started) / 500 < 1e-3
    assert running.tick().state is State.RUNNING


numbers = st.one_of(st.floats(), st.sampled_from([0.0, 1.0, -1.0, math.nan, math.inf, 1e300]))
vector = st.lists(numbers, min_size=2, max_size=4)
messages = st.fixed_dictionaries(
    {},
    optional={
        "frame_id": st.sampled_from(["odom", "map", ""]),
        "stamp_shift": numbers,
        "position": vector,
        "orientation": vector,
        "linear": vector,
        "angular": vector,
    },
)
events = st.one_of(
    st.tuples(st.just("odometry"), messages),
    st.tuples(st.just("path"), st.lists(st.lists(numbers, min_size=3, max_size=3), max_size=4)),
    st.tuples(st.just("command"), st.tuples(numbers, numbers)),
    st.tuples(st.just("time"), st.tuples(st.floats(0.0, 2.0), st.floats(-5.0, 5.0))),
    st.tuples(st.just("publishers"), st.integers(0, 3)),
    st.tuples(st.just("reset"), st.none()),
    st.tuples(st.just("good"), st.integers(1, 30)),
)


@pytest.mark.fault(57)
@hypothesis.settings(
    deadline=None, max_examples=60, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(reference=st.sampled_from(["circle", "plan"]), sequence=st.lists(events, max_size=25))
def test_whatever_happens_commands_are_finite_and_within_the_limits(drive, reference, sequence):
    ready = drive(reference=reference)
    ready.run(0.4)
    ready.loop.handle_path("odom", np.column_stack([PATH_X, 0 * PATH_X, 0 * PATH_X]))
    ready.run(0.4)
    for kind, argument in sequence:
        if kind == "odometry":
            changes = dict(argument)
            ready.advance(0.05)
            ready.message(stamp=ready.t + changes.pop("stamp_shift", 0.0), **changes)
            ready.tick()
        elif kind == "path":
            ready.loop.handle_path("odom", argument)
            ready.step()
        elif kind == "command":
            ready.mppi.override = lambda state, reference, c=argument: SimpleNamespace(command=np.array(c))
            ready.run(0.2)
        elif kind == "time":
            ready.step(period=argument[0], node_period=argument[1])
        elif kind == "publishers":
            ready.loop.set_publisher_count(argument)
            ready.step()
        elif kind == "reset":
            ready.loop.request_reset()
            ready.step()
        else:
            ready.run(0.05 * argument)
    for out in ready.outputs:
        assert out.code is not Code.CONTROL_EXCEPTION, out.reason
    ready.mppi.override = None
    ready.loop.set_publisher_count(1)
    ready.loop.request_reset()
    if reference == "circle":
        ready.until(is_running, 6.0)
