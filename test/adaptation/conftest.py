import numpy as np
import pytest

from mppi_maml_ros.core.types import Odometry
from mppi_maml_ros.dynamics.features import feature_size, input_size
from mppi_maml_ros.dynamics.identification.physics import PhysicsPrior
from mppi_maml_ros.dynamics.residual import ResidualWeights, step
from mppi_maml_ros.weights.meta_model import MetaModel

TAPS, DT = 2, 0.05


@pytest.fixture
def meta() -> MetaModel:
    """A small meta-model with a broad physics prior; nothing is learned from disk."""
    rng = np.random.default_rng(0)
    size, inputs, hidden = feature_size(TAPS), input_size(TAPS), 8
    theta = (
        (rng.normal(size=(hidden, inputs)).astype(np.float32) / 3, np.zeros(hidden, np.float32)),
        (np.zeros((3, hidden), np.float32), np.zeros(3, np.float32)),
    )
    prior = PhysicsPrior(
        mean=np.zeros((1, 3, size)),
        covariance=np.tile(np.eye(size), (1, 3, 1, 1)),
        weight=[1.0],
        delay=[0.0],
        noise=np.array([[1e-6, 1e-6, 1e-4], [1e-4, 1e-4, 1e-2]]),
    )
    return MetaModel(
        networks={"maml": theta, "physics+maml": theta},
        input_scale=np.full(inputs, 2.0),
        output_scale={"maml": np.full(3, 0.2), "physics+maml": np.full(3, 0.02)},
        noise=np.full(3, 1e-4),
        physics=prior,
        activation="tanh",
        delay_taps=TAPS,
        model_dt=DT,
        inner_lr=0.05,
        inner_steps=50,
    )


@pytest.fixture
def drive():
    """Drives a plant with rich commands and feeds odometry and commands to callbacks."""

    def run(add_odometry, add_command, plant: ResidualWeights, seconds=8.0, seed=0, noise=0.0, start=0.0):
        rng = np.random.default_rng(seed)
        state, history = np.array([1.0, -2.0, 2.5, 0.0, 0.0]), np.zeros((8, 2))
        results = []
        for k in range(int(seconds / DT)):
            t = start + k * DT
            measured = state + noise * rng.normal(size=5)
            results.append(add_odometry(Odometry(t, measured[:3], measured[3:])))
            command = np.array([0.5 + 0.3 * np.sin(1.3 * t), 0.6 * np.sin(0.7 * t)]) + 0.05 * rng.normal(
                size=2
            )
            add_command(t, command)
            state = step(plant, state, command, history)
            history = np.concatenate([command[None], history[:-1]])
        return results

    return run
