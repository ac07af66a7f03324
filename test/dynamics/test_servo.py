import numpy as np
import pytest

from mppi_maml_ros.dynamics import servo
from mppi_maml_ros.dynamics.features import feature_size, features, input_size
from mppi_maml_ros.dynamics.residual import ResidualWeights

TAPS, DT = 4, 0.05
NOISE = np.outer(np.square([0.002, 0.01, 0.05]), np.ones(2))
FAMILY = servo.ServoFamily.make(TAPS, DT)


def robot(time_constant=(0.2, 0.3), gain=(0.7, 0.8), delay=0.0):
    """Linear map (3, P) of a robot of the family."""
    small = ResidualWeights.first_order(time_constant, gain, delay, DT)
    linear = np.zeros((3, feature_size(TAPS)))
    linear[:, : input_size(small.delay_taps)] = small.linear[:, : input_size(small.delay_taps)]
    return linear


def transitions(linear, count, noise=0.002, seed=0):
    rng = np.random.default_rng(seed)
    inputs = 0.6 * rng.normal(size=(count, input_size(TAPS)))
    return inputs, features(inputs) @ linear.T + noise * rng.normal(size=(count, 3))


def fit(inputs, residuals):
    base = FAMILY.base(inputs, residuals)
    return servo.fit(FAMILY, np.einsum("amp,amq->apq", base, base), len(inputs), NOISE)


def best_delay(found):
    return FAMILY.delay[found.evidence.sum(axis=0).argmax()]


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.075, 0.15])
def test_eight_transitions_tell_the_delay(delay):
    assert best_delay(fit(*transitions(robot(delay=delay), 8))) == pytest.approx(delay, abs=0.026)


@pytest.mark.parametrize("time_constant", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("delay", [0.0, 0.1])
def test_a_dozen_transitions_tell_the_robot(time_constant, delay):
    truth = robot((time_constant, 2.0 * time_constant), (0.6, 1.1), delay)
    found = fit(*transitions(truth, 12))
    cell = int(np.flatnonzero(FAMILY.delay == best_delay(found))[0])
    inputs, wanted = transitions(truth, 200, noise=0.0, seed=9)
    error = features(inputs) @ found.linear[:, cell].T - wanted[:, :2]
    assert np.sqrt(np.mean(error**2)) < 0.03


def test_dry_friction_and_bias_are_found_in_tracking_data():
    truth = robot()
    truth[0, -2] = -0.05
    truth[1, -4] = 0.03
    found = fit(*transitions(truth, 120))
    cell = int(found.evidence.sum(axis=0).argmax())
    assert found.linear[0, cell, -2] == pytest.approx(-0.05, abs=0.015)
    assert found.linear[1, cell, -4] == pytest.approx(0.03, abs=0.015)


def test_without_data_every_delay_is_as_likely():
    empty = fit(*transitions(robot(), 0))
    assert empty.evidence == pytest.approx(np.zeros((2, len(FAMILY.delay))), abs=1e-9)


def test_the_evidence_of_two_parts_in_turn_is_that_of_the_whole():
    """Chain rule: what one transition adds is its probability given those before, which is below one's."""
    inputs, residuals = transitions(robot(), 30)
    values = [fit(inputs[:n], residuals[:n]).evidence.sum(axis=0).max() for n in (10, 20, 30)]
    assert np.isfinite(values).all() and values[0] < values[1] < values[2]  # sharp predictions gain density


def test_noise_is_told_apart():
    quiet, loud = (fit(*transitions(robot(), 60, noise=n)).noise[:, 0].mean() for n in (0.002, 0.05))
    assert quiet < 1e-4 and loud > 1e-3


def test_the_grid_of_delays_covers_all_taps_in_half_steps():
    assert FAMILY.delay == pytest.approx(np.arange(9) * 0.025)
    assert FAMILY.response[..., 0] + FAMILY.response[..., 1] == pytest.approx(
        np.tile(1.0 - np.exp(-DT / FAMILY.time_constant)[:, None], 9)
    )
