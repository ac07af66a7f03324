"""The linear part of maml: from the likeliest start to what the data and the start agree on."""

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.adaptation.starts import Starts
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.dynamics.features import feature_size, features, input_size

TAPS = 2
SIZE = feature_size(TAPS)
NOISE = 0.01


def starts(kinds=1, seed=0, spread=1.0, levels=(NOISE**2,)) -> Starts:
    """``kinds`` starts for each output, far from each other in units of their spread."""
    rng = np.random.default_rng(seed)
    count = 3 * kinds
    return Starts(
        output=np.repeat(np.arange(3.0), kinds),
        mean=rng.normal(size=(count, SIZE)),
        factor=spread * np.stack([np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0] for _ in range(count)]),
        curvature=rng.uniform(0.0, 1.0, (count, SIZE)),
        noise=np.tile(np.array(levels)[:, None], 3),
    )


def drive(linear, rows=60, seed=1, noise=NOISE):
    """Inputs, and what a robot with this linear map (3, P) leaves of the kinematics."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, input_size(TAPS)))
    return inputs, features(inputs) @ linear.T + noise * rng.normal(size=(rows, 3))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), rows=st.integers(1, 80), spread=st.floats(0.01, 3.0))
def test_the_descent_ends_where_data_and_start_agree(seed, rows, spread):
    model = starts(seed=seed, spread=spread)
    inputs, residuals = drive(np.random.default_rng(seed).normal(size=(3, SIZE)), rows, seed)
    fit, phi = model.fit(inputs, residuals), features(inputs)
    for o in range(3):
        covariance = model.factor[o] @ model.factor[o].T
        gain = covariance @ phi.T @ np.linalg.inv(phi @ covariance @ phi.T + NOISE**2 * np.eye(rows))
        exact = model.mean[o] + gain @ (residuals[:, o] - phi @ model.mean[o])
        np.testing.assert_allclose(fit.mean[o], exact, atol=2e-3 * max(1.0, np.abs(exact).max()))


def test_one_step_is_not_the_whole_way():
    model = starts()
    inputs, residuals = drive(np.zeros((3, SIZE)))
    whole, one = model.fit(inputs, residuals), attrs.evolve(model, steps=1).fit(inputs, residuals)
    assert np.abs(whole.mean).max() < 0.1 * np.abs(one.mean).max()


def test_the_likeliest_start_is_restored():
    model = starts(kinds=4, spread=1e-3)
    for kind in range(4):
        truth = model.mean.reshape(3, 4, SIZE)[:, kind]
        fit = model.fit(*drive(truth, rows=8))
        np.testing.assert_allclose(fit.mean, truth, atol=0.02)


def test_starts_that_are_as_likely_are_averaged():
    model = starts(kinds=2, spread=1e-6)
    bias = features(np.zeros(input_size(TAPS))).argmax()  # the one feature that tells them apart then
    same = attrs.evolve(model, mean=np.where(np.arange(SIZE) == bias, 0.0, model.mean))
    fit = same.fit(np.zeros((1, input_size(TAPS))), np.zeros((1, 3)))
    np.testing.assert_allclose(fit.mean, same.typical, atol=1e-4)


@pytest.mark.parametrize("true", [0.002, 0.02, 0.08])
def test_the_noise_level_is_found(true):
    model = starts(levels=np.square([0.002, 0.02, 0.08]))
    fit = model.fit(*drive(model.mean, rows=200, noise=true))
    np.testing.assert_allclose(np.sqrt(fit.noise), true, rtol=0.05)


def test_starts_survive_the_artifact():
    model = starts(kinds=2)
    again = Starts.of(model.tensors())
    for name in ("output", "mean", "factor", "curvature", "noise", "steps"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": np.zeros(3)}, "each of the 3 outputs needs a start"),
        ({"curvature": np.full((3, SIZE), np.nan)}, "curvature of the starts must be at least 0"),
        ({"noise": np.zeros((1, 3))}, "noise above 0"),
        ({"factor": np.zeros((3, SIZE, 2))}, "factor of the starts must have shape"),
        ({"steps": 0}, "steps of the starts must be in"),
    ],
)
def test_starts_that_cannot_be_are_refused_by_name(change, message):
    with pytest.raises(InvalidValueError, match=message):
        attrs.evolve(starts(), **change)
