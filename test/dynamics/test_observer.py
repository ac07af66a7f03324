"""The observer of velocity and its change."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.dynamics.observer import errors_of, innovations, observe
from mppi_maml_ros.dynamics.residual import ResidualWeights, open_loop, step
from mppi_maml_ros.dynamics.transitions import Transitions

DT = 0.05
GAINS = np.array([[0.3, 0.4], [0.1, 0.2]])


def swinging(momentum=(0.8, 0.6), late=(0, 0), gains=GAINS):
    """x+ = .9 x + .1 u + m c on both axes."""
    linear = np.zeros((3, 10))
    for axis in (0, 1):
        linear[axis, axis], linear[axis, 2 + axis] = 0.9, -0.9
    return ResidualWeights(
        linear, (), np.ones(6), 1.0, "tanh", 1, DT, momentum=momentum, observer=gains, transport_delay=late
    )


def drive(weights, steps=60, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    commands = rng.uniform(-0.5, 0.5, (steps + 20, 2))
    history = np.stack([commands[20 - 1 - k + np.arange(steps)] for k in range(20)], axis=1)
    states = open_loop(weights, np.zeros(7), commands[20:], commands[19::-1])
    states = np.concatenate([np.zeros((1, 5)), states])
    told = states + noise * rng.normal(size=states.shape) * [0, 0, 0, 1, 1]
    data = Transitions(
        np.arange(steps) * DT, told[:-1], commands[20:], history, told[1:], np.zeros(steps, dtype=int), DT
    )
    return data, states


def test_without_noise_the_observer_sees_what_is():
    weights = swinging()
    data, states = drive(weights)
    errors, estimates = observe(weights, data.delayed(weights))
    change = np.diff(states[:, 3:5], axis=0, prepend=states[:1, 3:5])[:-1]
    assert np.abs(errors).max() < 1e-6
    assert estimates == pytest.approx(np.concatenate([states[:-1, 3:5], change], axis=1), abs=1e-6)


def test_with_noise_the_observer_is_nearer_to_the_truth_than_odometry():
    weights = swinging()
    data, states = drive(weights, steps=300, noise=0.02)
    estimates = observe(weights, data.delayed(weights))[1]
    change = np.diff(states[:, 3:5], axis=0, prepend=states[:1, 3:5])[:-1]
    told = np.diff(data.states[:, 3:5], axis=0, prepend=data.states[:1, 3:5])
    assert np.std(estimates[20:, :2] - states[20:-1, 3:5]) < 0.8 * 0.02
    assert np.std(estimates[20:, 2:] - change[20:]) < 0.5 * np.std(told[20:] - change[20:])


def test_followed_piece_by_piece_it_is_as_followed_at_once():
    weights, state = swinging(), np.zeros((2, 2))
    data = drive(weights, noise=0.02)[0].delayed(weights)
    whole, _ = observe(weights, data)
    pieces = []
    for rows in (slice(0, 7), slice(7, 8), slice(8, 60)):
        first = np.zeros(len(data[rows]), dtype=bool)
        first[0] = rows.start == 0
        pieces.append(observe(weights, data[rows], first, state)[0])
    assert np.concatenate(pieces) == pytest.approx(whole, abs=1e-12)


def test_an_axis_without_momentum_is_taken_as_measured():
    weights = swinging(momentum=(0.8, 0.0))
    data = drive(weights, noise=0.02)[0].delayed(weights)
    errors, estimates = observe(weights, data)
    assert np.array_equal(estimates[:, 1], data.states[:, 4])
    plain = errors_of(attrs.evolve(weights, momentum=np.zeros(2)), data)
    assert errors[:, 1] == pytest.approx(plain[:, 1], abs=1e-9)


def test_a_new_chain_begins_without_change():
    errors, estimates = innovations(
        np.zeros((3, 2)), np.full((4, 2), 0.3), np.array([True, False, True]), np.full(2, 0.9),
        np.full(2, 0.5), GAINS,
    )  # fmt: skip
    assert np.array_equal(estimates[2], [0.3, 0.3, 0.0, 0.0]) and np.array_equal(estimates[0], estimates[2])


@pytest.mark.parametrize("parts", [(0.5, 0.5), (0.2, 0.8), (0.25, 0.25, 0.5)])
def test_a_step_in_parts_ends_where_the_whole_one_does(parts):
    weights, state = swinging(), np.array([0.0, 0.0, 0.0, 0.4, -0.2, 0.05, 0.1])
    command, history = np.array([0.5, 0.3]), np.zeros((20, 2))
    whole, part = (
        step(weights, state, command, history),
        step(weights, state, command, history, parts[0] * DT),
    )
    assert part[3:5] == pytest.approx(state[3:5] + parts[0] * (whole[3:5] - state[3:5]))
    # The change over the step before is that between two moments a step apart on the course so far.
    before = state[3:5] - (1.0 - parts[0]) * state[5:]
    assert part[5:] == pytest.approx(part[3:5] - before)


@pytest.mark.parametrize("late", [(0, 0), (3, 0), (2, 9)])
def test_transitions_are_told_as_weights_with_late_commands_take_them(late):
    weights = swinging(late=late)
    data, _ = drive(weights)
    seen = data.delayed(weights)
    for axis, steps in enumerate(late):
        course = np.concatenate([data.commands[:, None], data.history], axis=1)[..., axis]
        assert np.array_equal(seen.commands[:, axis], course[:, steps])
        assert np.array_equal(seen.history[:, 0, axis], course[:, steps + 1])
    assert seen.history.shape == (60, 1, 2)
    assert np.abs(errors_of(weights, data)).max() < 1e-6
