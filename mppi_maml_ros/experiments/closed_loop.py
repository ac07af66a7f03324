"""One closed-loop run in simulated time: world, control step and, when asked, online adaptation.

The step is the one that the control loop of the node takes; only its checks of odometry and clock are
left out, since nothing is wrong with either.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import attrs
import numpy as np

from ..adaptation.attempt import Decision
from ..adaptation.online import OnlineAdaptation
from ..control.config import ControlConfig
from ..control.figure_follower import TimedFollower
from ..control.step import ControlStep, Mppi
from ..core.errors import NoValidControlError
from ..core.types import Odometry, VelocityLimits
from ..dynamics.residual import ResidualWeights
from ..mppi.config import MPPIConfig
from ..mppi.controller import MPPIController
from ..mppi.rollouts.base import RolloutModel
from ..references.figures import Reference
from ..simulation.world import World

BENCHMARK_LIMITS = VelocityLimits(
    vx_max=2.0, vx_min=-2.0, wz_max=2.0, ax_max=100.0, ax_min=-100.0, az_max=100.0
)


@attrs.frozen(eq=False)
class Run:
    """What happened, one row a control step of dt (T steps).

    Attributes:
        dt: control period [s].
        states: true states before each step and after the last, (T + 1, 5).
        reference: wanted poses at the same times, (T + 1, 3).
        commands: (T, 2).
        step_ms: wall time of each control step [ms], (T,).
        adapt_ms: wall time of each attempt [ms].
        swaps: times of accepted swaps [s].
        decisions: (time [s], decision, reason) of every attempt.
        weights: residual that served at the end; None for the kinematic prior.
    """

    dt: float
    states: np.ndarray
    reference: np.ndarray
    commands: np.ndarray
    step_ms: np.ndarray
    adapt_ms: np.ndarray
    swaps: np.ndarray
    decisions: list
    weights: ResidualWeights | None

    @property
    def error(self) -> np.ndarray:
        """Distance to the time-indexed reference after each step [m], (T,)."""
        return np.hypot(*(self.states[1:, :2] - self.reference[1:, :2]).T)

    def rmse(self, after: float = 0.0) -> float:
        """Root mean square distance [m] from time ``after`` [s] on."""
        return float(np.sqrt(np.mean(self.error[int(round(after / self.dt)) :] ** 2)))


@attrs.frozen(eq=False)
class Step:
    """The newest step of a run under way.

    Attributes:
        time: at its end [s].
        state: true state then, (5,); reference: wanted pose then, (3,); command: of the step, (2,).
        error: distance between the two [m].
    """

    time: float
    state: np.ndarray
    reference: np.ndarray
    command: np.ndarray
    error: float


def finish(steps: Generator[Step, None, Run]) -> Run:
    """Let a run of :func:`drive` go on to its end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def run(*arguments: Any, **options: Any) -> Run:
    """A whole run; arguments as of :func:`drive`."""
    return finish(drive(*arguments, **options))


def drive(
    world: World,
    reference: Reference,
    config: MPPIConfig,
    seed: int,
    duration: float = 20.0,
    limits: VelocityLimits = BENCHMARK_LIMITS,
    model: ResidualWeights | RolloutModel | None = None,
    adaptation: OnlineAdaptation | None = None,
    true_state: bool = False,
    controller: Mppi | None = None,
) -> Generator[Step, None, Run]:
    """Drive ``world`` along ``reference``, a control step at a time.

    Args:
        world: reset and placed at the start of the reference.
        reference: wanted pose over time.
        config, limits: of the controller; the control period is config.model_dt.
        seed: of the sampler.
        duration: [s].
        model: what the rollouts use; None for the kinematic prior. With ``adaptation`` only
            the start.
        adaptation: adapts when it is due, and at once after a detected change.
        true_state: the controller sees the true state instead of the odometry.
        controller: drives in place of MPPI with ``config`` and ``seed``; takes ``model`` as its weights.

    Yields:
        Each step as it is done.

    Returns:
        The whole run.
    """
    dt = config.model_dt
    steps = int(round(duration / dt))
    control = ControlConfig(
        limits=limits,
        controller_frequency=1.0 / dt,
        time_steps=config.time_steps,
        model_dt=dt,
        retry_attempt_limit=0,
        break_loose=False,
        learned_effort=False,
    )
    follower = TimedFollower(reference, config.time_steps, dt)
    stepper = ControlStep(control, controller or MPPIController(config, limits, seed), follower)
    world.reset(start=reference.pose_at(0.0))
    states = np.empty((steps + 1, 5))
    commands = np.empty((steps, 2))
    step_ms = np.empty(steps)
    adapt_ms, swaps, decisions = [], [], []
    states[0] = world.state
    wanted = reference.pose_at(dt * np.arange(steps + 1))
    observed = world.odometry()
    for k in range(steps):
        now = k * dt
        age = world.odometry_age
        if adaptation is not None:
            changed = adaptation.add_odometry(Odometry(now - age, observed[:3].copy(), observed[3:].copy()))
            if changed or adaptation.due:
                attempt = adaptation.attempt()
                decisions.append((now, attempt.decision, attempt.reason))
                if attempt.adaptation is not None:
                    adapt_ms.append(attempt.adapt_ms)
                if attempt.weights is not None:
                    adaptation.installed()
                    model = attempt.weights
                    if attempt.decision == Decision.ACCEPTED:
                        swaps.append(now)
        started = time.perf_counter()
        stepper.add_odometry(Odometry(now - age, observed[:3].copy(), observed[3:].copy()))
        stepped = stepper.run(now, dt, model, state=states[k] if true_state else None)
        step_ms[k] = 1e3 * (time.perf_counter() - started)
        if stepped.command is None:
            assert stepped.halt is not None
            raise NoValidControlError(stepped.halt.reason)
        command = stepped.command
        stepper.record(now, command)
        if adaptation is not None:
            adaptation.add_command(now, command)
        commands[k] = command
        observed = world.step(command, dt)
        states[k + 1] = world.state
        error = float(np.hypot(*(states[k + 1, :2] - wanted[k + 1, :2])))
        yield Step((k + 1) * dt, states[k + 1], wanted[k + 1], command, error)
    return Run(
        dt=dt,
        states=states,
        reference=wanted,
        commands=commands,
        step_ms=step_ms,
        adapt_ms=np.array(adapt_ms),
        swaps=np.array(swaps),
        decisions=decisions,
        weights=model if model is None or isinstance(model, ResidualWeights) else None,
    )
