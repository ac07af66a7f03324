"""A way that touches an obstacle too soon is refused."""

import numpy as np
import pytest

from mppi_maml_ros.core.errors import NoValidControlError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.mppi.critics import make_critics
from mppi_maml_ros.mppi.footprint import Footprint
from mppi_maml_ros.mppi.validation import CONTACT_MARGIN, check_way, first_contact

from .test_critics import wall

DT, DISC = 0.05, Footprint.disc(0.2)
START = np.zeros(3)


def ahead(speed, steps=30, start=0.0):
    return np.column_stack([start + speed * DT * np.arange(1, steps + 1), np.zeros((steps, 2))])


def test_first_contact_tells_when_the_chosen_way_is_blocked():
    critics = make_critics(["obstacles"], {"obstacles.footprint_radius": 0.2, "obstacles.cost_weight": 0.0})
    controller = MPPIController(MPPIConfig(), VelocityLimits(), 0, critics=critics)
    reference = np.column_stack([0.5 * DT * np.arange(31), np.zeros(31), np.zeros(31)])
    state, history = np.array([0.0, 0.0, 0.0, 0.5, 0.0]), np.array([[0.5, 0.0]])
    controller.compute_control(state, reference, np.zeros((1, 2)), np.array([0.5, 0.0]), None)
    poses = controller.optimal_trajectory(state, history, None)
    assert controller.footprint.radius == 0.2
    assert first_contact(poses, state, wall(0.6), DISC, DT) == pytest.approx(0.8, abs=0.3)
    assert first_contact(poses, state, wall(1.9), DISC, DT) == np.inf


def test_without_a_critic_of_obstacles_no_footprint_is_known():
    critics = make_critics(["goal", "uncertainty"], {})
    assert MPPIController(MPPIConfig(), VelocityLimits(), 0, critics=critics).footprint is None


def test_in_contact_only_the_way_nearer_is_a_contact():
    inside = np.array([0.5, 0.0, 0.0])
    assert first_contact(ahead(0.5, start=0.5), inside, wall(0.6), DISC, DT) == pytest.approx(DT)
    assert first_contact(ahead(-0.5, start=0.5), inside, wall(0.6), DISC, DT) == np.inf


def test_a_contact_is_refused_unless_the_robot_stops_before_it():
    contact = first_contact(ahead(0.5), START, wall(0.6), DISC, DT)
    check_way(ahead(0.5), START, wall(0.6), DISC, DT, contact - CONTACT_MARGIN - 1e-3)
    with pytest.raises(NoValidControlError, match=f"touches an obstacle in {contact:.2f} s"):
        check_way(ahead(0.5), START, wall(0.6), DISC, DT, contact - CONTACT_MARGIN + 1e-3)


def test_critics_that_are_set_while_driving_bring_their_footprint():
    controller = MPPIController(MPPIConfig(batch_size=8, time_steps=8), VelocityLimits(), 0)
    assert controller.footprint is None
    controller.critics = make_critics(["obstacles"], {"obstacles.footprint_radius": 0.3})
    assert controller.footprint.radius == 0.3
    controller.compute_control(np.zeros(5), np.zeros((9, 3)), np.zeros((1, 2)), np.zeros(2), None)
    controller.critics = ()
    assert controller.footprint is None
