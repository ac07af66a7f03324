"""Task distributions: where the transitions of meta-training come from."""

from __future__ import annotations

import math
from typing import Protocol

import attrs
import numpy as np

from ...core.types import VelocityLimits
from ...dynamics.features import input_size
from ...dynamics.transitions import kinematic_residuals
from ...simulation.batch import simulate_batch
from ...simulation.commands import tracking_commands
from ...simulation.parameters import (
    BATTERY,
    COMMAND_DELAY,
    COULOMB,
    DEFAULT_RANGES,
    FRICTION_OMEGA,
    FRICTION_V,
    INERTIA,
    MASS,
    ODOMETRY_DELAY,
    ODOMETRY_NOISE,
    PARAMETER_HIGH,
    PARAMETER_LOW,
    randomize_batch,
)


@attrs.frozen(eq=False)
class TaskPool:
    """Transitions of W tasks of T steps each, as the robot measures them and as they are.

    Attributes:
        inputs, residuals: from noisy odometry, (W, T, Z) and (W, T, 3).
        clean_inputs, clean_residuals: from the true states, same shapes.
        delays: command delay of each task as the odometry shows it [s], (W,).
        noise: typical variance of the residuals' measurement noise, (3,).
    """

    inputs: np.ndarray
    residuals: np.ndarray
    clean_inputs: np.ndarray
    clean_residuals: np.ndarray
    delays: np.ndarray
    noise: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)


class TaskDistribution(Protocol):
    """Anything that yields pools of tasks, reproducibly.

    Attributes:
        delay_taps, model_dt: as in the residual.
    """

    @property
    def delay_taps(self) -> int:
        """Past commands among the inputs."""

    @property
    def model_dt(self) -> float:
        """Step that is predicted [s]."""

    def pool(self, seed: int, tasks: int, held_out: bool = False) -> TaskPool:
        """``tasks`` tasks; those that are ``held_out`` share no data with the others."""

    def changing_pool(self, seed: int, tasks: int, held_out: bool = False) -> TaskPool:
        """As :meth:`pool`, of tasks whose world changes while it is driven in, for time-ordered learners."""

    def prior_pool(self, seed: int, tasks: int) -> TaskPool:
        """Tasks for the prior of the physics layer, which takes thousands."""

    def describe(self) -> dict:
        """Everything needed to make the same tasks again, JSON-able."""


def transitions_of(
    states: np.ndarray, commands: np.ndarray, delay_taps: int, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and residuals of state sequences.

    Args:
        states: (W, T + 1, 5); commands: (W, T, 2); dt: step [s].

    Returns:
        inputs (W, T - delay_taps, Z) and residuals (W, T - delay_taps, 3): the first steps
        have no full command history and are left out.
    """
    tasks, steps, _ = commands.shape
    keep = slice(delay_taps, steps)
    inputs = np.empty((tasks, steps - delay_taps, input_size(delay_taps)))
    inputs[..., :2] = states[:, keep, 3:5]
    for k in range(delay_taps + 1):
        inputs[..., 2 + 2 * k : 4 + 2 * k] = commands[:, delay_taps - k : steps - k]
    before = states[:, keep].reshape(-1, 5)
    after = states[:, delay_taps + 1 : steps + 1].reshape(-1, 5)
    residuals = kinematic_residuals(before, commands[:, keep].reshape(-1, 2), after, dt)
    return inputs, residuals.reshape(tasks, steps - delay_taps, 3)


@attrs.frozen
class Changes:
    """How worlds change while they are driven in: a random sequence of phases.

    At the start of a phase each of the four changes with probability ``chance`` and else stays.

    Attributes:
        interval: length of a phase [s], drawn uniformly.
        floor: factor on viscous and dry friction, its logarithm uniform.
        load: factor on mass and on inertia.
        battery: motor gain left, as a fraction.
        push: largest external acceleration [m/s^2, rad/s^2].
        chance: of each change.
    """

    interval: tuple[float, float] = (2.0, 20.0)
    floor: tuple[float, float] = (0.3, 5.0)
    load: tuple[float, float] = (1.0, 2.5)
    battery: tuple[float, float] = (0.6, 1.0)
    push: tuple[float, float] = (1.0, 0.5)
    chance: float = 0.4

    def draw(
        self, rng: np.random.Generator, worlds: np.ndarray, steps: int, dt: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Phases of each world.

        Args:
            worlds: parameters in the first phase, (W, P).
            steps: length of the drive; dt: [s].

        Returns:
            parameters (W, N, P), the first step of each phase (W, N), pushes (W, N, 2).
        """
        tasks, phases = len(worlds), math.ceil(steps * dt / self.interval[0]) + 1
        lengths = np.maximum(np.round(rng.uniform(*self.interval, (tasks, phases - 1)) / dt).astype(int), 1)
        starts = np.concatenate([np.zeros((tasks, 1), dtype=int), np.cumsum(lengths, axis=1)], axis=1)
        shape = (tasks, phases, 1)
        low, high = np.log(self.floor)
        floor = np.exp(rng.uniform(low, high, shape))
        load = rng.uniform(*self.load, (tasks, phases, 2))
        battery = rng.uniform(*self.battery, shape)
        push = rng.uniform(-1.0, 1.0, (tasks, phases, 2)) * self.push
        for drawn, nothing in ((floor, 1.0), (load, 1.0), (battery, 1.0), (push, 0.0)):
            drawn[:, 0] = nothing
            stays = rng.random((tasks, phases)) >= self.chance
            for n in range(1, phases):
                drawn[stays[:, n], n] = drawn[stays[:, n], n - 1]
        parameters = np.repeat(worlds[:, None], phases, axis=1)
        parameters[..., [FRICTION_V, FRICTION_OMEGA, COULOMB]] *= floor
        parameters[..., [MASS, INERTIA]] *= load
        parameters[..., [BATTERY]] *= battery
        return np.clip(parameters, PARAMETER_LOW, PARAMETER_HIGH), starts, push


@attrs.frozen
class WorldTasks:
    """Randomised wheel-level worlds driven by tracking-like commands.

    Attributes:
        delay_taps, model_dt: as in the residual.
        steps: length of each task [steps].
        ranges: parameter ranges, see simulation.world.DEFAULT_RANGES.
        limits: command limits; their scale is drawn anew for each task.
        odometry_noise: largest standard deviation of (x, y, yaw, v, omega) noise; each task draws
            its own scale up to it.
        changes: of :meth:`changing_pool`.
    """

    delay_taps: int = 4
    model_dt: float = 0.05
    steps: int = 240
    ranges: dict = attrs.field(factory=lambda: dict(DEFAULT_RANGES))
    limits: VelocityLimits = attrs.field(factory=lambda: VelocityLimits(vx_max=1.5, vx_min=-0.5, wz_max=1.9))
    odometry_noise: tuple = (0.005, 0.005, 0.005, 0.02, 0.02)
    changes: Changes = attrs.field(factory=Changes)

    def pool(self, seed: int, tasks: int, held_out: bool = False) -> TaskPool:
        """Simulate ``tasks`` worlds; the same seed gives the same pool, another one other worlds."""
        return self._simulated(np.random.default_rng(seed), tasks)

    def changing_pool(self, seed: int, tasks: int, held_out: bool = False) -> TaskPool:
        """As :meth:`pool`; every few seconds the floor, the load, the battery or a push changes."""
        return self._simulated(np.random.default_rng(seed), tasks, self.changes)

    def _simulated(self, rng: np.random.Generator, tasks: int, changes: Changes | None = None) -> TaskPool:
        worlds = randomize_batch(rng, tasks, self.ranges)
        noise = rng.uniform(0.0, 1.0, size=(tasks, 1)) * np.asarray(self.odometry_noise)
        worlds[:, ODOMETRY_NOISE : ODOMETRY_NOISE + 5] = noise
        commands = tracking_commands(rng, tasks, self.steps, self.model_dt, self.limits)
        commands = commands * rng.uniform(0.3, 1.0, size=(tasks, 1, 1))
        phases = (worlds,) if changes is None else changes.draw(rng, worlds, self.steps, self.model_dt)
        seeds = rng.integers(0, 2**31, size=tasks)
        true, observed = simulate_batch(phases[0], commands, self.model_dt, seeds, None, None, *phases[1:])
        inputs, residuals = transitions_of(observed, commands, self.delay_taps, self.model_dt)
        clean_inputs, clean_residuals = transitions_of(true, commands, self.delay_taps, self.model_dt)
        delays = worlds[:, COMMAND_DELAY] + worlds[:, ODOMETRY_DELAY]
        noise = np.mean((residuals - clean_residuals) ** 2, axis=(0, 1))
        return TaskPool(inputs, residuals, clean_inputs, clean_residuals, delays, noise)

    def prior_pool(self, seed: int, tasks: int) -> TaskPool:
        """As :meth:`pool`."""
        return self.pool(seed, tasks)

    def describe(self) -> dict:
        """The attributes."""
        return attrs.asdict(self)
