"""The acceptance test: what its error means, what it compares, and where its bounds lie."""

import math

import attrs
import numpy as np
import pytest

from mppi_maml_ros.adaptation.guard import (
    ARM,
    HORIZON,
    LEAD,
    GuardConfig,
    extrapolation,
    implausible,
    judge,
    prediction_error,
    prediction_errors,
    split,
    surely_worse,
)
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.residual import ResidualWeights, step
from mppi_maml_ros.dynamics.transitions import Transitions

DT = 0.05
PRIOR = ResidualWeights.prior()
SLOW = ResidualWeights.first_order((0.35, 0.25), gain=(0.7, 0.8))


def transitions(plant=SLOW, count=40, segments=None, seed=0, noise=0.0):
    """Consecutive transitions of ``plant`` under rich commands."""
    rng = np.random.default_rng(seed)
    state, states, commands, after = np.array([1.0, 2.0, 3.0, 0.0, 0.0]), [], [], []
    for k in range(count):
        command = np.array([0.5 + 0.3 * np.sin(0.4 * k), 0.8 * np.cos(0.3 * k)])
        states.append(state)
        commands.append(command)
        state = step(plant, state, command, np.zeros((0, 2)))
        after.append(state + noise * rng.normal(size=5))
    return Transitions(
        stamps=DT * np.arange(count),
        states=np.array(states),
        commands=np.array(commands),
        history=np.zeros((count, 0, 2)),
        next_states=np.array(after),
        segments=np.zeros(count, int) if segments is None else np.asarray(segments),
        model_dt=DT,
    )


def by_hand(weights, data, horizon):
    """The same error, one step after the other."""
    squares = []
    for start in range(len(data) - horizon + 1):
        if data.segments[start] != data.segments[start + horizon - 1]:
            continue
        state = data.states[start]
        for k in range(horizon):
            state = step(weights, state, data.commands[start + k], np.zeros((0, 2)))
            dx, dy, dyaw = state[:3] - data.next_states[start + k, :3]
            squares.append(dx**2 + dy**2 + (ARM * math.remainder(dyaw, 2.0 * math.pi)) ** 2)
    return float(np.mean(squares)), len(squares) // horizon


def test_the_error_is_the_mean_square_of_position_and_of_yaw_at_the_arm():
    data = transitions()
    assert prediction_error(SLOW, data)[0] < 1e-12
    expected, starts = by_hand(PRIOR, data, HORIZON)
    error, count = prediction_error(PRIOR, data)
    assert (error, count) == (pytest.approx(expected, rel=1e-4), starts)
    assert starts == len(data) - HORIZON + 1


@pytest.mark.parametrize("horizon", [1, 3])
def test_the_horizon_can_be_shorter(horizon):
    data = transitions(count=20)
    expected, starts = by_hand(PRIOR, data, horizon)
    error, count = prediction_error(PRIOR, data, horizon)
    assert (error, count) == (pytest.approx(expected, rel=1e-4), starts)


@pytest.mark.parametrize(("count", "horizon"), [(1, 1), (2, 1), (3, 2), (7, 4), (19, 10), (30, 10)])
def test_the_horizon_is_at_most_half_of_the_data_rounded_up(count, horizon):
    data = transitions(count=count)
    expected, starts = by_hand(PRIOR, data, horizon)
    error, found = prediction_error(PRIOR, data)
    assert (error, found) == (pytest.approx(expected, rel=1e-4), starts)


def test_no_prediction_crosses_a_gap():
    segments = [0] * 12 + [1] * 28
    data = transitions(segments=segments)
    expected, starts = by_hand(PRIOR, data, HORIZON)
    error, count = prediction_error(PRIOR, data)
    assert (error, count) == (pytest.approx(expected, rel=1e-4), starts)
    assert starts == 3 + 19


def test_with_short_pieces_only_the_horizon_falls_until_one_fits():
    data = transitions(count=12, segments=np.repeat(np.arange(4), 3))
    expected, starts = by_hand(PRIOR, data, 3)
    error, count = prediction_error(PRIOR, data)
    assert (error, count) == (pytest.approx(expected, rel=1e-4), starts) and starts == 4


def test_without_data_there_is_no_error():
    error, count = prediction_error(PRIOR, transitions()[:0])
    assert math.isnan(error) and count == 0


def test_a_yaw_across_pi_is_no_error():
    data = transitions()
    turned = attrs.evolve(data, next_states=data.next_states + np.array([0.0, 0.0, 2.0 * np.pi, 0.0, 0.0]))
    assert prediction_error(SLOW, turned)[0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("count", "share", "fewest", "held"),
    [
        (100, 0.25, 4, 25),
        (101, 0.25, 4, 25),
        (20, 0.1, 4, 7),
        (10, 0.1, 4, 5),
        (8, 0.05, 1, 1),
        (100, 0.9, 4, 90),
    ],
)
def test_the_newest_part_is_held_out(count, share, fewest, held):
    data = transitions(count=count)
    train, test, lead = split(data, GuardConfig(held_out_share=share, min_held_out=fewest))
    assert (len(train), len(test) - lead) == (count - held, held)
    assert lead == min(LEAD, len(train))
    assert np.array_equal(np.concatenate([train.stamps, test[lead:].stamps]), data.stamps)


BOUNDS = {
    "held_out_share": (0.05, 0.9),
    "min_held_out": (1, 10_000),
    "margin": (0.0, 0.9),
    "tolerance": (0.0, 0.9),
    "max_correction": (1e-3, 100.0),
    "max_extrapolation": (1e-3, 100.0),
}


@pytest.mark.parametrize("field", BOUNDS)
def test_settings_are_bounded_and_the_bounds_allowed(field):
    low, high = BOUNDS[field]
    for value in (low, high):
        assert getattr(GuardConfig(**{field: value}), field) == value
    outside = [low - 1, high + 1] if isinstance(low, int) else [low - 1e-6, high + 1e-6, math.nan]
    for value in outside:
        with pytest.raises(InvalidValueError, match=field):
            GuardConfig(**{field: value})


@pytest.mark.parametrize("late", [(0, 0), (12, 3)])
def test_a_model_that_drives_against_its_commands_is_refused(late):
    data = transitions()
    data = attrs.evolve(data, history=np.zeros((len(data), 20, 2)))
    for gain, wrong in (((-0.5, 1.0), True), ((1.0, -0.6), True), ((0.05, 0.1), False), ((1.3, 0.3), False)):
        weights = attrs.evolve(ResidualWeights.first_order((0.2, 0.2), gain=gain), transport_delay=late)
        assert ("the other way" in implausible(weights, data)) == wrong


@pytest.mark.parametrize(
    ("gain", "answers"), [((0.0, 1.0), False), ((1.0, 0.08), False), ((0.12, 0.12), True)]
)
def test_a_model_of_a_robot_that_does_not_answer_is_refused(gain, answers):
    """Commands that stay in a dead band teach that none does anything, and nobody gives a larger one."""
    weights = ResidualWeights.first_order((0.2, 0.2), gain=gain)
    assert (implausible(weights, transitions(weights)) == "") == answers
    assert implausible(weights, transitions()) == ""  # data of a robot that does answer judge it by its error


@pytest.mark.parametrize(("count", "accepted"), [(4, False), (60, True)])
def test_a_small_advantage_over_the_prior_counts_once_there_are_data_enough(count, accepted):
    data = transitions(SLOW, count)
    prior, _ = prediction_error(PRIOR, data)
    blends = (attrs.evolve(SLOW, displacement_blend=b) for b in np.linspace(0.0, 1.0, 101))  # 0 is the prior
    candidate = next(c for c in blends if prediction_error(c, data)[0] < 0.9 * prior)
    assert prediction_error(candidate, data)[0] > 0.8 * prior
    assert judge(candidate, candidate, None, data, GuardConfig()).accepted == accepted


def test_a_loop_that_overshoots_is_plausible():
    loop = ResidualWeights.first_order((0.4, 0.4))
    assert not implausible(attrs.evolve(loop, momentum=(0.9, 0.8)), transitions())


def test_the_defaults_are_those_that_are_documented():
    assert attrs.asdict(GuardConfig()) == {
        "held_out_share": 0.25,
        "min_held_out": 2,
        "margin": 0.02,
        "tolerance": 0.02,
        "max_correction": 6.0,
        "max_extrapolation": 1.0,
    }
    assert (HORIZON, ARM) == (10, 0.5)


HALF_WAY = ResidualWeights.first_order((0.35, 0.25), gain=(0.85, 0.9))


def test_a_good_candidate_is_accepted_with_every_error_told():
    data = transitions()
    verdict = judge(SLOW, HALF_WAY, HALF_WAY, data, GuardConfig())
    assert verdict.accepted and "held-out error" in verdict.reason
    assert verdict.candidate == prediction_error(SLOW, data)[0]
    assert verdict.prior == prediction_error(PRIOR, data)[0]
    assert verdict.meta == verdict.current == prediction_error(HALF_WAY, data)[0]


@pytest.mark.fault(37)
def test_what_serves_is_the_prior_when_nothing_was_installed():
    verdict = judge(SLOW, HALF_WAY, None, transitions(), GuardConfig())
    assert verdict.accepted and verdict.current == verdict.prior


@pytest.mark.fault(37)
def test_a_candidate_must_beat_the_prior_by_the_margin():
    data = transitions()
    mild = ResidualWeights.first_order((0.1, 0.08), gain=(0.85, 0.9))
    error, prior = (prediction_error(weights, data)[0] for weights in (mild, PRIOR))
    share = 1.0 - error / prior
    assert 0.0 < share < 0.9, share
    assert judge(mild, mild, None, data, GuardConfig(margin=share - 1e-6)).accepted
    refused = judge(mild, mild, None, data, GuardConfig(margin=share + 1e-6))
    assert not refused.accepted and "below the prior's" in refused.reason
    assert f"{error:.3g}" in refused.reason and f"{prior:.3g}" in refused.reason


@pytest.mark.fault(36)
def test_a_candidate_may_be_worse_than_what_serves_by_the_tolerance():
    data = transitions(noise=0.01)
    better = ResidualWeights.first_order((0.35, 0.25), gain=(0.75, 0.83))
    error, serving = (prediction_error(weights, data)[0] for weights in (HALF_WAY, better))
    share = error / serving - 1.0
    assert 0.0 < share < 0.9, share
    assert judge(HALF_WAY, PRIOR, better, data, GuardConfig(tolerance=share + 1e-6)).accepted
    refused = judge(HALF_WAY, PRIOR, better, data, GuardConfig(tolerance=share - 1e-6))
    assert not refused.accepted and "serves now" in refused.reason


@pytest.mark.parametrize("count", [29, 40, 200])
def test_a_model_is_surely_worse_by_more_than_a_standard_error_of_independent_starts(count):
    data = transitions(count=count, noise=0.01)
    others = [ResidualWeights.first_order((0.35, 0.25), gain=(0.7 + d, 0.8)) for d in (0.004, 0.03, 0.3)]
    for model, other in [(SLOW, o) for o in others] + [(o, SLOW) for o in others]:
        errors, steps = prediction_errors(model, data)
        difference = errors - prediction_errors(other, data)[0]
        sure = np.mean(difference) > np.std(difference) / np.sqrt((count - steps + 1) / steps)
        assert surely_worse(model, other, data) is bool(sure)
    assert surely_worse(others[-1], SLOW, data) and not surely_worse(SLOW, others[-1], data)
    assert not surely_worse(SLOW, SLOW, data)


@pytest.mark.parametrize(
    ("count", "enough"), [(2 * HORIZON, False), (3 * HORIZON - 2, False), (3 * HORIZON - 1, True)]
)
def test_fewer_than_two_independent_starts_say_nothing(count, enough):
    assert surely_worse(PRIOR, SLOW, transitions(count=count)) is enough
    assert not surely_worse(PRIOR, SLOW, transitions(count=1))


def test_the_prior_itself_is_never_an_improvement():
    assert not judge(PRIOR, PRIOR, None, transitions(PRIOR, noise=0.01), GuardConfig()).accepted


@pytest.mark.parametrize(("count", "accepted"), [(3, True), (1, False)])
def test_so_many_starts_are_needed_for_a_verdict(count, accepted):
    verdict = judge(SLOW, SLOW, None, transitions(count=count), GuardConfig())
    assert verdict.accepted is accepted
    if not accepted:
        assert "only 1 held-out starts, 2 are needed" in verdict.reason


@pytest.mark.fault(37)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_error_that_is_not_finite_is_never_accepted(bad):
    data = transitions()
    spoilt = data.next_states.copy()
    spoilt[3, 0] = bad
    verdict = judge(SLOW, SLOW, None, attrs.evolve(data, next_states=spoilt), GuardConfig())
    assert not verdict.accepted and "not finite" in verdict.reason


LIMITS = VelocityLimits(vx_max=2.0, vx_min=-1.0, wz_max=4.0)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_gain_extrapolates_by_what_it_is_off(axis):
    gain = np.ones(2)
    gain[axis] = 0.25
    immediate = ResidualWeights.first_order((1e-3, 1e-3), gain=tuple(gain))
    assert extrapolation(immediate, transitions(), LIMITS) == pytest.approx(0.75, rel=1e-4)


@pytest.mark.parametrize("output, share", [(0, 0.3 / 2.0), (1, 0.3 / 4.0), (2, 0.0)])
def test_each_correction_is_a_share_of_its_own_limit_and_slip_is_none(output, share):
    linear = np.zeros_like(PRIOR.linear)
    linear[output, 4] = 0.3
    assert extrapolation(attrs.evolve(PRIOR, linear=linear), transitions(), LIMITS) == pytest.approx(share)


def test_what_grows_outside_the_data_is_seen_in_every_corner():
    data = transitions()
    data = attrs.evolve(data, commands=data.commands * [1.0, 0.0])  # straight ahead
    for v, omega in ((2.0, 4.0), (2.0, -4.0), (-1.0, 4.0), (-1.0, -4.0)):
        linear = np.zeros_like(PRIOR.linear)
        linear[0, 5] = np.sign(v * omega)  # v omega, towards one corner and its opposite
        assert extrapolation(attrs.evolve(PRIOR, linear=linear), data, LIMITS) == pytest.approx(4.0)


def test_without_limits_twice_what_was_commanded_is_probed_and_half_a_unit_at_least():
    data = transitions()
    immediate = ResidualWeights.first_order((1e-3, 1e-3), gain=(0.5, 1.0))
    offset = attrs.evolve(PRIOR, linear=np.eye(*PRIOR.linear.shape, 4) * [[0.3], [0.0], [0.0]])
    assert extrapolation(immediate, data) == pytest.approx(0.5, rel=1e-4)
    assert extrapolation(offset, data) == pytest.approx(0.3 / (2.0 * np.abs(data.commands[:, 0]).max()))
    still = attrs.evolve(data, commands=np.zeros_like(data.commands))
    assert extrapolation(offset, still) == pytest.approx(0.3 / 0.5)


def test_with_a_history_of_commands_the_drive_is_steady():
    delayed = ResidualWeights.first_order((1e-3, 1e-3), delay=0.15)
    assert extrapolation(delayed, transitions(), LIMITS) == pytest.approx(0.0, abs=1e-6)


def test_a_model_whose_rollouts_run_away_is_told_from_one_with_too_much_gain():
    data = transitions()
    lag = ResidualWeights.first_order((0.3, 0.3), gain=(2.0, 2.0))
    assert not implausible(lag, data)
    assert not implausible(PRIOR, data)
    growing = lag.linear.copy()
    growing[0, 0] = 1.3  # of the velocity from step to step
    assert "run away" in implausible(attrs.evolve(lag, linear=growing), data)
    coupled = lag.linear.copy()
    coupled[0, 1], coupled[1, 0] = 1.2, 1.2  # each axis drives the other
    assert "run away" in implausible(attrs.evolve(lag, linear=coupled), data)
