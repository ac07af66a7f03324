"""The state that a control step begins with, and the push that the weights' own errors make."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import Odometry
from mppi_maml_ros.dynamics.features import MAX_HISTORY
from mppi_maml_ros.dynamics.identification.error_models import TYPICAL
from mppi_maml_ros.dynamics.residual import ResidualWeights, step
from mppi_maml_ros.mppi import prediction
from mppi_maml_ros.mppi.prediction import FARTHEST, MAX_ERROR, ErrorTracker, Predictor, advance

DT, TAPS = 0.05, 8
MODEL = attrs.evolve(ResidualWeights.first_order((0.2, 0.2)), error_model=TYPICAL)
WIND = np.array([0.03, -0.02])  # [m/s, rad/s] a step


def drive(tracker, seconds=2.0, rate=20.0, wind=WIND, start=0.0, state=None):
    """Blow a robot of ``MODEL`` about; odometry at ``rate`` [Hz], a command each step."""
    state = np.zeros(5) if state is None else state
    every = int(round(20.0 / rate)) if rate < 20.0 else 1
    shares = int(round(rate / 20.0)) or 1
    for k in range(int(round(seconds / DT))):
        t, command = start + k * DT, np.array([0.5, 0.3])
        if k % every == 0:
            tracker.add_odometry(Odometry(t, state[:3].copy(), state[3:].copy()))
        tracker.add_command(t, command)
        after = step(MODEL, state, command, np.zeros((1, 2)), push=wind)
        for j in range(1, shares):
            share = j / shares
            between = state + share * (after - state)
            tracker.add_odometry(Odometry(t + share * DT, between[:3], between[3:]))
        state = after
    end = start + seconds
    tracker.add_odometry(Odometry(end, state[:3].copy(), state[3:].copy()))
    return state


@pytest.mark.parametrize("rate", [20.0, 40.0, 100.0])
def test_a_steady_wind_is_expected_to_blow_on(rate):
    tracker = ErrorTracker(TAPS, DT)
    drive(tracker, rate=rate)
    push = tracker.push(MODEL)
    assert (0.6 * np.abs(WIND) < np.abs(push)).all() and (np.abs(push) < np.abs(WIND)).all()
    assert (np.sign(push) == np.sign(WIND)).all()


def test_the_push_fades_with_the_time_that_it_is_asked_for():
    tracker = ErrorTracker(TAPS, DT)
    drive(tracker)
    pole = MODEL.error_model[0]
    assert tracker.push(MODEL, after=3 * DT) == pytest.approx(tracker.push(MODEL) * pole**3)


def test_a_robot_that_obeys_its_model_is_not_pushed():
    tracker = ErrorTracker(TAPS, DT)
    drive(tracker, wind=np.zeros(2))
    assert tracker.push(MODEL) == pytest.approx([0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("weights", [None, ResidualWeights.prior(), ResidualWeights.first_order((0.4, 0.4))])
def test_weights_without_a_model_of_their_errors_are_not_pushed(weights):
    tracker = ErrorTracker(TAPS, DT)
    drive(tracker)
    assert not tracker.push(weights).any()


def test_new_weights_answer_for_their_own_errors():
    other = attrs.evolve(ResidualWeights.first_order((0.2, 0.2), gain=(0.5, 0.5)), error_model=TYPICAL)
    tracker, fresh = ErrorTracker(TAPS, DT), ErrorTracker(TAPS, DT)
    drive(tracker)
    drive(fresh)
    first = tracker.push(MODEL)
    second = tracker.push(other)
    assert np.array_equal(second, fresh.push(other)) and not np.allclose(second, first)
    assert tracker.push(MODEL) == pytest.approx(first)


def test_asking_each_step_or_once_is_the_same():
    once, often = ErrorTracker(TAPS, DT), ErrorTracker(TAPS, DT)
    drive(once, seconds=1.0)
    state = None
    for k in range(10):
        state = drive(often, seconds=0.1, start=0.1 * k, state=state)
        often.push(MODEL)
    assert often.push(MODEL) == pytest.approx(once.push(MODEL))


def test_nothing_is_known_after_a_pause_in_the_odometry():
    tracker = ErrorTracker(TAPS, DT)
    state = drive(tracker)
    assert tracker.push(MODEL).any()
    tracker.add_odometry(Odometry(2.5, state[:3], state[3:]))
    assert not tracker.push(MODEL).any()
    drive(tracker, start=2.55, state=state, seconds=0.2)
    assert tracker.push(MODEL).any()


def test_a_reset_forgets_the_wind():
    tracker = ErrorTracker(TAPS, DT)
    drive(tracker)
    tracker.push(MODEL)
    tracker.reset()
    assert not tracker.push(MODEL).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e9])
def test_a_bad_sample_leaves_the_push_small(bad):
    tracker = ErrorTracker(TAPS, DT)
    state = drive(tracker)
    tracker.add_odometry(Odometry(2.05, state[:3], np.array([bad, 0.0])))
    tracker.add_command(2.05, (0.5, 0.3))
    tracker.add_odometry(Odometry(2.10, state[:3], state[3:]))
    assert (np.abs(tracker.push(MODEL)) <= MAX_ERROR).all()


@pytest.mark.parametrize("age, pieces", [(0.10, (0.05, 0.05)), (0.12, (0.02, 0.05, 0.05)), (0.03, (0.03,))])
def test_prediction_of_an_old_state_takes_the_commands_given_since(age, pieces):
    plant = ResidualWeights.first_order((0.3, 0.3), delay=0.05)
    history = np.array([[0.8, 0.2], [0.4, 0.0], [0.2, 0.1], [0.0, 0.0]])
    expected = np.zeros(5)
    for back, piece in zip(reversed(range(len(pieces))), pieces, strict=True):
        expected = step(plant, expected, history[back], history[back + 1 :], piece)
    ahead = advance(np.zeros(5), history, age, plant, DT)
    assert ahead == pytest.approx(expected)


def test_prediction_of_an_old_state_is_pushed_and_the_push_fades():
    plant = attrs.evolve(
        ResidualWeights.first_order((0.3, 0.3)), error_model=[[0.9, 0.8], [0.3, 0.3], [0, 0]]
    )
    history, push = np.array([[0.8, 0.2], [0.4, 0.0]]), np.array([0.05, -0.1])
    expected = step(plant, np.zeros(5), history[1], history[2:], push=push)
    expected = step(plant, expected, history[0], history[1:], push=push * [0.9, 0.8])
    ahead = advance(np.zeros(5), history, 0.1, plant, DT, push)
    assert ahead == pytest.approx(expected)


def test_prediction_by_the_prior_moves_the_pose_and_keeps_the_measured_twist():
    ahead = advance(np.array([0, 0, 0, 0.2, 0.0]), np.array([[0.5, 0.0]]), 0.04, None, DT)
    assert ahead == pytest.approx([0.02, 0, 0, 0.2, 0.0])


def test_before_any_command_the_state_is_that_of_the_odometry():
    predictor, state = Predictor(DT), np.array([1.0, 2.0, 0.3, 0.4, 0.5])
    predictor.add_odometry(Odometry(5.0, state[:3], state[3:]))
    found = predictor.now(5.0, MODEL)
    assert np.array_equal(found.state, state) and found.age == 0.0
    assert (
        found.history.shape == (MAX_HISTORY + FARTHEST, 2)
        and not found.history.any()
        and not found.push.any()
    )


def test_odometry_is_moved_ahead_by_its_age_under_the_commands_since():
    predictor, commands = Predictor(DT), [np.array([0.4, 0.1]), np.array([0.8, -0.2])]
    predictor.add_odometry(Odometry(1.0, np.zeros(3), np.zeros(2)))
    for k, command in enumerate(commands):
        predictor.record(1.0 + k * DT, command)
    found = predictor.now(1.0 + 2 * DT, MODEL)
    expected = step(
        MODEL, step(MODEL, np.zeros(5), commands[0], np.zeros((1, 2))), commands[1], np.zeros((1, 2))
    )
    assert found.state == pytest.approx(expected) and found.age == pytest.approx(2 * DT)
    assert np.array_equal(found.history[:3], [commands[1], commands[0], [0.0, 0.0]])


@pytest.mark.parametrize("late, age", [(10 * DT, FARTHEST * DT), (-DT, 0.0)])
def test_odometry_is_moved_neither_too_far_nor_back(late, age):
    predictor = Predictor(DT)
    predictor.add_odometry(Odometry(1.0, np.zeros(3), np.zeros(2)))
    assert predictor.now(1.0 + late, None).age == pytest.approx(age)


def test_the_push_is_that_of_the_tracker_at_the_end_of_the_prediction():
    predictor, tracker = Predictor(DT), ErrorTracker(TAPS, DT)
    drive(tracker)
    predictor.add_command = predictor.record
    drive(predictor)
    found = predictor.now(2.0 + DT, MODEL)
    assert found.push.any() and found.push == pytest.approx(tracker.push(MODEL, DT))


def test_any_other_model_is_predicted_for_by_the_prior():
    predictor = Predictor(DT)
    predictor.add_odometry(Odometry(1.0, np.zeros(3), np.array([0.2, 0.0])))
    predictor.record(0.9, (0.5, 0.0))
    assert predictor.now(1.04, object()).state == pytest.approx([0.02, 0.0, 0.0, 0.2, 0.0])


def test_after_a_reset_there_is_nothing_to_predict_from():
    predictor = Predictor(DT)
    predictor.add_odometry(Odometry(1.0, np.zeros(3), np.zeros(2)))
    predictor.record(1.0, (0.5, 0.0))
    predictor.reset()
    assert predictor.odometry is None and not predictor.history(1.1).any()
    with pytest.raises(InvalidValueError, match="no odometry"):
        predictor.now(1.1, None)


def test_a_state_that_is_not_finite_never_leaves(monkeypatch):
    predictor = Predictor(DT)
    predictor.add_odometry(Odometry(1.0, np.zeros(3), np.zeros(2)))
    monkeypatch.setattr(prediction, "advance", lambda *_: np.full(5, np.nan))
    with pytest.raises(InvalidValueError, match="finite"):
        predictor.now(1.0, None)
