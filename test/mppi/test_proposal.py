"""A sequence from elsewhere among MPPI's samples."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.mppi import kernels
from mppi_maml_ros.mppi.config import MPPIConfig
from mppi_maml_ros.mppi.controller import MPPIController
from mppi_maml_ros.mppi.sampling import Sampler

CONFIG = MPPIConfig(batch_size=64, time_steps=12, noise_knots=4, temperature=0.01)
WIDE = VelocityLimits(vx_max=2.0, vx_min=-2.0, wz_max=2.0, ax_max=100.0, ax_min=-100.0, az_max=100.0)
BEHIND = np.column_stack([-0.1 * np.arange(13), np.zeros((13, 2))])  # driven in reverse, heading kept


def chosen(proposal, seed=0, reference=BEHIND, steps=1):
    controller = MPPIController(CONFIG, WIDE, seed, proposal=proposal)
    controller.reset()
    found = None
    for _ in range(steps):
        controller._sequence[:], controller._fresh = 0.0, False  # a warm start that knows nothing
        found = controller.compute_control(np.zeros(5), reference, np.zeros((1, 2)), np.zeros(2), None)
    return found


def test_a_proposed_sequence_is_bounded_and_costs_as_a_sample_does():
    rng = np.random.default_rng(0)
    noise = Sampler(CONFIG, 0).sample()
    sequence = rng.normal(0.0, 2.0, (12, 2)).astype(np.float32)
    last, low, high = (np.array(v, dtype=np.float32) for v in ((0.3, -0.2), (-0.5, -1.0), (1.0, 1.0)))
    quicker, slower = (np.array(v, dtype=np.float32) for v in ((0.2, 0.3), (0.4, 0.5)))
    about = rng.normal(size=(12, 2)).astype(np.float32)
    effort, rate = (np.array(v, dtype=np.float32) for v in ((0.1, 0.2), (0.3, 0.4)))
    out, costs = np.zeros((12, 2, 64), dtype=np.float32), np.zeros(64, dtype=np.float32)
    after = (last, low, high, quicker, slower, about, effort, rate, out, costs)
    kernels.perturb_within_limits(
        sequence, noise.values, noise.start, noise.sign, noise.first, noise.share, noise.mirrored,
        np.ones(2, dtype=np.float32), *after,
    )  # fmt: skip
    others = out[:, :, :-1].copy(), costs[:-1].copy()
    kernels.propose(sequence, *after)
    np.testing.assert_allclose(out[:, :, -1], out[:, :, 0], atol=1e-6)  # the first sample has no noise
    assert costs[-1] == pytest.approx(costs[0], rel=1e-5)
    np.testing.assert_array_equal(out[:, :, :-1], others[0])
    np.testing.assert_array_equal(costs[:-1], others[1])


def test_a_good_proposal_is_followed_and_a_bad_one_is_not():
    def good(state, reference, history, last, model):
        assert reference.shape == (13, 3) and last.shape == (2,)
        return np.tile([-2.0, 0.0], (12, 1))

    def bad(state, reference, history, last, model):
        return np.tile([2.0, 2.0], (12, 1))

    plain, followed, ignored = chosen(None), chosen(good), chosen(bad)
    np.testing.assert_allclose(followed.sequence, np.tile([-2.0, 0.0], (12, 1)), atol=0.05)
    assert followed.cost < 0.2 * plain.cost
    np.testing.assert_allclose(ignored.sequence, plain.sequence, atol=0.3)


def test_of_several_rounds_each_has_the_proposal():
    asked = []

    def good(*arguments):
        asked.append(arguments)
        return np.tile([-2.0, 0.0], (12, 1))

    controller = MPPIController(attrs.evolve(CONFIG, iteration_count=3), WIDE, 0, proposal=good)
    controller.compute_control(np.zeros(5), BEHIND, np.zeros((1, 2)), np.zeros(2), None)
    assert len(asked) == 1


@pytest.mark.parametrize("shape", [(11, 2), (12,), (12, 3)])
def test_a_proposal_of_another_shape_is_refused(shape):
    with pytest.raises(InvalidValueError, match=r"a proposal must have shape \(12, 2\)"):
        chosen(lambda *_: np.zeros(shape))
