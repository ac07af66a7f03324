"""Whoever computes a rollout, the same request gives the same numbers."""

import numpy as np
import pytest

from mppi_maml_ros.core import se2
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.gaussian_process import GPConfig, fit
from mppi_maml_ros.dynamics.kinematic import DifferentialDriveKinematic
from mppi_maml_ros.dynamics.residual import ResidualWeights, open_loop, step
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.mppi.critics import make_critics
from mppi_maml_ros.mppi.rollouts.any_model import ModelRollout
from mppi_maml_ros.mppi.rollouts.backends import rollout_on
from mppi_maml_ros.mppi.rollouts.base import RolloutRequest, Tracking
from mppi_maml_ros.mppi.rollouts.compiled import CompiledRollout
from mppi_maml_ros.mppi.rollouts.gaussian_process import GaussianProcessRollout

from ...dynamics.test_residual import random_weights
from ...dynamics.test_robot_models import MODELS

DT, STEPS = 0.05, 12
NAMES = ("x", "y", "yaw", "v", "omega")
rollout = CompiledRollout()


def request_of(samples, state=(0.0, 0.0, 0.0, 0.0, 0.0), tracked=False):
    rng = np.random.default_rng(1)
    commands = rng.uniform(-1.0, 1.0, (STEPS, 2, samples)).astype(np.float32)
    request = RolloutRequest(commands, DT, np.array(state))
    request.history[:] = rng.uniform(-1.0, 1.0, request.history.shape)
    request.kept()
    if tracked:
        request.tracking = Tracking(rng.uniform(0, 10, STEPS), rng.uniform(0, 1, STEPS))
        request.tracking.target[:] = rng.normal(size=(STEPS, 3))
    return request


class OneByOne:
    """A residual rolled out a sample at a time in plain numpy: a model of somebody else's."""

    def __init__(self, weights):
        self.weights = weights

    def rollout(self, request, out):
        for j in range(request.commands.shape[2]):
            start = np.array([0, 0, 0, *request.state[3:]])
            states = open_loop(self.weights, start, request.commands[:, :, j], request.history)
            for i, name in enumerate(NAMES):
                getattr(out, name)[:, j] = states[:, i]


@pytest.mark.parametrize("device", ["cpu", "torch"])
@pytest.mark.parametrize("hidden", [None, (), (8,), (16, 8)])
def test_every_backend_gives_the_numbers_of_a_plain_model(device, hidden):
    weights = ResidualWeights.prior(2) if hidden is None else random_weights(3, 2, hidden)
    if device == "torch":
        pytest.importorskip("torch")
        from mppi_maml_ros.mppi.rollouts.cuda import TorchRollout

        backend = TorchRollout("cpu")
    else:
        backend = rollout_on(device)
    backend.prepare(weights, STEPS, 70)
    ours, theirs = (request_of(70, (1.0, 2.0, 3.0, 0.3, -0.2), tracked=True) for _ in range(2))
    backend(weights, ours)
    backend(OneByOne(weights), theirs)
    for name in NAMES:
        difference = getattr(ours.out, name) - getattr(theirs.out, name)
        if name == "yaw":
            difference = np.angle(np.exp(1j * difference))
        np.testing.assert_allclose(difference, 0.0, atol=3e-5, err_msg=name)
    np.testing.assert_allclose(ours.costs, theirs.costs, rtol=1e-3)


@pytest.mark.parametrize("name", ["kinematic", "dynamic", "neural of 5 states"])
def test_a_rollout_is_the_model_step_by_step(name):
    model, request = MODELS[name](), request_of(5, (3.0, -2.0, 3.0, 0.4, -0.6))
    rollout(ModelRollout(model), request)
    out, start = request.out, request.state
    for j in range(5):
        state = start[: model.state_dim]
        for t in range(STEPS):
            state = model.step(state, request.commands[t, :, j], DT)
        local = se2.to_body(state[:3], start[:3])
        np.testing.assert_allclose([out.x[-1, j], out.y[-1, j]], local[:2], atol=1e-5)
        assert np.cos(out.yaw[-1, j] - local[2]) == pytest.approx(1.0)


def test_the_yaw_of_a_rollout_does_not_jump():
    request = RolloutRequest(np.tile(np.array([[0.5], [2.0]], dtype=np.float32), (80, 1, 3)), DT)
    rollout(ModelRollout(DifferentialDriveKinematic()), request)
    np.testing.assert_allclose(request.out.yaw[:, 0], 2.0 * DT * np.arange(1, 81), rtol=1e-5)


@pytest.mark.parametrize("taps", [0, 3])
def test_the_compiled_rollout_of_a_process_agrees_with_its_mean(taps):
    rng = np.random.default_rng(0)
    z = rng.uniform(-1.0, 1.0, (300, 4 + 2 * taps))
    targets = np.stack([0.3 * np.tanh(3.0 * (z[:, 0] - z[:, 2])), -0.5 * z[:, 3], 0.2 * z[:, 0] * z[:, 1]], 1)
    process = fit(z, targets, GPConfig(inducing=40, iterations=15))
    request = request_of(150, (0.0, 0.0, 0.0, 0.4, -0.2))
    rollout(GaussianProcessRollout(process, taps), request)
    out = request.out
    for j in (0, 149):
        twist, past, yaw, x = request.state[3:], request.history.astype(float), 0.0, 0.0
        for t in range(STEPS):
            command = request.commands[t, :, j].astype(float)
            residual = process.mean(np.concatenate([twist, command, past[:taps].ravel()]))
            end = command + residual[:2]
            mean = 0.5 * (twist + end)
            middle = yaw + 0.5 * mean[1] * DT
            x += DT * (np.cos(middle) * mean[0] - np.sin(middle) * residual[2])
            yaw += DT * mean[1]
            twist, past = end, np.concatenate([command[None], past[:-1]])
        assert out.x[-1, j] == pytest.approx(x, abs=2e-3)
        assert out.yaw[-1, j] == pytest.approx(yaw, abs=5e-3)
        np.testing.assert_allclose([out.v[-1, j], out.omega[-1, j]], twist, atol=5e-3)


def test_a_process_that_corrects_nothing_rolls_out_as_the_kinematic_residual():
    z = np.random.default_rng(0).uniform(-1.0, 1.0, (50, 4))
    process = fit(z, np.zeros((50, 3)), GPConfig(inducing=8, iterations=0))
    ours, theirs = request_of(20), request_of(20)
    rollout(GaussianProcessRollout(process, 0), ours)
    rollout(ResidualWeights.first_order((1e-4, 1e-4), model_dt=DT), theirs)
    for name in NAMES:
        np.testing.assert_allclose(getattr(ours.out, name), getattr(theirs.out, name), atol=1e-4)


@pytest.mark.parametrize("critics", [(), ("path_align", "obstacles", "uncertainty")])
def test_a_model_of_somebody_elses_drives_the_controller(critics):
    weights = ResidualWeights.first_order((0.3, 0.2), gain=(0.8, 0.9), delay=0.05)
    commands = []
    for model in (weights, OneByOne(weights)):
        config = MPPIConfig(batch_size=64, time_steps=STEPS)
        controller = MPPIController(config, VelocityLimits(), 0, critics=make_critics(critics, {}))
        controller.warm_up(model)
        state, history = np.zeros(5), np.zeros((8, 2))
        for k in range(20):
            reference = np.column_stack([0.02 * (k + np.arange(STEPS + 1)), np.zeros((STEPS + 1, 2))])
            command = controller.compute_control(state, reference, history, history[0], model).command
            state = step(weights, state, command, history)
            history = np.concatenate([command[None], history[:-1]])
            commands.append(command)
        assert state[0] == pytest.approx(0.4, abs=0.15)
        poses, costs = controller.candidates(state, 5)
        assert poses.shape == (5, STEPS, 3) and np.isfinite(costs).all()
    np.testing.assert_allclose(commands[:20], commands[20:], atol=1e-3)
