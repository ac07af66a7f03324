"""One MPPI control step: sample, roll out, score, average."""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core import se2
from ..core.errors import InvalidValueError, NoValidControlError
from ..core.types import Array, Float32, VelocityLimits
from ..dynamics.features import input_size
from ..dynamics.residual import ResidualWeights, deviation, open_loop
from . import kernels
from .config import MPPIConfig
from .costmap import Costmap
from .critics import CompiledCritic, Critic, Rollouts, Scene, Situation
from .jury import Jury
from .proposal import Proposal
from .rollouts.base import Model, Rollout, RolloutRequest, Tracking, Trajectories
from .rollouts.compiled import CompiledRollout
from .sampling import NoiseSource, Sampler, batch_width
from .validation import first_contact

SLOWEST = 0.95  # of what is left of a velocity after a step, from which noise is measured
CATCH_UP = 1.5  # [1/s] speed for each metre that the robot is off, to which samples reach


@attrs.frozen(eq=False)
class MPPIResult:
    """Outcome of one step.

    Attributes:
        command: (v [m/s], omega [rad/s]) for now, shape (2,).
        sequence: the whole optimal command sequence, shape (time_steps, 2).
        cost: lowest rollout cost.
        effective_samples: 1 / sum(w^2); how many rollouts share the decision.
    """

    command: Array
    sequence: Array
    cost: float
    effective_samples: float


class MPPIController:
    """MPPI over the kinematic prior plus a residual, or over any other model of the robot.

    Not thread-safe: one control loop owns it. A step reads one weights snapshot from its
    argument and no other state of the learner.

    Args:
        config: tunables.
        limits: velocity and acceleration limits, respected by every rollout.
        seed: of the sampler.
        noise_source: what the samples are drawn from; None for :class:`.sampling.Sampler`.
        critics: judge the rollouts besides their distance to the reference and their effort.
        rollout: where rollouts are computed, see :mod:`.rollouts.backends`; None for compiled code.
        proposal: asked once a step for a sequence that takes the place of a sample; None for none.

    Attributes:
        command_per_speed: command that makes a steady (v, omega) of 1 in the end, shape (2,); from what makes
            the reference's velocity so, effort is counted.
        footprint: of the first critic that judges one; None where none does.
    """

    def __init__(
        self,
        config: MPPIConfig,
        limits: VelocityLimits,
        seed: int,
        noise_source: NoiseSource | None = None,
        critics: tuple[Critic, ...] = (),
        rollout: Rollout | None = None,
        proposal: Proposal | None = None,
    ) -> None:
        self.config = config
        self.limits = limits
        self._sampler: NoiseSource = noise_source or Sampler(config, seed)
        self._rollout: Rollout = rollout or CompiledRollout()
        self._proposal = proposal
        self._samples = batch_width(config.batch_size)
        steps, samples = config.time_steps, self._samples
        self._commands = np.zeros((steps, 2, samples), dtype=np.float32)
        self._weights = np.zeros(samples, dtype=np.float32)
        self._sequence = np.zeros((steps, 2), dtype=np.float32)
        self._feedforward = np.zeros((steps, 2), dtype=np.float32)
        self.command_per_speed: Array = np.ones(2)
        self._ahead = np.arange(steps, dtype=np.float32)[:, None]
        self._low = limits.low.astype(np.float32)
        self._high = limits.high.astype(np.float32)
        self._quicker, self._slower = (
            (rate * config.model_dt).astype(np.float32) for rate in (limits.acceleration, limits.deceleration)
        )
        self._std = np.array([config.vx_std, config.wz_std], dtype=np.float32)
        self._effort = np.array([config.vx_weight, config.wz_weight], dtype=np.float32)
        self._rate = np.array([config.vx_rate_weight, config.wz_rate_weight], dtype=np.float32)
        self._about = self._feedforward if config.effort_about_reference else np.zeros_like(self._feedforward)
        scale = np.ones(steps)
        scale[-1] = config.terminal_scale
        self._tracking = Tracking(config.position_weight * scale, config.heading_weight * scale)
        self._request = RolloutRequest(self._commands, config.model_dt, tracking=self._tracking)
        self._costs = self._request.costs
        self.critics = critics
        self._model: Model = None  # of the last step
        self._situation: Situation | None = None  # likewise
        self._fresh = True

    @property
    def critics(self) -> tuple[Critic, ...]:
        """What judges the rollouts besides tracking and effort; may be set between two steps."""
        return self._critics

    @critics.setter
    def critics(self, critics: tuple[Critic, ...]) -> None:
        self._critics = critics
        outlines = (critic.outline for critic in critics)
        self.footprint = next((outline for outline in outlines if outline is not None), None)
        self._asks_for_uncertainty = any(critic.asks_for_uncertainty for critic in critics)
        compiled = [critic for critic in critics if isinstance(critic, CompiledCritic)]
        self._others = [critic for critic in critics if not isinstance(critic, CompiledCritic)]
        self._jury = Jury(compiled, self.config.time_steps) if compiled else None
        if self._jury is not None:
            self._jury.target = self._tracking.target
            # Beyond it, all weights together are less than a millionth of the largest. What others would say
            # of a rollout is not known while the jury sits.
            margin = self.config.temperature * math.log(1e6 * self._samples)
            self._jury.margin = np.inf if self._others else margin
        self._request.out = None
        if self._others:
            self._request.kept()

    def reset(self) -> None:
        """Forget the warm start."""
        self._sequence[:] = 0.0
        self._fresh = True

    def compute_control(
        self,
        state: ArrayLike,
        reference: ArrayLike,
        history: ArrayLike,
        last_command: ArrayLike,
        weights: Model,
        elapsed: float | None = None,
        scene: Scene | None = None,
        push: Array | None = None,
        change: Array | None = None,
    ) -> MPPIResult:
        """Choose the command to hold from now on.

        Args:
            state: (x, y, yaw, v, omega) now, shape (5,).
            reference: wanted poses at 0, model_dt, ... ahead, shape (time_steps + 1, 3), frame of ``state``.
            history: mean commands of the steps before now, newest first, shape (D, 2); what lies
                before them is taken to be the oldest of them.
            last_command: command in force until now, shape (2,); acceleration limits start from it.
            weights: residual snapshot, or another model; None for the kinematic prior.
            elapsed: time since the previous call [s], by which the warm start moves on;
                None for model_dt.
            scene: goal and obstacles, for the critics.
            push: on (v, omega) over the step that begins now, shape (2,), see dynamics.innovations; None
                for nothing. Only a residual has it.
            change: of (v, omega) over the step before, shape (2,), see dynamics.observer; None for nothing.

        Raises:
            InvalidValueError: an argument is not finite or has the wrong shape.
            NoValidControlError: every rollout cost is NaN or infinite.
        """
        c = self.config
        state = _shaped("state", state, (5,))
        reference = _shaped("reference", reference, (c.time_steps + 1, 3))
        last = _checked("last_command", last_command, (2,)).astype(np.float32)
        request, self._model = self._request, weights
        request.state = state
        _remember(history, request.history)
        request.push[:] = 0.0
        request.change[:] = 0.0 if change is None else change
        if isinstance(weights, ResidualWeights):
            weights.check_step(c.model_dt)
            if push is not None:
                request.push[:] = push * weights.error_model[0] ** self._ahead

        finite = kernels.prepare(
            state, reference, c.model_dt, self._low, self._high, self._tracking.target, self._feedforward
        )
        if not finite:
            for name, value in (("state", state), ("reference", reference)):
                if not np.isfinite(value).all():
                    raise InvalidValueError(f"{name} must be finite")
        if (self.command_per_speed != 1.0).any():
            np.multiply(self._feedforward, self.command_per_speed, out=self._feedforward, casting="same_kind")
            np.clip(self._feedforward, self._low, self._high, out=self._feedforward)
        if self._fresh:
            self._sequence[:] = self._feedforward
            self._fresh = False
        else:
            steps = max((c.model_dt if elapsed is None else elapsed) / c.model_dt, 0.0)
            kernels.shift(self._sequence, min(steps, float(c.time_steps)))

        situation = Situation(
            state=state,
            target=self._tracking.target,
            last_command=last,
            scene=scene or Scene(),
            model_dt=c.model_dt,
        )
        self._situation, jury = situation, self._jury
        request.jury = jury if jury is not None and jury.prepare(situation) else None
        scale = self._scale(weights, state)
        proposed = None
        if self._proposal is not None:
            asked = (state, reference, request.history.astype(float), last.astype(float), weights)
            proposed = _shaped("a proposal", self._proposal(*asked), (c.time_steps, 2)).astype(np.float32)
        for _ in range(c.iteration_count):
            noise = self._sampler.sample()
            kernels.perturb_within_limits(
                self._sequence, noise.values, noise.start, noise.sign, noise.first, noise.share,
                noise.mirrored, scale, last, self._low, self._high, self._quicker, self._slower,
                self._about, self._effort, self._rate, self._commands, self._costs,
            )  # fmt: skip
            if proposed is not None:
                kernels.propose(
                    proposed, last, self._low, self._high, self._quicker, self._slower,
                    self._about, self._effort, self._rate, self._commands, self._costs,
                )  # fmt: skip
            self._rollout(weights, request)
            if self._others:
                self._criticise(situation)
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

    def _scale(self, weights: Model, state: Array) -> Float32:
        """Of the noise: beyond its limits a robot answers all commands alike, and noise makes it restless.

        So where there are limits, samples reach as far as it answers a step, and as far as it is off.
        """
        if not (isinstance(weights, ResidualWeights) and weights.is_limited):
            return self._std
        change = np.sqrt(weights.acceleration[0] * weights.acceleration[1]) * self.config.model_dt
        answer = 1.0 - np.clip(np.diag(weights.linear)[:2], 0.0, SLOWEST)
        x, y, turn = self._tracking.target[0]
        off = np.hypot(x, y) + np.array([0.0, abs(turn)])
        off = np.abs(self._feedforward[0] / self.command_per_speed - state[3:]) + CATCH_UP * off
        scale: Float32 = np.minimum(self._std, change / answer + off).astype(np.float32)
        return scale

    def _criticise(self, situation: Situation) -> None:
        rollouts = self._rollouts(situation, self._request.kept(), self._commands)
        for critic in self._others:
            critic.add_to(self._costs, rollouts)

    def _rollouts(self, situation: Situation, t: Trajectories, commands: Float32) -> Rollouts:
        return Rollouts(
            x=t.x,
            y=t.y,
            yaw=t.yaw,
            v=t.v,
            omega=t.omega,
            commands=commands,
            state=situation.state,
            target=situation.target.astype(float),
            last_command=situation.last_command,
            scene=situation.scene,
            model_dt=situation.model_dt,
            uncertainty=self._uncertainty(t, commands),
        )

    def _uncertainty(self, t: Trajectories, commands: Float32) -> np.ndarray | None:
        """Deviation of the predicted v of all rollouts, (N, K); None where nobody asks or none is known."""
        weights, state, past = self._model, self._request.state, self._request.history
        if not (self._asks_for_uncertainty and isinstance(weights, ResidualWeights)):
            return None
        if not weights.covariance.size:
            return None
        steps, _, samples = commands.shape
        inputs = np.empty((steps, samples, input_size(weights.delay_taps)), dtype=np.float32)
        for i, (values, start) in enumerate(((t.v, state[3]), (t.omega, state[4]))):
            inputs[0, :, i], inputs[1:, :, i] = start, values[:-1]
        for axis, late in enumerate(weights.transport_delay):
            for tap in range(weights.delay_taps + 1):
                ago = min(tap + late, steps)
                column = inputs[:, :, 2 + 2 * tap + axis]
                column[ago:] = commands[: steps - ago, axis]
                column[:ago] = past[tap + late - ago : tap + late, axis][::-1, None]
        return deviation(weights, inputs)

    def optimal_trajectory(self, state: ArrayLike, history: ArrayLike, weights: Model) -> Array:
        """Poses along the chosen sequence, shape (time_steps, 3), frame of ``state``."""
        if not (weights is None or isinstance(weights, ResidualWeights)):
            only = self._sequence[:, :, None].copy()
            again = attrs.evolve(self._request, commands=only, tracking=None, jury=None, out=None)
            t = again.kept()
            weights.rollout(again, t)
            local = np.concatenate([t.x, t.y, t.yaw], axis=1).astype(float)
            return se2.compose(np.asarray(state, dtype=float)[:3], local)
        model = weights if weights is not None else ResidualWeights.prior(0, self.config.model_dt)
        past = np.empty_like(self._request.history)
        _remember(history, past)
        state, sequence = np.asarray(state, dtype=float), self._sequence.astype(float)
        if model.has_momentum:
            state = np.concatenate([state, self._request.change])
        return open_loop(model, state, sequence, past.astype(float), self._request.push)[:, :3]

    def terms(self) -> tuple[float, ...]:
        """What the chosen sequence costs: its distance to the reference, its commands, and each critic.

        Returns:
            In the order of the critics; empty before the first step.
        """
        if self._situation is None:
            return ()
        chosen = np.ascontiguousarray(self._sequence[:, :, None])
        costs = np.zeros(1, dtype=np.float32)
        request = attrs.evolve(self._request, commands=chosen, jury=None, costs=costs, out=None)
        t = request.kept()
        self._rollout(self._model, request)
        changes = np.diff(self._sequence, axis=0, prepend=self._situation.last_command[None])
        effort = self._effort * (self._sequence - self._about) ** 2 + self._rate * changes**2
        found = [float(costs[0]), float(effort.sum())]
        rollouts = self._rollouts(self._situation, t, chosen)
        for critic in self._critics:
            costs[:] = 0.0
            critic.add_to(costs, rollouts)
            found.append(float(costs[0]))
        return tuple(found)

    def candidates(self, state: ArrayLike, count: int) -> tuple[Array, Array]:
        """Every (batch_size / count)-th rollout of the last step and its cost.

        The cost of one that could not matter any more is what it had come to by then.

        Returns:
            Poses (count, time_steps, 3) in the frame of ``state``, costs (count,).
        """
        chosen = np.linspace(0, self._samples - 1, min(count, self.config.batch_size)).astype(int)
        t = self._request.out
        if t is not None:
            kept = [values[:, chosen] for values in (t.x, t.y, t.yaw)]
        else:
            commands = np.ascontiguousarray(self._commands[:, :, chosen])
            again = attrs.evolve(
                self._request, commands=commands, tracking=None, jury=None, costs=self._costs[chosen]
            )
            t = again.kept()
            CompiledRollout()(self._model, again)
            kept = [t.x, t.y, t.yaw]
        local = np.stack([values.T for values in kept], axis=-1).astype(float)
        return se2.compose(np.asarray(state, dtype=float)[:3], local), self._costs[chosen].astype(float)

    def warm_up(self, weights: Model = None) -> None:
        """Compile every kernel and touch all memory, so that the first step is as fast as the rest."""
        reference = np.zeros((self.config.time_steps + 1, 3))
        wall = Costmap(np.eye(8, dtype=np.int8) * 100, 0.5, (0.0, -1.0))
        start, past = np.zeros(5), np.zeros((1, 2))
        self._rollout.prepare(weights, self.config.time_steps, self._samples)
        for model in (None, weights):
            for remaining in (0.2, np.inf):
                scene = Scene(goal=np.ones(3), remaining=remaining, costmap=wall)
                self.compute_control(start, reference, past, np.zeros(2), model, None, scene)
        if self.footprint is not None:
            poses = self.optimal_trajectory(start, past, None)
            first_contact(poses, start, wall, self.footprint, self.config.model_dt)
        self.reset()


def _remember(history: ArrayLike, out: Float32) -> None:
    """Fill ``out`` (R, 2) with past commands (D, 2), newest first; the oldest stands for those before."""
    past = np.asarray(history, dtype=np.float32).reshape(-1, 2)
    if not np.isfinite(past).all():
        raise InvalidValueError("history must be finite")
    out[: len(past)] = past[: len(out)]
    out[len(past) :] = past[-1] if len(past) else 0.0


def _shaped(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    array: Array = np.ascontiguousarray(value, dtype=float)
    if array.shape != shape:
        raise InvalidValueError(f"{name} must have shape {shape}, got {array.shape}")
    return array


def _checked(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    array = _shaped(name, value, shape)
    if not np.isfinite(array).all():
        raise InvalidValueError(f"{name} must be finite")
    return array
