"""The oracle: MPPI rollouts by a world's exact, current equations; the yardstick for every model."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.angles import wrap
from ..core.kernels.cache import njit
from ..core.types import Array, Float32
from ..dynamics.robot_model import RobotModel
from ..mppi.rollouts.base import RolloutRequest, Trajectories
from ..simulation.firmware import STATES, advance, advance_delayed
from ..simulation.firmware_parameters import DELAY
from ..simulation.firmware_world import FirmwareEquations
from ..simulation.world import Equations, World
from ..simulation.worlds import propagate, propagate_delayed, split_delay


@njit(cache=True)
def _rollout(
    kind: int, start: Array, commands: Float32, history: Array, whole: int, late: float, dt: float,
    vector: Array, acceleration_v: float, acceleration_omega: float,
    out_x: Float32, out_y: Float32, out_yaw: Float32, out_v: Float32, out_omega: Float32,
) -> None:  # fmt: skip
    steps, _, samples = commands.shape
    cos, sin = np.cos(start[2]), np.sin(start[2])
    for j in range(samples):
        x, y, yaw, v, omega = start
        for t in range(steps):
            i = t - whole
            if i >= 0:
                newer_v, newer_omega = commands[i, 0, j], commands[i, 1, j]
            else:
                newer_v, newer_omega = history[-i - 1, 0], history[-i - 1, 1]
            i -= 1
            if i >= 0:
                older_v, older_omega = commands[i, 0, j], commands[i, 1, j]
            else:
                older_v, older_omega = history[-i - 1, 0], history[-i - 1, 1]
            x, y, yaw, v, omega = propagate_delayed(
                kind, x, y, yaw, v, omega, older_v, older_omega, newer_v, newer_omega,
                late, dt, vector, acceleration_v, acceleration_omega,
            )  # fmt: skip
            dx, dy = x - start[0], y - start[1]
            out_x[t, j] = cos * dx + sin * dy
            out_y[t, j] = cos * dy - sin * dx
            out_yaw[t, j] = yaw - start[2]
            out_v[t, j] = v
            out_omega[t, j] = omega


@njit(cache=True)
def _issued(commands: Float32, past: Array, i: int, axis: int, j: int) -> float:
    return commands[i, axis, j] if i >= 0 else past[-i - 1, axis]


@njit(cache=True)
def _roll_firmware(
    hidden: Array, commands: Float32, past: Array, whole: NDArray[np.int64], late: Array, dt: float,
    vector: Array, out_x: Float32, out_y: Float32, out_yaw: Float32, out_v: Float32, out_omega: Float32,
) -> None:  # fmt: skip
    steps, _, samples = commands.shape
    x, y, yaw = hidden[0], hidden[1], hidden[2]
    cos, sin = np.cos(yaw), np.sin(yaw)
    s = np.empty(STATES)
    for j in range(samples):
        s[:] = hidden
        for t in range(steps):
            i, k = t - whole[0], t - whole[1]
            advance_delayed(
                s, _issued(commands, past, i - 1, 0, j), _issued(commands, past, i, 0, j), late[0],
                _issued(commands, past, k - 1, 1, j), _issued(commands, past, k, 1, j), late[1], dt, vector,
            )  # fmt: skip
            dx, dy = s[0] - x, s[1] - y
            out_x[t, j] = cos * dx + sin * dy
            out_y[t, j] = cos * dy - sin * dx
            out_yaw[t, j] = s[2] - yaw
            out_v[t, j] = s[3]
            out_omega[t, j] = s[4]


class Oracle:
    """Rolls out a world's present equations (no noise), delay and acting disturbances included.

    Args:
        world: read anew at every rollout.
        frozen: True: the equations of the first rollout are kept, however the world changes
            (a model that was right once). What state odometry does not show is read anew all the same.
    """

    def __init__(self, world: World, frozen: bool = False) -> None:
        self._world, self._frozen = world, frozen
        self._equations: Equations | None = None

    def rollout(self, request: RolloutRequest, out: Trajectories) -> None:
        """See :class:`mppi.rollouts.base.RolloutModel`."""
        if self._equations is None or not self._frozen:
            self._equations = self._world.equations()
        e = self._equations
        if isinstance(e, FirmwareEquations):
            self._rollout_firmware(e, request, out)
            return
        whole, late = split_delay(e.command_delay, request.model_dt)
        past = np.zeros((max(whole + 1, len(request.history)), 2))
        past[: len(request.history)] = request.history
        _rollout(
            e.kind, request.state, request.commands, past, whole, late, request.model_dt,
            e.vector, e.acceleration_v, e.acceleration_omega, out.x, out.y, out.yaw, out.v, out.omega,
        )  # fmt: skip

    def _rollout_firmware(self, e: FirmwareEquations, request: RolloutRequest, out: Trajectories) -> None:
        now = self._world.equations() if self._frozen else e
        assert isinstance(now, FirmwareEquations)
        hidden = now.hidden.copy()
        hidden[:5] = request.state
        model_dt = request.model_dt
        delays = [split_delay(delay, model_dt) for delay in e.vector[DELAY : DELAY + 2]]
        whole, late = np.array([d[0] for d in delays]), np.array([d[1] for d in delays])
        past = now.past(model_dt, int(whole.max()) + 1)
        _roll_firmware(
            hidden, request.commands, past, whole, late, model_dt, e.vector,
            out.x, out.y, out.yaw, out.v, out.omega,
        )  # fmt: skip


class OracleModel(RobotModel):
    """A world's present equations as a robot model: no noise, no command delay.

    State that odometry does not show is the world's own at the call.

    Args:
        world: read anew at every call.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def state_dim(self) -> int:
        return 5

    @property
    def model_type(self) -> str:
        return "dynamic"

    def step(self, state: ArrayLike, control: ArrayLike, dt: float) -> np.ndarray:
        """As the world would move under an acting command, exactly."""
        state, control = self._checked(state, control)
        e = self._world.equations()
        pairs = zip(state.reshape(-1, 5), control.reshape(-1, 2), strict=True)
        if isinstance(e, FirmwareEquations):
            after = np.array([_firmware_step(e, *pair, dt) for pair in pairs]).reshape(state.shape)
        else:
            after = np.array(
                [
                    # mypy cannot know that these are five numbers and two
                    propagate(e.kind, *s, *u, dt, e.vector, e.acceleration_v, e.acceleration_omega)  # type: ignore[call-arg]
                    for s, u in pairs
                ]
            ).reshape(state.shape)
        after[..., 2] = wrap(after[..., 2])
        return after

    def forward_dynamics(self, state: ArrayLike, control: ArrayLike) -> np.ndarray:
        """Mean change over the next microsecond: the equations jump where friction changes sign."""
        state, control = self._checked(state, control)
        change = self.step(state, control, 1e-6) - state
        change[..., 2] = wrap(change[..., 2])
        return change / 1e-6


def _firmware_step(e: FirmwareEquations, state: np.ndarray, control: np.ndarray, dt: float) -> np.ndarray:
    whole = e.hidden.copy()
    whole[:5] = state
    v, omega = control
    advance(whole, v, omega, dt, e.vector)
    return whole[:5]
