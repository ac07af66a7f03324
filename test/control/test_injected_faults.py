"""The same injectors that the demo uses, against the control loop: behaviour, status and deadline."""

import math

import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.types import OdometryMessage
from mppi_maml_ros.safety.codes import Code, State
from mppi_maml_ros.simulation.faults import KINDS, Injector, Target, parse

STOP_BEGINS = 0.25  # [s] after the last usable odometry
REST = 0.6  # [s] after it the command is an exact zero
RECOVERS = 4.0  # [s] after the end of a fault
START, DURATION = 2.0, 3.0


@attrs.frozen
class Answer:
    """What must be seen: codes that may be reported while stopped, and how the robot is after it began."""

    codes: tuple = ()
    stops: bool = True
    remark: Code = Code.NONE
    begins: float = STOP_BEGINS


def stops(*codes, **options):
    return Answer(codes, **options)


DRIVES = Answer(stops=False)
WARNS = Answer(stops=False, remark=Code.ODOMETRY_TWIST)

TABLE = [
    pytest.param("odom_stop", stops(Code.ODOMETRY_TIMEOUT), marks=pytest.mark.fault(2)),
    pytest.param("odom_stutter", stops(Code.ODOMETRY_TIMEOUT), marks=pytest.mark.fault(3)),
    pytest.param("odom_late", stops(Code.ODOMETRY_STALE, Code.ODOMETRY_TIMEOUT), marks=pytest.mark.fault(12)),
    pytest.param("odom_nan", stops(Code.ODOMETRY_INVALID), marks=pytest.mark.fault(4)),
    pytest.param("odom_inf", stops(Code.ODOMETRY_INVALID), marks=pytest.mark.fault(4)),
    pytest.param("odom_quaternion", stops(Code.ODOMETRY_INVALID), marks=pytest.mark.fault(5)),
    pytest.param(
        "odom_teleport", attrs.evolve(DRIVES, remark=Code.ODOMETRY_TELEPORT), marks=pytest.mark.fault(6)
    ),
    pytest.param(
        "odom_jumping",
        stops(Code.ODOMETRY_TELEPORT, remark=Code.ODOMETRY_TELEPORT),
        marks=pytest.mark.fault(6),
    ),
    pytest.param("odom_out_of_order", DRIVES, marks=pytest.mark.fault(8)),
    pytest.param("odom_duplicate", DRIVES, marks=pytest.mark.fault(9)),
    pytest.param(
        "odom_frozen", stops(Code.ODOMETRY_STALE, Code.ODOMETRY_TIMEOUT), marks=pytest.mark.fault(9)
    ),
    pytest.param("odom_unstamped", DRIVES, marks=pytest.mark.fault(10)),
    pytest.param("odom_future", stops(Code.ODOMETRY_FUTURE), marks=pytest.mark.fault(11)),
    pytest.param("odom_stale", stops(Code.ODOMETRY_STALE), marks=pytest.mark.fault(12)),
    pytest.param("odom_frame", stops(Code.ODOMETRY_FRAME), marks=pytest.mark.fault(16)),
    pytest.param("odom_unframed", stops(Code.ODOMETRY_FRAME), marks=pytest.mark.fault(16)),
    pytest.param("twist_zero", WARNS, marks=pytest.mark.fault(58)),
    pytest.param("twist_sign", WARNS, marks=pytest.mark.fault(58)),
    pytest.param("twist_echo", WARNS, marks=pytest.mark.fault(58)),
    pytest.param("twist_scale", WARNS, marks=pytest.mark.fault(58)),
    # On a wide circle, over three seconds, these say what the robot does.
    pytest.param("twist_frame", DRIVES, marks=pytest.mark.fault(58)),
    pytest.param("twist_frozen", DRIVES, marks=pytest.mark.fault(58)),
    pytest.param("frozen", stops(Code.ODOMETRY_HANGING, begins=0.45), marks=pytest.mark.fault(59)),
    pytest.param("clock_offset", DRIVES, marks=pytest.mark.fault(60)),
    pytest.param("odom_flood", DRIVES, marks=pytest.mark.fault(54)),
    pytest.param(
        "clock_back",
        stops(Code.CLOCK_JUMP, Code.ODOMETRY_STALE, Code.ODOMETRY_FUTURE, begins=0.0),
        marks=pytest.mark.fault(13),
    ),
    pytest.param(
        "clock_forward", stops(Code.CLOCK_JUMP, Code.ODOMETRY_STALE, begins=0.0), marks=pytest.mark.fault(14)
    ),
    pytest.param(
        "clock_pause",
        stops(Code.CLOCK_PAUSED, Code.ODOMETRY_STALE, Code.ODOMETRY_TIMEOUT, Code.CLOCK_JUMP, begins=0.5),
        marks=pytest.mark.fault(15),
    ),
]


def run(ready, text, seconds):
    """Drives under injected faults at 20 Hz; returns (time since the start, output) of each tick."""
    injector, origin = Injector(parse(text)), ready.t
    true_time, outputs = 0.0, []
    for _ in range(round(seconds / 0.05)):
        ready.advance(0.05, node_period=0.0)
        true_time += 0.05
        ready.t = injector.clock(origin + true_time, true_time)
        sent = OdometryMessage.planar(ready.t, (*ready.pose, *ready.command))
        for arrived in injector.odometry(sent, true_time):
            ready.message(**attrs.asdict(arrived, recurse=False))
        outputs.append((true_time, ready.tick()))
    return outputs


def test_every_fault_of_odometry_and_clock_is_in_the_table():
    here = {parameters.values[0] for parameters in TABLE}
    there = {name for name, kind in KINDS.items() if kind.target in (Target.ODOMETRY, Target.CLOCK)}
    assert here == there - {"odom_drop", "quaternion_scale"}


@pytest.mark.parametrize(("kind", "answer"), TABLE)
def test_an_injected_fault_is_answered_in_time_and_reported_and_survived(drive, kind, answer):
    ready = drive()
    outputs = run(ready, f"{kind}@{START}+{DURATION}", START + DURATION + RECOVERS)
    begun = [(t, out) for t, out in outputs if t >= START]
    halted = [(t, out) for t, out in begun if out.state is not State.RUNNING]
    if answer.remark:
        assert any(out.code is answer.remark and out.reason for _, out in begun)
    if not answer.stops:
        assert halted == []
        return
    assert halted, "the robot went on"
    assert halted[0][0] - START <= answer.begins + 1e-6
    during = {out.code for t, out in halted if t < START + DURATION}
    assert during and during <= set(answer.codes)
    # While it waits for enough good messages, the silence in between may be the reason.
    assert {out.code for _, out in halted} <= {*answer.codes, Code.ODOMETRY_TIMEOUT}
    assert all(out.reason for _, out in halted)
    at_rest = next(t for t, out in begun if out.state is State.STOPPED)
    assert at_rest - START <= answer.begins + REST - STOP_BEGINS + 0.05
    assert not any(out.command.any() for _, out in begun if out.state is State.STOPPED)
    assert outputs[-1][1].state is State.RUNNING, outputs[-1][1].reason


@pytest.mark.fault(2)
def test_messages_that_are_lost_now_and_then_do_not_stop_the_robot(drive):
    outputs = run(drive(), "odom_drop@1=0.3", 6.0)
    assert all(out.state is State.RUNNING for t, out in outputs if t > 0.5)


@pytest.mark.fault(2)
@pytest.mark.fault(57)
@pytest.mark.parametrize("seed", range(4))
def test_under_any_mixture_of_faults_the_robot_is_safe_and_recovers(drive, seed):
    rng = np.random.default_rng(seed)
    kinds = [name for name, kind in KINDS.items() if kind.target in (Target.ODOMETRY, Target.CLOCK)]
    text = ",".join(
        f"{rng.choice(kinds)}@{rng.uniform(1, 8):.2f}+{rng.uniform(0.1, 2):.2f}" for _ in range(6)
    )
    outputs = run(drive(), text, 10.0 + 8.0)
    assert outputs[-1][1].state is State.RUNNING, (text, outputs[-1][1].reason)
    for _, out in outputs:
        assert out.code is not Code.CONTROL_EXCEPTION and all(map(math.isfinite, out.command))
