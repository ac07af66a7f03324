"""Everything between an odometry message and a command.

One :class:`ControlLoop` is used from one thread, or under its caller's lock: callbacks hand in
messages, a timer calls :meth:`ControlLoop.tick`. No call raises for anything that came from
outside, and each tick gives a command that is finite and within the limits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.angles import wrap
from ..core.errors import InvalidValueError
from ..core.se2 import integrate
from ..core.types import Array, Odometry, OdometryMessage
from ..dynamics.first_order import typical
from ..dynamics.prior_bank import PriorBank
from ..dynamics.residual import ResidualWeights
from ..mppi.costmap import Costmap
from ..safety.blocked import BlockedCheck
from ..safety.checks import ClockCheck, ClockEvent, OdometryChecks, Reason, Verdict
from ..safety.codes import Code, State
from ..safety.deaf import DeafCheck
from ..safety.watchdog import OdometryWatchdog
from .config import ControlConfig
from .figure_follower import Figure, FigureFollower
from .follower import Follower
from .output import ControlOutput, Halt
from .pace import Pace
from .path_follower import PathFollower
from .progress import MotionChecker
from .step import ControlStep, Mppi, Stepped
from .timing import Retiming

_KEPT = (
    *("model", "prior", "reference", "reference_origin", "time_steps", "model_dt"),
    *("odom_frame", "base_frame", "delay_taps"),
)
"""What is as it was at the beginning, whatever a later configuration says."""


class Snapshot(Protocol):
    """Weights and their version; see ``weights.slot``."""

    @property
    def weights(self) -> Any:
        """What the controller takes."""

    @property
    def version(self) -> int:
        """Of the weights; 0: the prior."""


class Slot(Protocol):
    """Where the newest weights are found; see ``weights.slot``."""

    @property
    def current(self) -> Snapshot:
        """The serving snapshot."""


class ControlLoop:
    """Odometry, paths and time in; a safe command out.

    Stops ramp to an exact zero within the acceleration limits. Only an exception in a step gives
    zero at once: what failed is not known, so nothing is relied on.

    Args:
        config: thresholds.
        mppi: the controller.
        weights: slot whose ``current`` has ``weights`` and ``version``; read once per step.
        figure: reference over time, in its own frame; needed unless ``config.reference`` is plan.
        timer: wall time for ``step_ms`` [s].
        known: what is predicted with where the prior is dynamic.

    Raises:
        InvalidValueError: a figure is missing, or what is known.
    """

    def __init__(
        self,
        config: ControlConfig,
        mppi: Mppi,
        weights: Slot,
        figure: Figure | None = None,
        timer: Callable[[], float] = time.perf_counter,
        known: ResidualWeights | None = None,
    ) -> None:
        self._config, self._weights, self._timer = config, weights, timer
        if config.prior == "dynamic" and known is None:
            raise InvalidValueError("prior is dynamic, but nothing is known of the robot")
        priors = {"typical": typical(config.model_dt), "kinematic": None, "dynamic": known}
        self._prior = priors.get(config.prior)
        self._bank = PriorBank(config.model_dt, config.delay_taps) if config.prior == "auto" else None
        if self._bank is not None:
            self._bank.warm_up()
        self._followed, self._believed = 0, True  # transitions, and the twist that they are of
        self._paths = PathFollower(config) if config.reference == "plan" else None
        self._step = ControlStep(config, mppi, self._paths or _figure_follower(config, figure))
        self._step.predictor.warm_up()
        self._checks = OdometryChecks(config.tolerances())
        self._clock = ClockCheck(jump_forward=config.clock_jump, pause=config.clock_pause)
        self._watchdog = OdometryWatchdog(
            timeout=config.odometry_timeout,
            stamp_timeout=config.odometry_timeout + config.max_odometry_age,
            resume_count=config.resume_after,
        )
        self._blocked, self._deaf = BlockedCheck(config.limits), DeafCheck()
        self._was_blocked = self._emergency_stop = False
        self._pace = Pace(config)
        self._was_alive = False
        self._publishers = 1
        self._remark: Halt | None = None
        self._exceptions = 0
        self._exception: str | None = None
        self._reset_requested = False
        self._shutdown = False
        self._ticked_at = math.nan

    def reconfigure(self, config: ControlConfig, mppi: Mppi | None = None) -> None:
        """Other thresholds from the next tick on; path, progress and faults stay.

        Model, reference, horizon and frames are those of the beginning.

        Args:
            mppi: another controller; None keeps the one at work, with its warm start.
        """
        config = attrs.evolve(config, **{name: getattr(self._config, name) for name in _KEPT})
        self._step.configure(config, mppi)
        self._config = config
        self._checks.configure(config.tolerances())
        self._blocked.configure(config.limits)
        self._clock.configure(config.clock_jump, config.clock_pause)
        timeout = config.odometry_timeout
        self._watchdog.configure(timeout, timeout + config.max_odometry_age, config.resume_after)
        self._pace.configure(config)

    # What comes in

    @property
    def odometry(self) -> Odometry | None:
        """The newest sample that passed the checks; None before the first, and after a jump of the clock."""
        return self._step.predictor.odometry

    def handle_odometry(self, message: OdometryMessage, receive_time: float, steady_time: float) -> Verdict:
        """Take one odometry message.

        Args:
            receive_time: now on the node's clock [s]; steady_time: now on the steady clock [s].

        Returns:
            Whether it was accepted, and why not.
        """
        self._look_at_clock(receive_time, steady_time)
        verdict = self._checks.check(message, receive_time, self._step.twist.believed)
        if verdict.odometry is not None:
            before = self.odometry
            given = self._step.add_odometry(verdict.odometry, verdict.continuous)
            self._step.follower.see(given.pose)
            self._blocked.add_odometry(given, verdict.continuous)
            self._deaf.add_odometry(given, verdict.continuous)
            self._watchdog.accept(verdict.odometry.stamp, steady_time)
            if verdict.relocated:
                self._step.cool()
                if before is not None:
                    self._step.follower.relocate(self._driven_on(before, given.stamp), given.pose)
        else:
            harmless = verdict.reason in (Reason.DUPLICATE, Reason.OUT_OF_ORDER)
            self._watchdog.reject(verdict.code, verdict.message, steady_time, harmless)
            if verdict.reason is Reason.TELEPORT:
                self._remark = Halt(State.RUNNING, verdict.code, verdict.message)
                self._step.cool()
            if verdict.repeated or verdict.reason is Reason.HANGING:
                self._watchdog.trip(verdict.code, verdict.message, steady_time)
        return verdict

    def _driven_on(self, sample: Odometry, stamp: float) -> Array:
        """Pose (3,) at ``stamp`` [s] by the twist of ``sample``, up to when no odometry stops the robot."""
        v, omega = sample.twist
        lasted = min(stamp - sample.stamp, self._config.odometry_timeout)
        return integrate(sample.pose, np.array([v, 0.0, omega]), lasted)

    def handle_costmap(self, frame_id: str, costmap: Costmap | None) -> str:
        """Take an occupancy grid, or None for no obstacles, in place of the one before.

        Args:
            frame_id: frame of the grid: that of odometry, or that of the path.

        Returns:
            Why it was rejected; empty when it was not.
        """
        if costmap is not None and frame_id != self._config.odom_frame:
            return f"the costmap is in frame {frame_id!r}, expected {self._config.odom_frame!r}"
        self._step.costmap = costmap
        return ""

    def set_path_origin(self, frame_id: str, origin: ArrayLike) -> None:
        """See :meth:`.path_follower.PathFollower.set_origin`; nothing to a figure."""
        if self._paths is not None:
            self._paths.set_origin(frame_id, origin)

    def handle_path(
        self,
        frame_id: str,
        poses: ArrayLike,
        headed: bool = True,
        stamps: ArrayLike = (),
        timed: bool = False,
        now: float = 0.0,
    ) -> str:
        """See :meth:`.path_follower.PathFollower.handle_path`; rejected while a figure is followed."""
        if self._paths is None:
            return f"paths are not followed, the reference is {self._config.reference}"
        return self._paths.handle_path(frame_id, poses, headed, stamps, timed, now)

    def drop_path(self) -> None:
        """See :meth:`.path_follower.PathFollower.drop_path`; nothing to a figure."""
        if self._paths is not None:
            self._paths.drop_path()

    def set_publisher_count(self, count: int) -> None:
        """How many publishers of odometry there are now; more than one stops the robot."""
        self._publishers = count

    def set_emergency_stop(self, pressed: bool) -> None:
        """Whether an emergency stop is pressed; while it is, the robot is told to stand still."""
        self._emergency_stop = pressed

    @property
    def remark(self) -> Halt | None:
        """What is wrong without stopping the robot, at present."""
        if self._blocked.blocked:
            reason = f"the robot has not moved for {self._blocked.still_for:.1f} s although it is told to"
            return Halt(State.RUNNING, Code.ROBOT_BLOCKED, f"{reason}: it is held, or its base was stopped")
        if self._deaf.deaf:
            reason = f"for {self._deaf.told_for:.1f} s the robot went on as before although told otherwise"
            return Halt(State.RUNNING, Code.ROBOT_BLOCKED, f"{reason}: its base does not obey")
        if text := self._step.twist.remark:
            return Halt(State.RUNNING, Code.ODOMETRY_TWIST, text)
        return None

    def request_reset(self) -> None:
        """At the next tick forget faults that hold, the warm start, progress, and where a figure began."""
        self._reset_requested = True

    def let_go(self) -> None:
        """Until the next tick others may drive the robot: what it does is no answer to commands from here."""
        self._deaf.reset()

    def shutdown(self) -> None:
        """From now on ramp to zero and stay there, until :meth:`resume`."""
        self._shutdown = True

    def resume(self) -> None:
        """Control again after :meth:`shutdown`."""
        if self._shutdown:
            self._shutdown = False
            self.request_reset()

    @property
    def counters(self) -> dict[str, int]:
        """Odometry messages by outcome, and how often the watchdog changed its mind."""
        counts = {f"odometry_{reason.value}": count for reason, count in self._checks.counts.items()}
        return counts | {"watchdog_transitions": self._watchdog.transitions}

    # What goes out

    @property
    def at_rest(self) -> bool:
        """The newest command is an exact zero."""
        return self._step.limiter.at_rest

    def tick(self, now: float, steady_now: float, with_trajectory: bool = False) -> ControlOutput:
        """One control period.

        Args:
            now: time on the node's clock [s]; may be simulated.
            steady_now: time on the steady clock [s].
            with_trajectory: also work out what the robot is expected to drive.

        Returns:
            The command to publish and everything to be told about it.
        """
        started = self._timer()
        period = self._pace.count(steady_now)
        dt = self._elapsed(now, period)
        stepped, version = None, 0
        try:
            halt = self._reason_to_halt(now, steady_now)
            if halt is None:
                self._wait_while_blocked()
                self._follow()
                weights, version = self._snapshot()
                stepped = self._step.run(now, dt, weights, with_trajectory)
                halt = stepped.halt
            self._exceptions = self._exceptions if halt is not None else 0
        except Exception as error:  # noqa: BLE001 - whatever fails, a zero must go out in this cycle
            halt = self._fail(error)
        # A robot that is stopped comes to rest on a clock that stands still, too.
        command, state, said = self._decide(stepped, halt, dt or period or 0.0)
        if math.isfinite(now):
            self._step.record(now, command)
            self._blocked.add_command(now, command)
            self._deaf.add_command(now, command)
        odometry = self.odometry
        pose = None if odometry is None else odometry.pose
        reference, trajectory = None, None
        tracking_error = heading_error = remaining = math.nan
        if stepped is not None:
            pose, trajectory, remaining = stepped.pose, stepped.trajectory, stepped.target.remaining
            if stepped.target.window is not None:
                reference = stepped.target.window[0].copy()
                tracking_error = math.hypot(reference[0] - pose[0], reference[1] - pose[1])
                heading_error = -float(wrap(pose[2] - reference[2]))
        return ControlOutput(
            command=command,
            state=state,
            code=said.code,
            reason=said.reason,
            reference=reference,
            tracking_error=tracking_error,
            heading_error=heading_error,
            remaining=remaining,
            odometry_age=math.nan if odometry is None else now - odometry.stamp,
            step_ms=1e3 * (self._timer() - started),
            period_ms=0.0 if period is None else 1e3 * period,
            cycles=self._pace.cycles,
            late_cycles=self._pace.late_cycles,
            weights_version=version,
            trajectory=trajectory,
            predicted_pose=pose,
            reference_rate=1.0 if stepped is None else stepped.target.rate,
            odometry_rejected=self._checks.rejected,
        )

    def _elapsed(self, now: float, period: float | None) -> float:
        """Of the robot's time since the last tick [s]: simulated time has a pace of its own.

        Args:
            now: on the node's clock [s].
            period: of the steady clock [s]; None at the first tick.
        """
        last, self._ticked_at = self._ticked_at, now
        if period is None or not 0.0 <= now - last < math.inf:
            return self._config.period if period is None else period
        return now - last

    def _decide(self, stepped: Stepped | None, halt: Halt | None, dt: float) -> tuple[Array, State, Halt]:
        """The command, its state, and what is said of it; without a command of the step a ramp to zero."""
        remark, self._remark = self._remark, None
        if halt is None and stepped is not None and stepped.command is not None:
            slowed = stepped.target.remark
            said = Halt(State.RUNNING, Code.REFERENCE_SLOWED, slowed) if slowed else Halt(State.RUNNING)
            return stepped.command, State.RUNNING, remark or self.remark or said
        said = halt or Halt(State.STOPPED)
        self._step.hold()
        command = self._step.limiter.stop(dt)
        return command, said.state if self.at_rest else State.STOPPING, said

    def _snapshot(self) -> tuple[Any, int]:
        """Weights of this step and their version; the prior where nothing else can be right."""
        twist = self._step.twist
        obeys = not (self._blocked.blocked or self._deaf.deaf)
        if self._config.model == "kinematic" or not obeys or twist.suspected or not twist.trusted:
            return None, 0
        snapshot = self._weights.current
        weights, version = snapshot.weights, snapshot.version
        if self._bank is not None and (weights is None or twist.believed and _nothing_learned(weights)):
            return self._bank.weights, version
        return self._prior if weights is None else weights, version

    def _follow(self) -> None:
        """Let the bank see what the robot did, once it is known that this tells of the robot."""
        twist = self._step.twist
        if self._bank is None or self._blocked.suspected and not self._blocked.blocked or twist.suspected:
            return
        fresh, self._followed = self._step.predictor.since(self._followed)
        if twist.believed != self._believed or self._deaf.deaf:
            self._believed = twist.believed
            self._bank.reset()
        elif not self._blocked.blocked:
            self._bank.follow(fresh)

    def _wait_while_blocked(self) -> None:
        """The reference waits where the robot got stuck, so that it does not lurch when it is let go."""
        if self._blocked.blocked:
            if not self._was_blocked:
                self._step.follower.retreat(self._blocked.still_for)
                self._step.cool()
            self._step.follower.hold()
            self._step.breakaway.hold()
        self._was_blocked = self._blocked.blocked

    def _look_at_clock(self, now: float, steady_now: float) -> None:
        event = self._clock.look(now, steady_now)
        if event is ClockEvent.NONE:
            return
        direction = "back" if event is ClockEvent.BACK else "ahead"
        self._watchdog.reset(
            Code.CLOCK_JUMP, f"the clock jumped {direction} by {abs(self._clock.jump):.3f} s"
        )
        self._checks.reset()
        self._step.forget()
        self._blocked.reset()
        self._deaf.reset()
        self._step.hold()
        if event is ClockEvent.BACK:
            self._step.follower.restart()

    def _apply_reset(self) -> None:
        self._reset_requested = False
        self._exceptions, self._exception = 0, None
        self._pace.forgive()
        self._step.hold()
        self._step.follower.restart()

    def _reason_to_halt(self, now: float, steady_now: float) -> Halt | None:
        """The first reason not to run that can be told before the control step."""
        config = self._config
        self._look_at_clock(now, steady_now)
        health = self._watchdog.check(now, steady_now, lookahead=config.period)
        self._was_alive = self._was_alive or health.alive
        if self._reset_requested:
            self._apply_reset()
        if self._shutdown:
            return Halt(State.STOPPED, Code.SHUTDOWN, "the controller is shutting down")
        if self._emergency_stop:
            return Halt(State.STOPPED, Code.EMERGENCY_STOP, "the emergency stop is pressed")
        if self._exception is not None:
            return Halt(State.STOPPED, Code.CONTROL_EXCEPTION, self._exception)
        if self._publishers > 1:
            reason = f"odometry has {self._publishers} publishers, expected one"
            self._watchdog.trip(Code.MULTIPLE_ODOMETRY_PUBLISHERS, reason, steady_now)
            return Halt(State.STOPPED, Code.MULTIPLE_ODOMETRY_PUBLISHERS, reason)
        silent = State.STOPPED if self._was_alive else State.WAITING_FOR_ODOMETRY
        if self._clock.paused:
            return Halt(silent, Code.CLOCK_PAUSED, f"the clock stands still at {now:.3f} s")
        if not health.alive:
            return Halt(silent, health.code, health.reason)
        if self._pace.fault is not None:
            return Halt(State.STOPPED, Code.CONTROL_OVERRUN, self._pace.fault)
        return self._step.follower.waiting()

    def _fail(self, error: Exception) -> Halt:
        """A step raised: zero now, and for good after too many in a row."""
        self._step.limiter.reset()
        self._exceptions += 1
        reason = f"control step failed: {type(error).__name__}: {error}"
        if self._exceptions >= self._config.exception_limit:
            self._exception = reason
        return Halt(State.STOPPED, Code.CONTROL_EXCEPTION, reason)


def _nothing_learned(weights: Any) -> bool:
    """Whether weights are what adaptation goes back to."""
    return isinstance(weights, ResidualWeights) and (weights.is_prior or weights.adapter == "typical")


def _figure_follower(config: ControlConfig, figure: Figure | None) -> Follower:
    if figure is None:
        raise InvalidValueError(f"reference {config.reference} needs a figure")
    motion = MotionChecker(config.movement_time_allowance, config.required_movement)
    retiming = Retiming(config.timing, config.limits, config.lag_allowance)
    return FigureFollower(
        figure, config.time_steps, config.model_dt, config.reference_origin, motion, retiming
    )
