"""Half-cheetah with a wanted direction or velocity (Finn et al., ICML 2017, section 5.3), in MuJoCo.

Time step, observations and rewards are those of rllab, in which the published returns were measured: one
step of .01 s an action. The model is the file of the installed gymnasium. All robots are stepped by
mujoco's batched rollout.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import MppiMamlError

NEEDS_RL = "half-cheetah needs gymnasium and mujoco: pip install 'mppi_maml_ros[rl]'"
EFFORT = 0.05  # cost of a squared action
MASS = 14.0  # [kg]
FASTEST = 2.0  # velocities are drawn from 0 to this [m/s]


def load_model() -> Any:
    """MuJoCo's model, from the file in the installed gymnasium.

    Raises:
        MppiMamlError: gymnasium or mujoco is not installed.
    """
    try:
        import gymnasium
        import mujoco
    except ImportError as error:
        raise MppiMamlError(NEEDS_RL) from error
    file = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "half_cheetah.xml"
    text = re.sub(
        r' settotalmass="[0-9.]+"', "", file.read_text(encoding="utf-8")
    )  # mujoco is about to refuse it
    model = mujoco.MjModel.from_xml_string(text)
    # One robot is one: looking for more is dear, where mujoco does it unasked.
    model.opt.disableflags |= getattr(mujoco.mjtDisableBit, "mjDSBL_ISLAND", 0)
    mujoco.mj_setTotalmass(model, MASS)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


class Chain:
    """Where the centre of mass of a planar chain of bodies is, from positions of its joints.

    Args:
        model: MuJoCo's; its first joints slide along x and z, all others turn about y.
    """

    def __init__(self, model: Any) -> None:
        parents, mass = model.body_parentid[1:] - 1, model.body_mass[1:]
        arms = model.body_ipos[1:, 0] + 1j * model.body_ipos[1:, 2]
        links = model.body_pos[1:, 0] + 1j * model.body_pos[1:, 2]
        self._sum, carried = np.eye(len(mass)), mass.copy()  # joints to angles of bodies; mass beyond a joint
        for i, parent in enumerate(parents[1:], start=1):
            self._sum[:, i] += self._sum[:, parent]
        arms = mass * arms
        for i in range(len(mass) - 1, 0, -1):
            carried[parents[i]] += carried[i]
            arms[parents[i]] += carried[i] * links[i]
        self._origin, self._arms = links[0], arms / carried[0]

    def centre(self, positions: np.ndarray) -> np.ndarray:
        """x and z of the centre of mass, (..., 2), of joint positions (..., 2 + bodies)."""
        turns = np.exp(-1j * (positions[..., 2:] @ self._sum))  # about y: x + iz by a negative angle
        centre = positions[..., 0] + 1j * positions[..., 1] + self._origin + turns @ self._arms
        return np.stack([centre.real, centre.imag], axis=-1)


class HalfCheetah:
    """What both families share.

    Args:
        horizon: steps of an episode.

    Raises:
        MppiMamlError: gymnasium or mujoco is not installed.
    """

    observations, actions = 20, 6
    discrete = False

    def __init__(self, horizon: int = 200) -> None:
        self.horizon, self._model = horizon, load_model()
        import mujoco
        from mujoco import rollout

        self._data, self._roll = mujoco.MjData(self._model), rollout.rollout
        self._size = mujoco.mj_stateSize(self._model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        self._chain, self.dt = Chain(self._model), float(self._model.opt.timestep)

    def reset(self, tasks: np.ndarray, trajectories: int, rng: np.random.Generator) -> np.ndarray:
        m, shape = self._model, (len(tasks), trajectories)
        self._wanted = tasks
        self._state = np.zeros((*shape, self._size))  # time, positions, velocities
        self._state[..., 1 : 1 + m.nq] = m.qpos0 + 0.01 * rng.standard_normal((*shape, m.nq))
        self._state[..., 1 + m.nq : 1 + m.nq + m.nv] = 0.1 * rng.standard_normal((*shape, m.nv))
        self._centre = self._chain.centre(self._state[..., 1 : 1 + m.nq])
        return self._observation()

    def _observation(self) -> np.ndarray:
        m = self._model
        joints = self._state[..., 2 : 1 + m.nq + m.nv]  # all but x
        x, z = self._centre[..., :1], self._centre[..., 1:]
        return np.concatenate([joints, x, np.zeros_like(x), z], axis=-1).astype(np.float32)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        m, shape = self._model, self._state.shape[:2]
        control = np.clip(actions, -1.0, 1.0).astype(np.float64)
        state, _ = self._roll(
            m, self._data, self._state.reshape(-1, self._size), control.reshape(-1, 1, m.nu), nstep=1
        )
        self._state = state.reshape(*shape, self._size)
        centre = self._chain.centre(self._state[..., 1 : 1 + m.nq])
        velocity = (centre[..., 0] - self._centre[..., 0]) / self.dt
        self._centre = centre
        rewards = self._reward(velocity) - EFFORT * (control**2).sum(axis=-1)
        return self._observation(), rewards.astype(np.float32), np.zeros(shape, dtype=bool)

    def _reward(self, velocity: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class CheetahDirection(HalfCheetah):
    """Run forward or backward: the velocity of the centre of mass counts, with a sign."""

    def sample_tasks(self, rng: np.random.Generator, tasks: int) -> np.ndarray:
        """1 or -1, (T, 1)."""
        return np.where(rng.random((tasks, 1)) < 0.5, -1.0, 1.0)

    def _reward(self, velocity: np.ndarray) -> np.ndarray:
        return self._wanted * velocity


class CheetahVelocity(HalfCheetah):
    """Run with a wanted velocity: its distance from that of the centre of mass counts."""

    def sample_tasks(self, rng: np.random.Generator, tasks: int) -> np.ndarray:
        """Velocities [m/s], (T, 1)."""
        return rng.uniform(0.0, FASTEST, (tasks, 1))

    def _reward(self, velocity: np.ndarray) -> np.ndarray:
        return -np.abs(velocity - self._wanted)
