"""Faults to order: how they are written, and what each does to the messages that pass."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.core import se2
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import OdometryMessage
from mppi_maml_ros.simulation.faults import (
    EVER,
    KINDS,
    NODES,
    SPACING,
    Fault,
    Injector,
    Target,
    parse,
)
from mppi_maml_ros.simulation.world import DynamicWorld

YAW = 2.0 * math.atan2(0.6, 0.8)


def message(stamp=7.0, x=1.0):
    return OdometryMessage(
        "odom", "base_link", stamp, (x, 2.0, 0.0), (0.0, 0.0, 0.6, 0.8), (0.5 + x, 0.0, 0.0), (0.0, 0.0, 0.1)
    )


def sent(text, count=10, rate=20.0, seed=0):
    """(time sent, what arrives then) of ``count`` messages."""
    injector = Injector(parse(text), seed)
    return [
        (k / rate, injector.odometry(message(7.0 + k / rate, x=float(k)), k / rate)) for k in range(count)
    ]


def test_a_fault_is_written_with_start_duration_and_value():
    assert parse("odom_stop@10") == (Fault("odom_stop", 10.0),)
    assert parse(" odom_future@5+3=0.4 , odom_nan@1+1 ") == (
        Fault("odom_future", 5.0, 3.0, 0.4),
        Fault("odom_nan", 1.0, 1.0),
    )
    assert parse("odom_stale@1=2")[0].duration == math.inf and parse("") == ()
    assert parse("twist_zero,clock_offset=-0.2") == (
        Fault("twist_zero", EVER),
        Fault("clock_offset", EVER, value=-0.2),
    )
    assert parse("clock_pause@1")[0].duration == KINDS["clock_pause"].duration


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("odom_stop+3", "kind\\[@start"),
        ("odom_gone@3", "odom_stop, odom_stutter"),
        ("odom_stop@soon", "needs numbers"),
        ("odom_stop@-1", "at least 0"),
        ("odom_stop@nan", "at least 0"),
        ("odom_stop@inf", "finite"),
        ("odom_stop@1+0", "above 0"),
        ("odom_stop@1+nan", "above 0"),
        ("odom_stop@1=3", "takes no value"),
        ("odom_drop@1=1.5", r"\[0, 1\]"),
        ("odom_future@1=nan", r"\[0, 1e\+06\] s"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_is_allowed(text, named):
    with pytest.raises(InvalidValueError, match=named):
        parse(text)
    with pytest.raises(InvalidValueError, match="odom_stop"):
        Fault.of("nothing", 1.0)


@settings(max_examples=50, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    start=st.floats(0.0, 1e6),
    duration=st.one_of(st.none(), st.floats(1e-3, 1e6)),
)
def test_what_is_written_is_read_again(kind, start, duration):
    fault = Fault.of(kind, start, duration)
    assert parse(fault.spec) == (fault,)
    assert str(fault).startswith("from ")


def test_every_kind_of_process_fault_has_its_node():
    assert set(NODES) == {name for name, kind in KINDS.items() if kind.target is Target.PROCESS}


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.target is Target.ODOMETRY])
def test_before_and_after_a_fault_messages_pass_unchanged(kind):
    everything = sent(f"{kind}@0.2+0.2", count=20)
    for t, arrived in everything:
        if t < 0.2 or t >= 0.45:
            assert arrived == [message(7.0 + t, x=round(20 * t))]
    assert any(arrived != [message(7.0 + t, x=round(20 * t))] for t, arrived in everything if 0.2 <= t < 0.4)


def arrivals(text, count=10, **options):
    return [one for _, arrived in sent(text, count, **options) for one in arrived]


def test_what_each_fault_on_odometry_does():
    assert arrivals("odom_stop@0") == []
    assert [one.stamp for one in arrivals("odom_stutter@0=0.2", 9)] == pytest.approx([7.0, 7.2, 7.4])
    assert 20 < len(arrivals("odom_drop@0=0.5", 100)) < 80
    assert arrivals("odom_drop@0", 50, seed=1) == arrivals("odom_drop@0", 50, seed=1)
    assert arrivals("odom_drop@0", 50, seed=1) != arrivals("odom_drop@0", 50, seed=2)
    late = sent("odom_late@0=0.1", 5)
    assert [[one.stamp for one in arrived] for _, arrived in late] == [[], [], [7.0], [7.05], [7.1]]
    assert all(math.isnan(one.position[0]) for one in arrivals("odom_nan@0"))
    assert all(one.linear[0] == math.inf for one in arrivals("odom_inf@0"))
    assert all(one.orientation == (0.0,) * 4 for one in arrivals("odom_quaternion@0"))
    assert [one.position[0] for one in arrivals("odom_teleport@0=3", 3)] == [3.0, 4.0, 5.0]
    assert [one.position[0] for one in arrivals("odom_jumping@0=3", 4)] == [3.0, 1.0, 5.0, 3.0]
    assert [one.position[0] for one in arrivals("odom_out_of_order@0", 4)] == [1.0, 0.0, 3.0, 2.0]
    assert [one.position[0] for one in arrivals("odom_duplicate@0", 2)] == [0.0, 0.0, 1.0, 1.0]
    assert {one.stamp for one in arrivals("odom_frozen@0")} == {7.0}
    assert {one.stamp for one in arrivals("odom_unstamped@0")} == {0.0}
    assert arrivals("odom_future@0=0.5")[0].stamp == 7.5 and arrivals("odom_stale@0=2")[0].stamp == 5.0
    assert arrivals("odom_frame@0")[0].frame_id == "not_odom"
    assert (arrivals("odom_unframed@0")[0].frame_id, arrivals("odom_unframed@0")[0].child_frame_id) == (
        "",
        "",
    )
    flood = arrivals("odom_flood@0=100", 1)
    assert len(flood) == 100 and flood[-1].stamp == pytest.approx(7.0)
    assert flood[1].stamp - flood[0].stamp == pytest.approx(SPACING, rel=1e-3)


def test_faults_act_one_after_the_other():
    both = arrivals("odom_duplicate@0,odom_future@0=1", 1)
    assert [one.stamp for one in both] == [8.0, 8.0]
    assert arrivals("odom_stop@0,odom_duplicate@0") == []


def test_what_is_on_its_way_when_a_delay_ends_still_arrives_in_order():
    stamps = [one.stamp for one in arrivals("odom_late@0+0.2=0.1", 10)]
    assert stamps == sorted(stamps) and len(stamps) == 10


def test_commands_are_lost_or_spoilt():
    injector = Injector(parse("cmd_lost@1+1,cmd_nan@3"))
    assert injector.command((0.5, 0.1), 0.5) == (0.5, 0.1)
    assert injector.command((0.5, 0.1), 1.5) is None
    assert injector.command((0.5, 0.1), 2.5) == (0.5, 0.1)
    assert all(map(math.isnan, injector.command((0.5, 0.1), 3.5)))


def test_a_clock_jumps_and_stands_still():
    injector = Injector(parse("clock_back@1=5,clock_pause@2+1,clock_forward@4=7"))
    times = [0.5, 1.0, 2.0, 2.5, 3.0, 3.5, 4.0]
    assert [injector.clock(100.0 + t, t) for t in times] == pytest.approx(
        [100.5, 96.0, 97.0, 97.0, 97.0, 97.5, 105.0]
    )


@pytest.mark.parametrize(
    ("spec", "linear", "angular"),
    [
        ("twist_zero", (0.0, 0.0, 0.0), 0.0),
        ("twist_sign", (-1.5, 0.0, 0.0), -0.1),
        ("twist_scale=2", (3.0, 0.0, 0.0), 0.2),
        ("twist_echo", (0.7, 0.0, 0.0), -0.3),
        ("twist_frame", (1.5 * math.cos(YAW), 1.5 * math.sin(YAW), 0.0), 0.1),
    ],
)
def test_a_twist_says_something_else(spec, linear, angular):
    injector = Injector(parse(spec))
    injector.command((0.7, -0.3), -math.inf)
    (arrived,) = injector.odometry(message(), -math.inf)
    assert arrived.linear == pytest.approx(linear) and arrived.angular[2] == pytest.approx(angular)


def test_what_is_frozen_keeps_its_first_values_under_fresh_stamps():
    first, second = sent("frozen", 2)
    assert second[1][0].position == first[1][0].position and second[1][0].stamp > first[1][0].stamp
    twists = sent("twist_frozen", 2)
    assert twists[1][1][0].linear == twists[0][1][0].linear
    assert twists[1][1][0].position != twists[0][1][0].position


def test_a_clock_that_is_off_moves_every_stamp_and_a_scaled_quaternion_keeps_its_heading():
    assert [arrived[0].stamp for _, arrived in sent("clock_offset=-0.2", 2)] == pytest.approx([6.8, 6.85])
    (scaled,) = Injector(parse("quaternion_scale=1.5")).odometry(message(), 0.0)
    assert math.hypot(*scaled.orientation) == pytest.approx(1.5)


def driven(spec, seconds=2.0, seed=0):
    """A base under (.5, .3) whose fault begins after a second; states at that time and at the end."""
    world, injector = DynamicWorld(seed=seed), Injector(parse(spec), seed)
    states = []
    for k in range(round(seconds / 0.02)):
        if k == 50:
            states.append(world.state)
        injector.step(world, (0.5, 0.3), 0.02, 0.02 * k)
    return *states, world.state


def test_under_an_emergency_stop_the_motors_brake_whatever_is_commanded():
    before, after = driven("estop@1")
    assert before[3] > 0.4 and abs(after[3]) < 0.01
    assert math.hypot(*(after - before)[:2]) > 0.01  # it rolls out


def test_a_held_robot_stays_to_the_millimetre_and_a_pushed_one_moves_aside():
    before, after = driven("held@1")
    assert after[:3] == pytest.approx(before[:3]) and not after[3:].any()
    before, after = driven("bumped@1+0.5=0.4", seconds=1.5)
    aside = se2.to_body(after[:3], before[:3])
    assert aside == pytest.approx([0.0, 0.2, 0.0], abs=1e-6)


def test_after_a_fault_of_the_base_it_obeys_again():
    _, after = driven("held@1+0.5", seconds=3.0)
    assert after[3] == pytest.approx(driven("", seconds=3.0)[1][3], abs=0.02)
