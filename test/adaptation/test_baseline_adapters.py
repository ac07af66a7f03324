"""The classical identifiers, the Bayesian head and the learner without restore."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.adaptation.adapters import ADAPTERS, META_TRAINED, make_adapter, rls
from mppi_maml_ros.adaptation.adapters.ekf import EKFAdapter, EKFConfig
from mppi_maml_ros.adaptation.adapters.l1 import L1Adapter
from mppi_maml_ros.adaptation.adapters.last_layer import LastLayerAdapter
from mppi_maml_ros.adaptation.adapters.online_learner import OnlineLearner
from mppi_maml_ros.adaptation.adapters.rls import RLSAdapter
from mppi_maml_ros.adaptation.guard import prediction_error
from mppi_maml_ros.adaptation.sgd import SGDConfig
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.dynamics.buffer import BufferConfig, TransitionBuffer
from mppi_maml_ros.dynamics.features import input_size
from mppi_maml_ros.dynamics.identification.physics import PhysicsPrior
from mppi_maml_ros.dynamics.residual import ResidualWeights, correction
from mppi_maml_ros.dynamics.transitions import Transitions

TAPS, DT = 2, 0.05
SLOW = ResidualWeights.first_order((0.35, 0.25), gain=(0.7, 0.8))
BASELINES = ("last_layer", "rls", "ekf", "l1", "online_learner")


def seed_robot(friction=(0.5, 0.3), gain=(1.0, 1.0)) -> ResidualWeights:
    """x' = 5 (g u - x) - c x on both axes."""
    rate = 5.0 + np.array(friction)
    return ResidualWeights.first_order(tuple(1.0 / rate), gain=tuple(5.0 * np.array(gain) / rate))


def pushed_robot(sigma) -> ResidualWeights:
    """x' = 5 (u - x) + sigma on both axes."""
    nominal = seed_robot((0.0, 0.0))
    linear = nominal.linear.copy()
    linear[:2, input_size(0)] += np.array(sigma) * (1.0 - np.exp(-5.0 * DT)) / 5.0
    return attrs.evolve(nominal, linear=linear)


@pytest.fixture
def record(drive):
    """Transitions of a plant that was driven around."""

    def run(plant, seconds=8.0, **options) -> Transitions:
        buffer = TransitionBuffer(BufferConfig(delay_taps=TAPS, model_dt=DT))
        drive(buffer.add_odometry, buffer.add_command, plant, seconds=seconds, **options)
        return buffer.latest()

    return run


def joined(*parts: Transitions, pause=1.0) -> Transitions:
    """Drives one after the other, with a pause [s] between them."""
    stamps, segments, offset = [], [], 0.0
    for i, part in enumerate(parts):
        stamps.append(part.stamps - part.stamps[0] + offset)
        segments.append(part.segments + 1000 * i)
        offset = stamps[-1][-1] + pause
    stacked = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("states", "commands", "history", "next_states")
    }
    return Transitions(
        stamps=np.concatenate(stamps), segments=np.concatenate(segments), model_dt=DT, **stacked
    )


def constant(rows=40, twist=(0.5, 0.2), command=(0.5, 0.2)) -> Transitions:
    """The same transition over and over."""
    state = np.array([0.0, 0.0, 0.0, *twist])
    return Transitions(
        stamps=DT * np.arange(rows),
        states=np.tile(state, (rows, 1)),
        commands=np.tile(command, (rows, 1)),
        history=np.tile(command, (rows, TAPS, 1)),
        next_states=np.tile(state, (rows, 1)),
        segments=np.zeros(rows, dtype=int),
        model_dt=DT,
    )


# -- all of them


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_is_chosen_by_its_name_and_signs_its_weights(meta, record, name):
    adapter = make_adapter(name, meta, SGDConfig())
    assert adapter.name == name
    assert adapter.start().adapter == name
    assert adapter.adapt(record(SLOW)).weights.adapter == name


def test_the_default_is_the_first_and_an_unknown_name_is_refused(meta):
    assert next(iter(ADAPTERS)) == "physics+maml"
    assert set(meta.networks) <= set(META_TRAINED)
    with pytest.raises(InvalidValueError, match="adapter must be one of physics"):
        make_adapter("kalman", meta, SGDConfig())


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("rows", [1, 10])
def test_a_few_noisy_samples_give_a_finite_candidate(meta, record, name, rows):
    data = record(SLOW, noise=0.02)[:rows]
    result = make_adapter(name, meta, SGDConfig()).adapt(data)
    assert np.isfinite([result.loss_before, result.loss_after]).all()
    assert np.isfinite(correction(result.weights, data.inputs)).all()
    assert np.abs(correction(result.weights, data.inputs)).max() < 3.0


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("twist", [(0.5, 0.2), (0.0, 0.0)])
@pytest.mark.parametrize("rows", [3, 5000])
def test_identical_samples_give_a_finite_candidate_that_still_explains_them(meta, name, twist, rows):
    data = constant(rows, twist)
    result = make_adapter(name, meta, SGDConfig()).adapt(data)
    assert np.isfinite([result.loss_before, result.loss_after]).all()
    assert np.isfinite(correction(result.weights, data.inputs)).all()
    assert result.loss_after <= result.loss_before + 1e-3


@pytest.mark.parametrize("name", BASELINES)
def test_the_same_calls_give_the_same_weights(meta, record, name):
    calls = [record(SLOW, noise=0.01), record(seed_robot(), seed=1), record(SLOW, seed=2)]
    digests = []
    for _ in range(2):
        adapter = make_adapter(name, meta, SGDConfig())
        digests.append([adapter.adapt(data).weights.digest() for data in calls])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", [n for n in BASELINES if n != "online_learner"])
def test_all_but_the_online_learner_depend_on_the_given_data_only(meta, record, name):
    adapter = make_adapter(name, meta, SGDConfig())
    first = adapter.adapt(record(SLOW)).weights.digest()
    adapter.adapt(record(seed_robot(), seed=1))
    assert adapter.adapt(record(SLOW)).weights.digest() == first


@pytest.mark.parametrize(("name", "share"), [("last_layer", 0.02), ("rls", 0.01), ("ekf", 0.1)])
def test_gain_and_lag_of_a_first_order_robot_are_recovered(meta, record, name, share):
    data = record(SLOW)
    result = make_adapter(name, meta, SGDConfig()).adapt(data)
    assert result.gain == pytest.approx([0.7, 0.8], rel=share)
    assert result.time_constant == pytest.approx([0.35, 0.25], rel=share)
    prior, _ = prediction_error(ResidualWeights.prior(TAPS), data)
    assert prediction_error(result.weights, data)[0] < 1e-3 * prior


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda meta: RLSAdapter(meta, forgetting=float("nan")), "forgetting"),
        (lambda meta: RLSAdapter(meta, forgetting=1.1), "forgetting"),
        (lambda meta: RLSAdapter(meta, covariance=0.0), "covariance"),
        (lambda meta: RLSAdapter(meta, wind_up=0.5), "wind_up"),
        (lambda meta: EKFAdapter(meta, EKFConfig(process=float("nan"))), "process"),
        (lambda meta: EKFAdapter(meta, EKFConfig(measurement=0.0)), "measurement"),
        (lambda meta: L1Adapter(meta, bandwidth=0.0), "bandwidth"),
        (lambda meta: L1Adapter(meta, predictor_rate=float("nan")), "predictor_rate"),
        (lambda meta: LastLayerAdapter(meta, forgetting=0.0), "forgetting"),
        (lambda meta: LastLayerAdapter(meta, spread=float("nan")), "spread"),
        (lambda meta: OnlineLearner(meta, SGDConfig(), newest=0), "newest"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(meta, make, field):
    with pytest.raises(InvalidValueError, match=field):
        make(meta)


@pytest.mark.parametrize("name", ["last_layer", "online_learner"])
def test_a_meta_model_without_the_network_is_refused(meta, name):
    with pytest.raises(InvalidValueError, match="no network"):
        make_adapter(name, attrs.evolve(meta, networks={}), SGDConfig())


# -- rls


@pytest.mark.parametrize("forgetting", [0.93, 1.0])
def test_rls_equals_batch_least_squares_with_the_same_weights(meta, record, forgetting):
    data = record(SLOW, seconds=2.0, noise=0.02)
    linear = RLSAdapter(meta, forgetting=forgetting, covariance=100.0).adapt(data).weights.linear
    count = len(data)
    weight = forgetting ** np.arange(count - 1, -1, -1.0)
    for axis in (0, 1):
        rows = np.column_stack([data.states[:, 3 + axis], data.commands[:, axis], np.ones(count)])
        prior = forgetting**count / 100.0 * np.eye(3)
        right = prior @ [0.0, 1.0, 0.0] + (rows * weight[:, None]).T @ data.next_states[:, 3 + axis]
        keep, drive, bias = np.linalg.solve(prior + (rows * weight[:, None]).T @ rows, right)
        found = linear[axis, [axis, 2 + axis, input_size(TAPS)]]
        assert found == pytest.approx([keep, drive - 1.0, bias], abs=1e-5)


def test_rls_of_a_robot_that_speeds_up_by_itself_is_the_best_stable_fit(meta, record):
    data = record(SLOW, seconds=3.0, noise=0.01)
    faster = data.next_states.copy()
    faster[:, 3] += 0.4 * data.states[:, 3]
    data = attrs.evolve(data, next_states=faster)
    linear = RLSAdapter(meta, forgetting=1.0).adapt(data).weights.linear
    rows = np.column_stack([data.commands[:, 0], np.ones(len(data))])
    target = data.next_states[:, 3] - rls.SLOWEST * data.states[:, 3]
    expected = np.linalg.solve(rows.T @ rows + 0.01 * np.eye(2), rows.T @ target + [0.01, 0.0])
    assert linear[0, 0] == pytest.approx(rls.SLOWEST)
    assert linear[0, [2, input_size(TAPS)]] == pytest.approx(expected - [1.0, 0.0], abs=1e-5)


def test_rls_starts_as_the_kinematic_prior(meta):
    assert RLSAdapter(meta).start().is_prior


def test_rls_follows_a_robot_that_changed(meta, record):
    data = joined(record(seed_robot()), record(SLOW, seconds=5.0, seed=3))
    assert RLSAdapter(meta).adapt(data).gain == pytest.approx([0.7, 0.8], abs=0.02)
    assert RLSAdapter(meta, forgetting=1.0).adapt(data).gain[0] > 0.74


def test_rls_does_not_wind_up_while_the_robot_drives_steadily():
    start, still = np.array([0.0, 1.0, 0.0]), np.full(3000, 0.5)
    _, covariance = rls.recursion(still, still, still, start, 100.0, 0.93, 1e5)
    assert np.trace(covariance) <= 1e5


# -- ekf


def test_a_step_of_the_ekf_equals_the_one_worked_by_hand(meta, record):
    config = EKFConfig(process=0.02, measurement=0.03, walk_friction=0.2, walk_gain=0.01)
    row = record(SLOW)[30:31]
    found = EKFAdapter(meta, config).estimate(row)

    def predict(state, u):
        x, c, g = state
        keep = np.exp(-(5.0 + c) * DT)
        return np.array([keep * x + 5.0 * g * u * (1.0 - keep) / (5.0 + c), c, g])

    for axis in (0, 1):
        state, u = np.array([row.states[0, 3 + axis], 0.0, 1.0]), row.commands[0, axis]
        jacobian = np.column_stack(
            [(predict(state + h, u) - predict(state - h, u)) / 2e-5 for h in 1e-5 * np.eye(3)]
        )
        covariance = jacobian @ np.diag([0.03**2, 2.0**2, 0.3**2]) @ jacobian.T
        covariance += np.diag([0.02**2, 0.2**2, 0.01**2])
        gain = covariance[:, 0] / (covariance[0, 0] + 0.03**2)
        ahead = predict(state, u)
        expected = ahead + gain * (row.next_states[0, 3 + axis] - ahead[0])
        assert found[axis] == pytest.approx(expected, rel=1e-6)


def test_the_ekf_finds_friction_and_gain(meta, record):
    found = EKFAdapter(meta, EKFConfig(walk_friction=0.0, walk_gain=0.0)).estimate(
        record(seed_robot((2.5, 1.5), (0.9, 1.1)))
    )
    assert found[:, 1] == pytest.approx([2.5, 1.5], abs=0.15)
    assert found[:, 2] == pytest.approx([0.9, 1.1], abs=0.03)


def test_the_ekf_follows_a_step_of_the_friction(meta, record):
    after = seed_robot((2.5, 1.5))
    data = joined(record(seed_robot()), record(after, seconds=3.0, seed=3))
    error, _ = prediction_error(EKFAdapter(meta).adapt(data).weights, data[-40:])
    stale, _ = prediction_error(seed_robot(), data[-40:])
    assert error < 0.02 * stale


def test_the_ekf_does_not_take_a_gap_for_motion(meta, record):
    parts = [record(SLOW, seconds=2.0, seed=seed) for seed in range(4)]
    still = EKFConfig(walk_friction=0.0, walk_gain=0.0)
    apart = EKFAdapter(meta, still).adapt(joined(*parts))
    assert apart.gain == pytest.approx([0.7, 0.8], abs=0.02)
    walked = EKFAdapter(meta).adapt(joined(*parts))
    assert walked.gain == pytest.approx([0.7, 0.8], abs=0.02)


def test_the_ekf_trusts_its_parameters_less_after_a_longer_gap(meta, record):
    before, after = record(seed_robot()), record(seed_robot((4.0, 4.0)), seconds=1.0, seed=3)
    soon, late = (
        EKFAdapter(meta).estimate(joined(before, after, pause=pause))[:, 1] for pause in (0.5, 60.0)
    )
    assert (late > soon + 0.1).all()


def test_the_ekf_remains_a_stable_lag_whatever_it_is_told(meta):
    data = attrs.evolve(constant(60, (1.0, 1.0), (0.0, 0.0)), segments=np.arange(60))
    fast = data.next_states.copy()
    fast[:, 3:5] = 1.3  # speeds up by itself
    data = attrs.evolve(data, next_states=fast)
    linear = EKFAdapter(meta).adapt(data).weights.linear
    assert 0.0 < linear[0, 0] < 1.0
    assert 0.0 < linear[1, 1] < 1.0


# -- l1


@pytest.mark.parametrize("predictor_rate", [1.0, 10.0, 40.0])
def test_l1_converges_to_a_constant_disturbance(meta, record, predictor_rate):
    data = record(pushed_robot((-0.8, 0.5)))
    adapter = L1Adapter(meta, predictor_rate=predictor_rate)
    assert adapter.estimate(data) == pytest.approx([-0.8, 0.5], abs=1e-3)
    weights = adapter.adapt(data).weights
    assert correction(weights, data.inputs) == pytest.approx(data.residuals, abs=1e-4)


def test_l1_believes_a_disturbance_at_its_bandwidth(meta, record):
    data = record(pushed_robot((-0.8, 0.5)))
    half_second = data[: int(0.5 / DT)]
    expected = (1.0 - np.exp(-0.5 * 4.0)) * np.array([-0.8, 0.5])
    assert L1Adapter(meta, bandwidth=4.0).estimate(half_second) == pytest.approx(expected, abs=1e-3)


def test_l1_starts_as_the_nominal_robot_and_stays_there_when_it_is_right(meta, record):
    nominal = seed_robot((0.0, 0.0))
    data = record(nominal)
    adapter = L1Adapter(meta)
    for weights in (adapter.start(), adapter.adapt(data).weights):
        assert correction(weights, data.inputs) == pytest.approx(data.residuals, abs=1e-4)


def test_l1_does_not_take_a_gap_for_a_disturbance(meta, record):
    sigma = (-0.8, 0.5)
    before, after = record(pushed_robot(sigma)), record(pushed_robot(sigma), seed=5)[:6]
    assert abs(before.next_states[-1, 3] - after.states[0, 3]) > 0.05
    assert L1Adapter(meta).estimate(joined(before, after)) == pytest.approx(sigma, abs=2e-3)


# -- last_layer


def one_level(meta, components=1):
    """The meta-model with one noise level and a few narrow, random prior components."""
    rng = np.random.default_rng(3)
    size = meta.physics.mean.shape[-1]
    roots = rng.normal(size=(components, 3, size, size)) / 3
    return attrs.evolve(
        meta,
        physics=PhysicsPrior(
            mean=0.1 * rng.normal(size=(components, 3, size)),
            covariance=roots @ roots.swapaxes(-1, -2) + 0.1 * np.eye(size),
            weight=np.full(components, 1.0 / components),
            delay=0.05 * np.arange(components),
            noise=np.array([[1e-2, 2e-2, 4e-2]]),
        ),
    )


def prior_covariance(meta, spread, component, output):
    width = len(meta.networks["physics+maml"][0][1])
    size = meta.physics.mean.shape[-1]
    covariance = np.zeros((size + width, size + width))
    covariance[:size, :size] = meta.physics.covariance[component, output]
    variance = (spread * meta.output_scale["physics+maml"][output]) ** 2 / width
    covariance[size:, size:] = variance * np.eye(width)
    return covariance


def test_the_head_equals_the_textbook_posterior(meta, record):
    meta = one_level(meta)
    data = record(SLOW, noise=0.02)[:25]
    adapter = LastLayerAdapter(meta, forgetting=0.9, spread=2.0)
    weights = adapter.adapt(data).weights
    psi = adapter.features(data.inputs)
    size = meta.physics.mean.shape[-1]
    variance = adapter.variance(data.inputs)
    for o in range(3):
        precision = np.linalg.inv(prior_covariance(meta, 2.0, 0, o))
        mean = np.append(meta.physics.mean[0, o], np.zeros(psi.shape[1] - size))
        weight = 0.9 ** np.arange(24, -1, -1.0) / meta.physics.noise[0, o]
        posterior = np.linalg.inv(precision + (psi * weight[:, None]).T @ psi)
        expected = posterior @ (precision @ mean + (psi * weight[:, None]).T @ data.residuals[:, o])
        assert weights.linear[o] == pytest.approx(expected[:size], abs=1e-5)
        assert weights.layers[-1][0][o] == pytest.approx(expected[size:], abs=1e-5)
        spread = np.einsum("mp,pq,mq->m", psi, posterior, psi) + meta.physics.noise[0, o]
        assert variance[:, o] == pytest.approx(spread, rel=1e-6)


def test_the_weights_that_serve_predict_what_the_head_says(meta, record):
    data = record(SLOW, noise=0.02)
    adapter = LastLayerAdapter(meta, spread=20.0)
    weights = adapter.adapt(data).weights
    assert np.abs(weights.layers[-1][0]).max() > 1e-4
    posterior = adapter.fit(data.inputs, data.residuals, 0.99 ** np.arange(len(data) - 1, -1, -1.0))
    mean = np.einsum("cgo,cgoq->oq", posterior.share, posterior.mean)
    expected = adapter.features(data.inputs) @ mean.T
    assert correction(weights, data.inputs) == pytest.approx(expected, abs=1e-5)


def test_the_delay_components_are_weighed_by_their_evidence(meta, record):
    meta = one_level(meta, components=3)
    data = record(SLOW, noise=0.05)[:12]
    adapter = LastLayerAdapter(meta, forgetting=1.0, spread=2.0)
    found = adapter.fit(data.inputs, data.residuals).component
    psi = adapter.features(data.inputs)
    log = np.zeros(3)
    for c in range(3):
        for o in range(3):
            mean = psi[:, : meta.physics.mean.shape[-1]] @ meta.physics.mean[c, o]
            covariance = psi @ prior_covariance(meta, 2.0, c, o) @ psi.T
            covariance += meta.physics.noise[0, o] * np.eye(12)
            error = data.residuals[:, o] - mean
            log[c] -= 0.5 * (error @ np.linalg.solve(covariance, error) + np.linalg.slogdet(covariance)[1])
    expected = np.exp(log - log.max())
    assert found == pytest.approx(expected / expected.sum(), abs=1e-6)
    assert adapter.adapt(data).delay == pytest.approx(found @ meta.physics.delay)


def test_the_predictive_variance_shrinks_with_data_down_to_the_noise(meta, record):
    meta = one_level(meta)
    adapter = LastLayerAdapter(meta, forgetting=1.0)
    data = record(SLOW, noise=0.02)
    where = data.inputs[::10]
    steps = [adapter.variance(where)]
    for rows in (10, 40, 150):
        adapter.adapt(data[:rows])
        steps.append(adapter.variance(where))
    assert (np.diff(steps, axis=0) < 0.0).all()
    assert (steps[-1] > meta.physics.noise[0]).all()
    assert np.mean(steps[-1] / meta.physics.noise[0]) < 1.2


def test_the_predictive_variance_counts_what_the_delay_components_disagree_on(meta, record):
    meta = one_level(meta, components=3)
    adapter = LastLayerAdapter(meta, spread=2.0)
    inputs = record(SLOW)[:20].inputs
    psi = adapter.features(inputs)
    for o in range(3):
        means = psi[:, : meta.physics.mean.shape[-1]] @ meta.physics.mean[:, o].T  # (M, C)
        within = [np.einsum("mp,pq,mq->m", psi, prior_covariance(meta, 2.0, c, o), psi) for c in range(3)]
        expected = np.mean(within, axis=0) + means.var(axis=1) + meta.physics.noise[0, o]
        assert adapter.variance(inputs)[:, o] == pytest.approx(expected, rel=1e-6)


def test_the_predictive_variance_is_larger_where_there_were_no_data(meta, record):
    adapter = LastLayerAdapter(meta)
    data = record(SLOW, noise=0.02)
    adapter.adapt(data)
    far = 4.0 * data.inputs
    assert (adapter.variance(far).mean(axis=0) > 1.5 * adapter.variance(data.inputs).mean(axis=0)).all()


def test_the_head_forgets_a_robot_that_changed(meta, record):
    data = joined(record(seed_robot()), record(SLOW, seconds=3.0, seed=3))
    fast = LastLayerAdapter(meta, forgetting=0.93).adapt(data).weights
    slow = LastLayerAdapter(meta, forgetting=1.0).adapt(data).weights
    newest = data[-30:]
    assert prediction_error(fast, newest)[0] < 0.1 * prediction_error(slow, newest)[0]


def test_before_data_the_head_is_silent_and_the_physics_prior_speaks(meta):
    meta = one_level(meta)
    start = LastLayerAdapter(meta).start()
    assert not start.layers
    assert start.linear == pytest.approx(meta.physics.mean[0], abs=1e-6)


# -- online_learner


def test_the_online_learner_goes_on_from_where_it_ended(meta, record):
    data = record(SLOW)
    learner = OnlineLearner(meta, SGDConfig(inner_lr=0.02, inner_steps=20))
    theta = learner.start().digest()
    first = learner.adapt(data)
    second = learner.adapt(data)
    assert second.loss_before == pytest.approx(first.loss_after, rel=1e-5)
    assert second.loss_after < first.loss_after < first.loss_before
    assert learner.start().digest() == theta


def test_the_online_learner_learns_a_slow_robot(meta, record):
    data = record(SLOW)
    learner = OnlineLearner(meta, SGDConfig(inner_lr=0.1, inner_steps=200))
    weights = learner.adapt(data).weights
    newest = data[-50:]
    prior, _ = prediction_error(ResidualWeights.prior(TAPS), newest)
    assert prediction_error(weights, newest)[0] < 0.1 * prior


def test_the_online_learner_looks_at_the_newest_transitions_only(meta, record):
    old, new = record(seed_robot()), record(SLOW, seed=1)
    both = OnlineLearner(meta, SGDConfig(), newest=30).adapt(joined(old, new))
    alone = OnlineLearner(meta, SGDConfig(), newest=30).adapt(new)
    assert both.weights.digest() == alone.weights.digest()


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_an_online_learner_that_diverged_starts_again_from_theta(meta, record):
    learner = OnlineLearner(meta, SGDConfig(inner_lr=10.0, inner_steps=400, max_gradient_norm=1e9))
    result = learner.adapt(record(SLOW))
    assert not np.isfinite(result.loss_after) or result.loss_after > result.loss_before
    assert result.weights.digest() == learner.start().digest()
