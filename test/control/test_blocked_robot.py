"""The control loop under an emergency stop, a hand, and a twist that lies."""

from types import SimpleNamespace

import numpy as np
import pytest

from mppi_maml_ros.dynamics.prior_bank import PriorBank
from mppi_maml_ros.safety.codes import Code, State


def hold(drive, seconds):
    """The robot is held; what went out meanwhile."""
    outputs = []
    for _ in range(round(seconds / 0.05)):
        drive.t += 0.05
        drive.steady += 0.05
        commanded, drive.command = drive.command, np.zeros(2)  # what the message says of the twist
        drive.message()
        drive.command = commanded
        outputs.append(drive.tick())
    return outputs


@pytest.mark.fault(61)
def test_a_blocked_robot_is_told_so_and_driven_by_the_prior(drive):
    ready = drive(model="residual")
    ready.run(3.0)
    assert ready.outputs[-1].weights_version > 0
    outputs = hold(ready, 2.0)
    blocked = [out for out in outputs if out.code is Code.ROBOT_BLOCKED]
    assert len(blocked) >= 30 and outputs[-1] is blocked[-1]
    assert all(out.state is State.RUNNING and out.weights_version == 0 for out in blocked)
    assert "has not moved" in blocked[-1].reason and "held" in blocked[-1].reason
    assert ready.loop.remark.code is Code.ROBOT_BLOCKED
    assert ready.run(1.0).code is Code.NONE
    assert ready.outputs[-1].weights_version > 0


@pytest.mark.fault(61)
def test_the_reference_waits_where_the_robot_got_stuck(drive):
    ready = drive()
    ready.run(3.0)
    commanded = np.abs(ready.command).max()
    outputs = hold(ready, 5.0)
    assert outputs[-1].tracking_error <= 0.1
    assert np.abs([out.command for out in outputs[-60:]]).max() <= 1.3 * commanded
    assert max(out.tracking_error for out in [ready.step() for _ in range(40)]) <= 0.15


@pytest.mark.fault(61)
def test_on_a_path_a_blocked_robot_still_fails_to_make_progress(drive):
    ready = drive(reference="plan", movement_time_allowance=3.0)
    ready.run(0.5)
    x = np.linspace(0.0, 10.0, 201)
    ready.loop.handle_path("odom", np.column_stack([x, 0 * x, 0 * x]))
    ready.run(2.0)
    outputs = hold(ready, 4.0)
    assert outputs[-1].code is Code.FAILED_TO_MAKE_PROGRESS


@pytest.mark.fault(88)
def test_a_base_that_goes_on_by_its_last_command_is_told_of_and_driven_by_the_prior(drive):
    ready = drive(model="residual")
    ready.run(6.0)
    assert ready.outputs[-1].weights_version > 0
    heard, bank = ready.command, ready.loop._bank
    ready.jumps_allowed = True  # of what the base hears
    ready.mppi.override = lambda *_: SimpleNamespace(command=np.zeros(2))
    outputs = []
    for _ in range(80):
        ready.command = heard
        outputs.append(ready.step())
    deaf = [out for out in outputs if out.code is Code.ROBOT_BLOCKED]
    assert deaf and outputs[-1] is deaf[-1]
    assert all(out.state is State.RUNNING and out.weights_version == 0 for out in deaf)
    assert "does not obey" in deaf[-1].reason
    anew = PriorBank(ready.config.model_dt, ready.config.delay_taps).weights
    np.testing.assert_array_equal(bank.weights.linear, anew.linear)
    ready.mppi.override = None
    ready.run(1.0)
    assert ready.outputs[-1].weights_version > 0


@pytest.mark.parametrize("let_go", [False, True])
def test_whom_others_drive_is_not_said_to_disobey(drive, let_go):
    ready = drive(reference="plan")
    ready.jumps_allowed = True  # of what others tell the robot
    for _ in range(60):
        ready.command = np.array([0.5, 0.0])
        out = ready.step()
        if let_go:
            ready.loop.let_go()
    assert out.state is State.WAITING_FOR_PLAN
    assert (ready.loop.remark is None) is let_go


@pytest.mark.fault(63)
def test_an_emergency_stop_that_is_announced_is_a_stop_with_a_gentle_start(running):
    running.loop.set_emergency_stop(True)
    out = running.run(1.0)
    assert out.state is State.STOPPED and out.code is Code.EMERGENCY_STOP and not out.command.any()
    assert "emergency stop" in out.reason
    running.loop.set_emergency_stop(False)
    # The drive holds each change of a command against the acceleration limits.
    assert running.run(1.0).state is State.RUNNING
    assert running.outputs[-1].tracking_error < 0.2


@pytest.mark.fault(58)
def test_without_leave_to_replace_it_a_contradictory_twist_means_the_prior(drive):
    ready = drive(model="residual", twist_source="odom")
    ready.run(3.0, linear=(0.0, 0.0, 0.0))
    out = ready.outputs[-1]
    assert out.code is Code.ODOMETRY_TWIST and "not learned from" in out.reason
    assert out.state is State.RUNNING and out.weights_version == 0


@pytest.mark.fault(58)
def test_the_source_of_the_twist_can_be_changed_while_driving(running):
    import attrs

    running.loop.reconfigure(attrs.evolve(running.config, twist_source="pose"))
    running.run(1.0, linear=(9.0, 0.0, 0.0))
    assert running.predictor.odometry.twist[0] == pytest.approx(0.5, abs=0.05)
