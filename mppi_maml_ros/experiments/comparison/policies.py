"""Contenders that bring a controller of their own: policies learned by reinforcement, in place of MPPI."""

from __future__ import annotations

import copy
import functools

import numpy as np

from ...policies.acting import FOLDER, PolicyController, RobotPolicy
from ...policies.environments import tracking
from ...policies.environments.tracking import WINDOW, ReferenceTracking
from ...simulation.world import World

POLICIES = ("trpo", "maml_rl", "rl2", "gmps_policy")
ADAPTATION = 7  # with a run's seed: of the trajectories that a policy adapts on


@functools.cache
def packaged(name: str) -> RobotPolicy:
    """The policy of that name that comes with the package."""
    return RobotPolicy.load(FOLDER / f"{name}.safetensors")


def policy_controller(name: str, world: World, seed: int) -> PolicyController:
    """What drives by the packaged policy; one that adapts has driven copies of ``world`` before."""
    policy = packaged(name)
    if policy.robot_steps:
        from ...policies.robot_policies import adapted  # needs torch, which driving does not

        environment = WorldTracking(world, int(policy.notes["horizon"]))
        policy = adapted(policy, environment, np.random.default_rng([seed, ADAPTATION]))
    return PolicyController(policy)


class WorldTracking(ReferenceTracking):
    """Reference tracking by copies of a world, each with noise of its own; seen is their odometry.

    Args:
        world: is copied as it is, its disturbances included.
    """

    def __init__(self, world: World, horizon: int) -> None:
        super().__init__(horizon)
        self._world = world

    def reset(self, tasks: np.ndarray, trajectories: int, rng: np.random.Generator) -> np.ndarray:
        shape = (len(tasks), trajectories)
        self._reference, self._at = tracking.references(rng, shape, self.horizon + WINDOW), 0
        self._worlds = [copy.deepcopy(self._world) for _ in range(len(tasks) * trajectories)]
        starts = rng.uniform(-1.0, 1.0, (len(self._worlds), 3)) * tracking.OFF
        for world, start in zip(self._worlds, starts, strict=True):
            world.reset(start, int(rng.integers(2**31)))
        self._last = np.zeros((*shape, 2))
        return self._observation()

    @property
    def _state(self) -> np.ndarray:
        return np.array([world.odometry() for world in self._worlds]).reshape(*self._last.shape[:2], 5)

    def _observation(self) -> np.ndarray:
        return tracking.observe(self._state, self._window, self._last)

    def _drive(self, commands: np.ndarray) -> None:
        self._last = commands
        for world, command in zip(self._worlds, commands.reshape(-1, 2), strict=True):
            world.step(command, tracking.DT)
