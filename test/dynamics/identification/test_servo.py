import numpy as np
import pytest

from mppi_maml_ros.dynamics.features import feature_size, features, input_size
from mppi_maml_ros.dynamics.identification import servo, servo_fit
from mppi_maml_ros.dynamics.identification.evidence import evidences, log_evidence
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
    return servo_fit.fit(FAMILY, np.einsum("amp,amq->apq", base, base), len(inputs), NOISE)


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
    assert FAMILY.newer + FAMILY.older == pytest.approx(np.tile(1.0 - FAMILY.keep, (9, 1)))


def by_hand(axis, delay, inputs, residuals):
    """Log density of the data for one delay, from the covariance of the data in every cell of the grid."""
    base, taps = FAMILY.base(inputs, residuals)[axis], TAPS + 1
    own, other = (
        np.column_stack([base[:, start : start + taps], np.zeros(len(base))]) for start in (1, 1 + taps)
    )
    j = int(np.flatnonzero(FAMILY.delay == delay)[0])
    values = []
    for i, keep in enumerate(FAMILY.keep):
        share = np.array([FAMILY.newer[j, i], FAMILY.older[j, i]])
        acting = slice(FAMILY.age[j], FAMILY.age[j] + 2)
        free = 1.0 - keep
        design = np.column_stack(
            [own[:, acting] @ share, free * base[:, -3], -free * base[:, -2], other[:, acting] @ share]
        )
        left = base[:, -1] + base[:, 1] - keep * base[:, 0] - design @ servo.MEAN
        for deviation in servo.DEVIATION[axis]:
            for variance in NOISE[:, axis]:
                covariance = (design * deviation**2) @ design.T + variance * np.eye(len(left))
                values.append(-0.5 * (left @ np.linalg.solve(covariance, left)))
                values[-1] -= 0.5 * np.linalg.slogdet(2.0 * np.pi * covariance)[1]
    return np.logaddexp.reduce(values) - np.log(len(values))


@pytest.mark.parametrize("count", [1, 6, 40])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_evidence_is_the_density_of_the_data_whatever_is_left_out_of_the_grid(axis, count):
    inputs, residuals = transitions(robot(delay=0.05), count, noise=0.01, seed=count)
    found = fit(inputs, residuals)
    for j in (0, 2, 5, 8):
        wanted = by_hand(axis, FAMILY.delay[j], inputs, residuals)
        assert found.evidence[axis, j] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("count", [0, 3, 12, 150])
@pytest.mark.parametrize("guess", [0, 4, 8])
def test_the_evidence_of_an_axis_is_that_of_its_delays_and_what_is_below_the_floor_is_nothing(guess, count):
    inputs, residuals = transitions(robot(delay=0.1), count, noise=0.01)
    base = FAMILY.base(inputs, residuals)
    for axis, wanted in enumerate(np.logaddexp.reduce(fit(inputs, residuals).evidence, axis=1)):
        gram = base[axis].T @ base[axis]
        fixed = (servo.MEAN, servo.PRECISION[axis], *FAMILY.grid, guess)
        noise = np.ascontiguousarray(NOISE[:, axis])
        value, best = log_evidence(gram, float(count), noise, *fixed, -np.inf)
        assert value == pytest.approx(wanted - np.log(len(FAMILY.delay)), abs=1e-5)
        below, _ = log_evidence(gram, float(count), noise, *fixed, value - 1.0)
        assert below == pytest.approx(value, abs=1e-5)
        above, _ = log_evidence(gram, float(count), noise, *fixed, value + 100.0)
        assert above == -np.inf
        if count > 100:
            assert FAMILY.delay[best] == pytest.approx(0.1)


def test_the_evidence_of_many_sets_of_data_is_that_of_each_fit():
    counts = [0, 1, 5, 40, 200]
    sets = [transitions(robot(delay=0.05), n, noise=0.01, seed=n) for n in counts]
    bases = [FAMILY.base(*each) for each in sets]
    grams = np.stack([np.einsum("amp,amq->apq", base, base) for base in bases], axis=1)
    for family in (FAMILY, FAMILY.only(np.array([1, 4]))):
        wanted = [
            servo_fit.fit(family, gram, n, NOISE).evidence
            for n, gram in zip(counts, np.moveaxis(grams, 1, 0))
        ]
        found = evidences(family, grams, np.array(counts, dtype=float), NOISE)
        assert found == pytest.approx(np.stack(wanted, axis=1), abs=1e-5)
