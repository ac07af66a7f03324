"""Compiled rollouts are the plain prediction, for any number of samples."""

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mppi_maml_ros.dynamics.residual import ResidualWeights, open_loop
from mppi_maml_ros.mppi.rollouts.base import RolloutRequest, Tracking
from mppi_maml_ros.mppi.rollouts.compiled import CompiledRollout

from ...dynamics.test_residual import random_weights

DT = 0.05
rollout = CompiledRollout()


def random_request(seed, samples, steps=12, pushed=False, twist=(0.4, -0.2)):
    rng = np.random.default_rng(seed)
    request = RolloutRequest(rng.normal(size=(steps, 2, samples)).astype(np.float32), DT)
    request.state = np.array([3.0, -2.0, 1.0, *twist])
    request.history[:] = rng.normal(size=request.history.shape)
    request.change[:] = 0.1, -0.2
    if pushed:
        request.push[:] = 0.1 * rng.normal(size=(steps, 2))
    request.kept()
    return request


def expected_of(weights, request):
    """States after each step in double precision, shape (K, N, 5)."""
    samples = request.commands.shape[2]
    start = np.tile([0, 0, 0, *request.state[3:], *request.change], (samples, 1))
    histories = np.tile(request.history, (samples, 1, 1))
    return open_loop(weights, start, np.moveaxis(request.commands, 2, 0), histories, request.push)


@pytest.mark.parametrize("hidden", [(), (8,), (16, 8)])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("taps", [0, 3])
@pytest.mark.parametrize("samples", [1, 128, 300])
@pytest.mark.parametrize("pushed", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"transport_delay": (5, 0), "momentum": (0.7, 0.0)},
        {"transport_delay": (1, 12), "momentum": (0.4, 0.8), "acceleration": [[0.6, 1000.0], [1.5, 2.0]]},
    ],
    ids=["plain", "late", "limited"],
)
def test_a_residual_is_rolled_out_as_it_is_predicted(hidden, activation, taps, samples, pushed, more):
    weights = attrs.evolve(random_weights(3, taps, hidden, activation), **more)
    request = random_request(1, samples, pushed=pushed)
    rollout(weights, request)
    expected = expected_of(weights, request)
    for i, name in enumerate(("x", "y", "yaw", "v", "omega")):
        difference = getattr(request.out, name).T - expected[..., i]
        if name == "yaw":
            difference = np.angle(np.exp(1j * difference))
        assert np.abs(difference).max() < 2e-5, name


def test_the_kinematic_rollout_is_the_prior_whatever_the_twist_and_the_push():
    request, same = random_request(2, 50, pushed=True), random_request(2, 50, twist=(0.0, 0.0))
    rollout(None, request)
    rollout(ResidualWeights.prior(2), same)
    assert np.array_equal(request.out.x, same.out.x)
    assert np.abs(same.out.x.T - expected_of(ResidualWeights.prior(), same)[..., 0]).max() < 1e-5


@given(st.integers(1, 70), st.booleans(), st.sampled_from([None, (), (8,)]))
@settings(max_examples=15, deadline=None)
def test_costs_are_those_of_the_trajectories_and_are_added_to(samples, kept, hidden):
    weights = None if hidden is None else random_weights(4, 1, hidden)
    request = random_request(5, samples)
    rng = np.random.default_rng(6)
    request.tracking = Tracking(rng.uniform(0, 10, 12), rng.uniform(0, 1, 12))
    request.tracking.target[:] = rng.normal(size=(12, 3)) * [1.0, 1.0, 9.0]
    request.costs[:] = 3.0
    out = request.out
    rollout(weights, request)
    away = np.stack([out.x, out.y, out.yaw], axis=1).astype(float) - request.tracking.target[:, :, None]
    away[:, 2] = np.angle(np.exp(1j * away[:, 2]))
    weight = request.tracking.weight[:, [0, 0, 1], None]
    assert request.costs == pytest.approx(3.0 + (weight * away**2).sum(axis=(0, 1)), rel=1e-3)
    if not kept:
        costs, request.out = request.costs.copy(), None
        request.costs[:] = 3.0
        rollout(weights, request)
        assert request.out is None and request.costs == pytest.approx(costs, rel=1e-6)


def test_without_a_reference_costs_stay():
    request = random_request(7, 20)
    request.costs[:] = 2.0
    rollout(random_weights(), request)
    assert (request.costs == 2.0).all()
