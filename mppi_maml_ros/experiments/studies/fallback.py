"""What drives while nothing is known of the robot: paths followed by the prior, by adaptation, by the truth.

The control loop as it is in the node, in simulated time, drives robots with lag, delay and a wrong gain
along the paths of :mod:`.courses`; see :data:`MODELS` for what it predicts with.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ...adaptation.online import OnlineAdaptation, OnlineConfig
from ...control.config import ControlConfig
from ...control.loop import ControlLoop
from ...core.files import write_file, write_json, write_rows
from ...core.types import Odometry, OdometryMessage, VelocityLimits
from ...dynamics.first_order import FirstOrderConfig
from ...mppi.config import MPPIConfig
from ...mppi.controller import MPPIController
from ...mppi.critics import make_critics
from ...safety.codes import State
from ...simulation.firmware_world import FirmwareWorld
from ...simulation.firmware_worlds import draw_base, ranges_of
from ...simulation.world import DynamicWorld, World, WorldParameters
from ...weights.meta_model import PACKAGED, MetaModel
from ...weights.slot import Snapshot
from ..oracle import Oracle
from .courses import COURSES, REPLAN
from .fallback_tables import report
from .path import ROBOT_RADIUS

PERIOD = 0.05  # [s]
LIMITS = VelocityLimits(vx_max=0.8, vx_min=-0.35, wz_max=1.9, ax_max=1.0, ax_min=-1.0, az_max=3.0)
# As in path_following.yaml.
MPPI = MPPIConfig(temperature=0.3, wz_std=0.3, noise_knots=5, position_weight=20.0, wz_rate_weight=3.0)
WALLS = {"obstacles.footprint_radius": ROBOT_RADIUS, "obstacles.cost_weight": 20.0}
MODELS = ("kinematic", "typical", "auto", "adaptive", "oracle")
"""What is predicted with: pure kinematics; the typical robot; that of the bank which fits; what is adapted
while driving; the robot's own equations."""
PRIORS = {"adaptive": "auto", "known": "dynamic", "oracle": "kinematic"}  # of models that are no priors
SPEEDS = (0.35, 0.45, 0.6)  # [m/s] desired
CRITICS = ("obstacles", "goal", "goal_angle", "prefer_forward")
SETTLED = 2.0  # [s] not looked at
_WAIT = 10  # periods until the path comes
LONGEST = 60.0  # [s]
NOISE = (0.001, 0.001, 0.001, 0.01, 0.01)  # of odometry


def first_order(lag: float, gain: float, delay: float, lag_omega: float | None = None) -> FirstOrderConfig:
    """A robot with the same gain on both axes, and the same lag unless that of the yaw rate is told [s]."""
    return FirstOrderConfig(
        time_constant_v=lag,
        time_constant_omega=lag if lag_omega is None else lag_omega,
        gain_v=gain,
        gain_omega=gain,
        delay=delay,
    )


ROBOTS = {
    name: first_order(*values)
    for name, values in {
        "a": (0.02, 1.0, 0.0),
        "b": (0.3, 0.8, 0.1),
        "c": (0.45, 0.7, 0.15),
        "d": (0.5, 1.0, 0.3),
    }.items()
}


def known(name: str) -> FirstOrderConfig | None:
    """One of :data:`ROBOTS`, or ``train<k>``: lags U(.02, .5) s, gain U(.7, 1.1), delay U(0, .3) s.

    Every second one has the same lag on both axes.
    """
    if not name.startswith("train"):
        return ROBOTS.get(name)
    k = int(name.removeprefix("train"))
    rng = np.random.default_rng([k, 99])
    lags, gain, delay = rng.uniform(0.02, 0.5, 2), rng.uniform(0.7, 1.1), rng.uniform(0.0, 0.3)
    return first_order(lags[0], gain, delay, lags[k % 2])


def robot(name: str, seed: int) -> World:
    """One that is :func:`known`, or ``firmware<k>``: the k-th base drawn of the family ``firmware``."""
    own = known(name)
    if own is not None:
        parameters = WorldParameters(
            lag_v=own.time_constant_v,
            lag_omega=own.time_constant_omega,
            motor_gain_left=own.gain_v,
            motor_gain_right=own.gain_v,
            command_delay=own.delay,
        )
        return DynamicWorld(parameters.with_odometry_noise(NOISE), seed)
    rng = np.random.default_rng([int(name.removeprefix("firmware")), 17])
    return FirmwareWorld(draw_base(rng, ranges_of("firmware", rng)), seed)


class _Slot:
    """A slot for whatever can be rolled out."""

    def __init__(self, weights: Any) -> None:
        self.current = Snapshot(weights, 0)


@attrs.frozen(eq=False)
class Drive:
    """One drive, from ``SETTLED`` on.

    Attributes:
        rmse, worst: of the distance between the true place and the path [m].
        speed: mean [m/s].
        change_v, change_omega: mean |du| a step [m/s, rad/s].
        time: until the goal was reached [s]; NaN if never.
        clearance: least distance between footprint and walls [m]; infinite without walls.
    """

    rmse: float
    worst: float
    speed: float
    change_v: float
    change_omega: float
    time: float
    clearance: float = math.inf


def cross_track(path: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Distance of each place (T, 2) to the polyline, looked for near where it was before [m], (T,)."""
    a, d = path[:-1, :2], np.diff(path[:, :2], axis=0)
    squared, at, out = np.maximum((d**2).sum(axis=1), 1e-12), 0, np.empty(len(places))
    for k, place in enumerate(places):
        near = slice(max(at - 20, 0), at + 40)
        offset = place - a[near]
        share = np.clip((offset * d[near]).sum(axis=1) / squared[near], 0.0, 1.0)
        distance = np.hypot(*(offset - share[:, None] * d[near]).T)
        best = int(distance.argmin())
        at, out[k] = near.start + best, distance[best]
    return out


def drive(
    name: str,
    path: str,
    speed: float,
    model: str,
    seed: int = 0,
    mppi: MPPIConfig = MPPI,
    critics: tuple[str, ...] = CRITICS,
    **settings: Any,
) -> Drive:
    """Follow a path.

    Args:
        name: of the robot, see :func:`robot`.
        path: of :data:`.courses.COURSES`.
        speed: desired [m/s].
        model: of :data:`MODELS`, or ``known``: a robot that is :func:`known` is told of beforehand.
        seed: of noise and sampler.
        mppi: another controller than path_following.yaml's.
        critics: other critics than path_following.yaml's.
        settings: of the critics, and of the control loop.
    """
    course = COURSES[path]()
    poses, world = course.poses, robot(name, seed)
    of_critics = {key: value for key, value in settings.items() if "." in key}
    control = ControlConfig(
        limits=LIMITS,
        prior=PRIORS.get(model, model),
        desired_speed=speed,
        approach_time=1.2,
        timing="clock",  # all drive at the same speed
        break_loose=False,
        learned_effort=False,
        xy_goal_tolerance=0.1,
        yaw_goal_tolerance=0.3,
        time_steps=mppi.time_steps,
    )
    control = attrs.evolve(control, **{key: settings[key] for key in settings.keys() - of_critics.keys()})
    judges = make_critics(critics, WALLS | of_critics)
    slot = _Slot(Oracle(world) if model == "oracle" else None)
    adaptation = None
    if model == "adaptive":
        adaptation = OnlineAdaptation(MetaModel.load(PACKAGED), OnlineConfig(limits=LIMITS))
    own = known(name) if model == "known" else None
    told_of = None if own is None else own.weights(mppi.model_dt)
    loop = ControlLoop(control, MPPIController(mppi, LIMITS, seed, critics=judges), slot, known=told_of)
    rng, since = np.random.default_rng([seed, 23]), 0
    driven, told, reached = [], [], math.nan
    world.reset(start=course.start)
    loop.handle_costmap("odom", course.walls)
    for k in range(int(LONGEST / PERIOD)):
        now = k * PERIOD
        observed, stamp = world.odometry(), now - world.odometry_age
        loop.handle_odometry(OdometryMessage.planar(stamp + 100.0, observed), now + 100.0, now)
        if k == _WAIT:
            loop.handle_path("odom", poses)
        elif course.replans and k > _WAIT and (k - _WAIT) % round(REPLAN / PERIOD) == 0:
            left, since = course.replanned(world.state[:2], since, rng)
            loop.handle_path("odom", left)
        if adaptation is not None:
            changed = adaptation.add_odometry(Odometry(stamp, observed[:3].copy(), observed[3:].copy()))
            if changed or adaptation.due:
                attempt = adaptation.attempt()
                if attempt.weights is not None:
                    adaptation.installed()
                    slot.current = Snapshot(attempt.weights, slot.current.version + 1)
        output = loop.tick(now + 100.0, now)
        if output.state is State.GOAL_REACHED:
            reached = now
            break
        driven.append(world.state)
        told.append(output.command)
        if adaptation is not None:
            adaptation.add_command(now, np.asarray(output.command))
        world.step(output.command, PERIOD)
    first = _WAIT + int(SETTLED / PERIOD)
    states, commands = np.array(driven)[first:], np.array(told)[first:]
    off = cross_track(poses, states[:, :2])
    change = np.abs(np.diff(commands, axis=0)).mean(axis=0)
    clearance = math.inf
    if course.walls is not None:
        clearance = float(course.walls.distance_at(*np.array(driven)[:, :2].T).min()) - ROBOT_RADIUS
    return Drive(
        rmse=math.sqrt(np.mean(off**2)),
        worst=float(off.max()),
        speed=float(np.abs(states[:, 3]).mean()),
        change_v=float(change[0]),
        change_omega=float(change[1]),
        time=reached,
        clearance=clearance,
    )


COLUMNS = (
    "robot",
    "path",
    "speed",
    "model",
    "rmse",
    "worst",
    "mean_speed",
    "change_v",
    "change_omega",
    "time",
    "clearance",
)
KEY = COLUMNS[:4]


def finished(folder: Path) -> list[dict]:
    """Rows that an earlier run left in ``fallback.csv``; none where there is no such file."""
    file = folder / "fallback.csv"
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return [
            {key: value if key in ("robot", "path", "model") else float(value) for key, value in row.items()}
            for row in csv.DictReader(lines)
        ]


def row_of(name: str, path: str, speed: float, model: str, result: Drive) -> dict:
    """What :data:`COLUMNS` names."""
    told = attrs.asdict(result)
    return dict(robot=name, path=path, speed=speed, model=model, mean_speed=told.pop("speed"), **told)


def write(folder: Path, rows: list[dict]) -> dict:
    """``fallback.csv``, ``fallback.json`` and ``fallback.md``; returns the summary.

    The summary has, by robot, speed and model, RMSE, smoothness and time averaged over the paths.
    """
    write_rows(folder / "fallback.csv", COLUMNS, rows, digits=4)
    summary: dict = {}
    for row in rows:
        summary.setdefault(row["robot"], {}).setdefault(f"{row['speed']:g}", {}).setdefault(
            row["model"], []
        ).append(row)
    for by_model in (models for speeds in summary.values() for models in speeds.values()):
        for model, own in by_model.items():
            by_model[model] = {"paths": len(own)} | {
                column: round(float(np.mean([row[column] for row in own])), 4)
                for column in ("rmse", "change_v", "change_omega")
            }
    write_json(folder / "fallback.json", summary)
    write_file(folder / "fallback.md", report(rows).encode())
    return summary
