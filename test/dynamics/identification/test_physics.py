import numpy as np
import pytest

from mppi_maml_ros.dynamics.features import feature_size, features, input_size
from mppi_maml_ros.dynamics.identification import error_models as innovations
from mppi_maml_ros.dynamics.identification import physics

TAPS = 1
P = feature_size(TAPS)


def make_prior(components=2, spread=0.3, seed=0):
    rng = np.random.default_rng(seed)
    covariance = np.tile(spread**2 * np.eye(P), (components, 3, 1, 1))
    return physics.PhysicsPrior(
        mean=0.2 * rng.normal(size=(components, 3, P)),
        covariance=covariance,
        weight=np.full(components, 1.0 / components),
        delay=0.05 * np.arange(components),
        noise=np.array([[1e-4] * 3, [1e-2] * 3]),
    )


def data(coefficients, count, noise, seed=1):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, input_size(TAPS)))
    return inputs, features(inputs) @ coefficients.T + noise * rng.normal(size=(count, 3))


@pytest.fixture
def free_only(monkeypatch):
    """The free linear map alone, without the structured alternatives."""
    monkeypatch.setattr(physics, "SERVO_SHARE", 0.0)
    monkeypatch.setattr(physics, "LATERAL_SHARES", (0.0, 0.0, 1.0))


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_without_data_the_posterior_is_the_prior(free_only):
    prior = make_prior()
    posterior = physics.fit(prior, np.zeros((0, input_size(TAPS))), np.zeros((0, 3)))
    grid = np.abs(prior.servo.delay[:, None] - prior.delay).argmin(axis=1)
    expected = np.bincount(grid) / len(grid) @ prior.mean.reshape(2, -1)
    assert posterior.mean == pytest.approx(expected.reshape(3, P))
    assert posterior.component == pytest.approx(np.full(len(prior.servo.delay), 1 / len(prior.servo.delay)))


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_one_component_and_known_noise_give_the_textbook_posterior(free_only):
    base = make_prior(components=1)
    prior = physics.PhysicsPrior(base.mean, base.covariance, base.weight, base.delay, base.noise[:1])
    inputs, residuals = data(prior.mean[0], 12, 0.01)
    phi = features(inputs)
    posterior = physics.fit(prior, inputs, residuals)
    for o in range(3):
        precision = prior.precision[0, o] + phi.T @ phi / 1e-4
        mean = np.linalg.solve(
            precision, prior.precision[0, o] @ prior.mean[0, o] + phi.T @ residuals[:, o] / 1e-4
        )
        assert posterior.mean[o] == pytest.approx(mean, abs=1e-8)


def test_many_clean_samples_recover_the_coefficients():
    truth = 0.2 * np.random.default_rng(5).normal(size=(3, P))
    posterior = physics.fit(make_prior(), *data(truth, 400, 0.001))
    assert posterior.mean == pytest.approx(truth, abs=5e-3)


def test_the_component_that_made_the_data_tells_the_delay():
    prior = make_prior(components=2, spread=0.02)
    posterior = physics.fit(prior, *data(prior.mean[1], 30, 0.01))
    assert posterior.delay == pytest.approx(0.05, abs=0.02)


def test_a_robot_that_does_not_slip_is_given_no_lateral_velocity():
    inputs, residuals = data(np.zeros((3, P)), 60, 0.1)
    assert np.abs(physics.fit(make_prior(), inputs, residuals).mean[2]).max() < 0.01


def test_slip_is_found_in_a_few_transitions():
    truth = np.zeros((3, P))
    truth[2, P - 3] = -0.2
    posterior = physics.fit(make_prior(), *data(truth, 12, 0.01))
    assert posterior.mean[2, P - 3] == pytest.approx(-0.2, abs=0.03)


def test_the_noise_level_of_each_output_is_found():
    prior = make_prior()
    inputs, residuals = data(prior.mean[0], 100, 0.01)
    residuals[:, 1] += 0.1 * np.random.default_rng(2).normal(size=100)
    posterior = physics.fit(prior, inputs, residuals)
    assert posterior.noise[0] < 5e-4 and posterior.noise[1] > 5e-3


def test_zero_weight_leaves_a_sample_out():
    prior = make_prior()
    inputs, residuals = data(prior.mean[0], 20, 0.01)
    spoiled = residuals.copy()
    spoiled[15:] = 50.0
    weights = np.r_[np.ones(15), np.zeros(5)]
    left_out = physics.fit(prior, inputs, spoiled, weights)
    assert left_out.mean == pytest.approx(physics.fit(prior, inputs[:15], residuals[:15]).mean)


def test_empirical_prior_has_one_component_for_each_delay_with_enough_worlds():
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=(100, 3, P))
    delays = np.r_[np.zeros(60), np.full(40, 0.05)]
    prior = physics.empirical_prior(coefficients, delays, 0.05, TAPS, np.full((1, 3), 1e-3))
    assert prior.weight == pytest.approx([0.6, 0.4])
    assert prior.delay == pytest.approx([0.0, 0.05])
    assert prior.mean[0] == pytest.approx(coefficients[:60].mean(axis=0))


def test_a_push_may_not_explain_away_what_the_least_noise_leaves():
    noise = np.square([0.002, 0.01, 0.05])
    for scale in innovations.MODELS.scale:
        levels = physics._levels(noise, scale)
        assert levels.min() >= noise.min()
        assert levels == pytest.approx(np.maximum(noise / scale[-1] ** 2, noise[0]))
    assert physics._levels(noise, innovations.MODELS.scale[0]) == pytest.approx(noise)
