"""What several benchmarks time: models, a map, a control step with critics. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.features import feature_size, input_size
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.mppi.costmap import Costmap
from mppi_maml_ros.mppi.critics import Scene, make_critics

DT = 0.05
LIMITS = VelocityLimits(vx_max=1.0, vx_min=-0.35, wz_max=1.9, ax_max=100.0, ax_min=-100.0, az_max=100.0)
DEFAULT_TAPS, DEFAULT_HIDDEN = 4, (32,)
SEVEN = ("obstacles", "goal", "goal_angle", "path_align", "path_follow", "path_angle", "prefer_forward")
NEAR = {"goal.threshold_to_consider": 100.0, "goal_angle.threshold_to_consider": 100.0}
SPEED, CURVATURE = 0.5, 0.8  # [m/s, 1/m] of the reference
CELLS, RESOLUTION = 120, 0.05  # a local costmap of 6 m
REACH = 0.55  # [m] from an obstacle where `obstacles` still costs something, with its defaults
FILLED = 0.62  # share of the cells within that reach
FREE = 0.35  # [m] beside the way without obstacles
PATHS = 0.3  # temperature of path_following.yaml


def residual(taps: int, hidden: tuple[int, ...], activation: str, seed: int = 0) -> ResidualWeights:
    """A residual of the given size with small random weights."""
    rng = np.random.default_rng(seed)
    widths = [input_size(taps), *hidden, 3]
    layers = [
        (rng.normal(size=(b, a)) / np.sqrt(a), np.zeros(b))
        for a, b in zip(widths[:-1], widths[1:], strict=True)
    ]
    layers[-1] = (0.01 * layers[-1][0], layers[-1][1])
    return ResidualWeights(
        linear=0.01 * rng.normal(size=(3, feature_size(taps))),
        layers=layers,
        input_scale=np.ones(input_size(taps)),
        displacement_blend=1.0,
        activation=activation,
        delay_taps=taps,
        model_dt=DT,
        adapter="benchmark",
    )


MODELS = {
    "kinematic": None,
    "default residual": residual(DEFAULT_TAPS, DEFAULT_HIDDEN, "tanh"),
    "residual 128-128 relu": residual(0, (128, 128), "relu"),
    "residual 128-128 tanh": residual(0, (128, 128), "tanh"),
}


def reference(steps: int) -> np.ndarray:
    """An S of two arcs, shape (steps + 1, 3)."""
    turns = np.where(np.arange(steps) < steps // 2, CURVATURE, -CURVATURE) * SPEED * DT
    yaw = np.concatenate([[0.0], np.cumsum(turns)])
    middle = yaw[:-1] + 0.5 * turns
    ahead = SPEED * DT * np.stack([np.cos(middle), np.sin(middle)], axis=1)
    return np.column_stack([np.concatenate([np.zeros((1, 2)), np.cumsum(ahead, axis=0)]), yaw])


def costmap(filled: bool, way: np.ndarray, seed: int = 0) -> Costmap:
    """A grid around the robot: free but for one cell far away, or with posts beside the way."""
    data = np.zeros((CELLS, CELLS), dtype=np.int8)
    data[0, 0] = 100
    half = 0.5 * CELLS * RESOLUTION
    rng = np.random.default_rng(seed)
    grid = Costmap(data, RESOLUTION, (-half, -half))
    while filled and (grid.field < REACH).mean() < FILLED:
        row, column = rng.integers(0, CELLS, 2)
        place = (np.array([column, row]) + 0.5) * RESOLUTION - half
        if np.hypot(*(way[:, :2] - place).T).min() > FREE:
            data[row, column] = 100
            grid = Costmap(data, RESOLUTION, (-half, -half))
    return grid


def step(
    model: str,
    shape: tuple[int, int],
    names: tuple[str, ...],
    grid: Costmap,
    near: bool = False,
    temperature: float = PATHS,
) -> Callable[[], object]:
    """One control step, as a function without arguments; ``near``: with the goal's critics at work."""
    samples, steps = shape
    way, weights = reference(steps), MODELS[model]
    config = MPPIConfig(batch_size=samples, time_steps=steps, temperature=temperature)
    critics = make_critics(names, NEAR if near else {})
    controller = MPPIController(config, LIMITS, 0, critics=critics)
    controller.warm_up(weights)
    scene = Scene(goal=way[-1], remaining=5.0, costmap=grid)
    state, past = np.array([0.0, 0.0, 0.0, SPEED, 0.0]), np.tile([SPEED, 0.0], (8, 1))
    return lambda: controller.compute_control(state, way, past, past[0], weights, DT, scene)
