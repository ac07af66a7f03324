import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from mppi_maml_ros.core.angles import quaternion_from_yaw
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import OdometryMessage
from mppi_maml_ros.safety.checks import ClockCheck, ClockEvent, OdometryChecks, OdometryTolerances, Reason
from mppi_maml_ros.safety.codes import Code

FIELDS = ("position", "orientation", "linear", "angular")


def message(stamp=100.0, x=0.0, y=0.0, yaw=0.0, v=0.0, omega=0.0, **changes):
    fields = {
        "frame_id": "odom",
        "child_frame_id": "base_link",
        "stamp": stamp,
        "position": (x, y, 0.0),
        "orientation": quaternion_from_yaw(yaw),
        "linear": (v, 0.0, 0.0),
        "angular": (0.0, 0.0, omega),
        "now": stamp,
    }
    return fields | changes


def judged(checks, now, **fields):
    return checks.check(OdometryMessage(**fields), now)


@pytest.fixture
def checks():
    return OdometryChecks(OdometryTolerances(max_speed=1.0, max_yaw_rate=2.0))


def test_a_good_message_becomes_odometry_with_every_field_in_its_place(checks):
    verdict = judged(checks, **message(stamp=7.0, x=1.0, y=-2.0, yaw=0.3, v=0.4, omega=-0.5))
    assert verdict.accepted and verdict.reason is Reason.ACCEPTED and verdict.code is Code.NONE
    assert verdict.odometry.stamp == 7.0
    np.testing.assert_allclose(verdict.odometry.state, [1.0, -2.0, 0.3, 0.4, -0.5], atol=1e-12)
    assert verdict.message == "" and verdict.warning == ""
    assert not (verdict.relocated or verdict.repeated)


@pytest.mark.fault(4)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None, "x", 10**400])
@pytest.mark.parametrize(
    "field, index", [(f, i) for f in FIELDS for i in range(4 if f == "orientation" else 3)]
)
def test_a_value_that_is_no_finite_number_in_any_field_drops_the_message(checks, field, index, bad):
    values = list(message()[field])
    values[index] = bad
    verdict = judged(checks, **message(**{field: values}))
    assert not verdict.accepted and verdict.code is Code.ODOMETRY_INVALID and verdict.message
    assert checks.counts[Reason.NOT_FINITE] == checks.rejected == 1


@pytest.mark.fault(4)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None])
def test_a_stamp_that_is_no_finite_number_drops_the_message(checks, bad):
    assert judged(checks, **message(stamp=bad, now=100.0)).reason is Reason.NOT_FINITE


@pytest.mark.fault(4)
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_with_a_number_too_few_drops_the_message(checks, field):
    assert judged(checks, **message(**{field: (0.0, 0.0)})).reason is Reason.NOT_FINITE


@pytest.mark.fault(4)
def test_a_dropped_message_leaves_no_trace_in_later_verdicts(checks):
    assert judged(checks, **message(100.0)).accepted
    assert not judged(checks, **message(100.05, position=(math.nan, 0, 0))).accepted
    verdict = judged(checks, **message(100.05, x=0.04))
    assert verdict.accepted and verdict.continuous


@pytest.mark.fault(5)
@pytest.mark.parametrize("norm", [0.0, 0.5, 1 - 1.1e-2, 1 + 1.1e-2, 2.0, 1e200])
def test_a_quaternion_that_is_not_of_unit_length_drops_the_message(checks, norm):
    verdict = judged(checks, **message(orientation=(0.0, 0.0, 0.6 * norm, 0.8 * norm)))
    assert verdict.reason is Reason.QUATERNION and verdict.code is Code.ODOMETRY_INVALID


@pytest.mark.fault(5)
@pytest.mark.parametrize("norm", [1 - 0.9e-2, 1.0, 1 + 0.9e-2])
@pytest.mark.parametrize("axis", range(4))
def test_a_quaternion_within_the_tolerance_passes(checks, norm, axis):
    orientation = [0.0, 0.0, 0.0, 0.0]
    orientation[axis] = norm
    assert judged(checks, **message(orientation=orientation)).accepted


@pytest.mark.fault(71)
@pytest.mark.parametrize("norm", [1 - 0.9e-2, 1.0005, 1 + 0.9e-2])
@pytest.mark.parametrize("yaw", [-3.0, 0.4, 2.0])
def test_a_quaternion_a_little_off_is_normalised_with_one_remark(checks, norm, yaw):
    orientation = norm * np.array([0.0, 0.0, np.sin(0.5 * yaw), np.cos(0.5 * yaw)])
    first, second = (judged(checks, **message(t, orientation=orientation)) for t in (100.0, 100.05))
    assert first.odometry.pose[2] == pytest.approx(yaw, abs=1e-12)
    assert f"{norm:.6g}" in first.warning and not second.warning and second.accepted


@pytest.mark.fault(71)
def test_an_empty_child_frame_is_taken_for_the_base_with_one_warning(checks):
    first, second = (judged(checks, **message(t, child_frame_id="")) for t in (100.0, 100.05))
    assert first.accepted and "'base_link'" in first.warning and not second.warning and second.continuous


@pytest.mark.fault(71)
def test_a_message_has_all_its_remarks_and_a_dropped_one_uses_up_none(checks):
    odd = {"child_frame_id": "", "orientation": (0.0, 0.0, 0.0, 1.001)}
    assert not judged(checks, **message(90.0, now=100.0, **odd)).accepted
    assert judged(checks, **message(0.0, now=100.0, **odd)).warning.count(";") >= 4


@pytest.mark.fault(4)
@pytest.mark.parametrize("field, size", [("position", 1e7), ("linear", 100.0), ("angular", 100.0)])
@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("sign", [-1, 1])
def test_an_absurd_value_drops_the_message(checks, field, size, index, sign):
    values = [0.0, 0.0, 0.0]
    values[index] = sign * size * 1.001
    verdict = judged(checks, **message(**{field: values}))
    assert verdict.reason is Reason.IMPLAUSIBLE and verdict.code is Code.ODOMETRY_INVALID
    values[index] = sign * size
    assert judged(checks, **message(**{field: values})).accepted


@pytest.mark.fault(16)
@pytest.mark.parametrize(
    "frame, child", [("map", "base_link"), ("odom", "base"), ("", "base_link"), ("", ""), ("map", "")]
)
def test_wrong_frame_ids_are_rejected_and_both_frames_named(checks, frame, child):
    verdict = judged(checks, **message(frame_id=frame, child_frame_id=child))
    assert verdict.reason is Reason.FRAME and verdict.code is Code.ODOMETRY_FRAME
    for name in (repr(frame), repr(child), "'odom'", "'base_link'"):
        assert name in verdict.message


@pytest.mark.fault(16)
@pytest.mark.parametrize("bad", ["", None, 3])
@pytest.mark.parametrize("field", ["odom_frame", "base_frame"])
def test_frames_must_be_configured(field, bad):
    with pytest.raises(InvalidValueError, match=field):
        OdometryTolerances(**{field: bad})


@pytest.mark.fault(10)
def test_a_zero_stamp_means_the_time_of_arrival_and_warns_once(checks):
    first = judged(checks, **message(stamp=0.0, now=50.0))
    second = judged(checks, **message(stamp=0.0, now=50.05))
    assert first.odometry.stamp == 50.0 and second.odometry.stamp == 50.05
    assert first.warning and not second.warning
    checks.reset()
    assert not judged(checks, **message(stamp=0.0, now=50.1)).warning


@pytest.mark.fault(9)
def test_a_repeated_stamp_is_skipped(checks):
    judged(checks, **message(100.0))
    verdict = judged(checks, **message(100.0, x=0.1, now=100.02))
    assert verdict.reason is Reason.DUPLICATE and verdict.code is Code.ODOMETRY_STALE


@pytest.mark.fault(8)
def test_a_stamp_older_than_the_newest_is_dropped_and_the_newest_stays_the_reference(checks):
    judged(checks, **message(100.0))
    verdict = judged(checks, **message(99.95, now=100.02))
    assert verdict.reason is Reason.OUT_OF_ORDER and verdict.code is Code.ODOMETRY_STALE
    assert judged(checks, **message(99.99, now=100.03)).reason is Reason.OUT_OF_ORDER
    assert judged(checks, **message(100.01, now=100.04)).continuous


@pytest.mark.fault(11)
@pytest.mark.parametrize(
    "ahead, reason", [(0.0999, Reason.ACCEPTED), (0.1001, Reason.FUTURE), (1e6, Reason.FUTURE)]
)
def test_a_stamp_ahead_of_the_clock_is_rejected(checks, ahead, reason):
    verdict = judged(checks, **message(100.0 + ahead, now=100.0))
    assert verdict.reason is reason
    if reason is Reason.FUTURE:
        assert verdict.code is Code.ODOMETRY_FUTURE
        assert judged(checks, **message(100.0)).accepted, "it must not make later good stamps look old"


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    "age, reason", [(0.2499, Reason.ACCEPTED), (0.2501, Reason.STALE), (1e6, Reason.STALE)]
)
def test_an_old_stamp_on_a_fresh_message_is_stale(checks, age, reason):
    verdict = judged(checks, **message(2e6 - age, now=2e6))
    assert verdict.reason is reason
    assert (verdict.code is Code.ODOMETRY_STALE) == (reason is Reason.STALE)


@pytest.mark.fault(12)
@pytest.mark.parametrize("stamp, now", [(-0.1, 0.0), (100.0, math.nan)])
def test_a_stamp_that_cannot_be_judged_is_stale(checks, stamp, now):
    assert judged(checks, **message(stamp, now=now)).reason is Reason.STALE


@pytest.mark.fault(7)
def test_the_yaw_may_wrap_without_a_fault(checks):
    stamps = 100.0 + 0.05 * np.arange(200)
    yaws = np.arange(200) * 0.09
    verdicts = [judged(checks, **message(stamp, yaw=yaw)) for stamp, yaw in zip(stamps, yaws)]
    assert all(verdict.accepted for verdict in verdicts)
    assert all(verdict.continuous for verdict in verdicts[1:])


@pytest.mark.fault(6)
@pytest.mark.parametrize("dx, dy", [(1, 0), (-1, 0), (0, 1), (0, -1), (0.6, 0.8)])
@pytest.mark.parametrize("distance, passes", [(0.299, True), (0.301, False)])
def test_moving_farther_than_the_robot_can_is_a_teleport(checks, dx, dy, distance, passes):
    judged(checks, **message(100.0, x=3.0, y=4.0))
    verdict = judged(checks, **message(100.05, x=3.0 + dx * distance, y=4.0 + dy * distance))
    assert verdict.accepted == passes
    if not passes:
        assert verdict.reason is Reason.TELEPORT and verdict.code is Code.ODOMETRY_TELEPORT
        assert not verdict.repeated and not verdict.relocated and not verdict.continuous
        assert "0.301 m" in verdict.message and "0.050 s" in verdict.message


@pytest.mark.fault(6)
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("turn, passes", [(0.599, True), (0.601, False)])
def test_turning_farther_than_the_robot_can_is_a_teleport(checks, sign, turn, passes):
    judged(checks, **message(100.0, yaw=3.0))
    verdict = judged(checks, **message(100.05, yaw=3.0 + sign * turn))
    assert verdict.accepted == passes
    assert passes or "0.601 rad" in verdict.message


@pytest.mark.fault(6)
def test_a_lone_outlier_is_never_used(checks):
    judged(checks, **message(100.0))
    assert judged(checks, **message(100.05, x=5.0)).reason is Reason.TELEPORT
    verdict = judged(checks, **message(100.1, x=0.05))
    assert verdict.accepted and not verdict.relocated and not verdict.continuous
    assert judged(checks, **message(100.15, x=0.1)).continuous


@pytest.mark.fault(6)
def test_a_relocation_is_taken_over_once_confirmed_and_not_learned_from(checks):
    judged(checks, **message(100.0))
    assert not judged(checks, **message(100.05, x=5.0)).accepted
    verdict = judged(checks, **message(100.1, x=5.05))
    assert verdict.accepted and verdict.relocated and not verdict.continuous
    following = judged(checks, **message(100.15, x=5.1))
    assert following.accepted and following.continuous and not following.relocated


@pytest.mark.fault(6)
@pytest.mark.parametrize("gap, repeated", [(0.99, True), (1.01, False)])
def test_a_second_teleport_within_a_second_is_repeated(checks, gap, repeated):
    judged(checks, **message(100.0))
    judged(checks, **message(100.05, x=5.0))
    judged(checks, **message(100.1, x=5.0))
    for step in range(1, 19):
        judged(checks, **message(100.1 + 0.05 * step, x=5.0))
    verdict = judged(checks, **message(100.05 + gap, x=9.0))
    assert verdict.reason is Reason.TELEPORT and verdict.repeated == repeated


@pytest.mark.fault(6)
def test_positions_that_never_agree_stay_teleports(checks):
    judged(checks, **message(100.0))
    verdicts = [judged(checks, **message(100.05 * 1 + 0.05 * k, x=5.0 * (k + 1))) for k in range(20)]
    assert not any(verdict.accepted for verdict in verdicts)
    assert [verdict.repeated for verdict in verdicts] == [False] + [True] * 19


@pytest.mark.fault(6)
def test_every_teleport_is_repeated_if_so_configured():
    checks = OdometryChecks(OdometryTolerances(teleport_limit=1))
    judged(checks, **message(100.0))
    assert judged(checks, **message(100.05, x=5.0)).repeated


@pytest.mark.fault(6)
def test_a_duplicate_cannot_confirm_a_teleport(checks):
    judged(checks, **message(100.0))
    judged(checks, **message(100.05, x=5.0))
    assert judged(checks, **message(100.05, x=5.0)).reason is Reason.DUPLICATE


@pytest.mark.fault(14)
def test_a_gap_between_stamps_breaks_continuity(checks):
    judged(checks, **message(100.0))
    assert judged(checks, **message(100.25)).continuous
    verdict = judged(checks, **message(100.5001))
    assert verdict.accepted and not verdict.continuous


@pytest.mark.fault(13)
def test_after_a_reset_older_stamps_and_any_place_are_fresh(checks):
    judged(checks, **message(100.0))
    judged(checks, **message(100.05, x=9.0))
    checks.reset()
    verdict = judged(checks, **message(10.0, x=50.0))
    assert verdict.accepted and not verdict.continuous and not verdict.relocated
    assert checks.rejected == 1, "counters go on"


def test_every_outcome_is_counted_under_its_name(checks):
    judged(checks, **message(100.0))
    judged(checks, **message(100.0))
    judged(checks, **message(99.9, now=100.0))
    judged(checks, **message(frame_id=""))
    counts = checks.counts
    assert counts[Reason.ACCEPTED] == counts[Reason.DUPLICATE] == counts[Reason.OUT_OF_ORDER] == 1
    assert counts[Reason.FRAME] == 1 and checks.rejected == 3
    counts[Reason.FRAME] = 99
    assert checks.counts[Reason.FRAME] == 1


@pytest.mark.parametrize(
    "field",
    [
        "max_speed",
        "max_yaw_rate",
        "teleport_margin",
        "teleport_yaw_margin",
        "teleport_window",
        "max_age",
        "max_gap",
    ]
    + ["quaternion_tolerance", "max_coordinate", "max_twist", "teleport_limit"],
)
@pytest.mark.parametrize("bad", [0, -1, math.nan])
def test_tolerances_out_of_range_are_refused_by_name(field, bad):
    with pytest.raises(InvalidValueError, match=field):
        OdometryTolerances(**{field: bad})


@pytest.mark.parametrize("bad", [-1e-9, math.nan, math.inf])
def test_the_future_tolerance_may_be_zero_but_not_less(bad):
    assert OdometryTolerances(future_tolerance=0.0).future_tolerance == 0.0
    with pytest.raises(InvalidValueError, match="future_tolerance"):
        OdometryTolerances(future_tolerance=bad)


@pytest.mark.parametrize("field", ["max_speed", "max_age", "max_twist"])
def test_infinite_tolerances_are_refused(field):
    with pytest.raises(InvalidValueError, match=field):
        OdometryTolerances(**{field: math.inf})


numbers = st.one_of(st.floats(), st.just(None), st.integers(), st.text(max_size=2))
vectors = st.one_of(st.lists(numbers, max_size=5), numbers)


@pytest.mark.fault(57)
@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(
    messages=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "stamp": numbers,
                "position": vectors,
                "orientation": vectors,
                "linear": vectors,
                "angular": vectors,
                "frame_id": st.one_of(st.none(), st.text(max_size=3)),
                "now": st.floats(),
            },
        ),
        max_size=8,
    )
)
def test_whatever_comes_in_what_goes_through_is_finite_and_newer(messages):
    checks = OdometryChecks(OdometryTolerances())
    newest = -math.inf
    for number, changes in enumerate(messages):
        verdict = judged(checks, **message(100.0 + 0.05 * number) | changes)
        assert verdict.accepted == (verdict.odometry is not None)
        if verdict.accepted:
            assert np.isfinite(verdict.odometry.state).all()
            assert verdict.odometry.stamp > newest
            newest = verdict.odometry.stamp
        else:
            assert verdict.message and verdict.code is not Code.NONE
    assert sum(checks.counts.values()) == len(messages)


# The clock


@pytest.mark.parametrize("start", [0.0, 5.0])
def test_the_first_look_at_a_clock_is_no_event(start):
    clock = ClockCheck()
    assert not clock.paused and clock.jump == 0.0
    assert clock.look(start, 77.0) is ClockEvent.NONE and not clock.paused


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    "back, event", [(0.049, ClockEvent.NONE), (0.051, ClockEvent.BACK), (90.0, ClockEvent.BACK)]
)
def test_a_clock_that_goes_back_has_jumped(back, event):
    clock = ClockCheck()
    clock.look(100.0, 0.0)
    assert clock.look(100.0 - back, 0.05) is event
    if event is ClockEvent.BACK:
        assert clock.jump == pytest.approx(-back)
        assert clock.look(100.0 - back + 0.05, 0.1) is ClockEvent.NONE


@pytest.mark.fault(13)
def test_going_back_by_little_steps_is_a_jump_once_it_adds_up():
    clock = ClockCheck()
    clock.look(100.0, 0.0)
    events = [clock.look(100.0 - 0.02 * k, 0.01 * k) for k in range(1, 5)]
    assert events == [ClockEvent.NONE, ClockEvent.NONE, ClockEvent.BACK, ClockEvent.NONE]


@pytest.mark.fault(14)
@pytest.mark.parametrize("ahead, event", [(0.999, ClockEvent.NONE), (1.001, ClockEvent.FORWARD)])
def test_a_clock_that_runs_ahead_of_the_steady_one_has_jumped(ahead, event):
    clock = ClockCheck()
    clock.look(100.0, 0.0)
    assert clock.look(100.5 + ahead, 0.5) is event
    if event is ClockEvent.FORWARD:
        assert clock.jump == pytest.approx(0.5 + ahead)
    assert clock.look(100.55 + ahead, 0.55) is ClockEvent.NONE


@pytest.mark.fault(14)
def test_a_long_silence_on_both_clocks_is_no_jump():
    clock = ClockCheck()
    clock.look(100.0, 0.0)
    assert clock.look(160.0, 60.0) is ClockEvent.NONE


def test_a_simulated_clock_may_start_late():
    clock = ClockCheck()
    clock.look(0.0, 0.0)
    assert clock.look(1234.0, 0.05) is ClockEvent.NONE
    assert clock.look(2234.0, 0.1) is ClockEvent.FORWARD


@pytest.mark.fault(15)
def test_a_clock_that_stands_still_for_half_a_second_is_paused_until_it_moves():
    clock = ClockCheck()
    clock.look(100.0, 10.0)
    clock.look(100.0, 10.5)
    assert not clock.paused
    clock.look(100.0, 10.501)
    assert clock.paused
    clock.look(100.01, 10.51)
    assert not clock.paused


@pytest.mark.fault(15)
@pytest.mark.parametrize("now", [99.99, math.nan])
def test_a_clock_that_does_not_advance_counts_as_standing_still(now):
    clock = ClockCheck()
    clock.look(100.0, 10.0)
    clock.look(now, 10.6)
    assert clock.paused


@pytest.mark.fault(13)
def test_a_jump_back_is_a_sign_of_life():
    clock = ClockCheck()
    clock.look(100.0, 10.0)
    clock.look(50.0, 10.6)
    assert not clock.paused


def test_a_steady_clock_that_goes_back_does_not_make_up_a_jump():
    clock = ClockCheck()
    clock.look(100.0, 10.0)
    assert clock.look(100.5, 5.0) is ClockEvent.NONE


@pytest.mark.parametrize("field", ["jump_forward", "jump_back", "pause"])
@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_clock_thresholds_out_of_range_are_refused_by_name(field, bad):
    with pytest.raises(InvalidValueError, match=field):
        ClockCheck(**{field: bad})


@pytest.mark.fault(14)
def test_a_jump_after_a_long_time_of_peace_is_noticed():
    clock = ClockCheck()
    for k in range(200):
        assert clock.look(100.0 + 0.05 * k, 10.0 + 0.05 * k) is ClockEvent.NONE
    assert clock.look(111.2, 20.0) is ClockEvent.FORWARD


# Thresholds that are exact in binary, so that each can be met to the last bit.

EXACT = {
    "max_speed": 1.0,
    "max_yaw_rate": 1.0,
    "teleport_margin": 0.25,
    "teleport_yaw_margin": 0.25,
    "future_tolerance": 0.125,
    "quaternion_tolerance": 0.25,
}
BIT = 2.0**-20


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"now": 99.875}, Reason.FUTURE),
        ({"now": 100.25}, Reason.STALE),
        ({"orientation": (0.0, 0.0, 0.0, 1.25)}, Reason.QUATERNION),
        ({"orientation": (0.0, 0.0, 0.0, 0.75)}, Reason.QUATERNION),
    ],
)
def test_a_tolerance_that_is_just_met_passes_and_a_bit_more_does_not(changes, reason):
    checks = OdometryChecks(OdometryTolerances(**EXACT))
    assert judged(checks, **message(100.0) | changes).accepted
    name, value = next(iter(changes.items()))
    outward = {
        "now": lambda t: t + math.copysign(BIT, t - 100.0),
        "orientation": lambda q: (0, 0, 0, q[3] + math.copysign(BIT, q[3] - 1.0)),
    }
    checks.reset()
    assert judged(checks, **message(100.0) | {name: outward[name](value)}).reason is reason


@pytest.mark.fault(6)
@pytest.mark.parametrize("field, size", [("position", 0.5), ("yaw", 0.5)])
def test_a_motion_that_is_just_possible_passes_and_a_bit_more_does_not(field, size):
    for extra, accepted in ((0.0, True), (1e-9, False)):
        checks = OdometryChecks(OdometryTolerances(**EXACT))
        judged(checks, **message(100.0))
        moved = {"x": size + extra} if field == "position" else {"yaw": size - 1e-12 + extra}
        assert judged(checks, **message(100.25, **moved)).accepted == accepted


@pytest.mark.fault(6)
def test_teleports_just_a_second_apart_are_repeated():
    checks = OdometryChecks(OdometryTolerances(**EXACT))
    judged(checks, **message(100.0))
    judged(checks, **message(100.25, x=50.0))
    judged(checks, **message(100.5, x=50.0))
    assert judged(checks, **message(101.25, x=99.0)).repeated


@pytest.mark.parametrize("stamp", [0.0, 2.0**-30, 0.5])
def test_time_may_begin_at_zero(checks, stamp):
    assert judged(checks, **message(stamp, now=stamp)).accepted


@pytest.mark.fault(8)
def test_the_message_tells_how_late_a_message_came(checks):
    judged(checks, **message(100.0))
    assert "0.05 s older" in judged(checks, **message(99.95, now=100.0)).message


def test_the_defaults_are_those_of_the_limits():
    tolerances = OdometryTolerances()
    assert (tolerances.max_speed, tolerances.max_yaw_rate, tolerances.max_coordinate) == (1.0, 1.9, 1e7)


@pytest.mark.parametrize(
    "now, steady, event",
    [
        (99.75, 10.0, ClockEvent.NONE),
        (99.75 - BIT, 10.0, ClockEvent.BACK),
        (101.5, 10.5, ClockEvent.NONE),
        (101.5 + BIT, 10.5, ClockEvent.FORWARD),
    ],
)
def test_a_clock_that_just_meets_a_threshold_has_not_jumped(now, steady, event):
    clock = ClockCheck(jump_forward=1.0, jump_back=0.25)
    clock.look(100.0, 10.0)
    assert clock.look(now, steady) is event


def test_a_clock_that_reads_little_can_jump():
    clock = ClockCheck()
    clock.look(0.5, 10.0)
    assert clock.look(3.0, 10.0) is ClockEvent.FORWARD
