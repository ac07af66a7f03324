"""One MPPI control step: sample, roll out, score, average."""

from __future__ import annotations

import math
from typing import Protocol

import attrs
import numpy as np

from ..core import se2
from ..core.errors import InvalidValueError, NoValidControlError
from ..core.types import VelocityLimits
from ..dynamics.features import MAX_DELAY_TAPS, input_size
from ..dynamics.residual import ResidualWeights, deviation, open_loop
from . import kernels
from .config import MPPIConfig
from .costmap import Costmap
from .critics import Critic, Rollouts, Scene
from .critics.obstacles import Obstacles
from .critics.uncertainty import Uncertainty
from .rollouts.backends import CompiledRollout, Rollout
from .rollouts.compiled import Tracking, Trajectories, rollout
from .sampling import NoiseSource, Sampler, batch_width


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
        noise_source: what the samples are drawn from; None for :class:`.sampling.Sampler`.
        critics: judge the rollouts besides their distance to the reference and their effort.
        rollout: computes the rollouts of residuals, see :mod:`..dynamics.backends`; None for compiled code.
    """

    def __init__(
        self,
        config: MPPIConfig,
        limits: VelocityLimits,
        seed: int,
        noise_source: NoiseSource | None = None,
        critics: tuple[Critic, ...] = (),
        rollout: Rollout | None = None,
    ):
        self.config = config
        self.limits = limits
        self.critics = critics
        self._sampler = noise_source or Sampler(config, seed)
        self._rollout = rollout or CompiledRollout()
        self._samples = batch_width(config.batch_size)
        steps, samples = config.time_steps, self._samples
        self._commands = np.zeros((steps, 2, samples), dtype=np.float32)
        self._trajectories: Trajectories | None = None  # taken when a model or a caller needs it
        self._costs = np.zeros(samples, dtype=np.float32)
        self._weights = np.zeros(samples, dtype=np.float32)
        self._sequence = np.zeros((steps, 2), dtype=np.float32)
        self._feedforward = np.zeros((steps, 2), dtype=np.float32)
        self._push = np.zeros((steps, 2), dtype=np.float32)
        self._ahead = np.arange(steps, dtype=np.float32)[:, None]
        self._low = limits.low.astype(np.float32)
        self._high = limits.high.astype(np.float32)
        self._fall = np.array([limits.ax_min, -limits.az_max], dtype=np.float32) * np.float32(config.model_dt)
        self._rise = np.array([limits.ax_max, limits.az_max], dtype=np.float32) * np.float32(config.model_dt)
        self._std = np.array([config.vx_std, config.wz_std], dtype=np.float32)
        self._effort = np.array([config.vx_weight, config.wz_weight], dtype=np.float32)
        self._rate = np.array([config.vx_rate_weight, config.wz_rate_weight], dtype=np.float32)
        self._about = self._feedforward if config.effort_about_reference else np.zeros_like(self._feedforward)
        scale = np.ones(steps)
        scale[-1] = config.terminal_scale
        self._tracking = Tracking(config.position_weight * scale, config.heading_weight * scale)
        self._rolled = None  # (weights, twist, history) of the last step, when no trajectories were kept
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
        scene: Scene | None = None,
        push: np.ndarray | None = None,
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
            scene: goal and obstacles, for the critics.
            push: on (v, omega) over the step that begins now, shape (2,), see dynamics.innovations; None
                for nothing. Only a residual has it.

        Raises:
            InvalidValueError: an argument is not finite or has the wrong shape.
            NoValidControlError: every rollout cost is NaN or infinite.
        """
        c = self.config
        state = _shaped("state", state, (5,))
        reference = _shaped("reference", reference, (c.time_steps + 1, 3))
        last = _checked("last_command", last_command, (2,)).astype(np.float32)
        residual = weights is None or isinstance(weights, ResidualWeights)
        past = self._history(history, weights if residual else None)
        if residual and weights is not None and abs(weights.model_dt - c.model_dt) > 1e-6:
            raise InvalidValueError(f"model_dt of the weights must be {c.model_dt} s, got {weights.model_dt}")

        self._push[:] = 0.0
        if residual and weights is not None and push is not None:
            self._push[:] = push * weights.error_model[0] ** self._ahead

        finite = kernels.prepare(
            state, reference, c.model_dt, self._low, self._high, self._tracking.target, self._feedforward
        )
        if not finite:
            for name, value in (("state", state), ("reference", reference)):
                if not np.isfinite(value).all():
                    raise InvalidValueError(f"{name} must be finite")
        if self._fresh:
            self._sequence[:] = self._feedforward
            self._fresh = False
        else:
            steps = max((c.model_dt if elapsed is None else elapsed) / c.model_dt, 0.0)
            kernels.shift(self._sequence, min(steps, float(c.time_steps)))

        for _ in range(c.iteration_count):
            noise = self._sampler.sample()
            kernels.perturb_within_limits(
                self._sequence, noise.values, noise.start, noise.sign, noise.first, noise.share,
                noise.mirrored, self._std, last, self._low, self._high, self._fall, self._rise, self._about,
                self._effort, self._rate, self._commands, self._costs,
            )  # fmt: skip
            if residual:
                t = self._kept() if self.critics else None
                self._rollout(
                    weights, state[3:5], past, self._commands, c.model_dt, t, self._tracking, self._costs,
                    self._push,
                )  # fmt: skip
                self._rolled = None if self.critics else (weights, state[3:5], past)
            else:
                t = self._kept()
                weights.rollout(state, past, self._commands, c.model_dt, t)
                kernels.tracking_cost(
                    t.x, t.y, t.yaw, self._tracking.target, self._tracking.weight, self._costs
                )
                self._rolled = None
            if self.critics:
                self._criticise(t, state, last, scene or Scene(), past, weights)
            lowest = kernels.softmax_weights(self._costs, c.temperature, self._weights)
            if not np.isfinite(lowest):
                raise NoValidControlError("every rollout cost is NaN or infinite")
            np.matmul(
                self._commands.reshape(2 * c.time_steps, self._samples),
                self._weights,
                out=self._sequence.reshape(2 * c.time_steps),
            )
        return MPPIResult(
            command=self._sequence[0].astype(float),
            sequence=self._sequence.astype(float),
            cost=float(lowest),
            effective_samples=float(1.0 / np.dot(self._weights, self._weights)),
        )

    def _criticise(self, t: Trajectories, state, last, scene: Scene, past, weights) -> None:
        rollouts = Rollouts(
            x=t.x,
            y=t.y,
            yaw=t.yaw,
            v=t.v,
            omega=t.omega,
            commands=self._commands,
            state=state,
            target=self._tracking.target.astype(float),
            last_command=last,
            scene=scene,
            model_dt=self.config.model_dt,
            uncertainty=self._uncertainty(t, state, past, weights),
        )
        for critic in self.critics:
            critic.add_to(self._costs, rollouts)

    def _uncertainty(self, t: Trajectories, state, past, weights) -> np.ndarray | None:
        """Deviation of the predicted v of all rollouts, (N, K); None where nobody asks or none is known."""
        known = isinstance(weights, ResidualWeights) and weights.covariance.size
        if not known or not any(isinstance(critic, Uncertainty) for critic in self.critics):
            return None
        steps, _, samples = self._commands.shape
        inputs = np.empty((steps, samples, input_size(weights.delay_taps)), dtype=np.float32)
        for i, (values, start) in enumerate(((t.v, state[3]), (t.omega, state[4]))):
            inputs[0, :, i], inputs[1:, :, i] = start, values[:-1]
        for tap in range(weights.delay_taps + 1):
            columns = inputs[:, :, 2 + 2 * tap : 4 + 2 * tap]
            columns[tap:] = self._commands[: steps - tap].transpose(0, 2, 1)
            columns[:tap] = past[:tap][::-1, None]
        return deviation(weights, inputs)

    def _history(self, history, weights) -> np.ndarray:
        taps = weights.delay_taps if weights is not None else 0
        history = np.asarray(history, dtype=np.float32).reshape(-1, 2)
        if not np.isfinite(history).all():
            raise InvalidValueError("history must be finite")
        if len(history) < max(taps, 1):
            oldest = history[-1:] if len(history) else np.zeros((1, 2), dtype=np.float32)
            history = np.concatenate([history, np.repeat(oldest, MAX_DELAY_TAPS - len(history), axis=0)])
        return np.ascontiguousarray(history)

    def _kept(self) -> Trajectories:
        if self._trajectories is None:
            self._trajectories = Trajectories(self.config.time_steps, self._samples)
        return self._trajectories

    def optimal_trajectory(self, state, history, weights: ResidualWeights | None) -> np.ndarray:
        """Poses along the chosen sequence, shape (time_steps, 3), frame of ``state``."""
        model = weights if weights is not None else ResidualWeights.prior(0, self.config.model_dt)
        past = self._history(history, weights).astype(float)
        state, sequence = np.asarray(state, dtype=float), self._sequence.astype(float)
        return open_loop(model, state, sequence, past, self._push)[:, :3]

    def first_contact(self, state, history, weights, costmap: Costmap) -> float:
        """When the chosen sequence first brings the footprint nearer to an obstacle than it may be [s].

        The footprint is that of the critic ``obstacles``; infinite without it, and when there is no
        contact. A robot that is in contact already may move as long as that does not bring it nearer.
        """
        radius = next((c.footprint_radius for c in self.critics if isinstance(c, Obstacles)), None)
        if radius is None:
            return math.inf
        poses = self.optimal_trajectory(state, history, weights)
        clearance = costmap.distance_at(poses[:, 0], poses[:, 1]) - radius
        now = float(costmap.distance_at(state[0], state[1])) - radius
        touching = np.flatnonzero(clearance < min(now, 0.0))
        return (touching[0] + 1) * self.config.model_dt if len(touching) else math.inf

    def candidates(self, state, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Every (batch_size / count)-th rollout of the last step and its cost.

        Returns:
            Poses (count, time_steps, 3) in the frame of ``state``, costs (count,).
        """
        chosen = np.linspace(0, self._samples - 1, min(count, self.config.batch_size)).astype(int)
        t, columns = self._kept(), chosen
        if self._rolled is not None:
            weights, twist, past = self._rolled
            commands = np.ascontiguousarray(self._commands[:, :, chosen])
            t, columns = Trajectories(self.config.time_steps, len(chosen)), slice(None)
            rollout(weights, twist, past, commands, self.config.model_dt, t, push=self._push)
        local = np.stack([a[:, columns].T for a in (t.x, t.y, t.yaw)], axis=-1).astype(float)
        return se2.compose(np.asarray(state, dtype=float)[:3], local), self._costs[chosen].astype(float)

    def warm_up(self, weights: ResidualWeights | None = None) -> None:
        """Compile every kernel and touch all memory, so that the first step is as fast as the rest."""
        reference = np.zeros((self.config.time_steps + 1, 3))
        wall = Costmap(np.eye(8, dtype=np.int8) * 100, 0.5, (0.0, -1.0))
        scene = Scene(goal=np.ones(3), remaining=0.2, costmap=wall)
        past = np.zeros((MAX_DELAY_TAPS, 2))
        if weights is None or isinstance(weights, ResidualWeights):
            self._rollout.prepare(weights, self.config.time_steps, self._samples)
        for model in (None, weights):
            self.compute_control(np.zeros(5), reference, past, np.zeros(2), model, None, scene)
            if self.critics:
                self.first_contact(np.zeros(5), past, model, wall)
        self.reset()


def _shaped(name: str, value, shape: tuple[int, ...]) -> np.ndarray:
    value = np.ascontiguousarray(value, dtype=float)
    if value.shape != shape:
        raise InvalidValueError(f"{name} must have shape {shape}, got {value.shape}")
    return value


def _checked(name: str, value, shape: tuple[int, ...]) -> np.ndarray:
    value = _shaped(name, value, shape)
    if not np.isfinite(value).all():
        raise InvalidValueError(f"{name} must be finite")
    return value
