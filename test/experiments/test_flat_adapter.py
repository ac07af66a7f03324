"""An adapter that predicts well and drives badly does no harm: each of the two guards sees to it alone.

It says that velocities go on as they are, almost whatever is commanded. On a base with lag .3 and .25 s that
predicts the next steps of a smooth drive better than the kinematic model does.
"""

import numpy as np
import pytest

from mppi_maml_ros.adaptation import online
from mppi_maml_ros.adaptation.adapters.first_order import adaptation, as_weights
from mppi_maml_ros.adaptation.answers import Answers
from mppi_maml_ros.adaptation.drive_guard import DriveGuard
from mppi_maml_ros.adaptation.online import Decision
from mppi_maml_ros.experiments.faulty_drive import drive_faulty
from mppi_maml_ros.references.figures import circle
from mppi_maml_ros.simulation.world import DynamicWorld, WorldParameters
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel

BASE = WorldParameters(lag_v=0.3, lag_omega=0.25, command_delay=0.06).with_odometry_noise(
    (0.002, 0.002, 0.002, 0.01, 0.01)
)
STUBBORN = np.array([(0.985, 0.015, 0.0)] * 2)
STARTED = 6.0  # [s]


class Stubborn:
    name = "stubborn"

    def __init__(self, meta):
        self.meta = meta

    def start(self):
        return as_weights(self.meta, self.name, STUBBORN)

    def adapt(self, data):
        return adaptation(self.meta, self.start(), STUBBORN, data)


def drive(meta=None):
    return drive_faulty(DynamicWorld(BASE, seed=0), circle(radius=1.5, speed=0.4).eased(2.0), (), meta, 20.0)


@pytest.fixture(scope="module")
def meta():
    return MetaModel.load(PACKAGED)


@pytest.fixture(scope="module")
def kinematic():
    return drive().rmse(STARTED)


@pytest.fixture
def stubborn(monkeypatch):
    monkeypatch.setattr(online, "make_adapter", lambda name, meta, sgd: Stubborn(meta))
    return monkeypatch


def believe_answers(patch):
    patch.setattr(Answers, "limit", lambda self, adapter, found, data, late: found)
    patch.setattr(Answers, "astray", lambda *_: False)


def believe_the_drive(patch):
    patch.setattr(DriveGuard, "add", lambda *_: False)


def test_without_the_guards_it_leaves_the_path(stubborn, kinematic, meta):
    believe_answers(stubborn)
    believe_the_drive(stubborn)
    run = drive(meta)
    assert Decision.ACCEPTED in [decision for _, decision, _ in run.decisions]
    assert run.rmse(STARTED) > 1.25 * kinematic + 0.05


def test_its_answers_to_commands_give_it_away(stubborn, kinematic, meta):
    believe_the_drive(stubborn)
    assert drive(meta).rmse(STARTED) <= 1.25 * kinematic + 0.01


def test_its_drive_gives_it_away(stubborn, kinematic, meta):
    believe_answers(stubborn)
    run = drive(meta)
    back = [t for t, decision, reason in run.decisions if "strays" in reason]
    assert back, "it was never taken back"
    barred = [t for t, decision, _ in run.decisions if decision is Decision.SKIPPED_NOT_TRUSTED]
    assert len(barred) > 3
    astray = run.times[np.nanargmax(run.error)]
    assert run.rmse(STARTED) <= 1.25 * kinematic + 0.05, astray
