"""A path with two cusps through a narrow corridor to a goal with a heading, from random starts.

The control loop as it is in the node, in simulated time: checks, path progress, MPPI with its critics,
limiter and goal checker drive a robot with lag, delay, a wrong gain and noisy odometry past the obstacles
of an occupancy grid.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ...control.config import ControlConfig
from ...control.loop import ControlLoop
from ...core.angles import wrap
from ...core.files import write_json, write_rows
from ...core.types import OdometryMessage, VelocityLimits
from ...mppi.config import MPPIConfig
from ...mppi.controller import MPPIController
from ...mppi.costmap import Costmap
from ...mppi.critics import make_critics
from ...safety.codes import State
from ...simulation.world import DynamicWorld, WorldParameters
from ...weights.slot import WeightsSlot

PERIOD = 0.05  # [s]
ROBOT_RADIUS = 0.25  # [m]
CORRIDOR = (1.0, 2.6, 0.35)  # [m] from x to x, half its width
RESOLUTION = 0.025  # [m] of the grid
PATIENCE = 60.0  # [s]
XY_TOLERANCE, YAW_TOLERANCE = 0.1, 0.1  # [m, rad]
OVERSHOOT = 0.05  # [m] allowed beyond the goal and the cusps
CRITICS = ("obstacles", "goal", "goal_angle", "prefer_forward")
TEMPERATURE = 0.3  # nav2's; a goal is approached gently only by a selective average
_REST = 2.0  # [s] looked at after the goal was reached
LIMITS = VelocityLimits(vx_max=0.6, vx_min=-0.35, wz_max=1.5, ax_max=1.0, ax_min=-1.0, az_max=3.0)


def recorded_path(step: float = 0.05) -> np.ndarray:
    """Poses (x, y, yaw) as they were driven: out of the corridor, a three-point turn, back past it.

    3 m straight through the corridor, a left arc of 1 m radius, 1.2 m straight; a cusp; in reverse a
    quarter turn of 1 m radius; a cusp; 2.2 m straight to the goal, which lies at (2.8, 1.2) facing west.
    """
    pieces: list[np.ndarray] = []
    pose = np.zeros(3)
    for length, curvature in (
        (3.0, 0.0),
        (0.5 * math.pi, 1.0),
        (1.2, 0.0),
        (-0.5 * math.pi, -1.0),
        (2.2, 0.0),
    ):
        s = np.linspace(0.0, length, max(2, int(abs(length) / step) + 1))
        if curvature:
            local = np.stack([np.sin(s * curvature), 1.0 - np.cos(s * curvature)], axis=1) / curvature
        else:
            local = np.stack([s, np.zeros_like(s)], axis=1)
        c, d = math.cos(pose[2]), math.sin(pose[2])
        x = pose[0] + c * local[:, 0] - d * local[:, 1]
        y = pose[1] + d * local[:, 0] + c * local[:, 1]
        yaw = pose[2] + curvature * s
        pieces.append(np.column_stack([x, y, yaw])[1 if pieces else 0 :])
        pose = pieces[-1][-1]
    path = np.concatenate(pieces)
    path[:, 2] = wrap(path[:, 2])
    return path


def occupancy() -> tuple[np.ndarray, tuple[float, float]]:
    """The grid, 100 where walls are, shape (rows, columns), and its origin (x, y) [m]."""
    origin = (-1.5, -1.5)
    rows, columns = int(5.5 / RESOLUTION), int(8.0 / RESOLUTION)
    x = origin[0] + (np.arange(columns) + 0.5) * RESOLUTION
    y = (origin[1] + (np.arange(rows) + 0.5) * RESOLUTION)[:, None]
    begin, end, half = CORRIDOR
    walls = (x > begin) & (x < end) & (np.abs(y) > half) & (np.abs(y) < half + 0.15)
    walls |= (x > 4.45) & (x < 4.6) & (y > 1.75) & (y < 2.9)  # beside the first cusp
    walls |= (np.abs(x - 2.2) < 0.05) & (y > 0.8) & (y < 1.6)  # behind the goal
    return np.where(walls, 100, 0).astype(np.int8), origin


@attrs.frozen(eq=False)
class Drive:
    """One start.

    Attributes:
        states: true states, (T, 5).
        commands: (T, 2).
        reached: the loop says so.
        time: until then [s]; NaN if never.
        position_error, heading_error: of the true pose at rest [m, rad].
        overshoot: farthest beyond goal or a cusp, along the direction of arrival [m].
        clearance: least distance between footprint and walls [m]; below 0 is a collision.
        after_stop: largest command after the goal was reached.
    """

    states: np.ndarray
    commands: np.ndarray
    reached: bool
    time: float
    position_error: float
    heading_error: float
    overshoot: float
    clearance: float
    after_stop: float

    @property
    def success(self) -> bool:
        """All that is asked for."""
        return (
            self.reached
            and self.position_error <= XY_TOLERANCE
            and self.heading_error <= YAW_TOLERANCE
            and self.overshoot <= OVERSHOOT
            and self.clearance >= 0.0
            and self.after_stop == 0.0
        )


def robot(seed: int) -> WorldParameters:
    """Lags U(.05, .2) s, gain U(.9, 1.05), delay U(0, .05) s, dry friction U(0, .1) m/s^2, noise."""
    rng = np.random.default_rng([seed, 5])
    gain = rng.uniform(0.9, 1.05)
    return WorldParameters(
        lag_v=rng.uniform(0.05, 0.2),
        lag_omega=rng.uniform(0.05, 0.2),
        motor_gain_left=gain,
        motor_gain_right=gain,
        command_delay=rng.uniform(0.0, 0.05),
        coulomb=rng.uniform(0.0, 0.1),
    ).with_odometry_noise((0.003, 0.003, 0.003, 0.01, 0.01))


def drive(
    seed: int, mppi: MPPIConfig | None = None, critics: tuple[str, ...] = CRITICS, **changes: Any
) -> Drive:
    """Follow the path from a random start near its beginning.

    Args:
        seed: of start, robot, noise and sampler. Start: x U(-.3, .2) m, y U(-.12, .12) m, yaw U(-.5, .5) rad.
        mppi: the controller; the default one with nav2's temperature if None.
        critics: at work.
        changes: of the control loop's configuration.
    """
    rng = np.random.default_rng([seed, 4])
    start = (rng.uniform(-0.3, 0.2), rng.uniform(-0.12, 0.12), rng.uniform(-0.5, 0.5))
    world = DynamicWorld(robot(seed), seed, start=start)
    mppi = mppi or MPPIConfig(temperature=TEMPERATURE)
    settings: dict[str, Any] = {
        "limits": LIMITS,
        "model": "kinematic",
        "xy_goal_tolerance": 0.05,
        "yaw_goal_tolerance": 0.06,
        "desired_speed": 0.5,
        "approach_time": 0.8,
        "timing": "clock",
        "break_loose": False,
        "learned_effort": False,
        "time_steps": mppi.time_steps,
    }
    control = ControlConfig(**(settings | changes))
    judges = make_critics(critics, {"obstacles.footprint_radius": ROBOT_RADIUS})
    controller = MPPIController(mppi, LIMITS, seed, critics=judges)
    loop = ControlLoop(control, controller, WeightsSlot(mppi.model_dt))
    path, (grid, origin) = recorded_path(), occupancy()
    walls = Costmap(grid, RESOLUTION, origin)
    loop.handle_costmap("odom", walls)
    driven, told, reached_at = [], [], None
    for k in range(int(PATIENCE / PERIOD)):
        now = k * PERIOD
        message = OdometryMessage.planar(now + 100.0, world.odometry())
        loop.handle_odometry(message, now + 100.0, now)
        if k == 10:
            loop.handle_path("odom", path)
        output = loop.tick(now + 100.0, now)
        driven.append(world.state)
        told.append(output.command)
        if reached_at is None and output.state is State.GOAL_REACHED:
            reached_at = now
        if reached_at is not None and now > reached_at + _REST:
            break
        world.step(output.command, PERIOD)
    states, commands = np.array(driven), np.array(told)
    goal = path[-1]
    last = states[-1]
    still = commands[int(reached_at / PERIOD) :] if reached_at is not None else np.full((1, 2), math.inf)
    return Drive(
        states=states,
        commands=commands,
        reached=reached_at is not None,
        time=math.nan if reached_at is None else reached_at,
        position_error=math.hypot(*(last[:2] - goal[:2])),
        heading_error=abs(wrap(last[2] - goal[2])),
        overshoot=overshoot(states, path),
        clearance=float(walls.distance_at(states[:, 0], states[:, 1]).min()) - ROBOT_RADIUS,
        after_stop=float(np.abs(still).max()),
    )


def turning_points(path: np.ndarray) -> list[int]:
    """Indices of the poses where the path changes its direction, and of the last one."""
    step = np.diff(path[:, :2], axis=0)
    flips = np.flatnonzero(np.einsum("ij,ij->i", step[:-1], step[1:]) < 0.0) + 1
    return [*flips.tolist(), len(path) - 1]


def overshoot(states: np.ndarray, path: np.ndarray) -> float:
    """How far the robot got beyond the cusps and the goal, along the direction in which it came [m]."""
    worst = 0.0
    for index in turning_points(path):
        direction = path[index, :2] - path[index - 1, :2]
        direction = direction / np.linalg.norm(direction)
        offset = states[:, :2] - path[index, :2]
        along = offset @ direction
        near = np.linalg.norm(offset, axis=1) < 0.5
        worst = max(worst, float(along[near].max(initial=0.0)))
    return worst


COLUMNS = (
    *("seed", "success", "reached", "time", "position_error", "heading_error"),
    *("overshoot", "clearance", "after_stop"),
)


def row_of(seed: int, result: Drive) -> dict:
    """What :data:`COLUMNS` names."""
    return {"seed": seed} | {name: getattr(result, name) for name in COLUMNS[1:]}


def write(folder: Path, rows: list[dict]) -> dict:
    """``path_results.csv`` and ``path_summary.json``; returns the summary."""
    write_rows(folder / "path_results.csv", COLUMNS, rows, digits=4)
    summary = {
        "starts": len(rows),
        "successful": sum(row["success"] for row in rows),
        "worst_position_error": round(max(row["position_error"] for row in rows), 4),
        "worst_heading_error": round(max(row["heading_error"] for row in rows), 4),
        "worst_overshoot": round(max(row["overshoot"] for row in rows), 4),
        "least_clearance": round(min(row["clearance"] for row in rows), 4),
        "longest_time": round(max(row["time"] for row in rows), 2),
    }
    write_json(folder / "path_summary.json", summary)
    return summary


def draw(file: Path, drives: list[Drive]) -> None:
    """All drives over the walls, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    grid, origin = occupancy()
    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    rows, columns = grid.shape
    extent = (origin[0], origin[0] + columns * RESOLUTION, origin[1], origin[1] + rows * RESOLUTION)
    axes.imshow(grid, cmap="Greys", vmin=0, vmax=150, origin="lower", extent=extent)
    path = recorded_path()
    axes.plot(path[:, 0], path[:, 1], "k--", lw=1.0, label="path")
    for result in drives:
        colour = "#2a7f62" if result.success else "#c44e52"
        axes.plot(result.states[:, 0], result.states[:, 1], color=colour, lw=0.8, alpha=0.7)
        axes.plot(*result.states[0, :2], "o", color=colour, ms=3)
    goal = path[-1]
    axes.annotate(
        "",
        (goal[0] + 0.3 * math.cos(goal[2]), goal[1] + 0.3 * math.sin(goal[2])),
        goal[:2],
        arrowprops={"arrowstyle": "->", "color": "#c44e52", "lw": 2},
    )
    axes.set(aspect="equal", xlabel="x [m]", ylabel="y [m]", xlim=(-0.8, 6.0), ylim=(-0.9, 2.9))
    axes.set_title(
        f"{sum(d.success for d in drives)} of {len(drives)} starts: within tolerance, no wall touched"
    )
    figure.savefig(file, dpi=110)
