import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.dynamics.features import features, input_size
from mppi_maml_ros.dynamics.identification import error_models as innovations
from mppi_maml_ros.dynamics.identification import physics
from mppi_maml_ros.dynamics.identification.error_models import MODELS, PUSHES, SETTLED, THETAS, pushes, whiten

WHITE = 0
STRONG = 5 * len(THETAS)  # a push of pole .96, four times the white noise, and no measurement noise
NOISY = len(THETAS) - 1  # no push, theta .85


def whitened(model, columns, first=None):
    first = np.arange(len(columns)) == 0 if first is None else first
    out = np.empty_like(columns)
    m = MODELS
    gains = m.push_gain[model], m.noise_gain[model], m.scale[model]
    return out, whiten(columns, first, m.pole[model], *gains, out)


def pushed_errors(rng, count, pole=0.96, variance=4.0, size=0.01):
    """White noise and an AR(1) push of ``variance`` times its variance."""
    p, out = np.sqrt(variance) * rng.normal(), np.empty(count)
    for k in range(count):
        out[k] = p + rng.normal()
        p = pole * p + np.sqrt(variance * (1.0 - pole**2)) * rng.normal()
    return size * out


def covariance(pole, variance, theta, count):
    """Of ``count`` successive errors: an AR(1) push beside a moving average of unit noise."""
    lag = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    moving = np.where(lag == 0, 1.0 + theta**2, np.where(lag == 1, -theta, 0.0))
    return moving + (variance * pole**lag if variance else 0.0)


@pytest.mark.parametrize("model", range(len(MODELS.pole)))
def test_whitening_is_the_exact_likelihood_of_a_chain(model):
    (pole, variance, _), (theta, _) = PUSHES[model // len(THETAS)], THETAS[model % len(THETAS)]
    errors = np.random.default_rng(model).normal(size=(SETTLED - 8, 1))
    white, log_det = whitened(model, errors)
    full = covariance(pole, variance, theta, len(errors))
    assert np.sum(white**2) == pytest.approx(
        float(errors[:, 0] @ np.linalg.solve(full, errors[:, 0])), rel=1e-4
    )
    assert log_det == pytest.approx(0.5 * np.linalg.slogdet(full)[1], rel=1e-4, abs=1e-4)


def test_prior_probabilities_sum_to_one():
    assert MODELS.share.sum() == pytest.approx(1.0) and (MODELS.share > 0.0).all()


@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 29))
@settings(max_examples=25, deadline=None)
def test_a_new_chain_knows_nothing_of_the_one_before(seed, cut):
    columns = np.random.default_rng(seed).normal(size=(30, 2))
    first = np.isin(np.arange(30), (0, cut))
    together, log_det = whitened(STRONG, columns, first)
    apart = [whitened(STRONG, part) for part in (columns[:cut].copy(), columns[cut:].copy())]
    assert np.allclose(together, np.concatenate([white for white, _ in apart]))
    assert log_det == pytest.approx(sum(part for _, part in apart))


def test_whitening_is_linear():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(40, 2))
    both = np.column_stack([columns, columns @ [2.0, -3.0]])
    white, _ = whitened(NOISY, both)
    assert np.allclose(white[:, 2], white[:, :2] @ [2.0, -3.0])


def test_a_constant_error_is_expected_to_go_on_and_fades():
    errors = np.full((60, 2), 0.05)
    found = pushes(errors, np.arange(60) == 0, MODELS.settled([STRONG, STRONG]))
    assert found[0] == pytest.approx([0.0, 0.0]) and (np.diff(found[:, 0]) > 0.0).all()
    assert 0.03 < found[-1, 0] < 0.05


def test_no_push_without_a_model_of_the_errors():
    errors = np.random.default_rng(0).normal(size=(20, 2))
    assert not pushes(errors, np.zeros(20, dtype=bool), np.zeros((3, 2))).any()


@pytest.mark.parametrize("model", [STRONG, NOISY, len(MODELS.pole) - 1])
def test_pieces_with_the_state_between_them_are_as_good_as_the_whole(model):
    errors = np.random.default_rng(1).normal(size=(30, 2))
    first, settled = np.zeros(30, dtype=bool), MODELS.settled([model, model])
    whole = pushes(errors, first, settled)
    state = np.zeros((2, 2))
    pieces = [pushes(errors[a:b], first[a:b], settled, state)[:-1] for a, b in ((0, 7), (7, 8), (8, 30))]
    assert np.allclose(np.concatenate(pieces), whole[:-1]) and np.allclose(state[0], whole[-1])


# -- together with the physics layer ----------------------------------------------------------------


def drive(prior, errors, seed=0, noise=0.0):
    """(inputs, residuals) of a first-order robot with gain .8 that steers against what it sees."""
    taps = (prior.mean.shape[-1] - 8) // 2
    rng = np.random.default_rng(seed)
    count, keep = len(errors), np.exp(-0.05 / 0.25)
    true, history = np.zeros(2), np.zeros((taps, 2))
    seen = true.copy()
    inputs, residuals = np.empty((count, input_size(taps))), np.zeros((count, 3))
    for k in range(count):
        wanted = np.array([0.6 + 0.2 * np.sin(0.11 * k), 0.4 * np.cos(0.07 * k)])
        command = wanted + 0.5 * (wanted - seen)
        true = keep * true + 0.8 * (1.0 - keep) * command + errors[k]
        after = true + noise * rng.normal(size=2)
        inputs[k] = np.concatenate([seen, command, history.ravel()])
        residuals[k, :2] = after - command
        history = np.concatenate([command[None], history[:-1]])
        seen = after
    return inputs, residuals


def gain_and_lag(fitted, taps):
    row = fitted.mean[0]
    keep = row[0]
    return (1.0 + row[2 : 4 + 2 * taps : 2].sum()) / (1.0 - keep), -0.05 / np.log(keep)


@pytest.fixture
def packaged():
    from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel

    return MetaModel.load(PACKAGED).physics


def first_of(count):
    return np.arange(count) == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_push_is_found_and_told_from_white_noise(packaged, seed):
    rng = np.random.default_rng(seed)
    errors = np.column_stack([pushed_errors(rng, 150), 0.01 * rng.normal(size=150)])
    fitted = physics.fit(packaged, *drive(packaged, errors), first=first_of(150))
    assert fitted.error_model[0, 0] > 0.8 and fitted.error_model[1, 0] > 0.2
    assert fitted.error_model[1, 1] == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_the_odometry_does_not_bend_gain_and_lag(packaged, seed):
    rng = np.random.default_rng(seed)
    data = drive(packaged, 0.001 * rng.normal(size=(200, 2)), seed, noise=0.03)
    taps = (data[0].shape[1] - 4) // 2
    fitted = physics.fit(packaged, *data, first=first_of(200))
    assert (fitted.error_model[2] < -0.2).all()
    gain, lag = gain_and_lag(fitted, taps)
    plain_gain, plain_lag = gain_and_lag(physics.fit(packaged, *data), taps)
    assert gain == pytest.approx(0.8, abs=0.08) and lag == pytest.approx(0.25, rel=0.3)
    assert abs(lag - 0.25) < abs(plain_lag - 0.25)


def test_without_the_order_of_the_data_the_errors_are_white(packaged):
    rng = np.random.default_rng(0)
    errors = np.column_stack([pushed_errors(rng, 100), pushed_errors(rng, 100)])
    assert not physics.fit(packaged, *drive(packaged, errors)).error_model.any()


def test_the_typical_error_model_is_allowed_in_weights():
    from mppi_maml_ros.dynamics.soundness import ERROR_MODEL_RANGE

    low, high = ERROR_MODEL_RANGE
    for model in (innovations.TYPICAL, *(MODELS.settled([m, m]) for m in range(len(MODELS.pole)))):
        assert (model >= np.array(low)[:, None]).all() and (model <= np.array(high)[:, None]).all()


def test_a_few_transitions_without_any_noise_are_fitted(packaged):
    inputs, residuals = drive(packaged, np.zeros((12, 2)))
    fitted = physics.fit(packaged, inputs, residuals, first=first_of(12))
    assert np.isfinite(fitted.mean).all()
    assert np.abs(features(inputs) @ fitted.mean.T - residuals)[:, :2].max() < 0.05
