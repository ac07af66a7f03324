"""An adapter that predicts well and drives badly does no harm: each of the two guards sees to it.

It says that the robot goes as fast as it went of late, hardly faster when told to. Of a steady drive that
is true, and of a base that gives .8 of what it is told it is truer than what the kinematic model says.
"""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.adaptation import online
from mppi_maml_ros.adaptation.adapters.base import Adaptation
from mppi_maml_ros.adaptation.answers import Answers
from mppi_maml_ros.adaptation.attempt import Decision
from mppi_maml_ros.adaptation.drive_guard import DriveGuard
from mppi_maml_ros.dynamics.features import feature_size
from mppi_maml_ros.experiments.faulty_drive import drive_faulty
from mppi_maml_ros.references.figures import circle
from mppi_maml_ros.simulation.world import DynamicWorld, WorldParameters
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel

BASE = WorldParameters(
    lag_v=0.3, lag_omega=0.25, motor_gain_left=0.8, motor_gain_right=0.8, command_delay=0.06
).with_odometry_noise((0.002, 0.002, 0.002, 0.01, 0.01))
RADIUS, SPEED = 1.5, 0.4  # [m, m/s]
LATELY = 20  # transitions
WIDTH = 0.3  # share of the typical velocity at which the answer to a command bends
STARTED = 6.0  # [s]


class Flat:
    """speed * tanh(command / (WIDTH speed)) on each axis."""

    name = "flat"

    def __init__(self, meta):
        self.meta = meta

    def weights(self, speed):
        linear = np.zeros((3, feature_size(self.meta.delay_taps)))
        linear[0, 2] = linear[1, 3] = -1.0
        inward = np.zeros((2, len(self.meta.input_scale)), np.float32)
        inward[[0, 1], [2, 3]] = 1.0 / (WIDTH * speed + 1e-3)
        outward = np.zeros((3, 2), np.float32)
        outward[[0, 1], [0, 1]] = speed
        layers = (
            (inward / self.meta.input_scale, np.zeros(2, np.float32)),
            (outward, np.zeros(3, np.float32)),
        )
        return attrs.evolve(self.meta.weights(self.name, linear=linear), layers=layers)

    def start(self):
        return self.weights(np.array([SPEED, SPEED / RADIUS]))

    def adapt(self, data):
        speed = np.median(np.abs(data.next_states[-LATELY:, 3:]), axis=0)
        return Adaptation(self.weights(speed), 1.0, 0.1)


def drive(meta=None):
    figure = circle(radius=RADIUS, speed=SPEED).eased(2.0)
    return drive_faulty(DynamicWorld(BASE, seed=0), figure, (), meta, 16.0)


@pytest.fixture(scope="module")
def meta():
    return MetaModel.load(PACKAGED)


@pytest.fixture(scope="module")
def kinematic():
    return drive().rmse(STARTED)


@pytest.fixture
def flat(monkeypatch):
    monkeypatch.setattr(online, "make_adapter", lambda name, meta, sgd: Flat(meta))
    return monkeypatch


def believe_its_answers(patch):
    patch.setattr(Answers, "limit", lambda self, adapter, found, *_: found)
    patch.setattr(Answers, "astray", lambda *_: False)


def believe_its_drive(patch):
    patch.setattr(DriveGuard, "add", lambda *_: False)


@pytest.fixture
def unguarded(flat, meta):
    with flat.context() as patch:
        believe_its_answers(patch)
        believe_its_drive(patch)
        return drive(meta)


def test_without_the_guards_the_robot_leaves_its_path(unguarded, kinematic):
    decisions = [decision for _, decision, _ in unguarded.decisions]
    assert decisions.count(Decision.ACCEPTED) > 10
    assert unguarded.rmse(STARTED) > 2.0 * kinematic + 0.01


@pytest.mark.usefixtures("flat")
def test_it_does_no_harm(kinematic, meta):
    assert drive(meta).rmse(STARTED) <= 1.25 * kinematic + 0.01


def test_its_answers_to_commands_alone_give_it_away(flat, kinematic, meta):
    believe_its_drive(flat)
    assert drive(meta).rmse(STARTED) <= 1.25 * kinematic + 0.01


def test_its_drive_alone_gives_it_away_and_the_physics_layer_relieves_it(flat, unguarded, kinematic, meta):
    believe_its_answers(flat)
    run = drive(meta)
    back = [t for t, decision, reason in run.decisions if "strays" in reason]
    assert len(back) == 1
    assert run.rmse(back[0] + 3.0) <= 1.25 * kinematic + 0.01 < unguarded.rmse(back[0] + 3.0)
