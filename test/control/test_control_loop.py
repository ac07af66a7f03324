import math
import time
from types import SimpleNamespace

import attrs
import numpy as np
import pytest

from mppi_maml_ros.control.config import ControlConfig
from mppi_maml_ros.control.loop import ControlLoop
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.first_order import FirstOrderConfig
from mppi_maml_ros.safety.codes import Code, State


def test_a_circle_is_followed(drive):
    ready = drive()
    ready.run(20.0)
    errors = [out.tracking_error for out in ready.outputs if out.state is State.RUNNING]
    assert len(errors) > 390 and max(errors[100:]) < 0.2
    expected = np.array([5 * math.sin(2.0), 5 - 5 * math.cos(2.0)])
    assert np.linalg.norm(ready.pose[:2] - expected) < 0.4


def test_the_figure_starts_at_the_robot_when_control_starts(drive):
    ready = drive(pose=(3.0, -2.0, 1.0))
    first = ready.until(lambda out: out.state is State.RUNNING, 1.0)
    np.testing.assert_allclose(first.reference, [3.0, -2.0, 1.0], atol=1e-9)
    assert first.tracking_error == pytest.approx(0.0, abs=1e-9)


def test_the_figure_starts_at_the_given_origin_instead(drive):
    ready = drive(reference_origin=(1.0, 0.5, 0.25))
    first = ready.until(lambda out: out.state is State.RUNNING, 1.0)
    np.testing.assert_allclose(first.reference, [1.0, 0.5, 0.25], atol=1e-9)
    assert first.tracking_error == pytest.approx(math.hypot(1.0, 0.5))
    assert first.heading_error == pytest.approx(0.25)


def test_the_reference_moves_with_the_time_of_the_node(running):
    before = running.outputs[-1].reference
    after = running.step(period=0.07).reference
    assert np.linalg.norm(after[:2] - before[:2]) == pytest.approx(0.5 * 0.07, rel=1e-3)


def test_the_figure_waits_while_the_robot_is_stopped(running):
    before = running.outputs[-1].reference
    running.loop.set_publisher_count(2)
    running.run(5.0)
    running.loop.set_publisher_count(1)
    resumed = running.until(lambda out: out.state is State.RUNNING, 2.0)
    assert np.linalg.norm(resumed.reference[:2] - before[:2]) <= 0.5 * 0.05 + 1e-9


def test_the_state_is_moved_ahead_from_its_stamp_to_the_tick(running):
    running.advance(0.1)
    running.message(stamp=running.t - 0.08)
    out = running.tick()
    kind, _, duration, history = running.mppi.calls[-2]
    assert kind == "predict" and duration == pytest.approx(0.08)
    assert out.odometry_age == pytest.approx(0.08)
    moved = math.hypot(*(out.predicted_pose[:2] - running.pose[:2]))
    assert moved == pytest.approx(0.08 * history[0, 0], rel=1e-3)


def test_the_state_is_moved_ahead_by_no_more_than_eight_steps(running):
    running.advance(0.249)
    running.message(stamp=running.t - 0.24)
    running.tick()
    assert running.mppi.calls[-2][2] == pytest.approx(0.24)
    running.advance(0.19)
    running.tick()
    assert running.mppi.calls[-2][2] == pytest.approx(0.4)


def test_a_stamp_slightly_ahead_is_not_predicted_backwards(running):
    running.advance(0.05)
    running.message(stamp=running.t + 0.05)
    running.tick()
    assert running.mppi.calls[-2][2] == 0.0


def test_the_model_is_given_the_mean_commands_of_the_steps_before_newest_first(running):
    commands = [out.command for out in running.outputs[-3:]]
    running.step()
    history = running.mppi.calls[-1][3]
    assert len(history) >= running.config.delay_taps
    np.testing.assert_allclose(history[:3], commands[::-1], atol=1e-9)


def test_the_controller_learns_how_much_time_has_passed(running):
    running.step(period=0.08)
    assert running.mppi.calls[-1][2] == pytest.approx(0.08)


@pytest.mark.parametrize("pace", [0.25, 0.5, 1.0, 2.0])
def test_in_simulated_time_the_limits_of_acceleration_are_those_of_the_simulated_robot(drive, pace):
    ready, period = drive(limits=VelocityLimits(vx_max=1.0, ax_max=0.8, ax_min=-0.8)), 0.05 * pace

    def step():
        ready.advance(period)
        ready.steady += 0.05 - period
        ready.message()
        return ready.tick().command[0]

    speeds = [step() for _ in range(round(40 / pace))]
    assert ready.mppi.calls[-1][2] == pytest.approx(period)
    assert max(speeds) > 0.3
    assert np.abs(np.diff(speeds)).max() == pytest.approx(0.8 * period)
    ready.loop.shutdown()
    assert speeds[-1] - step() == pytest.approx(0.8 * period)


def test_on_a_clock_that_stands_still_the_robot_comes_to_rest(running):
    before = running.command[0]
    assert before > 0.3
    stopped = running.until(lambda out: out.state is State.STOPPED, 2.0, node_period=0.0)
    assert (stopped.command == 0.0).all()


@pytest.mark.fault(34)
@pytest.mark.parametrize("model", ["dynamic", "residual"])
def test_a_step_uses_one_snapshot_of_the_weights_end_to_end(drive, model):
    ready = drive(model=model)
    ready.run(0.5)
    failures = iter([True, False] * 20)

    def fails_every_other_time(state, reference):
        return SimpleNamespace(command=np.full(2, math.nan if next(failures) else 0.1))

    ready.mppi.override = fails_every_other_time
    ready.advance(0.05)
    for _ in range(20):
        ready.mppi.calls.clear()
        looks = ready.slot.looks
        ready.advance(0.05)
        ready.message()
        out = ready.tick(with_trajectory=True)
        assert out.state is State.RUNNING
        assert [call[0] for call in ready.mppi.calls] == ["predict", "compute", "compute", "trajectory"]
        assert {call[1] for call in ready.mppi.calls} == {f"weights {out.weights_version}"}
        assert ready.slot.looks == looks + 1


def test_the_kinematic_model_uses_no_weights(drive):
    ready = drive(model="kinematic")
    out = ready.run(1.0)
    assert out.state is State.RUNNING and out.weights_version == 0
    assert ready.slot.looks == 0 and {call[1] for call in ready.mppi.calls} == {None}


def test_the_trajectory_is_worked_out_only_when_asked_for(running):
    assert running.step().trajectory is None
    running.advance(0.05)
    running.message()
    assert running.tick(with_trajectory=True).trajectory.shape == (4, 3)


def test_the_warm_start_is_forgotten_on_each_way_back_to_running(running):
    assert running.mppi.resets == 1
    running.loop.set_publisher_count(2)
    running.run(1.0)
    assert running.mppi.resets == 1
    running.loop.set_publisher_count(1)
    running.until(lambda out: out.state is State.RUNNING, 2.0)
    running.run(1.0)
    assert running.mppi.resets == 2


def test_heading_errors_are_wrapped_and_positive_to_the_left(drive):
    ready = drive(pose=(0.0, 0.0, 3.0), reference_origin=(0.0, 0.0, -3.0))
    first = ready.until(lambda out: out.state is State.RUNNING, 1.0)
    assert first.heading_error == pytest.approx(2 * math.pi - 6.0)


def test_the_output_tells_ages_periods_and_counts(drive):
    ready = drive()
    first = ready.step()
    assert first.period_ms == 0.0 and first.cycles == 1 and first.late_cycles == 0
    ready.run(1.0)
    late = ready.step(period=0.0601)
    assert late.period_ms == pytest.approx(60.1) and late.cycles == 22 and late.late_cycles == 1
    assert ready.step(period=0.0599).late_cycles == 1
    assert late.odometry_age == 0.0 and late.odometry_rejected == 0
    ready.message(frame_id="map")
    assert ready.step().odometry_rejected == 1
    assert ready.loop.counters["odometry_frame"] == 1
    assert ready.loop.counters["odometry_accepted"] == 24
    assert ready.loop.counters["watchdog_transitions"] == 1


def test_the_step_time_is_wall_time(drive):
    ready = drive()
    times = iter([1.0, 1.0123])
    loop = ControlLoop(ready.config, ready.mppi, ready.slot, ready.figure, timer=lambda: next(times))
    assert loop.tick(0.0, 0.0).step_ms == pytest.approx(12.3)


def test_before_anything_is_known_the_output_says_so(drive):
    out = drive().tick()
    assert out.reference is None and out.predicted_pose is None and out.trajectory is None
    assert math.isnan(out.tracking_error) and math.isnan(out.heading_error) and math.isnan(out.odometry_age)


def test_what_the_loop_adds_to_a_step_is_small(drive):
    ready = drive(reference="plan")
    ready.run(0.5)
    x = np.linspace(0, 1000.0, 20001)
    ready.loop.handle_path("odom", np.column_stack([x, 0 * x, 0 * x]))
    ready.mppi.override = lambda state, reference: SimpleNamespace(command=np.array([0.4, 0.0]))
    ready.run(1.0)
    costs = []
    for _ in range(200):
        ready.advance(0.05)
        ready.message()
        started = time.process_time()
        ready.tick()
        costs.append(time.process_time() - started)
    assert ready.outputs[-1].state is State.RUNNING
    assert np.median(costs) < 1e-3, "ten times what it takes on an idle machine"


# Plans


def straight(length=3.0, x0=0.0):
    x = np.linspace(x0, x0 + length, 61)
    return np.column_stack([x, 0 * x, 0 * x])


def test_without_a_plan_the_robot_waits_for_one(drive):
    ready = drive(reference="plan")
    assert ready.step().state is State.WAITING_FOR_ODOMETRY
    out = ready.run(1.0)
    assert out.state is State.WAITING_FOR_PLAN and out.code is Code.NONE


def test_a_plan_is_driven_to_its_goal_with_a_clean_stop(drive):
    ready = drive(reference="plan", xy_goal_tolerance=0.1, yaw_goal_tolerance=0.1)
    ready.run(0.5)
    assert ready.loop.handle_path("odom", straight()) == ""
    done = ready.until(lambda out: out.state is State.GOAL_REACHED, 15.0)
    assert done.code is Code.NONE and np.linalg.norm(ready.pose[:2] - [3.0, 0.0]) < 0.2
    np.testing.assert_allclose(done.reference, [3.0, 0.0, 0.0])
    states = [out.state for out in ready.outputs]
    assert State.STOPPED not in states
    assert ready.run(2.0).state is State.GOAL_REACHED, "and stays there"


def test_the_goal_is_not_reached_before_the_robot_has_turned(drive):
    ready = drive(reference="plan", xy_goal_tolerance=0.1, yaw_goal_tolerance=0.1)
    ready.run(0.5)
    path = straight()
    path[-1, 2] = 1.5
    ready.loop.handle_path("odom", path)
    ready.until(lambda out: out.state is State.GOAL_REACHED, 20.0)
    assert abs(ready.pose[2] - 1.5) < 0.25


def test_a_loop_that_ends_where_it_starts_is_driven_once(drive):
    ready = drive(reference="plan", desired_speed=1.0)
    ready.run(0.5)
    angle = np.linspace(0, 2 * np.pi, 200)
    ready.loop.handle_path("odom", np.column_stack([np.sin(angle), 1 - np.cos(angle), angle]))
    started = len(ready.outputs)
    ready.until(lambda out: out.state is State.GOAL_REACHED, 30.0)
    driven = sum(out.command[0] * 0.05 for out in ready.outputs[started:])
    assert driven == pytest.approx(2 * np.pi, rel=0.15)


def test_a_new_plan_after_the_goal_is_driven_too(drive):
    ready = drive(reference="plan")
    ready.run(0.5)
    for start in (0.0, 3.0):
        ready.loop.handle_path("odom", straight(x0=start))
        assert ready.step().state is State.RUNNING
        ready.until(lambda out: out.state is State.GOAL_REACHED, 15.0)
    assert ready.pose[0] > 5.6


def test_a_path_is_not_followed_when_a_figure_is(running):
    reason = running.loop.handle_path("odom", straight())
    assert "circle" in reason
    assert running.step().state is State.RUNNING


@pytest.mark.fault(20)
@pytest.mark.parametrize("poses", [[[1.0, 0.5, 1.0]], [[1.0, 0.5, 1.0]] * 30])
def test_a_path_of_one_place_is_a_goal(drive, poses):
    ready = drive(reference="plan", xy_goal_tolerance=0.1, yaw_goal_tolerance=0.1)
    ready.run(0.5)
    assert ready.loop.handle_path("odom", poses) == ""
    ready.until(lambda out: out.state is State.GOAL_REACHED, 20.0)
    np.testing.assert_allclose(ready.pose, [1.0, 0.5, 1.0], atol=0.25)


# Reset and shutdown


def test_a_reset_starts_the_figure_where_the_robot_is(running):
    running.run(5.0)
    running.loop.request_reset()
    out = running.step()
    assert out.state is State.RUNNING
    np.testing.assert_allclose(out.reference, running.pose - [0, 0, 0], atol=0.06)
    assert out.tracking_error == pytest.approx(0.0, abs=1e-9)
    assert running.mppi.resets == 2


def test_a_reset_makes_the_robot_drive_to_its_goal_again(drive):
    ready = drive(reference="plan")
    ready.run(0.5)
    ready.loop.handle_path("odom", straight())
    ready.until(lambda out: out.state is State.GOAL_REACHED, 15.0)
    ready.pose[0] = 0.0
    ready.message()
    ready.run(1.0)
    ready.loop.request_reset()
    assert ready.step().state is State.RUNNING
    ready.until(lambda out: out.state is State.GOAL_REACHED, 15.0)
    assert ready.pose[0] > 2.7


@pytest.mark.fault(46)
def test_shutdown_ramps_to_zero_and_stays_there(running):
    running.loop.shutdown()
    stopped = running.until(lambda out: out.state is State.STOPPED, 0.6)
    assert stopped.code is Code.SHUTDOWN and running.loop.at_rest
    running.loop.request_reset()
    assert running.run(3.0).code is Code.SHUTDOWN


# Configuration


@pytest.mark.fault(47)
@pytest.mark.parametrize(
    "field, bad",
    [(name, bad) for name, bad in [
        ("controller_frequency", 0.0), ("controller_frequency", math.nan), ("controller_frequency", 19.0),
        ("model", "magic"), ("reference", "spiral"), ("reference_origin", (0.0, 0.0)),
        ("reference_origin", (0.0, 0.0, math.nan)), ("time_steps", 0), ("model_dt", 0.0), ("delay_taps", 0),
        ("odom_frame", ""), ("base_frame", ""), ("odom_timeout", math.nan), ("odom_timeout", math.inf),
        ("max_odometry_age", 0.0), ("resume_after", 0), ("future_tolerance", -1.0), ("teleport_margin", 0.0),
        ("teleport_yaw_margin", math.nan), ("clock_jump", 0.0), ("clock_pause", -1.0), ("desired_speed", 0.0),
        ("deceleration", -1.0), ("xy_goal_tolerance", 0.0), ("yaw_goal_tolerance", math.nan),
        ("far_from_path", 0.0), ("movement_time_allowance", 0.0), ("required_movement", 0.0),
        ("retry_attempt_limit", -1), ("exception_limit", 0), ("overrun_limit", 0), ("overrun_recovery", 0),
    ]],
)  # fmt: skip
def test_a_threshold_out_of_range_is_refused_by_name(field, bad):
    with pytest.raises(InvalidValueError, match=field):
        ControlConfig(**{field: bad})


def test_a_figure_must_be_handed_in(drive):
    with pytest.raises(InvalidValueError, match="circle needs a figure"):
        ControlLoop(ControlConfig(reference="circle"), None, None)


def test_a_robot_that_may_not_reverse_plans_no_reverse():
    assert ControlConfig(limits=VelocityLimits(vx_min=0.0)).path_profile().reverse_speed == 0.0
    assert ControlConfig(limits=VelocityLimits(vx_min=-0.2)).path_profile().reverse_speed == 0.2


@pytest.mark.parametrize("prior", ["auto", "typical", "kinematic", "dynamic"])
def test_without_weights_the_prior_serves_as_version_0(drive, prior):
    ready = drive()
    known = FirstOrderConfig(delay=0.3).weights(0.05)
    slot = SimpleNamespace(current=SimpleNamespace(weights=None, version=0))
    config = attrs.evolve(ready.config, prior=prior)
    ready.loop = ControlLoop(config, ready.mppi, slot, ready.figure, known=known)
    out = ready.run(1.0)
    assert out.state is State.RUNNING and out.weights_version == 0
    served = ready.mppi.calls[-1][1]
    if prior in ("auto", "typical"):
        assert served.adapter == prior
    else:
        assert served is (known if prior == "dynamic" else None)


def test_a_dynamic_prior_needs_a_robot_that_is_known(drive):
    with pytest.raises(InvalidValueError, match="prior"):
        drive(prior="dynamic")
