"""Everything between an odometry message and a command.

One :class:`ControlLoop` is used from one thread, or under its caller's lock: callbacks hand in
messages, a timer calls :meth:`ControlLoop.tick`. No call raises for anything that came from
outside, and each tick gives a command that is finite and within the limits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import attrs
import numpy as np

from ..adaptation.error_tracker import ErrorTracker
from ..core import se2
from ..core.angles import wrap
from ..core.command_history import CommandHistory
from ..core.errors import InvalidPathError, InvalidValueError, NoValidControlError
from ..core.types import Odometry
from ..mppi.costmap import Costmap
from ..mppi.critics import Scene
from ..mppi.validation import check_way
from ..references.path import PathReference
from ..safety.checks import ClockCheck, ClockEvent, OdometryChecks, Reason, Verdict
from ..safety.codes import Code, State
from ..safety.limiter import VelocityLimiter
from ..safety.watchdog import OdometryWatchdog
from .config import ControlConfig
from .progress import GoalChecker, ProgressChecker

_LATE = 1.2  # periods; a longer cycle is late
_OVERRUN = 2.0  # periods; a longer one has missed a tick
_FARTHEST_PREDICTION = 4.0  # model_dt; older odometry is moved ahead by no more than this
_FAR_HYSTERESIS = 0.9  # of far_from_path; nearer than that the robot is back


class Mppi(Protocol):
    """What the loop needs of a controller; see ``mppi.controller``."""

    def compute_control(self, state, reference, history, last_command, weights, elapsed, scene, push): ...

    @property
    def footprint_radius(self) -> float | None: ...

    def predict(self, state, history, duration, weights, push): ...

    def optimal_trajectory(self, state, history, weights): ...

    def reset(self) -> None: ...


class Slot(Protocol):
    """Where the newest weights are found; see ``weights.slot``."""

    @property
    def current(self): ...


class Figure(Protocol):
    """A reference over time; see ``references.figures``."""

    def anchored(self, origin_pose): ...

    def window(self, t: float, steps: int, dt: float): ...


@attrs.frozen
class ControlOutput:
    """What one tick decided; the fields of ``msg/ControllerStatus``, and more.

    Attributes:
        command: (v [m/s], omega [rad/s]) to publish, shape (2,).
        state, code, reason: what the robot is being told and why; ``reason`` is one sentence.
            A ``code`` while RUNNING is a remark that did not stop the robot.
        reference: pose wanted now, shape (3,), odometry frame; None when there is none.
        tracking_error: distance from ``predicted_pose`` to ``reference`` [m]; NaN when not known.
        heading_error: yaw of ``reference`` minus that of the robot, in (-pi, pi] [rad]; NaN likewise.
        odometry_age: now minus the stamp of the newest good odometry [s]; NaN when there is none.
        step_ms: wall time of this tick [ms].
        period_ms: steady time since the tick before [ms]; 0 at the first.
        cycles, late_cycles: ticks so far, and those that came late.
        weights_version: of the weights used; 0: the kinematic prior.
        trajectory: poses that the controller expects to drive, shape (N, 3); None unless asked for,
            and when not running.
        predicted_pose: the robot's pose now, shape (3,); None before any odometry. When not
            running it is the newest good odometry, not moved ahead.
        odometry_rejected: messages that the checks dropped so far.
    """

    command: np.ndarray
    state: State
    code: Code = Code.NONE
    reason: str = ""
    reference: np.ndarray | None = None
    tracking_error: float = math.nan
    heading_error: float = math.nan
    odometry_age: float = math.nan
    step_ms: float = 0.0
    period_ms: float = 0.0
    cycles: int = 0
    late_cycles: int = 0
    weights_version: int = 0
    trajectory: np.ndarray | None = None
    predicted_pose: np.ndarray | None = None
    odometry_rejected: int = 0


@attrs.frozen
class _Halt:
    """A reason not to run: the robot is ramped to zero, and ``state`` says so once it is there."""

    state: State
    code: Code = Code.NONE
    reason: str = ""


class ControlLoop:
    """Odometry, paths and time in; a safe command out.

    Stops ramp to an exact zero within the acceleration limits. Only an exception in a step gives
    zero at once: what failed is not known, so nothing is relied on.

    A figure's clock stands still while the robot is not running, so the robot goes on where it
    left the figure instead of chasing it.

    Args:
        config: thresholds.
        mppi: the controller.
        weights: slot whose ``current`` has ``weights`` and ``version``; read once per step.
        figure: reference over time, in its own frame; needed unless ``config.reference`` is plan.
        timer: wall time for ``step_ms`` [s].

    Raises:
        InvalidValueError: a figure is missing.
    """

    def __init__(
        self,
        config: ControlConfig,
        mppi: Mppi,
        weights: Slot,
        figure: Figure | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ):
        if config.reference != "plan" and figure is None:
            raise InvalidValueError(f"reference {config.reference} needs a figure")
        self._config, self._mppi, self._weights, self._timer = config, mppi, weights, timer
        self._figure = None if config.reference == "plan" else figure
        self._profile = config.path_profile()
        self._checks = OdometryChecks(config.tolerances())
        self._clock = ClockCheck(jump_forward=config.clock_jump, pause=config.clock_pause)
        self._watchdog = OdometryWatchdog(
            timeout=config.odom_timeout,
            stamp_timeout=config.odom_timeout + config.max_odometry_age,
            resume_count=config.resume_after,
        )
        self._limiter = VelocityLimiter(config.limits, max_dt=2.0 * config.period)
        self._history = CommandHistory()
        self._errors = ErrorTracker(config.delay_taps, config.model_dt)
        self._errors.warm_up()
        self._goal = GoalChecker(config.xy_goal_tolerance, config.yaw_goal_tolerance, config.stateful)
        self._progress = ProgressChecker(config.movement_time_allowance, config.required_movement)

        self._odometry: Odometry | None = None
        self._was_alive = False
        self._publishers = 1
        self._remark: _Halt | None = None

        self._costmap: Costmap | None = None
        self._path: PathReference | None = None
        self._path_frame = config.odom_frame
        self._path_origin = np.zeros(3)  # of the path's frame, in that of odometry
        self._frame_origins = {config.odom_frame: np.zeros(3)}
        self._path_fault: str | None = None
        self._replaced_remaining: float | None = None
        self._far = False
        self._stuck = False
        self._anchored = None
        self._figure_time = 0.0

        self._running = False
        self._rewarm = True
        self._exceptions = 0
        self._exception: str | None = None
        self._reset_requested = False
        self._shutdown = False

        self._steady: float | None = None
        self._now: float | None = None
        self._cycles = self._late = 0
        self._overruns = self._on_time = 0
        self._overrun: str | None = None

    def reconfigure(self, config: ControlConfig) -> None:
        """Other thresholds from the next tick on; path, progress and faults stay.

        Model, reference, horizon and frames are those of the beginning.
        """
        kept = ("model", "reference", "reference_origin", "time_steps", "model_dt")
        kept += ("odom_frame", "base_frame", "delay_taps")
        config = attrs.evolve(config, **{name: getattr(self._config, name) for name in kept})
        profile = config.path_profile()
        self._config = config
        self._limiter.configure(config.limits, 2.0 * config.period)
        self._checks.configure(config.tolerances())
        self._clock.configure(config.clock_jump, config.clock_pause)
        self._watchdog.configure(
            config.odom_timeout, config.odom_timeout + config.max_odometry_age, config.resume_after
        )
        self._goal.configure(config.xy_goal_tolerance, config.yaw_goal_tolerance, config.stateful)
        self._progress.configure(config.movement_time_allowance, config.required_movement)
        if profile != self._profile and self._path is not None:
            path = PathReference(self._path.poses, profile)
            if self._path.started:
                path.resume(self._path.progress)
            self._path = path
        self._profile = profile

    # What comes in

    def handle_odometry(
        self,
        *,
        frame_id: str,
        child_frame_id: str,
        stamp: float,
        position,
        orientation,
        linear,
        angular,
        receive_time: float,
        steady_time: float,
    ) -> Verdict:
        """Take one odometry message.

        Args:
            frame_id, child_frame_id: of the pose and of the twist.
            stamp: time of validity on the node's clock, 0 for unknown [s].
            position: (x, y, z) [m]; orientation: quaternion (x, y, z, w).
            linear, angular: twist in the base frame, three components each [m/s, rad/s].
            receive_time: now on the node's clock [s]; steady_time: now on the steady clock [s].

        Returns:
            Whether it was accepted, and why not.
        """
        self._look_at_clock(receive_time, steady_time)
        verdict = self._checks.check(
            frame_id=frame_id,
            child_frame_id=child_frame_id,
            stamp=stamp,
            position=position,
            orientation=orientation,
            linear=linear,
            angular=angular,
            now=receive_time,
        )
        if verdict.accepted:
            self._odometry = verdict.odometry
            self._errors.add_odometry(verdict.odometry)
            self._watchdog.accept(verdict.odometry.stamp, steady_time)
            if verdict.relocated:
                self._rewarm = True
                if self._path is not None:
                    self._path.restart()
        else:
            harmless = verdict.reason in (Reason.DUPLICATE, Reason.OUT_OF_ORDER)
            self._watchdog.reject(verdict.code, verdict.message, steady_time, harmless)
            if verdict.reason is Reason.TELEPORT:
                self._remark = _Halt(State.RUNNING, verdict.code, verdict.message)
                self._rewarm = True
            if verdict.repeated:
                self._watchdog.trip(verdict.code, verdict.message, steady_time)
        return verdict

    def handle_costmap(self, frame_id: str, costmap: Costmap | None) -> str:
        """Take an occupancy grid, or None for no obstacles, in place of the one before.

        Args:
            frame_id: frame of the grid: that of odometry, or that of the path.

        Returns:
            Why it was rejected; empty when it was not.
        """
        if costmap is not None and frame_id != self._config.odom_frame:
            return f"the costmap is in frame {frame_id!r}, expected {self._config.odom_frame!r}"
        self._costmap = costmap
        return ""

    def set_path_origin(self, frame_id: str, origin) -> None:
        """Where the frame of paths lies in that of odometry now; a path keeps its progress meanwhile.

        Args:
            frame_id: frame in which paths may come from now on, besides that of odometry.
            origin: its pose (x, y, yaw) in the frame of odometry [m, m, rad].
        """
        origin = np.array(origin, dtype=float)
        if origin.shape != (3,) or not np.isfinite(origin).all():
            raise InvalidValueError(f"the origin of frame {frame_id!r} must be three finite numbers")
        self._frame_origins[frame_id] = origin
        if frame_id == self._path_frame:
            self._path_origin = origin

    def handle_path(self, frame_id: str, poses) -> str:
        """Take a path to follow in place of the one before; the robot stops if it cannot be followed.

        Args:
            frame_id: frame of the poses: that of odometry, or one that :meth:`set_path_origin` told of.
            poses: (x [m], y [m], yaw [rad]), shape (M, 3).

        Returns:
            Why it was rejected; empty when it was not.
        """
        if self._figure is not None:
            return f"paths are not followed, the reference is {self._config.reference}"
        try:
            origin = self._frame_origins.get(frame_id)
            if origin is None:
                raise InvalidPathError(f"path is in frame {frame_id!r}, expected {self._config.odom_frame!r}")
            path = PathReference(poses, self._profile)
        except InvalidPathError as error:
            self._path, self._path_fault = None, str(error)
            return self._path_fault
        self._path_frame, self._path_origin = frame_id, origin
        self._replace_path(path)
        return ""

    def _replace_path(self, path: PathReference) -> None:
        old, self._path, self._path_fault = self._path, path, None
        same_goal = (
            old is not None and math.hypot(*(old.goal - path.goal)[:2]) <= self._config.xy_goal_tolerance
        )
        if same_goal and not self._stuck:
            # A planner that replans every second must not keep a stuck robot from being noticed.
            if self._replaced_remaining is None:
                self._replaced_remaining = old.remaining
        else:
            self._replaced_remaining = None
            self._progress.reset()
        self._goal.reset()
        self._stuck = self._far = False

    def set_publisher_count(self, count: int) -> None:
        """How many publishers of odometry there are now; more than one stops the robot."""
        self._publishers = count

    def request_reset(self) -> None:
        """At the next tick forget faults that hold, the warm start, progress, and where a figure began."""
        self._reset_requested = True

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
        return self._limiter.at_rest

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
        period = self._count(steady_now)
        dt = self._config.period if period is None else period
        found: dict = {}
        try:
            halt = self._reason_to_halt(now, steady_now)
            if halt is None:
                halt = self._run(now, dt, with_trajectory, found)
            self._exceptions = self._exceptions if halt is not None else 0
        except Exception as error:  # noqa: BLE001 - whatever fails, a zero must go out in this cycle
            halt = self._fail(error)
        if halt is None:
            remark = self._remark or _Halt(State.RUNNING)
            state, code, reason = State.RUNNING, remark.code, remark.reason
        else:
            found["command"] = self._limiter.stop(dt)
            found.pop("trajectory", None)
            state, code, reason = (
                halt.state if self._limiter.at_rest else State.STOPPING,
                halt.code,
                halt.reason,
            )
        self._remark = None
        self._running = halt is None
        self._now = now
        if math.isfinite(now):
            self._history.record(now, found["command"])
            self._errors.add_command(now, found["command"])
        if self._odometry is not None:
            found.setdefault("predicted_pose", self._odometry.pose)
            found["odometry_age"] = now - self._odometry.stamp
        return ControlOutput(
            **found,
            state=state,
            code=code,
            reason=reason,
            step_ms=1e3 * (self._timer() - started),
            period_ms=0.0 if period is None else 1e3 * period,
            cycles=self._cycles,
            late_cycles=self._late,
            odometry_rejected=self._checks.rejected,
        )

    def _count(self, steady_now: float) -> float | None:
        """Account for the time since the last tick and return it [s]; None at the first."""
        self._cycles += 1
        last, self._steady = self._steady, steady_now
        if last is None:
            return None
        config = self._config
        period = max(0.0, steady_now - last)
        late = period > _LATE * config.period
        self._late += late
        self._on_time = 0 if late else self._on_time + 1
        self._overruns = self._overruns + 1 if period > _OVERRUN * config.period else 0
        if self._overruns > config.overrun_limit:
            self._overrun = (
                f"control ran at {1.0 / period:.1f} Hz instead of {config.controller_frequency:g} Hz"
            )
        elif self._on_time >= config.overrun_recovery:
            self._overrun = None
        return period

    def _look_at_clock(self, now: float, steady_now: float) -> None:
        event = self._clock.look(now, steady_now)
        if event is ClockEvent.NONE:
            return
        direction = "back" if event is ClockEvent.BACK else "ahead"
        self._watchdog.reset(
            Code.CLOCK_JUMP, f"the clock jumped {direction} by {abs(self._clock.jump):.3f} s"
        )
        self._checks.reset()
        self._history.reset()
        self._errors.reset()
        self._odometry = None
        self._running = False
        self._rewarm = True
        if event is ClockEvent.BACK:
            self._restart_reference()

    def _restart_reference(self) -> None:
        """Begin the figure anew, and look for the robot anywhere on the path."""
        self._anchored, self._figure_time = None, 0.0
        if self._path is not None:
            self._path.restart()
        self._replaced_remaining = None
        self._goal.reset()
        self._progress.reset()
        self._stuck = self._far = False

    def _apply_reset(self) -> None:
        self._reset_requested = False
        self._exceptions, self._exception = 0, None
        self._overrun = None
        self._restart_reference()
        self._running = False
        self._rewarm = True

    def _reason_to_halt(self, now: float, steady_now: float) -> _Halt | None:
        """The first reason not to run that can be told before the control step."""
        config = self._config
        self._look_at_clock(now, steady_now)
        health = self._watchdog.check(now, steady_now, lookahead=config.period)
        self._was_alive = self._was_alive or health.alive
        if self._reset_requested:
            self._apply_reset()
        if self._shutdown:
            return _Halt(State.STOPPED, Code.SHUTDOWN, "the controller is shutting down")
        if self._exception is not None:
            return _Halt(State.STOPPED, Code.CONTROL_EXCEPTION, self._exception)
        if self._publishers > 1:
            reason = f"odometry has {self._publishers} publishers, expected one"
            self._watchdog.trip(Code.MULTIPLE_ODOMETRY_PUBLISHERS, reason, steady_now)
            return _Halt(State.STOPPED, Code.MULTIPLE_ODOMETRY_PUBLISHERS, reason)
        silent = State.STOPPED if self._was_alive else State.WAITING_FOR_ODOMETRY
        if self._clock.paused:
            return _Halt(silent, Code.CLOCK_PAUSED, f"the clock stands still at {now:.3f} s")
        if not health.alive:
            return _Halt(silent, health.code, health.reason)
        if self._overrun is not None:
            return _Halt(State.STOPPED, Code.CONTROL_OVERRUN, self._overrun)
        if self._figure is None:
            if self._path_fault is not None:
                return _Halt(State.STOPPED, Code.INVALID_PATH, self._path_fault)
            if self._path is None:
                return _Halt(State.WAITING_FOR_PLAN)
            if self._stuck:
                return self._no_progress()
        return None

    def _run(self, now: float, dt: float, with_trajectory: bool, found: dict) -> _Halt | None:
        """One control step with one snapshot of the weights; ``found`` gets fields of the output."""
        config = self._config
        weights = None
        if config.model != "kinematic":
            snapshot = self._weights.current
            weights, found["weights_version"] = snapshot.weights, snapshot.version
        rows = config.delay_taps + int(_FARTHEST_PREDICTION)
        history = self._history.history(now, rows, config.model_dt)
        ahead = min(max(now - self._odometry.stamp, 0.0), _FARTHEST_PREDICTION * config.model_dt)
        push = self._errors.push(weights)
        state = _finite_state(self._mppi.predict(self._odometry.state, history, ahead, weights, push))
        push = self._errors.push(weights, ahead)
        found["predicted_pose"] = state[:3].copy()
        if config.open_loop:
            state[3:] = self._limiter.last

        goal, remaining = None, math.inf
        if self._figure is not None:
            window = self._figure_window(now, state)
            halt = None
        else:
            window, halt = self._path_window(np.concatenate([self._in_path_frame(state[:3]), state[3:]]), dt)
            if window is not None:
                window = self._in_odom_frame(window)
            goal, remaining = self._in_odom_frame(self._path.goal), self._path.remaining
        if window is not None:
            found["reference"] = window[0].copy()
            found["tracking_error"] = math.hypot(window[0, 0] - state[0], window[0, 1] - state[1])
            found["heading_error"] = -float(wrap(state[2] - window[0, 2]))
        if halt is not None:
            return halt

        if self._rewarm or not self._running:
            self._mppi.reset()
            self._rewarm = False
        scene = Scene(goal=goal, remaining=remaining, costmap=self._costmap)
        for attempt in range(config.retry_attempt_limit + 1):
            try:
                result = self._mppi.compute_control(
                    state, window, history, self._limiter.last, weights, dt, scene, push
                )
                command = _finite_command(result.command)
                self._validate(state, history, weights)
                break
            except NoValidControlError as error:
                self._mppi.reset()
                if attempt == config.retry_attempt_limit:
                    return _Halt(State.STOPPED, Code.NO_VALID_CONTROL, f"no valid control: {error}")
        found["command"] = self._limiter.limit(command, dt)
        if with_trajectory:
            found["trajectory"] = self._mppi.optimal_trajectory(state, history, weights)
        return None

    def _in_path_frame(self, pose: np.ndarray) -> np.ndarray:
        return se2.to_body(pose, self._path_origin) if self._path_origin.any() else pose

    def _in_odom_frame(self, poses: np.ndarray) -> np.ndarray:
        return se2.compose(self._path_origin, poses) if self._path_origin.any() else poses

    def _validate(self, state, history, weights) -> None:
        """Refuse a trajectory that touches an obstacle before the robot could stop."""
        radius = self._mppi.footprint_radius if self._costmap is not None else None
        if radius is None or self._costmap.empty:
            return
        poses = self._mppi.optimal_trajectory(state, history, weights)
        time_to_stop = max(abs(state[3]), abs(self._limiter.last[0])) / -self._config.limits.ax_min
        check_way(poses, state, self._costmap, radius, self._config.model_dt, time_to_stop)

    def _figure_window(self, now: float, state: np.ndarray) -> np.ndarray:
        if self._anchored is None:
            origin = self._config.reference_origin
            self._anchored = self._figure.anchored(np.array(origin, float) if origin else state[:3].copy())
            self._figure_time = 0.0
        elif self._running:
            self._figure_time += max(0.0, now - self._now)
        return np.asarray(
            self._anchored.window(self._figure_time, self._config.time_steps, self._config.model_dt)
        )

    def _path_window(self, state: np.ndarray, dt: float) -> tuple[np.ndarray | None, _Halt | None]:
        config, path = self._config, self._path
        if self._goal.reached:
            return path.goal[None], _Halt(State.GOAL_REACHED)
        distance = path.distance(state)
        self._far = distance > config.far_from_path * (_FAR_HYSTERESIS if self._far else 1.0)
        if self._far:
            reason = f"the robot is {distance:.2f} m from the path, allowed are {config.far_from_path:g} m"
            return None, _Halt(State.STOPPED, Code.FAR_FROM_PATH, reason)
        window = path.window(state, config.time_steps, config.model_dt)
        if self._replaced_remaining is not None:
            self._progress.shift(path.remaining - self._replaced_remaining)
            self._replaced_remaining = None
        if self._goal.update(state[:3], path.goal, path.remaining):
            return path.goal[None], _Halt(State.GOAL_REACHED)
        at_goal = abs(wrap(state[2] - path.goal[2])) if self._goal.position_reached else None
        if self._progress.update(path.remaining, at_goal, dt):
            self._stuck = True
            return window, self._no_progress()
        return window, None

    def _no_progress(self) -> _Halt:
        allowance = self._config.movement_time_allowance
        return _Halt(
            State.STOPPED, Code.FAILED_TO_MAKE_PROGRESS, f"no progress along the path for {allowance:g} s"
        )

    def _fail(self, error: Exception) -> _Halt:
        """A step raised: zero now, and for good after too many in a row."""
        self._limiter.reset()
        self._rewarm = True
        self._exceptions += 1
        reason = f"control step failed: {type(error).__name__}: {error}"
        if self._exceptions >= self._config.exception_limit:
            self._exception = reason
        return _Halt(State.STOPPED, Code.CONTROL_EXCEPTION, reason)


def _finite_command(command) -> np.ndarray:
    command = np.asarray(command, dtype=float)
    if command.shape != (2,):
        raise InvalidValueError(f"a command must be two numbers, got the shape {command.shape}")
    if not np.isfinite(command).all():
        raise NoValidControlError("the command is not finite")
    return command


def _finite_state(state) -> np.ndarray:
    state = np.array(state, dtype=float)
    if state.shape != (5,) or not np.isfinite(state).all():
        raise InvalidValueError(f"the predicted state must be five finite numbers, got {state}")
    return state
