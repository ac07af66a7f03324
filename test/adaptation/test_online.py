import attrs
import numpy as np
import pytest

from mppi_maml_ros.adaptation import drive_guard
from mppi_maml_ros.adaptation import online as online_module
from mppi_maml_ros.adaptation.adapters import ADAPTERS, META_TRAINED, make_adapter
from mppi_maml_ros.adaptation.answers import AFRESH
from mppi_maml_ros.adaptation.attempt import Decision
from mppi_maml_ros.adaptation.change import ODDS, RULED_OUT, SHORTEST, ChangeDetector, newest_regime
from mppi_maml_ros.adaptation.guard import UNANSWERED, GuardConfig, judge, prediction_error, split
from mppi_maml_ros.adaptation.online import OnlineAdaptation, OnlineConfig
from mppi_maml_ros.adaptation.sgd import SGDConfig
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.identification import servo_fit
from mppi_maml_ros.dynamics.residual import ResidualWeights, correction

SLOW = ResidualWeights.first_order((0.35, 0.25), gain=(0.7, 0.8), delay=0.05)
BRAKED = ResidualWeights.first_order((0.12, 0.12), gain=(0.3, 0.4), delay=0.05)


def online(meta, **settings) -> OnlineAdaptation:
    return OnlineAdaptation(meta, OnlineConfig(**settings))


OWN_NETWORK = META_TRAINED[2:]  # see test_meta_learned_adapters.py
BRISK = ("online_learner", "rls", "l1", "arx")  # say of a robot that lags by seven steps that it lags by few


@pytest.mark.parametrize("adapter", [name for name in ADAPTERS if name not in (*OWN_NETWORK, *BRISK)])
def test_every_adapter_predicts_a_slow_robot_far_better_than_the_prior(meta, drive, adapter):
    loop = online(meta, adapter=adapter, sgd=SGDConfig(inner_lr=0.1, inner_steps=200))
    drive(loop.add_odometry, loop.add_command, SLOW)
    attempt = loop.attempt()
    assert attempt.decision == Decision.ACCEPTED, attempt.reason
    error, _ = prediction_error(attempt.weights, loop.buffer.latest())
    prior, _ = prediction_error(ResidualWeights.prior(2), loop.buffer.latest())
    assert error < (0.02 if "physics" in adapter else 0.5) * prior


@pytest.mark.parametrize("adapter", BRISK)
def test_what_answers_commands_too_briskly_on_a_slow_robot_serves_as_the_prior(meta, drive, adapter):
    loop = online(meta, adapter=adapter, sgd=SGDConfig(inner_lr=0.1, inner_steps=200))
    drive(loop.add_odometry, loop.add_command, SLOW)
    attempt = loop.attempt()
    assert attempt.adaptation.share == 0.0
    weights = attempt.adaptation.weights
    assert not correction(weights, loop.buffer.latest().delayed(weights).inputs).any()


def test_physics_reports_gain_lag_and_delay(meta, drive):
    loop = online(meta, adapter="physics")
    drive(loop.add_odometry, loop.add_command, SLOW)
    adaptation = loop.attempt().adaptation
    assert adaptation.gain == pytest.approx([0.7, 0.8], abs=0.03)
    assert adaptation.time_constant == pytest.approx([0.35, 0.25], rel=0.1)


def test_before_the_warm_up_nothing_is_tried(meta, drive):
    loop = online(meta, warmup_samples=60, meta_samples=0)
    drive(loop.add_odometry, loop.add_command, SLOW, seconds=2.0)
    attempt = loop.attempt()
    assert attempt.decision == Decision.SKIPPED_TOO_FEW_SAMPLES and attempt.weights is None
    assert "60" in attempt.reason


def test_until_something_fits_attempts_come_faster_than_the_timer(meta, drive):
    loop, due = online(meta, warmup_samples=20), []
    drive(
        lambda s: (loop.add_odometry(s), due.append(loop.due and loop.attempt().decision))[0],
        loop.add_command,
        SLOW,
    )
    attempts = [d for d in due if d is not False]
    assert attempts.count(Decision.ACCEPTED) >= 2  # nobody installed the first, so it goes on trying
    loop.attempt()
    loop.installed()
    assert not loop.due


@pytest.mark.fault(38)
def test_without_new_data_nothing_is_tried_again(meta, drive):
    loop = online(meta)
    drive(loop.add_odometry, loop.add_command, SLOW)
    loop.attempt()
    loop.installed()
    again = loop.attempt()
    assert again.decision == Decision.SKIPPED_NO_EXCITATION and again.weights is None


def test_an_attempt_starts_from_theta_each_time(meta, drive):
    results = []
    for warm in (False, True):
        loop = online(meta)
        drive(loop.add_odometry, loop.add_command, SLOW, seconds=6.0)
        if warm:
            loop.attempt()
            loop.installed()
        drive(loop.add_odometry, loop.add_command, SLOW, seconds=12.0, start=6.0, seed=1)
        results.append(
            loop.adapter.adapt(
                loop.buffer.latest().delayed(ResidualWeights.prior(meta.delay_taps))
            ).weights.digest()
        )
    assert results[0] == results[1]


@pytest.mark.fault(37)
def test_a_candidate_worse_than_the_prior_is_rejected_with_its_error(meta, drive):
    loop = online(meta)
    drive(loop.add_odometry, loop.add_command, ResidualWeights.prior(), noise=0.01)
    bad = ResidualWeights.first_order((1.0, 1.0), gain=(0.2, 0.2))
    _, held, lead = split(loop.buffer.latest(), GuardConfig())
    verdict = judge(bad, bad, None, held, GuardConfig(), lead)
    assert not verdict.accepted and "prior" in verdict.reason
    assert verdict.candidate > verdict.prior


@pytest.mark.fault(36)
@pytest.mark.parametrize(("robot", "adapter"), [(SLOW, "typical"), (ResidualWeights.prior(), "prior")])
def test_weights_that_turned_bad_are_rolled_back_to_what_predicts_the_robot(meta, drive, robot, adapter):
    loop = online(
        meta,
        adapter="online_learner",
        sgd=SGDConfig(inner_lr=1e-6, inner_steps=1),
        guard=GuardConfig(margin=0.5),
    )
    drive(loop.add_odometry, loop.add_command, robot)
    loop._offered = ResidualWeights.first_order((0.3, 0.3), gain=(2.5, -2.0))
    loop.installed()
    drive(loop.add_odometry, loop.add_command, robot, start=8.0)
    attempt = loop.attempt()
    assert attempt.decision == Decision.ROLLED_BACK
    assert attempt.weights.adapter == adapter


@pytest.mark.fault(58)
def test_while_the_twist_is_replaced_the_typical_robot_is_no_way_back(meta, drive, monkeypatch):
    """It predicts from the measured twist, which is the pose's own rate then."""
    sgd = SGDConfig(inner_lr=1e-6, inner_steps=1)
    loop = online(meta, adapter="online_learner", sgd=sgd, guard=GuardConfig(margin=0.5))
    drive(loop.add_odometry, loop.add_command, SLOW)
    loop._offered = ResidualWeights.first_order((0.3, 0.3), gain=(2.5, -2.0))
    loop.installed()
    drive(loop.add_odometry, loop.add_command, SLOW, start=8.0)
    monkeypatch.setattr(type(loop.evidence.twist), "replaced", property(lambda self: True))
    attempt = loop.attempt()
    assert attempt.decision == Decision.ROLLED_BACK and attempt.weights.is_prior


@pytest.mark.parametrize(("adapter", "fine"), [("physics", 0.0), ("maml", 0.0), ("rls", 0.5), ("ekf", 0.5)])
def test_what_knows_no_robots_must_halve_the_error_of_a_prior_that_drives_well(
    meta, drive, monkeypatch, adapter, fine
):
    asked = []

    def watch(*arguments):
        asked.append(arguments[6])
        return judge(*arguments)

    monkeypatch.setattr(online_module, "judge", watch)
    loop = online(meta, adapter=adapter)
    drive(loop.add_odometry, loop.add_command, SLOW)
    loop.attempt()
    assert asked == [fine]


def stray(loop):
    for k in range(100):
        if not loop._take_back:
            loop._newest = 8.0 + 0.05 * k
            loop.add_tracking(0.1)


@pytest.mark.fault(36)
@pytest.mark.parametrize(("adapter", "strays"), [("rls", True), ("physics", False), ("maml", False)])
def test_whom_the_robot_strays_by_the_physics_layer_relieves(meta, drive, adapter, strays):
    loop = online(meta, adapter=adapter)
    drive(loop.add_odometry, loop.add_command, SLOW)
    loop._offered = BRAKED
    loop.installed()
    stray(loop)
    attempt = loop.attempt()
    assert (attempt.decision == Decision.ROLLED_BACK and "strays" in attempt.reason) is strays
    assert (loop.adapter.name == "physics") is (strays or adapter == "physics")
    if not strays:
        return
    assert attempt.weights is loop._prior
    loop.installed()
    loop._newest += loop.config.min_adapt_interval
    assert loop.due  # by the data that there are
    attempt = loop.attempt()
    assert attempt.decision == Decision.ACCEPTED and attempt.weights.adapter == "physics"


@pytest.mark.fault(36)
@pytest.mark.parametrize(("since", "innocent"), [(-1.0, True), (1e3, False)])
def test_who_strays_because_odometry_lies_is_not_relieved_and_who_strays_before_is(
    meta, drive, since, innocent
):
    loop = online(meta, adapter="rls")
    drive(loop.add_odometry, loop.add_command, SLOW)
    stray(loop)
    assert loop.due and loop.adapter.name == "physics"
    loop.distrust(since, "odometry lies")
    loop._choose_adapter()
    assert (loop.adapter.name == "rls") is innocent
    assert bool(loop._take_back) is not innocent  # nothing was installed that could go


@pytest.mark.fault(36)
@pytest.mark.parametrize(("adapter", "needed"), [("physics", AFRESH[0]), ("arx", AFRESH[1])])
def test_nothing_is_learned_from_a_few_transitions_after_what_was_not_to_be_believed(
    meta, drive, adapter, needed
):
    loop = online(meta, adapter=adapter)
    drive(loop.add_odometry, loop.add_command, SLOW)
    loop.distrust(0.0, "odometry lies")
    assert loop._needed == needed > loop.config.warmup_samples


@pytest.mark.fault(36)
def test_the_adapters_turn_comes_again_with_data_of_its_own(meta, drive):
    loop = online(meta, adapter="rls")
    drive(loop.add_odometry, loop.add_command, SLOW)
    stray(loop)
    loop._newest += drive_guard.RELIEVED - 1.0
    loop._choose_adapter()
    assert loop.adapter.name == "physics" and len(loop.buffer)
    loop._newest += 2.0
    loop._choose_adapter()
    assert loop.adapter.name == "rls" and not len(loop.buffer)
    assert loop._needed == AFRESH[True]


@pytest.mark.fault(58)
@pytest.mark.parametrize("adapter", ["rls", "arx", "physics"])
def test_what_takes_a_late_twist_for_the_robots_is_relieved_while_the_twist_is_replaced(
    meta, drive, monkeypatch, adapter
):
    loop = online(meta, adapter=adapter)
    monkeypatch.setattr(type(loop.evidence.twist), "replaced", property(lambda self: True))
    drive(loop.add_odometry, loop.add_command, SLOW)
    assert loop.adapter.name == "physics" and len(loop.buffer)
    monkeypatch.setattr(type(loop.evidence.twist), "replaced", property(lambda self: False))
    loop._choose_adapter()
    assert loop.adapter.name == adapter


@pytest.mark.fault(36)
def test_what_errs_more_three_times_in_a_row_goes_though_the_data_are_too_few_to_be_sure(
    meta, drive, monkeypatch
):
    monkeypatch.setattr(online_module, "surely_worse", lambda *_: False)
    monkeypatch.setattr(online_module.Answers, "astray", lambda *_: False)  # which would not wait
    loop = online(
        meta,
        adapter="online_learner",
        sgd=SGDConfig(inner_lr=1e-6, inner_steps=1),
        guard=GuardConfig(margin=0.5),
    )
    drive(loop.add_odometry, loop.add_command, SLOW)
    loop._offered = ResidualWeights.first_order((0.3, 0.3), gain=(2.5, -2.0))
    loop.installed()
    decisions = []
    for k in range(3):
        drive(loop.add_odometry, loop.add_command, SLOW, start=8.0 + 8.0 * k)
        decisions.append(loop.attempt().decision)
    assert decisions == [Decision.REJECTED_HELD_OUT] * 2 + [Decision.ROLLED_BACK]


@pytest.mark.fault(36)
@pytest.mark.parametrize("serving", [None, SLOW])
def test_who_serves_a_model_of_a_robot_that_does_not_answer_goes_back_to_the_prior(
    meta, drive, monkeypatch, serving
):
    loop = online(meta, adapter="physics")
    monkeypatch.setattr(online_module, "implausible", lambda *_: "it does not answer")
    if serving is not None:
        loop._offered = serving
        loop.installed()
    drive(loop.add_odometry, loop.add_command, SLOW, noise=0.003)
    loop.config = attrs.evolve(loop.config, guard=GuardConfig(tolerance=0.9))
    attempt = loop.attempt()
    assert "it does not answer" in attempt.reason
    if serving is None:
        assert attempt.decision == Decision.REJECTED_NORM and attempt.weights is None
    else:
        assert attempt.decision == Decision.ROLLED_BACK and attempt.weights.is_prior


@pytest.mark.fault(36)
@pytest.mark.parametrize(("gain", "rolled_back"), [((0.85, 0.9), True), ((0.701, 0.801), False)])
def test_weights_on_probation_go_when_those_before_them_predict_fresh_data_better(
    meta, drive, gain, rolled_back
):
    loop = online(
        meta,
        adapter="online_learner",
        sgd=SGDConfig(inner_lr=1e-6, inner_steps=1),
        guard=GuardConfig(margin=0.9),
    )
    drive(loop.add_odometry, loop.add_command, SLOW, noise=0.003)
    better_than_the_prior = ResidualWeights.first_order((0.35, 0.25), gain=gain, delay=0.05)
    for offered in (SLOW, better_than_the_prior):
        loop._offered = offered
        loop.installed()
    drive(loop.add_odometry, loop.add_command, SLOW, start=8.0, seed=1, noise=0.003)
    attempt = loop.attempt()
    assert attempt.verdict.current < attempt.verdict.prior
    if rolled_back:
        assert attempt.decision == Decision.ROLLED_BACK and attempt.weights is SLOW
        assert "back to the earlier weights" in attempt.reason
        loop.installed()
        assert loop.serving is SLOW
    else:
        assert attempt.decision == Decision.REJECTED_HELD_OUT and attempt.weights is None
        assert loop.serving is better_than_the_prior


@pytest.mark.fault(37)
def test_a_loss_that_is_not_finite_and_a_correction_that_is_too_large_are_rejected(meta, drive, monkeypatch):
    loop = online(meta, guard=GuardConfig(max_correction=1e-3))
    drive(loop.add_odometry, loop.add_command, SLOW)
    attempt = loop.attempt()
    assert attempt.decision == Decision.REJECTED_NORM and attempt.weights is None
    assert "at most 0.001" in attempt.reason
    loop = online(meta, adapter="physics")
    drive(loop.add_odometry, loop.add_command, SLOW)
    adapt = loop.adapter.adapt
    monkeypatch.setattr(loop.adapter, "adapt", lambda data: attrs.evolve(adapt(data), loss_after=np.nan))
    attempt = loop.attempt()
    assert attempt.decision == Decision.REJECTED_NOT_FINITE and attempt.weights is None
    assert loop.serving is None


@pytest.mark.fault(37)
def test_a_candidate_that_fits_but_is_wild_where_no_data_reach_is_rejected(meta, drive, monkeypatch):
    loop = online(meta, adapter="physics", limits=VelocityLimits(vx_max=2.0, wz_max=3.0))
    drive(loop.add_odometry, loop.add_command, SLOW)
    adapt = loop.adapter.adapt

    def wild(data):
        good = adapt(data)
        assert data.states[:, 3].max() < 1.0
        first = np.zeros((1, good.weights.linear.shape[1] - 4))
        first[0, 0] = 1.0  # silent below 1.5 m/s
        layers = ((first, np.array([-1.5])), (np.array([[8.0], [0.0], [0.0]]), np.zeros(3)))
        scale = np.ones(first.shape[1])
        return attrs.evolve(
            good,
            weights=attrs.evolve(good.weights, layers=layers, activation="relu", input_scale=scale),
        )

    monkeypatch.setattr(loop.adapter, "adapt", wild)
    attempt = loop.attempt()
    assert attempt.decision == Decision.REJECTED_NORM and attempt.weights is None
    assert "where the data do not reach" in attempt.reason and "at most 1" in attempt.reason


@pytest.mark.fault(65)
@pytest.mark.parametrize(
    ("reason", "last"),
    [(UNANSWERED, Decision.ROLLED_BACK), ("its rollouts run away", Decision.REJECTED_NORM)],
)
def test_who_finds_again_and_again_that_no_command_is_answered_goes_back_to_the_prior(
    meta, drive, monkeypatch, reason, last
):
    """By weights of before, commands may stay in a dead band for ever, and nothing be learned of them.

    Another reason does not tell against what serves well.
    """
    loop = online(meta, adapter="physics")
    drive(loop.add_odometry, loop.add_command, SLOW, noise=0.003)
    assert loop.attempt().decision == Decision.ACCEPTED
    loop.installed()
    learned = loop.serving
    monkeypatch.setattr(
        online_module, "implausible", lambda weights, data: "" if weights is learned else reason
    )
    decisions = []
    for k in range(3):
        drive(loop.add_odometry, loop.add_command, SLOW, noise=0.003, start=8.0 + k, seconds=1.0, seed=2 + k)
        attempt = loop.attempt()
        decisions.append(attempt.decision)
    assert decisions == [Decision.REJECTED_NORM, Decision.REJECTED_NORM, last]
    assert reason in attempt.reason
    if last == Decision.ROLLED_BACK:
        assert attempt.weights.is_prior and "3 times in a row" in attempt.reason


def test_what_serves_goes_if_it_predicts_worse_than_the_prior_while_the_data_make_no_robot(
    meta, drive, monkeypatch
):
    loop = online(meta, adapter="physics")
    drive(loop.add_odometry, loop.add_command, SLOW, noise=0.003)
    assert loop.attempt().decision == Decision.ACCEPTED
    loop.installed()
    learned = loop.serving

    def worse(*args):
        return attrs.evolve(judge(*args), accepted=True, current=2.0, prior=1.0)

    monkeypatch.setattr(online_module, "judge", worse)
    monkeypatch.setattr(
        online_module,
        "implausible",
        lambda weights, data: "" if weights is learned else "it goes the other way",
    )
    decisions = []
    for k in range(3):
        drive(loop.add_odometry, loop.add_command, SLOW, noise=0.003, start=8.0 + k, seconds=1.0, seed=2 + k)
        attempt = loop.attempt()
        decisions.append(attempt.decision)
    assert decisions == [Decision.REJECTED_NORM, Decision.REJECTED_NORM, Decision.ROLLED_BACK]
    assert attempt.weights.is_prior


def test_a_refused_offer_leaves_what_serves(meta, drive):
    loop = online(meta)
    drive(loop.add_odometry, loop.add_command, SLOW)
    loop.attempt()
    loop.refused()
    loop.installed()
    assert loop.serving is None


def test_a_change_of_the_robot_is_detected_and_flushes_the_old_data(meta, drive):
    loop = online(meta)
    drive(loop.add_odometry, loop.add_command, SLOW, noise=0.003)
    loop.attempt()
    loop.installed()
    quiet = drive(loop.add_odometry, loop.add_command, SLOW, noise=0.003, start=8.0, seed=2, seconds=10.0)
    assert not any(quiet[5:])
    changed = drive(loop.add_odometry, loop.add_command, BRAKED, noise=0.003, start=18.0, seconds=3.0)
    assert any(changed[:30])
    assert loop.samples < 100 and loop.changes_detected >= 1


def test_change_detector_stays_quiet_on_steady_noise_and_fires_on_a_jump():
    rng = np.random.default_rng(0)
    detector = ChangeDetector()
    assert not any(detector.update(0.02 * rng.normal(size=2)) for _ in range(500))
    assert any(detector.update([0.15, 0.0]) for _ in range(8))


def test_held_out_data_are_the_newest_and_are_not_trained_on(meta, drive):
    loop = online(meta)
    drive(loop.add_odometry, loop.add_command, SLOW)
    data = loop.buffer.latest()
    train, held, lead = split(data, GuardConfig(held_out_share=0.25))
    held = held[lead:]
    assert len(train) + len(held) == len(data)
    assert train.stamps.max() < held.stamps.min()
    assert len(held) == round(0.25 * len(data))


def test_too_few_held_out_starts_give_no_verdict(meta, drive):
    loop = online(meta)
    drive(loop.add_odometry, loop.add_command, SLOW)
    verdict = judge(SLOW, SLOW, None, loop.buffer.latest(3), GuardConfig(min_held_out=4))
    assert not verdict.accepted and "4 are needed" in verdict.reason


def test_an_unknown_adapter_is_refused_with_the_known_ones(meta):
    with pytest.raises(InvalidValueError, match="physics"):
        make_adapter("magic", meta, SGDConfig())
    with pytest.raises(InvalidValueError, match="no network"):
        make_adapter("maml", attrs.evolve(meta, networks={}), SGDConfig())


@pytest.mark.parametrize(
    "field, value", [("warmup_samples", 3), ("warmup_samples", 900), ("min_samples", 60)]
)
def test_settings_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(InvalidValueError, match=field):
        OnlineConfig(**{field: value})


CRISP = ResidualWeights.prior()


def first_attempt(loop, drive, robot):
    attempts = []

    def watch(sample):
        loop.add_odometry(sample)
        if loop.due:
            attempts.append((len(loop.buffer), loop.attempt()))
            loop.installed()

    drive(watch, loop.add_command, robot, seconds=1.0)
    return attempts[0]


def test_theta_serves_a_slow_robot_until_it_can_be_adapted(meta, drive):
    count, attempt = first_attempt(online(meta, adapter="physics"), drive, SLOW)
    assert count == 2 and attempt.decision == Decision.ACCEPTED and "theta*" in attempt.reason
    assert attempt.adaptation is None and attempt.verdict.candidate < attempt.verdict.prior


def test_theta_does_not_serve_a_robot_that_obeys_at_once(meta, drive):
    count, attempt = first_attempt(online(meta, adapter="physics"), drive, CRISP)
    assert count == 2 and attempt.decision == Decision.REJECTED_HELD_OUT and attempt.weights is None


def test_theta_is_not_offered_when_it_is_not_wanted(meta, drive):
    loop = online(meta, meta_samples=0)
    count, attempt = first_attempt(loop, drive, SLOW)
    assert count == loop.config.warmup_samples and attempt.adaptation is not None


def test_attempts_come_with_growing_distance_as_data_come_in(meta, drive):
    loop, counts = online(meta, growth=0.5, adapt_interval=100.0), []

    def watch(sample):
        loop.add_odometry(sample)
        if loop.due:
            counts.append(len(loop.buffer))
            loop.attempt()
            loop.installed()

    drive(watch, loop.add_command, SLOW, seconds=6.0)
    later = np.array(counts[3:])
    assert (
        len(later) >= 4
        and (later[1:] >= 1.5 * later[:-1]).all()
        and (later[1:] <= 1.5 * later[:-1] + 2).all()
    )


def due_at(loop, drive, robot, seconds, start=0.0) -> np.ndarray:
    """Stamps at which an attempt was due; all were made, and what they offered was installed."""
    stamps = []

    def watch(sample):
        if loop.add_odometry(sample) or loop.due:
            stamps.append(sample.stamp)
            loop.attempt()
            loop.installed()

    drive(watch, loop.add_command, robot, seconds=seconds, start=start, noise=0.003)
    return np.array(stamps)


def test_attempts_are_close_while_the_data_are_few_and_rare_once_they_are_many(meta, drive):
    loop = online(meta, adapter="physics", buffer_size=200)
    apart = np.diff(due_at(loop, drive, SLOW, 12.0))
    early, late = apart[:8], apart[-6:]
    assert early.max() < 0.21 and early.min() > 0.09 and np.median(early) < 0.11
    assert np.allclose(late, 0.5)


def test_attempts_are_close_again_once_the_robot_has_changed(meta, drive):
    loop = online(meta, adapter="physics", buffer_size=200)
    due_at(loop, drive, SLOW, 12.0)
    after = due_at(loop, drive, BRAKED, 4.0, start=12.05)
    assert loop.changes_detected
    assert np.count_nonzero(np.diff(after) < 0.3) >= 6


def test_two_attempts_are_never_closer_than_they_may_be(meta, drive):
    loop = online(meta, adapter="physics", min_adapt_interval=0.4, meta_samples=0)
    assert np.diff(due_at(loop, drive, SLOW, 6.0)).min() > 0.39


def test_an_attempt_is_due_after_the_longest_interval_whatever_came_in(meta, drive):
    loop = online(meta, adapter="physics", warmup_samples=150, meta_samples=0, adapt_interval=0.5)
    assert not loop.due
    stamps = due_at(loop, drive, SLOW, 3.0)
    assert np.allclose(np.diff(stamps), 0.5) and len(stamps) >= 5


def test_an_interval_that_is_longer_than_the_longest_is_refused():
    with pytest.raises(InvalidValueError, match="min_adapt_interval"):
        OnlineConfig(adapt_interval=0.5, min_adapt_interval=1.0)


def test_a_steady_robot_in_noise_is_one_regime(meta, drive):
    loop = online(meta)
    drive(loop.add_odometry, loop.add_command, SLOW, noise=0.01)
    data = loop.buffer.latest().delayed(ResidualWeights.prior(meta.delay_taps))
    assert newest_regime(meta.physics, data) == len(data)


def test_the_newest_regime_begins_where_the_floor_changed(meta, drive):
    loop = online(meta)
    drive(loop.add_odometry, loop.add_command, SLOW, seconds=6.0, noise=0.005)
    before = loop.buffer.total
    drive(loop.add_odometry, loop.add_command, BRAKED, seconds=1.0, start=6.0, seed=1, noise=0.005)
    fresh = loop.buffer.total - before
    data = loop.buffer.latest().delayed(ResidualWeights.prior(meta.delay_taps))
    assert fresh - 6 <= newest_regime(meta.physics, data) <= fresh + 1


def test_the_newest_regime_is_the_likeliest_of_all_splits(meta, drive):
    """The comparison written out: two fits for each split, one for all data."""
    loop, prior = online(meta), meta.physics
    drive(loop.add_odometry, loop.add_command, SLOW, seconds=6.0, noise=0.005)
    drive(loop.add_odometry, loop.add_command, BRAKED, seconds=2.0, start=6.0, seed=1, noise=0.005)
    data = loop.buffer.latest().delayed(ResidualWeights.prior(meta.delay_taps))
    base = prior.servo.base(data.inputs, data.residuals)

    def evidence(family, rows):
        gram = np.einsum("amp,amq->apq", rows, rows)
        return servo_fit.fit(family, gram, rows.shape[1], prior.noise[:, :2]).evidence.sum(axis=0)

    whole = evidence(prior.servo, base)
    family = prior.servo.only(whole > whole.max() - RULED_OUT)
    gains, length = {}, float(SHORTEST)
    while length <= len(data) - SHORTEST:
        parts = base[:, len(data) - int(length) :], base[:, : len(data) - int(length)]
        apart = sum(np.logaddexp.reduce(evidence(family, part)) - np.log(len(whole)) for part in parts)
        gains[int(length)] = apart - (np.logaddexp.reduce(whole) - np.log(len(whole)))
        length *= 1.35
    likeliest = max(gains, key=gains.get)
    assert gains[likeliest] > ODDS and newest_regime(prior, data) == likeliest


def test_too_few_data_are_one_regime(meta, drive):
    loop = online(meta)
    drive(loop.add_odometry, loop.add_command, SLOW, seconds=1.0)
    assert newest_regime(meta.physics, loop.buffer.latest(7)) == 7


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_warming_up_leaves_no_trace(meta, drive, adapter):
    results = []
    for warm in (False, True):
        loop = online(meta, adapter=adapter) if adapter not in META_TRAINED else online(meta)
        if warm:
            loop.warm_up()
        assert loop.samples == 0 and loop.serving is None
        drive(loop.add_odometry, loop.add_command, SLOW, seconds=3.0)
        results.append(loop.attempt().adaptation.weights.digest())
    assert results[0] == results[1]


def test_weights_whose_rollouts_run_away_are_refused_and_what_served_stays(meta, drive, monkeypatch):
    loop = online(meta, adapter="physics")
    drive(loop.add_odometry, loop.add_command, SLOW)
    monkeypatch.setattr(online_module, "implausible", lambda weights, data: "its rollouts run away")
    attempt = loop.attempt()
    assert attempt.decision is Decision.REJECTED_NORM and attempt.reason == "its rollouts run away"
    assert attempt.weights is None and loop.serving is None
