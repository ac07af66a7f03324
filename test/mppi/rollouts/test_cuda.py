"""Rollouts in torch give the numbers of the compiled ones."""

import subprocess
import sys

import attrs
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mppi_maml_ros.core.errors import InvalidValueError  # noqa: E402
from mppi_maml_ros.core.types import VelocityLimits  # noqa: E402
from mppi_maml_ros.dynamics.residual import ResidualWeights  # noqa: E402
from mppi_maml_ros.mppi import MPPIConfig, MPPIController  # noqa: E402
from mppi_maml_ros.mppi.critics import make_critics  # noqa: E402
from mppi_maml_ros.mppi.rollouts import cuda as torch_rollout  # noqa: E402
from mppi_maml_ros.mppi.rollouts.backends import rollout_on  # noqa: E402
from mppi_maml_ros.mppi.rollouts.base import RolloutRequest, Tracking  # noqa: E402
from mppi_maml_ros.mppi.rollouts.compiled import CompiledRollout  # noqa: E402
from mppi_maml_ros.mppi.rollouts.cuda import TorchRollout  # noqa: E402

from ...dynamics.test_residual import random_weights  # noqa: E402

DT, STEPS = 0.05, 12
rollout = CompiledRollout()
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


@pytest.fixture(params=DEVICES, scope="module")
def in_torch(request):
    return TorchRollout(request.param)


def request_of(samples):
    request = RolloutRequest(np.ones((STEPS, 2, samples), dtype=np.float32), DT)
    request.state[3:] = 0.3, 0.1
    request.kept()
    return request


def both(in_torch, weights, samples=128, kept=True, pushed=True, seed=1):
    """Trajectories and costs of the compiled rollout, and of torch."""
    in_torch.prepare(weights, STEPS, samples)
    results = []
    for run in (rollout, in_torch):
        rng = np.random.default_rng(seed)
        request = RolloutRequest(rng.normal(size=(STEPS, 2, samples)).astype(np.float32), DT)
        request.state[3:] = 0.4, -0.2
        request.history[:] = rng.normal(size=request.history.shape)
        request.change[:] = 0.05, -0.1
        if pushed:
            request.push[:] = 0.1 * rng.normal(size=(STEPS, 2))
        request.tracking = Tracking(rng.uniform(0, 10, STEPS), rng.uniform(0, 1, STEPS))
        request.tracking.target[:] = rng.normal(size=(STEPS, 3)) * [1.0, 1.0, 9.0]
        request.costs[:] = 3.0
        if kept:
            request.kept()
        run(weights, request)
        results.append((request.out, request.costs))
    return results


@pytest.mark.parametrize("hidden", [(8,), (16, 8), (128, 128)])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("taps", [0, 3])
@pytest.mark.parametrize("pushed", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "transport_delay": (2, 5),
            "momentum": (0.6, 0.3),
            "acceleration": [[0.6, 1000.0], [1.5, 2.0]],
        },
    ],
    ids=["plain", "late and limited"],
)
def test_torch_gives_the_numbers_of_the_compiled_code(in_torch, hidden, activation, taps, pushed, more):
    weights = attrs.evolve(random_weights(3, taps, hidden, activation), **more)
    (expected, wanted), (got, costs) = both(in_torch, weights, pushed=pushed)
    for name in ("x", "y", "yaw", "v", "omega"):
        np.testing.assert_allclose(getattr(got, name), getattr(expected, name), atol=3e-5, err_msg=name)
    np.testing.assert_allclose(costs, wanted, rtol=2e-4)


def test_costs_alone_are_the_same_as_with_trajectories(in_torch):
    weights = random_weights(5)
    (_, wanted), (out, costs) = both(in_torch, weights, kept=False)
    assert out is None
    np.testing.assert_allclose(costs, wanted, rtol=2e-4)


def test_new_numbers_of_a_known_shape_take_effect(in_torch):
    for seed in (1, 2, 1):
        (expected, _), (got, _) = both(in_torch, random_weights(seed))
        np.testing.assert_allclose(got.v, expected.v, atol=1e-5)


@pytest.mark.parametrize("weights", [None, ResidualWeights.prior(2), ResidualWeights.first_order((0.2, 0.2))])
def test_models_without_a_network_stay_with_the_compiled_code(in_torch, weights):
    (expected, wanted), (got, costs) = both(in_torch, weights, pushed=False)
    assert np.array_equal(got.x, expected.x) and np.array_equal(costs, wanted)


@pytest.mark.parametrize("names", [(), ("path_align", "twirling", "prefer_forward")])
def test_a_controller_decides_the_same_on_either(in_torch, names):
    weights = random_weights(7, hidden=(16,))
    config = MPPIConfig(batch_size=256, time_steps=STEPS)
    reference = np.column_stack(
        [0.02 * np.arange(STEPS + 1), 0.01 * np.arange(STEPS + 1), np.zeros(STEPS + 1)]
    )
    chosen, critics = [], make_critics(names, {})
    for backend in (CompiledRollout(), in_torch):
        controller = MPPIController(config, VelocityLimits(), seed=3, critics=critics, rollout=backend)
        controller.warm_up(weights)
        controller = MPPIController(config, VelocityLimits(), seed=3, critics=critics, rollout=backend)
        past = np.zeros((8, 2))
        for _ in range(5):
            result = controller.compute_control(np.zeros(5), reference, past, past[0], weights)
        chosen.append(result.sequence)
    np.testing.assert_allclose(chosen[1], chosen[0], atol=2e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_the_compiled_code_serves_until_a_new_shape_is_ready(device):
    in_torch, weights = TorchRollout(device), random_weights(9)
    expected, got = request_of(128), request_of(128)
    rollout(weights, expected)
    in_torch(weights, got)
    assert np.array_equal(got.out.x, expected.out.x)
    in_torch._making.join(10.0)
    in_torch(weights, got)
    assert len(in_torch._programs) == 1
    np.testing.assert_allclose(got.out.x, expected.out.x, atol=1e-5)


def test_a_program_that_cannot_be_made_is_told_of_once_and_the_compiled_code_serves(monkeypatch):
    def refuse(*_):
        tries.append(1)
        raise RuntimeError("out of memory")

    tries = []
    monkeypatch.setattr(torch_rollout, "_Program", refuse)
    in_torch, weights = TorchRollout("cpu"), random_weights(9)
    expected, got = request_of(128), request_of(128)
    rollout(weights, expected)
    with pytest.warns(UserWarning, match="stay on the processor: out of memory"):
        in_torch(weights, got)
        in_torch._making.join(10.0)
    in_torch(weights, got)
    assert len(tries) == 1 and np.array_equal(got.out.x, expected.out.x)


WITHOUT_TORCH = """
import sys
from mppi_maml_ros.mppi.rollouts.backends import rollout_on
from mppi_maml_ros.mppi.rollouts.compiled import CompiledRollout
from mppi_maml_ros.mppi import MPPIController
assert isinstance(rollout_on("cpu"), CompiledRollout) and "torch" not in sys.modules
"""


def test_the_processor_needs_no_torch():
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH], check=True, timeout=60.0)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", ""])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(InvalidValueError, match=rf"device must be cpu, cuda or cuda:N .*got '{device}'"):
        rollout_on(device)
