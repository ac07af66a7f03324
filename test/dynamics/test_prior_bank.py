"""Which prior fits a robot, told by its commands and its measured twist."""

from __future__ import annotations

import numpy as np
import pytest

from mppi_maml_ros.dynamics.first_order import FirstOrderConfig, typical
from mppi_maml_ros.dynamics.prior_bank import GAIN_STEP, LAGS, PriorBank
from mppi_maml_ros.dynamics.residual import step
from mppi_maml_ros.dynamics.transitions import Transitions

DT, DEPTH = 0.05, 20


def driven(robot, commands, seed=0, noise=(0.01, 0.01), axes=(True, True), changed=None):
    """Transitions of a robot that starts at rest; commands (T, 2); from a step on it may be another."""
    rng, weights = np.random.default_rng(seed), robot.weights(DT)
    state, told = np.zeros(5), np.concatenate([np.zeros((DEPTH, 2)), commands * np.array(axes)])
    states, histories = [state], []
    for k in range(len(commands)):
        if changed is not None and k == changed[0]:
            weights = changed[1].weights(DT)
        histories.append(told[k : k + DEPTH][::-1])
        state = step(weights, state, told[k + DEPTH], histories[-1])
        states.append(state)
    seen = np.array(states)
    seen[:, 3:] += rng.normal(0.0, noise, (len(seen), 2))
    return Transitions(
        stamps=DT * np.arange(len(commands)),
        states=seen[:-1],
        commands=told[DEPTH:],
        history=np.array(histories),
        next_states=seen[1:],
        segments=np.zeros(len(commands), dtype=np.int64),
        model_dt=DT,
    )


def wandering(seconds, seed=0):
    """Commands as a controller gives them along curves: a start, then slow changes with some unrest."""
    rng, t = np.random.default_rng(seed), DT * np.arange(round(seconds / DT))
    v = np.minimum(t, 0.5) + 0.1 * np.sin(0.9 * t) + rng.normal(0.0, 0.01, len(t))
    omega = 0.7 * np.sin(1.1 * t) + rng.normal(0.0, 0.03, len(t))
    return np.column_stack([v, omega])


def late_of(weights):
    """Time from a command to the answer of (v, omega): delay and lag together [s]."""
    keep = np.diag(weights.linear)[:2]
    return DT * np.array(weights.transport_delay) - DT / np.log(keep)


def gain_of(weights):
    """Of (v, omega)."""
    keep = np.diag(weights.linear)[:2]
    return (1.0 + np.array([weights.linear[0, 2], weights.linear[1, 3]])) / (1.0 - keep)


def test_nothing_known_is_the_typical_robot():
    bank = PriorBank(DT)
    np.testing.assert_allclose(bank.weights.linear, typical(DT).linear, atol=1e-6)
    assert bank.weights.transport_delay == (0, 0) and bank.weights.adapter == "auto"


@pytest.mark.parametrize(
    ("lag", "delay", "gain"), [(0.05, 0.0, 1.0), (0.1, 0.3, 0.8), (0.45, 0.15, 0.7), (0.5, 0.3, 1.0)]
)
def test_a_robot_is_told_within_six_seconds(lag, delay, gain):
    robot = FirstOrderConfig(lag, lag, gain, gain, delay)
    bank = PriorBank(DT)
    bank.follow(driven(robot, wandering(6.0)))
    np.testing.assert_allclose(late_of(bank.weights), lag + delay, atol=0.08)
    np.testing.assert_allclose(gain_of(bank.weights), gain, atol=0.1)


def test_what_one_axis_shows_holds_for_the_other_until_that_shows_something_else():
    robot = FirstOrderConfig(0.4, 0.1, 1.0, 1.0, 0.2)
    bank = PriorBank(DT)
    bank.follow(driven(robot, wandering(5.0), axes=(True, False)))
    np.testing.assert_allclose(late_of(bank.weights), 0.6, atol=0.12)
    bank.follow(driven(robot, wandering(10.0, seed=1)))
    np.testing.assert_allclose(late_of(bank.weights), [0.6, 0.3], atol=0.15)


def test_a_robot_that_has_changed_is_told_anew():
    bank = PriorBank(DT)
    bank.follow(driven(FirstOrderConfig(0.1, 0.1, 1.0, 1.0, 0.0), wandering(20.0)))
    np.testing.assert_allclose(late_of(bank.weights), 0.1, atol=0.06)
    bank.follow(driven(FirstOrderConfig(0.5, 0.5, 0.7, 0.7, 0.2), wandering(15.0, seed=1)))
    np.testing.assert_allclose(late_of(bank.weights), 0.7, atol=0.15)


def test_driving_that_tells_nothing_makes_nothing_forgotten():
    robot, bank = FirstOrderConfig(0.4, 0.4, 1.0, 1.0, 0.2), PriorBank(DT)
    commands = np.concatenate([wandering(8.0), np.tile([0.5, 0.0], (2400, 1))])
    data = driven(robot, commands)
    bank.follow(data[:160])
    told = late_of(bank.weights)
    np.testing.assert_allclose(told, 0.6, atol=0.1)
    bank.follow(data[160:])
    np.testing.assert_allclose(late_of(bank.weights), told, atol=0.1)


def test_the_robot_that_serves_is_not_changed_without_need():
    data = driven(FirstOrderConfig(0.25, 0.25, 0.8, 0.8, 0.12), wandering(60.0), noise=(0.03, 0.05))
    bank, served = PriorBank(DT), []
    for m in range(len(data)):
        bank.follow(data[m : m + 1])
        served.append(bank.weights)
    later = served[200:]
    changes = sum(a is not b for a, b in zip(later, later[1:], strict=False))
    assert changes <= 0.02 * len(later)


def test_a_twist_that_stands_still_leaves_a_robot_of_the_bank():
    data = driven(FirstOrderConfig(0.1, 0.1, 0.05, 0.05, 0.0), wandering(20.0), noise=(0.0, 0.0))
    bank = PriorBank(DT)
    bank.follow(data)
    assert (gain_of(bank.weights) >= 0.5 - GAIN_STEP).all() and np.isfinite(bank.weights.linear).all()
    assert (late_of(bank.weights) <= LAGS[-1] + 0.45 + 1e-6).all()


def test_after_a_gap_robots_are_simulated_from_what_is_measured_then():
    robot = FirstOrderConfig(0.4, 0.4, 1.0, 1.0, 0.2)
    data = driven(robot, wandering(12.0))
    there = np.r_[0:80, 120:240]
    with_gap = data[there]
    object.__setattr__(with_gap, "segments", np.where(there >= 120, 1, 0))
    bank = PriorBank(DT)
    bank.follow(with_gap)
    np.testing.assert_allclose(late_of(bank.weights), 0.6, atol=0.1)


def test_no_more_past_commands_are_read_than_there_are():
    bank = PriorBank(DT, history=2)
    bank.follow(driven(FirstOrderConfig(0.1, 0.1, 1.0, 1.0, 0.3), wandering(6.0)))
    assert bank.weights.history <= 2
    fine = PriorBank(0.01)
    assert fine.weights.model_dt == 0.01


def test_a_reset_begins_with_the_typical_robot():
    bank = PriorBank(DT)
    data = driven(FirstOrderConfig(0.5, 0.5, 0.7, 0.7, 0.3), wandering(6.0))
    bank.follow(data)
    bank.reset()
    np.testing.assert_allclose(bank.weights.linear, typical(DT).linear, atol=1e-6)
    bank.follow(data[:0])
    assert bank.weights.transport_delay == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_begun_anew_in_motion_it_tells_the_robot_from_a_second_of_data(seed):
    before = FirstOrderConfig(0.3, 0.3, 0.9, 0.9, 0.1)
    after = FirstOrderConfig(0.3, 0.3, 0.6, 0.6, 0.1)
    commands, bank, going_on = wandering(7.0, seed), PriorBank(DT), PriorBank(DT)
    changed, kept = 120, 20
    data = driven(before, commands[:changed], seed)
    bank.follow(data)
    going_on.follow(data)
    data = driven(before, commands, seed, changed=(changed, after))
    bank.restart(data, kept)
    going_on.follow(data[changed:])
    assert np.abs(gain_of(bank.weights) - 0.6).max() < 0.15
    assert np.abs(gain_of(bank.weights) - 0.6).sum() < np.abs(gain_of(going_on.weights) - 0.6).sum()
