"""Who slips sideways in turns heads against it, and stays on its path."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.adaptation.online import OnlineConfig
from mppi_maml_ros.control.crab import DOUBT, MOST, against_slip
from mppi_maml_ros.core import se2
from mppi_maml_ros.dynamics.features import input_size
from mppi_maml_ros.dynamics.first_order import typical
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.experiments.faulty_drive import drive_faulty
from mppi_maml_ros.references.figures import circle
from mppi_maml_ros.simulation.firmware_worlds import firmware_world
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel

DT = 0.05


def slipping(by_omega=0.0, by_both=0.0, taps=0):
    weights = ResidualWeights.prior(taps)
    linear = weights.linear.copy()
    linear[2, 1], linear[2, input_size(taps) + 1] = by_omega, by_both
    return attrs.evolve(weights, linear=linear)


def driven(v, omega, steps=30):
    """Poses of who does not slip, shape (steps, 3)."""
    poses = [np.array([0.4, -0.2, 3.0])]
    for _ in range(steps - 1):
        poses.append(se2.integrate(poses[-1], np.array([v, 0.0, omega]), DT))
    return np.array(poses)


@pytest.mark.parametrize("weights", [None, "an oracle", ResidualWeights.prior(3), typical(DT)])
def test_where_nothing_slips_the_reference_is_left_as_it_is(weights):
    window = driven(0.4, 0.6)
    assert against_slip(window, weights, DT) is window


@pytest.mark.parametrize("taps", [0, 4])
@pytest.mark.parametrize("omega", [0.7, -0.5])
@pytest.mark.parametrize("v", [0.4, -0.3])
def test_who_heads_so_moves_along_the_reference(v, omega, taps):
    window = driven(v, omega)
    for weights, slip in ((slipping(0.06, 0.0, taps), 0.06), (slipping(0.02, 0.1, taps), 0.02 + 0.1 * v)):
        before = window.copy()
        turned = against_slip(window, weights, DT)
        np.testing.assert_array_equal(window, before)
        np.testing.assert_array_equal(turned[:, :2], window[:, :2])
        forward = v * np.sqrt(1.0 - (slip * omega / v) ** 2)
        for wanted, along in zip(turned, window, strict=True):
            moved = se2.integrate(wanted, np.array([forward, slip * omega, 0.0]), 1e-4)
            direction = (moved[:2] - wanted[:2]) / (1e-4 * v)
            cos, sin = np.cos(along[2]), np.sin(along[2])
            ahead, aside = np.array([[cos, sin], [-sin, cos]])
            assert direction @ ahead > 0.99
            assert abs(direction @ aside) < DOUBT + 0.02
            unturned = slip * omega / v
            assert abs(unturned) < DOUBT + 0.02 or abs(direction @ aside) < 0.5 * abs(unturned)


def test_who_stands_or_turns_on_the_spot_heads_as_it_is_wanted():
    for v in (0.0, 0.04):
        window = driven(v, 0.8)
        np.testing.assert_array_equal(against_slip(window, slipping(0.1), DT), window)
    at_end = np.repeat(driven(0.4, 0.5, 2)[:1], 5, axis=0)
    np.testing.assert_array_equal(against_slip(at_end, slipping(0.1), DT), at_end)


def test_as_little_slip_as_noise_makes_leaves_the_reference():
    window = driven(0.4, 0.6)
    np.testing.assert_array_equal(against_slip(window, slipping(0.9 * DOUBT * 0.4 / 0.6), DT), window)
    np.testing.assert_array_equal(against_slip(window, slipping(-0.9 * DOUBT * 0.4 / 0.6), DT), window)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_nobody_heads_far_off(sign):
    window = driven(0.1, 1.5 * sign)
    np.testing.assert_allclose(window[:, 2] - against_slip(window, slipping(1.0), DT)[:, 2], sign * MOST)


def test_rough_headings_are_not_made_much_rougher():
    window, random = driven(0.4, 0.0, 200), np.random.default_rng(0)
    window[:, 2] += 0.02 * random.standard_normal(200)
    assert (window[:, 2] - against_slip(window, slipping(0.1), DT)[:, 2]).std() < 0.02


@pytest.mark.parametrize("count", [0, 1])
def test_a_place_alone_says_nothing_of_a_speed(count):
    window = driven(0.4, 0.6)[:count]
    assert against_slip(window, slipping(0.1), DT) is window


@pytest.mark.parametrize("seed", [2, 5])
def test_a_skid_steered_base_stays_on_a_circle(seed):
    world = firmware_world("skid_steer", np.random.default_rng(seed), seed, 300.0)
    run = drive_faulty(
        world, circle(1.0, 0.4).eased(2.0), (), MetaModel.load(PACKAGED), 16.0, seed=seed,
        online=OnlineConfig(adapter="physics"), timing="clock",
    )  # fmt: skip
    assert run.rmse(8.0) < 0.01
