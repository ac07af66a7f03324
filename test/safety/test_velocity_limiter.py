import math

import attrs
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.safety.limiter import VelocityLimiter

LIMITS = VelocityLimits(vx_max=1.0, vx_min=-0.4, wz_max=2.0, ax_max=2.0, ax_min=-4.0, az_max=3.0)
DT = 0.05


@pytest.fixture
def limiter():
    return VelocityLimiter(LIMITS, max_dt=0.1)


def run(limiter, command, steps, dt=DT):
    return np.array([limiter.limit(command, dt) for _ in range(steps)])


def test_it_starts_at_rest(limiter):
    assert limiter.at_rest and (limiter.last == 0.0).all()


def test_speeding_up_follows_the_acceleration_limits_up_to_the_wanted_command(limiter):
    out = run(limiter, (0.35, -0.4), 5)
    np.testing.assert_allclose(out[:, 0], [0.1, 0.2, 0.3, 0.35, 0.35])
    np.testing.assert_allclose(out[:, 1], [-0.15, -0.3, -0.4, -0.4, -0.4])
    assert out[-1].tolist() == [0.35, -0.4] and not limiter.at_rest


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    "command, reached",
    [((9, 9), (1, 2)), ((-9, -9), (-0.4, -2)), ((1e308, -1e308), (1, -2)), ((10**300, 0), (1, 0))],
)
def test_a_command_above_a_limit_ends_at_the_limit(limiter, command, reached):
    assert run(limiter, command, 100)[-1].tolist() == list(reached)


def test_braking_uses_its_own_limit_forwards_and_in_reverse(limiter):
    run(limiter, (1.0, 0.0), 100)
    assert limiter.limit((0.0, 0.0), DT)[0] == pytest.approx(0.8)
    run(limiter, (-0.4, 0.0), 100)
    assert limiter.limit((0.0, 0.0), DT)[0] == pytest.approx(-0.2)
    run(limiter, (0.0, 0.0), 9)
    assert limiter.limit((-0.4, 0.0), DT)[0] == pytest.approx(-0.1), "speeding up in reverse"


def test_a_turn_is_braked_by_its_own_limit_where_there_is_one():
    limiter = VelocityLimiter(attrs.evolve(LIMITS, az_min=-8.0))
    for turn in (1.0, -1.0):
        limiter.reset()
        assert limiter.limit((0.0, turn), DT)[1] == pytest.approx(turn * 0.15)
        run(limiter, (0.0, turn), 100)
        assert limiter.stop(DT)[1] == pytest.approx(turn * 0.6)
    assert LIMITS.deceleration.tolist() == [4.0, 3.0]  # without one that of speeding up


def test_braking_stops_at_the_wanted_speed(limiter):
    run(limiter, (1.0, 0.0), 100)
    assert limiter.limit((0.9, 0.0), DT)[0] == 0.9


def test_through_zero_it_brakes_and_then_speeds_up(limiter):
    run(limiter, (0.1, 0.0), 10)
    # 0.1 m/s takes 0.025 s to brake; the other 0.025 s speed up in reverse.
    assert limiter.limit((-0.4, 0.0), DT)[0] == pytest.approx(-0.05)
    run(limiter, (-0.1, 0.0), 10)
    assert limiter.limit((1.0, 0.0), DT)[0] == pytest.approx(0.05)
    run(limiter, (0.1, 0.0), 10)
    assert limiter.limit((-0.02, 0.0), DT)[0] == pytest.approx(-0.02)


def test_braking_towards_reverse_does_not_pass_zero_too_early(limiter):
    run(limiter, (1.0, 0.0), 100)
    assert limiter.limit((-0.4, 0.0), DT)[0] == pytest.approx(0.8)


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    "bad",
    [
        (math.nan, 0),
        (0, math.nan),
        (math.inf, 0),
        (0, -math.inf),
        None,
        3.0,
        (),
        (1,),
        (1, 2, 3),
        ("x", 1),
        (1j, 0),
    ]
    + [(10**400, 0), np.zeros((2, 2))],
    ids=repr,
)
def test_what_is_not_two_finite_numbers_asks_for_a_stop(limiter, bad):
    run(limiter, (1.0, 2.0), 100)
    np.testing.assert_allclose(limiter.limit(bad, DT), [0.8, 1.85])


@pytest.mark.fault(25)
def test_a_stop_ramps_to_an_exact_zero_in_the_shortest_time(limiter):
    run(limiter, (1.0, 2.0), 100)
    steps = [limiter.stop(DT) for _ in range(14)]
    np.testing.assert_allclose([v for v, _ in steps[:6]], [0.8, 0.6, 0.4, 0.2, 0.0, 0.0], atol=1e-12)
    assert steps[4][0] == 0.0 or steps[5][0] == 0.0
    assert steps[12][1] > 0.0 and steps[13].tolist() == [0.0, 0.0]
    assert limiter.at_rest
    assert [math.copysign(1.0, value) for value in limiter.last] == [1.0, 1.0], "no negative zero"


def test_it_is_at_rest_only_when_both_are_zero(limiter):
    limiter.limit((0.01, 0.0), DT)
    assert not limiter.at_rest
    limiter.limit((0.0, 0.01), DT)
    assert not limiter.at_rest


@pytest.mark.fault(27)
@pytest.mark.parametrize("late", [0.1, 0.2, 10.0, math.inf])
def test_a_late_period_allows_no_larger_change_than_max_dt(limiter, late):
    assert limiter.limit((1.0, 0.0), late)[0] == pytest.approx(0.2)


def test_a_tenth_of_a_second_is_the_longest_time_by_default():
    assert VelocityLimiter(LIMITS).limit((1.0, 0.0), 10.0)[0] == pytest.approx(0.2)


@pytest.mark.parametrize("dt", [0.0, -1.0, math.nan, -math.inf])
def test_without_time_nothing_changes(limiter, dt):
    run(limiter, (0.5, 0.5), 100)
    assert limiter.limit((1.0, 1.0), dt).tolist() == [0.5, 0.5]
    assert limiter.stop(dt).tolist() == [0.5, 0.5]


def test_a_reset_is_zero_at_once(limiter):
    run(limiter, (1.0, 2.0), 100)
    assert limiter.reset().tolist() == [0.0, 0.0] and limiter.at_rest


def test_what_it_returns_is_not_its_memory(limiter):
    limiter.limit((1.0, 1.0), DT)[:] = 99.0
    limiter.last[:] = 99.0
    assert limiter.last[0] == pytest.approx(0.1)


def test_a_robot_that_may_not_reverse_never_does():
    limiter = VelocityLimiter(VelocityLimits(vx_min=0.0))
    assert (run(limiter, (-1.0, 0.0), 5) == 0.0).all()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_max_dt_out_of_range_is_refused_by_name(bad):
    with pytest.raises(InvalidValueError, match="max_dt"):
        VelocityLimiter(LIMITS, max_dt=bad)


anything = st.one_of(
    st.floats(), st.floats(-3, 3), st.sampled_from([0.0, -0.0, math.nan, math.inf, 1e308, 5e-324])
)
positive = st.floats(0.1, 10.0)
all_limits = st.builds(
    lambda a, b, c, d, e, f, g: VelocityLimits(a, -b, c, d, -e, f, -g),
    positive, st.one_of(st.just(0.0), positive), positive, positive, positive, positive,
    st.one_of(st.just(0.0), positive),
)  # fmt: skip


@pytest.mark.fault(25)
@pytest.mark.fault(57)
@hypothesis.settings(deadline=None, max_examples=200)
@hypothesis.given(
    limits=all_limits,
    steps=st.lists(
        st.tuples(anything, anything, st.one_of(st.floats(), st.floats(0, 0.2)), st.booleans()), max_size=20
    ),
)
def test_for_any_input_the_output_is_finite_and_within_every_limit(limits, steps):
    limiter = VelocityLimiter(limits, max_dt=0.1)
    for v, omega, dt, stop in steps:
        before = limiter.last
        out = limiter.stop(dt) if stop else limiter.limit((v, omega), dt)
        assert np.isfinite(out).all()
        assert (limits.low <= out).all() and (out <= limits.high).all()
        allowed = min(dt, 0.1) if dt > 0.0 else 0.0
        largest = np.maximum(limits.acceleration, limits.deceleration) * allowed
        assert (abs(out - before) <= largest + 1e-9).all()
        faster = np.abs(out) > np.abs(before)
        gained = np.abs(out) - np.where(out * before > 0.0, np.abs(before), 0.0)
        assert (gained <= limits.acceleration * allowed + 1e-9)[faster].all()
        if stop or not (math.isfinite(v) and math.isfinite(omega)):
            assert (abs(out) <= abs(before)).all() and (out * before >= 0.0).all(), "a stop slows down"


@pytest.mark.fault(25)
@hypothesis.settings(deadline=None, max_examples=100)
@hypothesis.given(limits=all_limits, v=st.floats(-10, 10), omega=st.floats(-10, 10))
def test_from_any_command_a_stop_ends_in_exact_zero_within_the_time_the_limits_allow(limits, v, omega):
    limiter = VelocityLimiter(limits, max_dt=1e3)
    limiter.limit((v, omega), 1e3)
    start = abs(limiter.last)
    needed = max(start / limits.deceleration)
    for _ in range(math.ceil(needed / 0.1 - 1e-9) + 1):
        limiter.stop(0.1)
    assert limiter.at_rest
