"""A base that turns about another point than the origin of its frame slips as much as is measured."""

import numpy as np
import pytest

from mppi_maml_ros.core import se2
from mppi_maml_ros.dynamics.identification.slip import with_slip
from mppi_maml_ros.dynamics.residual import ResidualWeights, open_loop
from mppi_maml_ros.dynamics.transitions import Transitions

DT = 0.05
PLAIN = ResidualWeights.first_order((0.3, 0.25), gain=(0.8, 0.7))


def driven(k, count=60, turn=0.8, noise=0.0, gap=None):
    """Transitions of ``PLAIN`` that slips by ``k`` omega; poses with noise [m]."""
    time = DT * np.arange(count)
    commands = np.stack([0.4 + 0.1 * np.sin(time), turn * np.sin(0.8 * time)], axis=1)
    rng, poses, twists = np.random.default_rng(0), [np.zeros(3)], [np.zeros(2)]
    for command in commands:
        after = open_loop(PLAIN, np.concatenate([poses[-1], twists[-1]]), command[None], np.zeros((1, 2)))[0]
        mean = 0.5 * (twists[-1] + after[3:])
        poses.append(se2.integrate(poses[-1], np.array([mean[0], k * twists[-1][1], mean[1]]), DT))
        twists.append(after[3:])
    seen = np.concatenate([np.array(poses), np.array(twists)], axis=1)
    seen[:, :2] += noise * rng.normal(size=(count + 1, 2))
    segments = np.zeros(count, dtype=int)
    if gap is not None:
        segments[gap:] = 1
    return Transitions(time, seen[:-1], commands, np.zeros((count, 0, 2)), seen[1:], segments, DT)


@pytest.mark.parametrize("k", [-0.12, 0.0, 0.08])
@pytest.mark.parametrize("gap", [None, 23])
def test_the_slip_is_found_within_a_centimetre_with_noise_of_two_millimetres(k, gap):
    found = with_slip(PLAIN, driven(k, noise=0.002, gap=gap))
    assert found.linear[2, 1] == pytest.approx(k, abs=0.01)
    assert (np.delete(found.linear, 2, axis=0) == PLAIN.linear[:2]).all()


def test_what_the_model_slips_already_counts():
    data = driven(0.1)
    once = with_slip(PLAIN, data)
    assert with_slip(once, data).linear[2, 1] == pytest.approx(once.linear[2, 1], abs=0.003)


def test_a_straight_drive_tells_nothing():
    assert abs(with_slip(PLAIN, driven(0.1, turn=0.0, noise=0.003)).linear[2, 1]) < 1e-3


def test_without_data_nothing_is_changed():
    assert with_slip(PLAIN, driven(0.1)[:0]) is PLAIN
