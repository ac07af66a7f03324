"""The push that the controller predicts with is the one that the weights' own errors make."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.adaptation.error_tracker import MAX_ERROR, ErrorTracker
from mppi_maml_ros.core.types import Odometry
from mppi_maml_ros.dynamics.identification.error_models import TYPICAL
from mppi_maml_ros.dynamics.residual import ResidualWeights, step

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
