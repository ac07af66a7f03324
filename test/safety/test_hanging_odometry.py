"""Pose and twist that hang under fresh stamps."""

import attrs
import pytest

from mppi_maml_ros.core.types import OdometryMessage
from mppi_maml_ros.safety.checks import OdometryChecks, OdometryTolerances, Reason
from mppi_maml_ros.safety.codes import Code


def judge(twist, seconds=1.0, rate=50.0, believe_twist=True, moves=0.0):
    """Verdicts on messages whose pose moves by ``moves`` each time."""
    checks, verdicts = OdometryChecks(OdometryTolerances()), []
    for k in range(round(seconds * rate) + 1):
        now = 10.0 + k / rate
        state = (1.0 + k * moves, 2.0, 0.5, *twist)
        verdicts.append(checks.check(OdometryMessage.planar(now, state), now, believe_twist))
    return verdicts


@pytest.mark.fault(59)
@pytest.mark.parametrize("twist", [(0.4, 0.0), (-0.2, 0.0), (0.0, 0.5)])
@pytest.mark.parametrize("rate", [10.0, 50.0])
def test_a_pose_that_stands_still_while_the_twist_says_motion_is_dropped(twist, rate):
    verdicts = judge(twist, rate=rate)
    dropped = [k / rate for k, verdict in enumerate(verdicts) if not verdict.accepted]
    assert dropped[0] == pytest.approx(0.4, abs=0.11) and len(dropped) == len(verdicts) - dropped[0] * rate
    last = verdicts[-1]
    assert last.reason is Reason.HANGING and last.code is Code.ODOMETRY_HANGING
    assert "hangs" in last.message and last.since == 10.0


@pytest.mark.parametrize(
    "answer",
    [
        judge((0.0, 0.0)),  # stands still
        judge((0.01, 0.02)),  # noise
        judge((0.4, 0.0), moves=1e-9),  # anything but the same
        judge((0.4, 0.0), believe_twist=False),  # the twist is known to be wrong
        judge((0.4, 0.0), seconds=0.3),  # a pose that comes more seldom than the messages
    ],
)
def test_nothing_else_hangs(answer):
    assert all(verdict.accepted for verdict in answer)


def test_the_first_pose_that_moves_again_is_taken():
    checks = OdometryChecks(OdometryTolerances())
    for k in range(51):
        now = 10.0 + 0.02 * k
        state = (1.0, 2.0, 0.5, 0.4, 0.0)
        last = checks.check(OdometryMessage.planar(now, state), now)
    assert not last.accepted
    moved = attrs.evolve(OdometryMessage.planar(11.02, state), position=(1.2, 2.0, 0.0))
    again = checks.check(moved, 11.02)
    assert again.accepted and not again.continuous
