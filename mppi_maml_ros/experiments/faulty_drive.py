"""A drive with everything that the nodes have around the control step, on a base that something breaks at.

Checks, watchdog, control loop and adaptation are those of the nodes; time is simulated, in steps of
``TICK``. The comparison drives on sound bases without any of this, see :mod:`.closed_loop`.
"""

from __future__ import annotations

import math

import attrs
import numpy as np

from ..adaptation.attempt import Decision
from ..adaptation.online import OnlineAdaptation, OnlineConfig
from ..control.config import ControlConfig
from ..control.loop import ControlLoop
from ..core.types import OdometryMessage, VelocityLimits
from ..mppi.config import MPPIConfig
from ..mppi.controller import MPPIController
from ..references.figures import Figure
from ..safety.codes import Code, State
from ..simulation.faults import Fault, Injector
from ..simulation.world import World
from ..weights.meta_model import MetaModel
from ..weights.slot import WeightsSlot

TICK = 0.01  # [s]
EPOCH = 1000.0  # [s] on the node's clock at the start


@attrs.frozen(eq=False)
class FaultyRun:
    """What happened, one row a control period (T of them).

    Attributes:
        times: of the control periods since the start [s], (T,).
        error: distance of the robot from where it was wanted [m], (T,); NaN while it was not driven.
        commands: (T, 2).
        poses: true poses, (T, 3).
        states, codes: what the controller said, length T.
        reasons: code -> first reason with it.
        decisions: (time [s], decision, reason) of every attempt.
        versions: of the weights used, (T,); 0: the kinematic prior.
    """

    times: np.ndarray
    error: np.ndarray
    commands: np.ndarray
    poses: np.ndarray
    states: list[State]
    codes: list[Code]
    reasons: dict[Code, str]
    decisions: list[tuple[float, Decision, str]]
    versions: np.ndarray

    def rmse(self, after: float = 0.0, until: float = math.inf) -> float:
        """Root mean square distance [m] in a stretch of time [s] while the robot was driven."""
        error = self.error[(self.times >= after) & (self.times < until)]
        return float(np.sqrt(np.nanmean(error**2)))


def drive_faulty(
    world: World,
    figure: Figure | np.ndarray,
    faults: tuple[Fault, ...] = (),
    meta: MetaModel | None = None,
    duration: float = 30.0,
    odometry_rate: float = 50.0,
    seed: int = 0,
    limits: VelocityLimits | None = None,
    online: OnlineConfig | None = None,
    **control: object,
) -> FaultyRun:
    """Drive ``world`` along a figure or a path while faults act.

    Args:
        world: where it stands when the drive begins.
        figure: a reference over time, or a path of poses (M, 3) in the frame of odometry.
        faults: counted from the start.
        meta: what adaptation starts from; None: the kinematic model alone.
        duration: [s].
        odometry_rate: messages a second [Hz]; at most 100.
        seed: of sampler and faults.
        limits: of the robot.
        online: settings of adaptation.
        control: fields of :class:`ControlConfig`.

    Raises:
        InvalidValueError: a setting that is not allowed.
    """
    limits, mppi = limits or VelocityLimits(), MPPIConfig()
    path = figure if isinstance(figure, np.ndarray) else None
    config = ControlConfig(
        limits=limits,
        reference="plan" if path is not None else "circle",
        model="kinematic" if meta is None else "residual",
        time_steps=mppi.time_steps,
        **control,  # type: ignore[arg-type]
    )
    slot, adaptation = WeightsSlot(mppi.model_dt), None
    if meta is not None:
        adaptation = OnlineAdaptation(meta, attrs.evolve(online or OnlineConfig(), limits=limits))
    followed = figure if isinstance(figure, Figure) else None
    loop = ControlLoop(config, MPPIController(mppi, limits, seed), slot, followed)
    if path is not None:
        loop.handle_path(config.odom_frame, path)
    injector = Injector(faults, seed)
    every_odometry, every_control = round(1.0 / odometry_rate / TICK), round(config.period / TICK)
    command, heard, newest = np.zeros(2), (0.0, 0.0), -math.inf
    outputs, poses, decisions = [], [], []
    for k in range(1, round(duration / TICK) + 1):
        t = k * TICK
        now = EPOCH + t
        injector.step(world, heard, TICK, t - TICK)
        measured = now - world.odometry_age
        if k % every_odometry == 0 and measured > newest + 1e-6:  # a slow base has nothing new each time
            newest = measured
            sent = OdometryMessage.planar(measured, world.odometry())
            for arrived in injector.odometry(sent, t):
                verdict = loop.handle_odometry(arrived, now, now)
                if adaptation is None:
                    continue
                changed = False
                if verdict.odometry is not None:
                    changed = adaptation.add_odometry(verdict.odometry, verdict.continuous)
                elif math.isfinite(verdict.since):
                    adaptation.distrust(verdict.since, verdict.message)
                if changed or adaptation.due:
                    attempt = adaptation.attempt()
                    decisions.append((t, attempt.decision, attempt.reason))
                    if attempt.weights is not None:
                        slot.install(attempt.weights)
                        adaptation.installed()
        if k % every_control == 0:
            out = loop.tick(now, now)
            command = out.command
            if adaptation is not None:
                adaptation.add_command(now, command)
                if out.state is State.RUNNING:
                    adaptation.add_tracking(out.tracking_error)
            reaches = injector.command((float(command[0]), float(command[1])), t)
            if reaches is not None and all(map(math.isfinite, reaches)):  # a base drops what is no number
                heard = reaches
            outputs.append(out)
            poses.append(world.state[:3])
    places = np.array(poses)
    error = np.full(len(outputs), np.nan)
    for row, out in enumerate(outputs):
        if out.reference is not None and out.state is State.RUNNING:
            error[row] = math.hypot(*(places[row, :2] - out.reference[:2]))
    reasons: dict[Code, str] = {}
    for out in outputs:
        reasons.setdefault(out.code, out.reason)
    return FaultyRun(
        times=config.period * np.arange(1, len(outputs) + 1),
        error=error,
        commands=np.array([out.command for out in outputs]),
        poses=places,
        states=[out.state for out in outputs],
        codes=[out.code for out in outputs],
        reasons=reasons,
        decisions=decisions,
        versions=np.array([out.weights_version for out in outputs]),
    )
