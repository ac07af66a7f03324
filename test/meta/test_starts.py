"""Meta-trained starts stand for kinds of robots."""

import numpy as np
import pytest

pytest.importorskip("torch")

from mppi_maml_ros.dynamics.features import features
from mppi_maml_ros.meta.pipeline import NOISE_LEVELS, ridge_coefficients
from mppi_maml_ros.meta.starts import learn_starts
from mppi_maml_ros.meta.tasks.worlds import WorldTasks

NOISE = np.outer(np.square(NOISE_LEVELS), [1.0, 1.0, 4.0])


@pytest.fixture(scope="module")
def starts():
    pool = WorldTasks(steps=120).pool(1, 600)
    coefficients = ridge_coefficients(pool.clean_inputs, pool.clean_residuals)
    return learn_starts(pool, coefficients, NOISE, 0.05, lambda: None)


def test_axes_have_more_kinds_than_the_lateral_velocity(starts):
    counts = [int((starts.output == o).sum()) for o in range(3)]
    assert counts[0] == counts[1] > counts[2] >= 1


def test_ten_transitions_from_a_start_tell_a_robot_better_than_ten_from_nothing(starts):
    held = WorldTasks(steps=120).pool(2, 60)
    kinematic, fitted, least_squares = [], [], []
    for inputs, residuals, clean, truth in zip(
        held.inputs, held.residuals, held.clean_inputs, held.clean_residuals
    ):
        fit = starts.fit(inputs[:10], residuals[:10])
        plain = np.linalg.lstsq(features(inputs[:10]), residuals[:10], rcond=None)[0].T
        later = slice(10, 60)
        kinematic.append(np.mean(truth[later, :2] ** 2))
        fitted.append(np.mean((features(clean[later]) @ fit.mean.T - truth[later])[:, :2] ** 2))
        least_squares.append(np.mean((features(clean[later]) @ plain.T - truth[later])[:, :2] ** 2))
    assert np.median(fitted) < 0.1 * np.median(kinematic)
    assert np.median(fitted) < 0.1 * np.median(least_squares)


def test_an_interruption_ends_it():
    pool = WorldTasks(steps=60).pool(1, 200)

    def stop():
        raise InterruptedError

    coefficients = ridge_coefficients(pool.clean_inputs, pool.clean_residuals)
    with pytest.raises(InterruptedError):
        learn_starts(pool, coefficients, NOISE, 0.05, stop)
