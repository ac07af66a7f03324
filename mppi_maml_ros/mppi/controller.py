"""One MPPI control step: sample, roll out, score, average."""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np

from ..core import se2
from ..core.errors import InvalidValueError, NoValidControlError
from ..core.types import VelocityLimits
from ..dynamics.features import MAX_DELAY_TAPS
from ..dynamics.residual import ResidualWeights, open_loop, step
from ..dynamics.rollout import Trajectories, rollout
from . import kernels
from .config import MPPIConfig
from .sampling import Sampler


class RolloutModel(Protocol):
    """Any model that rolls out a batch; what a residual snapshot does in compiled code."""

    def rollout(
        self, state, history: np.ndarray, commands: np.ndarray, model_dt: float, out: Trajectories
    ) -> None:
        """Fill ``out`` (poses relative to ``state``) for commands (N, 2, K) float32."""


@attrs.frozen(eq=False)
class MPPIResult:
    """Outcome of one step.

    Attributes:
        command: (v [m/s], omega [rad/s]) for now, shape (2,).
        sequence: the whole optimal command sequence, shape (time_steps, 2).
        cost: lowest rollout cost.
        effective_samples: 1 / sum(w^2); how many rollouts share the decision.
    """

    command: np.ndarray
    sequence: np.ndarray
    cost: float
    effective_samples: float


class MPPIController:
    """MPPI over the kinematic prior plus a residual.

    Not thread-safe: one control loop owns it. A step reads one weights snapshot from its
    argument and no other state of the learner.

    Args:
        config: tunables.
        limits: velocity and acceleration limits, respected by every rollout.
        seed: of the sampler.
    """

    def __init__(self, config: MPPIConfig, limits: VelocityLimits, seed: int):
        self.config = config
        self.limits = limits
        self._sampler = Sampler(config, seed)
        shape = (config.time_steps, 2, config.batch_size)
        self._commands = np.zeros(shape, dtype=np.float32)
        self._trajectories = Trajectories(config.time_steps, config.batch_size)
        self._costs = np.zeros(config.batch_size, dtype=np.float32)
        self._weights = np.zeros(config.batch_size, dtype=np.float32)
        self._sequence = np.zeros((config.time_steps, 2), dtype=np.float32)
        self._low = limits.low.astype(np.float32)
        self._high = limits.high.astype(np.float32)
        self._fall = np.array([limits.ax_min, -limits.az_max], dtype=np.float32) * np.float32(config.model_dt)
        self._rise = np.array([limits.ax_max, limits.az_max], dtype=np.float32) * np.float32(config.model_dt)
        self._effort = np.array([config.vx_weight, config.wz_weight], dtype=np.float32)
        self._rate = np.array([config.vx_rate_weight, config.wz_rate_weight], dtype=np.float32)
        self._fresh = True

    def reset(self) -> None:
        """Forget the warm start."""
        self._sequence[:] = 0.0
        self._fresh = True

    def compute_control(
        self,
        state,
        reference,
        history,
        last_command,
        weights: ResidualWeights | RolloutModel | None,
        elapsed: float | None = None,
    ) -> MPPIResult:
        """Choose the command to hold from now on.

        Args:
            state: (x, y, yaw, v, omega) now, shape (5,).
            reference: wanted poses at 0, model_dt, ... ahead, shape (time_steps + 1, 3), frame of ``state``.
            history: mean commands of the steps before now, newest first, shape (D, 2); a
                model with more delay taps than D takes the oldest for those before it.
            last_command: command in force until now, shape (2,); acceleration limits start from it.
            weights: residual snapshot, or another model; None for the kinematic prior.
            elapsed: time since the previous call [s], by which the warm start moves on;
                None for model_dt.

        Raises:
            InvalidValueError: an argument is not finite or has the wrong shape.
            NoValidControlError: every rollout cost is NaN or infinite.
        """
        c = self.config
        state = _checked("state", state, (5,))
        reference = _checked("reference", reference, (c.time_steps + 1, 3))
        last = _checked("last_command", last_command, (2,)).astype(np.float32)
        residual = weights is None or isinstance(weights, ResidualWeights)
        past = self._history(history, weights if residual else None)
        if residual and weights is not None and abs(weights.model_dt - c.model_dt) > 1e-6:
            raise InvalidValueError(f"model_dt of the weights must be {c.model_dt} s, got {weights.model_dt}")

        local = se2.to_body(reference, state[:3])
        local[:, 2] = np.unwrap(local[:, 2])
        target = local[1:].astype(np.float32)
        about = np.zeros((c.time_steps, 2), dtype=np.float32)
        feedforward = se2.displacement_twist(local[:-1], local[1:], c.model_dt)[:, [0, 2]]
        if c.effort_about_reference:
            about[:] = np.clip(feedforward, self.limits.low, self.limits.high)
        if self._fresh:
            self._sequence[:] = np.clip(feedforward, self.limits.low, self.limits.high)
            self._fresh = False
        else:
            self._shift(c.model_dt if elapsed is None else elapsed)

        t = self._trajectories
        for _ in range(c.iteration_count):
            noise = self._sampler.sample()
            kernels.perturb_within_limits(
                self._sequence, noise, last, self._low, self._high, self._fall, self._rise, self._commands
            )
            if residual:
                rollout(weights, state[3:5], past, self._commands, c.model_dt, t)
            else:
                weights.rollout(state, past, self._commands, c.model_dt, t)
            self._costs[:] = 0.0
            kernels.tracking_cost(
                t.x, t.y, t.yaw, target, c.position_weight, c.heading_weight, c.terminal_scale, self._costs
            )
            kernels.effort_cost(self._commands, about, self._effort, self._costs)
            kernels.rate_cost(self._commands, last, self._rate, self._costs)
            lowest = kernels.softmax_weights(self._costs, c.temperature, self._weights)
            if not np.isfinite(lowest):
                raise NoValidControlError("every rollout cost is NaN or infinite")
            np.matmul(
                self._commands.reshape(2 * c.time_steps, c.batch_size),
                self._weights,
                out=self._sequence.reshape(2 * c.time_steps),
            )
        return MPPIResult(
            command=self._sequence[0].astype(float),
            sequence=self._sequence.astype(float),
            cost=float(lowest),
            effective_samples=float(1.0 / np.dot(self._weights, self._weights)),
        )

    def _history(self, history, weights) -> np.ndarray:
        taps = weights.delay_taps if weights is not None else 0
        history = np.asarray(history, dtype=np.float32).reshape(-1, 2)
        if not np.isfinite(history).all():
            raise InvalidValueError("history must be finite")
        if len(history) < max(taps, 1):
            oldest = history[-1:] if len(history) else np.zeros((1, 2), dtype=np.float32)
            history = np.concatenate([history, np.repeat(oldest, MAX_DELAY_TAPS - len(history), axis=0)])
        return np.ascontiguousarray(history)

    def _shift(self, elapsed: float) -> None:
        """Move the warm start on by ``elapsed`` [s]; the last command is repeated."""
        steps = min(max(elapsed / self.config.model_dt, 0.0), float(self.config.time_steps))
        whole = int(steps)
        if whole:
            self._sequence[: -whole or None] = self._sequence[whole:]
            self._sequence[-whole:] = self._sequence[-whole - 1] if whole < len(self._sequence) else 0.0
        share = np.float32(steps - whole)
        if share > 1e-3:
            self._sequence[:-1] += share * (self._sequence[1:] - self._sequence[:-1])

    def predict(self, state, history, duration: float, weights: ResidualWeights | None) -> np.ndarray:
        """Move a state ahead by ``duration`` under the newest command of ``history``.

        Args:
            state: (x, y, yaw, v, omega) at its stamp, shape (5,).
            history: mean commands, newest first, shape (D, 2); history[0] acts meanwhile.
            duration: how far ahead [s], 0 to 4 model_dt; clipped to that.
            weights: residual snapshot; None for the kinematic prior.

        Returns:
            The predicted state, shape (5,).
        """
        dt = self.config.model_dt
        left = min(max(float(duration), 0.0), 4.0 * dt)
        past = self._history(history, weights).astype(float)
        state = np.asarray(state, dtype=float)
        model = weights if weights is not None else ResidualWeights.prior(0, dt)
        command = past[0]
        older = past[1:] if len(past) > 1 else past
        if len(older) < model.delay_taps:
            older = np.concatenate([older, np.repeat(older[-1:], model.delay_taps - len(older), axis=0)])
        while left > 1e-9:
            piece = min(left, dt)
            twist = state[3:5]
            state = step(model, state, command, older, piece)
            if model.is_prior:
                state[3:5] = twist  # the prior says nothing of the measured twist
            older = np.concatenate([command[None], older[:-1]]) if len(older) else older
            left -= piece
        return state

    def optimal_trajectory(self, state, history, weights: ResidualWeights | None) -> np.ndarray:
        """Poses along the chosen sequence, shape (time_steps, 3), frame of ``state``."""
        model = weights if weights is not None else ResidualWeights.prior(0, self.config.model_dt)
        past = self._history(history, weights).astype(float)
        return open_loop(model, np.asarray(state, dtype=float), self._sequence.astype(float), past)[:, :3]

    def candidates(self, state, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Every (batch_size / count)-th rollout of the last step and its cost.

        Returns:
            Poses (count, time_steps, 3) in the frame of ``state``, costs (count,).
        """
        chosen = np.linspace(0, self.config.batch_size - 1, min(count, self.config.batch_size)).astype(int)
        t = self._trajectories
        local = np.stack([t.x[:, chosen].T, t.y[:, chosen].T, t.yaw[:, chosen].T], axis=-1).astype(float)
        return se2.compose(np.asarray(state, dtype=float)[:3], local), self._costs[chosen].astype(float)

    def warm_up(self, weights: ResidualWeights | None = None) -> None:
        """Compile every kernel and touch all memory, so that the first step is as fast as the rest."""
        reference = np.zeros((self.config.time_steps + 1, 3))
        for model in (None, weights):
            self.compute_control(np.zeros(5), reference, np.zeros((MAX_DELAY_TAPS, 2)), np.zeros(2), model)
        self.reset()


def _checked(name: str, value, shape: tuple[int, ...]) -> np.ndarray:
    value = np.asarray(value, dtype=float)
    if value.shape != shape:
        raise InvalidValueError(f"{name} must have shape {shape}, got {value.shape}")
    if not np.isfinite(value).all():
        raise InvalidValueError(f"{name} must be finite")
    return value
