"""One control step, from what is known to a command within the limits.

The robot and the comparison are driven by the same code: :class:`.loop.ControlLoop` puts its checks
around a :class:`ControlStep`, ``experiments.closed_loop`` steps one in simulated time.
"""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import InvalidValueError, NoValidControlError
from ..core.types import Array, Odometry
from ..dynamics.reach import Reach
from ..mppi.costmap import Costmap
from ..mppi.critics import Scene
from ..mppi.footprint import Footprint
from ..mppi.prediction import Prediction, Predictor
from ..mppi.rollouts.base import Model
from ..mppi.validation import check_way
from ..safety.codes import Code, State
from ..safety.limiter import VelocityLimiter
from ..safety.twist_source import TwistSource
from .breakaway import Breakaway
from .config import ControlConfig
from .crab import against_slip
from .follower import Follower, Target
from .output import Halt


class Chosen(Protocol):
    """What a controller answers."""

    @property
    def command(self) -> Array:
        """(v [m/s], omega [rad/s]) to hold from now on, shape (2,)."""


class Mppi(Protocol):
    """What is needed of a controller; see ``mppi.controller``.

    ``weights`` are a residual snapshot, another model that the controller can roll out, or None for the
    kinematic prior.
    """

    def compute_control(
        self,
        state: Array,
        reference: Array,
        history: Array,
        last_command: Array,
        weights: Model,
        elapsed: float,
        scene: Scene,
        push: Array | None,
        change: Array | None,
    ) -> Chosen:
        """The command for now; NoValidControlError where there is none."""

    command_per_speed: Array
    """Command that makes a steady (v, omega) of 1 in the end, shape (2,)."""

    @property
    def footprint(self) -> Footprint | None:
        """Of the robot; None where nothing keeps it off obstacles."""

    def optimal_trajectory(self, state: Array, history: Array, weights: Model) -> Array:
        """Poses along the chosen way, shape (N, 3)."""

    def reset(self) -> None:
        """Forget the warm start."""


@attrs.frozen(eq=False)
class Stepped:
    """What came of a step.

    Attributes:
        pose: of the robot now, as predicted, shape (3,).
        target: where it is wanted.
        command: (v, omega) within the limits, shape (2,); None with ``halt``.
        halt: why there is no command; None when there is.
        trajectory: poses expected from now on, shape (N, 3); None unless asked for.
    """

    pose: Array
    target: Target
    command: Array | None = None
    halt: Halt | None = None
    trajectory: Array | None = None


class ControlStep:
    """Predictor, follower, controller and limiter, one after the other.

    Args:
        config: horizon, limits, tries.
        mppi: the controller.
        follower: says where the robot is wanted.

    Attributes:
        predictor: what the robot does, by its odometry and commands.
        twist: what of the odometry's twist is believed.
        breakaway: raises commands that would not move the robot.
        costmap: obstacles; None for none.
    """

    def __init__(self, config: ControlConfig, mppi: Mppi, follower: Follower) -> None:
        self._config, self.mppi, self.follower = config, mppi, follower
        self.predictor = Predictor(config.model_dt, config.delay_taps)
        self.twist = TwistSource(config.twist_source)
        self.twist.consistency.warm_up()
        self.limiter = VelocityLimiter(config.limits, max_dt=2.0 * config.period)
        self.costmap: Costmap | None = None
        self._warm = False
        self._asked: object = None  # weights that the follower knows the reach of
        self.breakaway = Breakaway(config.limits)
        self._beyond = np.zeros(2)  # what the last command is beyond what was chosen, where it was raised

    def configure(self, config: ControlConfig, mppi: Mppi | None = None) -> None:
        """Other thresholds from the next step on, and another controller unless ``mppi`` is None."""
        if self._config.learned_effort and not config.learned_effort:
            self.mppi.command_per_speed = np.ones(2)
        self._config = config
        self.mppi = mppi or self.mppi
        self.twist.source = config.twist_source
        self.limiter.configure(config.limits, 2.0 * config.period)
        self.follower.configure(config)
        self.breakaway.configure(config.limits)
        self._asked = None

    def add_odometry(self, sample: Odometry, continuous: bool = True) -> Odometry:
        """A checked sample, and with the twist in use; ``continuous``: driven here from the one before."""
        given = self.twist.take(sample, continuous)
        self.predictor.add_odometry(given)
        self.breakaway.add_odometry(given, continuous)
        return given

    def record(self, stamp: float, command: Array) -> None:
        """A command (v, omega) goes out at ``stamp`` [s]."""
        self.predictor.record(stamp, command)
        self.twist.add_command(stamp, command)

    def forget(self) -> None:
        """Odometry and commands so far, as after a jump of the clock."""
        self.predictor.reset()
        self.twist.reset()
        self.breakaway.reset()

    def cool(self) -> None:
        """The next step begins without a warm start."""
        self._warm = False

    def hold(self) -> None:
        """The robot is not driven until the next step."""
        self.cool()
        self.breakaway.hold()
        self._beyond[:] = 0.0
        self.follower.hold()

    def run(
        self,
        now: float,
        dt: float,
        weights: Model,
        with_trajectory: bool = False,
        state: Array | None = None,
    ) -> Stepped:
        """A step at ``now`` [s], ``dt`` [s] after the last.

        Args:
            weights: one snapshot, used from the beginning to the end.
            with_trajectory: also work out what the robot is expected to drive.
            state: (x, y, yaw, v, omega) where it is known, shape (5,); None: predicted from the odometry.
        """
        seen = self._seen(now, weights, state)
        start, config = seen.state, self._config
        pose = start[:3].copy()
        if config.open_loop:
            start[3:] = self.limiter.last
        self._learn(weights)
        target = self.follower.target(now, start, dt)
        if target.halt is not None:
            return Stepped(pose, target, halt=target.halt)
        if not self._warm:
            self.mppi.reset()
            self._warm = True
        try:
            command = self._choose(seen, target, weights, dt)
        except NoValidControlError as error:
            return Stepped(
                pose, target, halt=Halt(State.STOPPED, Code.NO_VALID_CONTROL, f"no valid control: {error}")
            )
        wanted = command
        if config.break_loose:
            command = self.breakaway.raised(wanted, dt)
        raised = command - wanted
        command = self.limiter.limit(command, dt)
        # What the next step may choose follows from what this one chose, not from what became of that.
        self._beyond = np.where(raised == 0.0, 0.0, command - wanted)
        trajectory = self.mppi.optimal_trajectory(start, seen.history, weights) if with_trajectory else None
        return Stepped(pose, target, command, trajectory=trajectory)

    def _learn(self, weights: Model) -> None:
        """Tell the follower of new weights; without any for a while, what was known of the robot stays."""
        if weights is not None and weights is not self._asked:
            self._asked = weights
            reach = Reach.of(weights, self._config.limits)
            self.follower.learn(reach)
            if self._config.learned_effort:
                self.mppi.command_per_speed = reach.command_per_speed(self._config.limits)
            if reach.learned:
                self.breakaway.learn(reach)

    def _seen(self, now: float, weights: Model, state: Array | None) -> Prediction:
        if state is None:
            return self.predictor.now(now, weights)
        return Prediction(
            np.array(state, dtype=float), self.predictor.history(now), np.zeros(2), np.zeros(2), 0.0
        )

    def _choose(self, seen: Prediction, target: Target, weights: Model, dt: float) -> Array:
        scene = Scene(target.goal, target.remaining, self.costmap, self.breakaway.least)
        assert target.window is not None
        window = against_slip(target.window, weights, self._config.model_dt)
        for _ in range(self._config.retry_attempt_limit + 1):
            try:
                result = self.mppi.compute_control(
                    seen.state,
                    window,
                    seen.history,
                    self.limiter.last - self._beyond,
                    weights,
                    dt,
                    scene,
                    seen.push,
                    seen.change,
                )
                command = _finite_command(result.command)
                self._validate(seen, weights)
                return command
            except NoValidControlError as error:
                self.mppi.reset()
                refused = error
        raise refused

    def _validate(self, seen: Prediction, weights: Model) -> None:
        """Refuse a trajectory that touches an obstacle before the robot could stop."""
        if self.costmap is None or self.costmap.empty or self.mppi.footprint is None:
            return
        poses = self.mppi.optimal_trajectory(seen.state, seen.history, weights)
        time_to_stop = max(abs(seen.state[3]), abs(self.limiter.last[0])) / -self._config.limits.ax_min
        outline, model_dt = self.mppi.footprint, self._config.model_dt
        check_way(poses, seen.state, self.costmap, outline, model_dt, time_to_stop)


def _finite_command(command: ArrayLike) -> Array:
    values = np.asarray(command, dtype=float)
    if values.shape != (2,):
        raise InvalidValueError(f"a command must be two numbers, got the shape {values.shape}")
    if not np.isfinite(values).all():
        raise NoValidControlError("the command is not finite")
    return values
