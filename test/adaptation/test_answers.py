"""What an adapter finds is believed as far as it answers commands as, says the physics layer, robots do."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.adaptation.adapters import make_adapter
from mppi_maml_ros.adaptation.adapters.base import Adaptation
from mppi_maml_ros.adaptation.adapters.first_order import KINEMATIC, as_weights
from mppi_maml_ros.adaptation.answers import (
    LEAST,
    PROBES,
    PUSH,
    SHARES,
    Answers,
    _alike,
    answers,
    toward_prior,
)
from mppi_maml_ros.adaptation.sgd import SGDConfig
from mppi_maml_ros.dynamics.residual import ResidualWeights, correction, step
from mppi_maml_ros.dynamics.transitions import Transitions
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel

DT, STEADY = 0.05, np.array([0.4, 0.27])
ROBOT = ResidualWeights.first_order((0.3, 0.25), gain=(0.8, 0.8))


@pytest.fixture(scope="module")
def meta():
    return MetaModel.load(PACKAGED)


@pytest.fixture(scope="module")
def prior(meta):
    return ResidualWeights.prior(meta.delay_taps)


@pytest.fixture(scope="module")
def data(meta):
    return circle(meta, ROBOT)


def circle(meta, robot):
    """A drive on a circle with small changes of both commands."""
    rng, count = np.random.default_rng(0), 80
    state, states, commands = np.array([0.0, 0.0, 0.0, 0.0, 0.0]), [], []
    for k in range(count):
        commands.append(STEADY + [0.05 * np.sin(0.3 * k), 0.08 * np.cos(0.2 * k)])
        states.append(state + rng.normal(0.0, [0.001, 0.001, 0.001, 0.003, 0.003]))
        state = step(robot, state, commands[-1], np.zeros((0, 2)))
    states.append(state)
    commands, states = np.array(commands), np.array(states)
    padded = np.concatenate([np.zeros((meta.delay_taps, 2)), commands])
    history = np.stack([padded[k : k + meta.delay_taps][::-1] for k in range(count)])
    return Transitions(
        stamps=DT * np.arange(count),
        states=states[:-1],
        commands=commands,
        history=history,
        next_states=states[1:],
        segments=np.zeros(count, int),
        model_dt=DT,
    )


@pytest.fixture(scope="module")
def grbal(meta):
    return make_adapter("grbal", meta, SGDConfig())


def found(weights):
    return Adaptation(weights, 1.0, 0.5)


def first_order(meta, keep, drive):
    return as_weights(meta, "rls", [(keep, drive, 0.0)] * 2)


def test_the_kinematic_model_answers_in_full(data, prior):
    assert answers(prior, data) == pytest.approx(np.ones((2, PROBES, 2)))


@pytest.mark.parametrize("gain", [(0.8, 0.5), (0.3, 1.2)])
def test_an_answer_is_the_gain_less_what_the_lag_takes(gain, data):
    fast = ResidualWeights.first_order((0.01, 0.01), gain=gain)
    assert answers(fast, data) == pytest.approx(np.tile(gain, (2, PROBES, 1)), rel=0.02)
    slow = ResidualWeights.first_order((0.5, 0.5), gain=gain)
    assert (answers(slow, data) < 0.8 * answers(fast, data)).all()
    whole, early = answers(slow, data)
    assert (early < 0.65 * whole).all()


def test_few_transitions_are_asked_as_well(data, prior):
    assert 1 <= answers(prior, data[:3]).shape[1] <= PROBES


def test_what_answers_like_the_robot_is_left_as_it_is(grbal, meta, data, prior):
    weights = first_order(meta, np.exp(-DT / 0.27), 0.8 * (1.0 - np.exp(-DT / 0.27)))
    limited = Answers(meta).limit(grbal, found(weights), data.delayed(prior), data, prior)
    assert limited.share == 1.0
    np.testing.assert_array_equal(limited.weights.linear, weights.linear)
    assert limited.weights.error_model == pytest.approx(PUSH)


@pytest.mark.parametrize(
    ("coefficients", "far"),
    [
        ((0.99, 0.01), True),
        ((0.5, -0.1), True),
        ((0.5, 0.8), False),
        ((1.3, 0.5), True),
        ((0.93, 0.04), False),
    ],
)
def test_what_does_not_is_drawn_towards_the_prior_until_it_does(grbal, meta, data, prior, coefficients, far):
    weights = first_order(meta, *coefficients)
    guard = Answers(meta)
    assert guard.astray(grbal, weights, data.delayed(prior), data, prior) is far
    assert not guard.astray(grbal, None, data.delayed(prior), data, prior)
    limited = guard.limit(grbal, found(weights), data.delayed(prior), data, prior)
    assert limited.share in SHARES[1:]
    assert not guard.astray(grbal, limited.weights, data.delayed(prior), data, prior)
    again = np.median(answers(limited.weights, data) / answers(ROBOT, data), axis=1)
    assert (again > 0.9 * LEAST).all()


@pytest.mark.parametrize(("lag", "drawn"), [(0.8, False), (0.02, True)])
def test_a_model_that_is_quicker_than_the_robot_and_gets_as_far_in_the_end_is_drawn(
    grbal, meta, prior, lag, drawn
):
    """It is told what it does over half a second: who believes it corrects too little, too late."""
    robot = ResidualWeights.first_order((0.8, 0.8))
    data = circle(meta, robot)
    keep = np.exp(-DT / lag)
    gain = answers(robot, data)[0].mean() if drawn else 1.0
    weights = first_order(meta, keep, gain * (1.0 - keep))
    assert answers(weights, data)[0] == pytest.approx(answers(robot, data)[0], rel=0.1)
    limited = Answers(meta).limit(grbal, found(weights), data.delayed(prior), data, prior)
    assert (limited.share < 1.0) is drawn


def test_no_answer_yet_is_the_answer_of_a_late_robot(grbal, meta, data, prior):
    late = attrs.evolve(prior, transport_delay=(12, 12))
    padded = np.concatenate([data.history, np.zeros((len(data), 24, 2))], axis=1)
    delayed = attrs.evolve(data, history=padded)
    weights = attrs.evolve(ROBOT, transport_delay=(12, 12))
    assert answers(weights, delayed)[1] == pytest.approx(np.zeros((PROBES, 2)), abs=1e-6)
    assert _alike(weights, delayed, answers(weights, delayed))
    assert not _alike(prior, delayed, answers(weights, delayed))
    assert Answers(meta)._expected(delayed.delayed(late), delayed, late)[1].max() < 0.05


def test_one_axis_is_enough(grbal, meta, data, prior):
    weights = as_weights(meta, "rls", [KINEMATIC, (0.99, 0.01, 0.0)])
    assert Answers(meta).limit(grbal, found(weights), data.delayed(prior), data, prior).share < 1.0


def test_the_physics_layer_and_whole_robots_are_believed(meta, data, prior):
    weights = first_order(meta, 0.99, 0.01)
    for name in ("physics", "physics+maml", "maml"):
        adapter = make_adapter(name, meta, SGDConfig())
        assert (
            Answers(meta).limit(adapter, found(weights), data.delayed(prior), data, prior).weights is weights
        )
        assert not Answers(meta).astray(adapter, weights, data.delayed(prior), data, prior)


def test_commands_that_act_late_are_expected_to(grbal, meta, data, prior):
    late = attrs.evolve(prior, transport_delay=(6, 6))
    padded = np.concatenate([data.history, np.zeros((len(data), 12, 2))], axis=1)
    delayed = attrs.evolve(data, history=padded)
    expected = Answers(meta)._expected(delayed.delayed(late), delayed, late)
    assert (expected < Answers(meta)._expected(data.delayed(prior), data, prior) - 0.1).all()


def test_a_share_is_that_of_the_whole_correction(meta, data):
    for weights in (first_order(meta, 0.6, 0.3), make_adapter("grbal", meta, SGDConfig()).start()):
        whole = correction(weights, data.inputs)
        assert correction(toward_prior(weights, 0.4), data.inputs) == pytest.approx(0.4 * whole, abs=1e-6)
        assert toward_prior(weights, 1.0) is weights
        none = toward_prior(weights, 0.0)
        assert none.displacement_blend == 0.0 and not correction(none, data.inputs).any()
