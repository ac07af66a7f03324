"""A robot of the bank beside what an adapter learned."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.adaptation.attempt import Attempt, Decision
from mppi_maml_ros.adaptation.guard import GuardConfig, Verdict, prediction_error, split
from mppi_maml_ros.adaptation.online import OnlineAdaptation, OnlineConfig
from mppi_maml_ros.adaptation.population import ENTER, LEAVE, STAY, Population
from mppi_maml_ros.dynamics.identification.error_models import TYPICAL
from mppi_maml_ros.dynamics.prior_bank import PriorBank
from mppi_maml_ros.dynamics.residual import ResidualWeights

DT = 0.05
SLOW = ResidualWeights.first_order((0.3, 0.3), gain=(0.8, 0.8), delay=0.1)
BRAKED = ResidualWeights.first_order((0.3, 0.3), gain=(0.55, 0.6), delay=0.1)
CONFIG = GuardConfig()
TYPICAL_ROBOT = PriorBank(DT).weights


def online(meta, **settings) -> OnlineAdaptation:
    return OnlineAdaptation(meta, OnlineConfig(**settings))


def served(loop, drive, plant, **how):
    """Drive, with all that is offered installed; what was offered, in order."""
    offers = []

    def take(sample):
        if loop.add_odometry(sample) or loop.due:
            attempt = loop.attempt()
            if attempt.weights is not None:
                loop.installed()
                offers.append(attempt.weights)

    drive(take, loop.add_command, plant, **how)
    return offers


@pytest.fixture
def data(meta, drive):
    """4 s of the slow robot."""
    loop = online(meta, adapter="physics")
    drive(loop.add_odometry, loop.add_command, SLOW, seconds=4.0, noise=0.005)
    return loop.buffer.latest()


@pytest.fixture
def population(data):
    made = Population(DT)
    for k in range(len(data)):
        made.follow(data[k : k + 1], k + 1)
    return made


def found(error, serving=np.inf, decision=Decision.ACCEPTED):
    """An attempt whose candidate, and what serves, have these held-out errors."""
    verdict = Verdict(True, "", 1.0, 1.0, serving, error)
    weights = ResidualWeights.prior() if decision == Decision.ACCEPTED else None
    return Attempt(decision, "", weights, object(), verdict)


def settled(population, data, attempt):
    return population.settle(attempt, data, len(data), CONFIG)


def error_of(population, data):
    _, held, lead = split(data, CONFIG)
    unseen = len(data) - (len(held) - lead)
    robot = [robot for since, robot in population._known if since <= unseen][-1]
    return prediction_error(robot, held, lead=lead)[0]


@pytest.mark.parametrize("seed", range(3))
def test_before_the_adapter_has_data_enough_the_robot_of_the_bank_serves(meta, drive, seed):
    loop = online(meta, warmup_samples=40)
    offers = served(loop, drive, SLOW, seconds=1.5, seed=seed, noise=0.005)
    assert offers and {weights.adapter for weights in offers} == {"auto"}
    assert (offers[-1].error_model == TYPICAL.astype(np.float32)).all()
    data = loop.buffer.latest()
    assert prediction_error(offers[-1], data)[0] < 0.2 * prediction_error(ResidualWeights.prior(), data)[0]


@pytest.mark.parametrize("seed", range(3))
def test_what_was_learned_takes_over_and_the_bank_does_not_come_back(meta, drive, seed):
    offers = served(online(meta), drive, SLOW, seconds=12.0, seed=seed, noise=0.005)
    names = [weights.adapter for weights in offers]
    assert names[0] == "auto" and names[-1] == "physics+maml"
    assert sum(a != b for a, b in zip(names, names[1:], strict=False)) <= 3


def test_after_a_change_the_bank_begins_with_what_is_left(meta, drive, monkeypatch):
    loop, restarts = online(meta), []
    served(loop, drive, SLOW, seconds=8.0, noise=0.005)
    monkeypatch.setattr(loop._population, "restart", lambda data, kept: restarts.append((len(data), kept)))
    served(loop, drive, BRAKED, seconds=2.0, start=8.0, noise=0.005)
    assert restarts and all(0 < kept < count for count, kept in restarts)
    assert restarts[0][1] <= 40


def test_to_begin_to_serve_takes_more_than_to_go_on(population, data):
    error = error_of(population, data)
    between = found((0.5 * (ENTER + STAY)) * error)
    assert settled(population, data, between).weights.adapter == "auto"
    enters = found(0.9 * ENTER * error)
    assert settled(population, data, enters) is enters
    assert settled(population, data, between) is between


def test_what_was_learned_gives_way_to_a_robot_of_the_bank_that_predicts_far_better(population, data):
    error = error_of(population, data)
    settled(population, data, found(0.5 * error))
    kept = found(np.inf, 0.9 * error / LEAVE, Decision.REJECTED_HELD_OUT)
    assert settled(population, data, kept) is kept
    gone = settled(population, data, found(np.inf, 1.1 * error / LEAVE, Decision.REJECTED_HELD_OUT))
    assert gone.decision == Decision.ACCEPTED and gone.weights.adapter == "auto"


def test_the_same_robot_is_not_offered_twice(population, data):
    worse = found(2.0 * STAY * error_of(population, data))
    assert settled(population, data, worse).weights is not None
    assert not population.due
    again = settled(population, data, worse)
    assert again.weights is None and again.decision == Decision.REJECTED_HELD_OUT


def test_theta_does_not_take_the_place_of_a_robot_that_serves(population, data):
    theta = attrs.evolve(found(0.0), adaptation=None)
    assert settled(population, data, theta).weights.adapter == "auto"
    assert settled(population, data, theta).weights is None


@pytest.mark.parametrize("settings", [{"adapter": "physics"}, {"meta_samples": 0}])
def test_others_serve_without_a_bank(meta, drive, settings):
    offers = served(online(meta, **settings), drive, SLOW, noise=0.005)
    assert offers and "auto" not in {weights.adapter for weights in offers}


def test_on_a_robot_that_obeys_at_once_no_robot_of_the_bank_serves_that_predicts_worse(meta, drive):
    loop = online(meta, warmup_samples=40)
    for offered in served(loop, drive, ResidualWeights.prior(), seconds=1.5):
        data = loop.buffer.latest()
        assert prediction_error(offered, data)[0] <= 1.05 * prediction_error(ResidualWeights.prior(), data)[0]


def test_a_robot_of_the_bank_that_corrects_more_than_the_guard_allows_does_not_serve(meta, drive):
    guard = GuardConfig(max_correction=1e-3)
    offers = served(online(meta, warmup_samples=40, guard=guard), drive, SLOW, seconds=1.5)
    assert "auto" not in {weights.adapter for weights in offers}


@pytest.mark.parametrize(
    ("serving", "offered"),
    [(None, True), (TYPICAL_ROBOT, True), (SLOW, False)],
    ids=["prior", "bank", "learned"],
)
def test_when_data_are_doubted_the_bank_does_not_replace_what_was_learned_before(
    population, data, serving, offered
):
    population.doubt(serving)
    assert population.due is offered
    nothing = Attempt(Decision.SKIPPED_TOO_FEW_SAMPLES, "")
    assert (settled(population, data, nothing) is not nothing) is offered
