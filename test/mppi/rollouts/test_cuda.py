"""Rollouts in torch give the numbers of the compiled ones."""

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mppi_maml_ros.core.errors import InvalidValueError  # noqa: E402
from mppi_maml_ros.core.types import VelocityLimits  # noqa: E402
from mppi_maml_ros.dynamics.residual import ResidualWeights  # noqa: E402
from mppi_maml_ros.mppi import MPPIConfig, MPPIController  # noqa: E402
from mppi_maml_ros.mppi.rollouts import cuda as torch_rollout  # noqa: E402
from mppi_maml_ros.mppi.rollouts.backends import CompiledRollout, rollout_on  # noqa: E402
from mppi_maml_ros.mppi.rollouts.compiled import Tracking, Trajectories, rollout  # noqa: E402
from mppi_maml_ros.mppi.rollouts.cuda import TorchRollout  # noqa: E402

from ...dynamics.test_residual import random_weights  # noqa: E402

DT, STEPS = 0.05, 12
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])


@pytest.fixture(params=DEVICES, scope="module")
def in_torch(request):
    return TorchRollout(request.param)


def both(in_torch, weights, samples=128, kept=True, pushed=True, seed=1):
    """Trajectories and costs of the compiled rollout, and of torch."""
    rng = np.random.default_rng(seed)
    commands = rng.normal(size=(STEPS, 2, samples)).astype(np.float32)
    history = rng.normal(size=(8, 2)).astype(np.float32)
    push = 0.1 * rng.normal(size=(STEPS, 2)).astype(np.float32) if pushed else None
    tracking = Tracking(rng.uniform(0, 10, STEPS), rng.uniform(0, 1, STEPS))
    tracking.target[:] = rng.normal(size=(STEPS, 3)) * [1.0, 1.0, 9.0]
    in_torch.prepare(weights, STEPS, samples)
    results = []
    for run in (rollout, in_torch):
        out = Trajectories(STEPS, samples) if kept else None
        costs = np.full(samples, 3.0, dtype=np.float32)
        run(weights, [0.4, -0.2], history, commands, DT, out, tracking, costs, push)
        results.append((out, costs))
    return results


@pytest.mark.parametrize("hidden", [(8,), (16, 8), (128, 128)])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("taps", [0, 3])
@pytest.mark.parametrize("pushed", [False, True])
def test_torch_gives_the_numbers_of_the_compiled_code(in_torch, hidden, activation, taps, pushed):
    (expected, wanted), (got, costs) = both(
        in_torch, random_weights(3, taps, hidden, activation), pushed=pushed
    )
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


def test_a_controller_decides_the_same_on_either(in_torch):
    weights = random_weights(7, hidden=(16,))
    config = MPPIConfig(batch_size=256, time_steps=STEPS)
    reference = np.column_stack(
        [0.02 * np.arange(STEPS + 1), 0.01 * np.arange(STEPS + 1), np.zeros(STEPS + 1)]
    )
    chosen = []
    for backend in (CompiledRollout(), in_torch):
        controller = MPPIController(config, VelocityLimits(), seed=3, rollout=backend)
        controller.warm_up(weights)
        controller = MPPIController(config, VelocityLimits(), seed=3, rollout=backend)
        past = np.zeros((8, 2))
        for _ in range(5):
            result = controller.compute_control(np.zeros(5), reference, past, past[0], weights)
        chosen.append(result.sequence)
    np.testing.assert_allclose(chosen[1], chosen[0], atol=2e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_the_compiled_code_serves_until_a_new_shape_is_ready(device):
    in_torch, weights = TorchRollout(device), random_weights(9)
    commands = np.zeros((STEPS, 2, 128), dtype=np.float32)
    history = np.zeros((8, 2), dtype=np.float32)
    expected, got = Trajectories(STEPS, 128), Trajectories(STEPS, 128)
    rollout(weights, [0.3, 0.1], history, commands, DT, expected)
    in_torch(weights, [0.3, 0.1], history, commands, DT, got)
    assert np.array_equal(got.x, expected.x)
    in_torch._making.join(10.0)
    in_torch(weights, [0.3, 0.1], history, commands, DT, got)
    assert len(in_torch._programs) == 1
    np.testing.assert_allclose(got.x, expected.x, atol=1e-5)


def test_a_program_that_cannot_be_made_is_told_of_once_and_the_compiled_code_serves(monkeypatch):
    def refuse(*_):
        tries.append(1)
        raise RuntimeError("out of memory")

    tries = []
    monkeypatch.setattr(torch_rollout, "_Program", refuse)
    in_torch, weights = TorchRollout("cpu"), random_weights(9)
    commands, history = np.ones((STEPS, 2, 128), dtype=np.float32), np.zeros((8, 2), dtype=np.float32)
    expected, got = Trajectories(STEPS, 128), Trajectories(STEPS, 128)
    rollout(weights, [0.3, 0.1], history, commands, DT, expected)
    with pytest.warns(UserWarning, match="stay on the processor: out of memory"):
        in_torch(weights, [0.3, 0.1], history, commands, DT, got)
        in_torch._making.join(10.0)
    in_torch(weights, [0.3, 0.1], history, commands, DT, got)
    assert len(tries) == 1 and np.array_equal(got.x, expected.x)


WITHOUT_TORCH = """
import sys
from mppi_maml_ros.mppi.rollouts.backends import CompiledRollout, rollout_on
from mppi_maml_ros.mppi import MPPIController
assert isinstance(rollout_on("cpu"), CompiledRollout) and "torch" not in sys.modules
"""


def test_the_processor_needs_no_torch():
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH], check=True, timeout=60.0)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", ""])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(InvalidValueError, match=rf"device must be cpu, cuda or cuda:N .*got '{device}'"):
        rollout_on(device)
