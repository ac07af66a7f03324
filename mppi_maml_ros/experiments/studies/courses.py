"""Paths to follow, with their walls, where the robot starts, and what the planner does meanwhile.

The courses of :data:`TRAIN` are for choosing, those of :data:`TEST` for judging what was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs
import numpy as np

from ...core import se2
from ...mppi.costmap import Costmap
from . import path as cusps_study

STEP = 0.05  # [m] between poses
REPLAN = 0.2  # [s]
JITTER = 0.01  # [m] standard deviation of where a replanned path lies
RESOLUTION = 0.05  # [m] of walls
_RADIUS = 0.25  # [m] of the robot


@attrs.frozen(eq=False)
class Course:
    """One of them.

    Attributes:
        poses: (x, y, yaw), shape (M, 3).
        walls: None for none.
        offset: of the start, in the frame of the first pose, shape (3,) [m, m, rad].
        replans: every ``REPLAN`` the way that is left comes anew, moved by ``JITTER``.
    """

    poses: np.ndarray
    walls: Costmap | None = None
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    replans: bool = False

    @property
    def start(self) -> np.ndarray:
        """Pose where the robot starts, shape (3,)."""
        return se2.compose(self.poses[0], np.array([self.offset]))[0]

    def replanned(self, place: np.ndarray, since: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """The way left from near ``place`` on, not before pose ``since``, and the pose where it begins."""
        near = self.poses[since : since + 40, :2] - place[:2]
        at = min(since + int(np.hypot(*near.T).argmin()), len(self.poses) - 3)
        return self.poses[at:] + np.append(rng.normal(0.0, JITTER, 2), 0.0), at


def eight(half_width: float = 3.0) -> np.ndarray:
    """One lap of a Gerono lemniscate from its crossing."""
    t = np.linspace(0.0, 2.0 * math.pi, int(9.0 * half_width / STEP))
    return _along(half_width * np.sin(t), half_width * np.sin(t) * np.cos(t))


def waves(amplitude: float = 0.8, length: float = 3.0, count: int = 3) -> np.ndarray:
    """A sine."""
    x = np.linspace(0.0, length * count, int(1.5 * length * count / STEP))
    return _along(x, amplitude * np.sin(2.0 * math.pi / length * x))


def straights(angles: Sequence[float], sides: Sequence[float], radius: float = 0.0) -> np.ndarray:
    """Straights of ``sides`` [m], each followed by a turn [degrees], sharp or on an arc of ``radius`` [m]."""
    poses, pose = [np.zeros((1, 3))], np.zeros(3)
    for angle, side in zip((*angles, 0.0), sides, strict=True):
        turn = math.radians(angle)
        s = np.arange(STEP, side + 1e-9, STEP)
        piece = np.column_stack([s, np.zeros_like(s), np.zeros_like(s)])
        if radius and turn:
            a = np.linspace(0.0, turn, max(int(abs(turn) * radius / STEP), 2) + 1)[1:]
            sign = math.copysign(radius, turn)
            arc = np.column_stack([side + sign * np.sin(a), sign * (1.0 - np.cos(a)), a])
            piece = np.concatenate([piece, arc])
        poses.append(se2.compose(pose, piece))
        pose = poses[-1][-1] + [0.0, 0.0, 0.0 if radius else turn]
    return np.concatenate(poses)


def _along(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.column_stack([x, y, np.arctan2(np.gradient(y), np.gradient(x))])


def _beside(poses: np.ndarray, half_width: float) -> Costmap:
    """Everything farther from a path than ``half_width`` [m], but a metre around its ends, is wall."""
    low, high = poses[:, :2].min(axis=0) - 1.5, poses[:, :2].max(axis=0) + 1.5
    columns, rows = np.ceil((high - low) / RESOLUTION).astype(int)
    x = low[0] + (np.arange(columns) + 0.5) * RESOLUTION
    y = low[1] + (np.arange(rows) + 0.5)[:, None] * RESOLUTION
    distance = np.full((rows, columns), np.inf)
    for px, py, _ in poses[::2]:
        distance = np.minimum(distance, np.hypot(x - px, y - py))
    for px, py, _ in poses[[0, -1]]:
        distance[np.hypot(x - px, y - py) < 1.0] = 0.0
    return Costmap(np.where(distance > half_width, 100, 0).astype(np.int8), RESOLUTION, tuple(low))


def _cusps() -> Course:
    grid, origin = cusps_study.occupancy()
    return Course(cusps_study.recorded_path(), Costmap(grid, cusps_study.RESOLUTION, origin))


def _three_points() -> np.ndarray:
    """Forwards, back round a quarter turn, forwards."""
    ahead = straights((), (2.0,))
    turn = np.linspace(0.0, -0.5 * math.pi, 30)[1:]
    back = se2.compose(ahead[-1], np.column_stack([np.sin(turn), np.cos(turn) - 1.0, -turn]))
    away = se2.compose(back[-1], straights((60.0,), (1.2, 1.2))[1:])
    return np.concatenate([ahead, back, away])


_BENDS = straights((90.0, -90.0), (1.5, 1.5, 1.5), radius=0.5)

TRAIN: dict[str, Callable[[], Course]] = {
    "zigzag": lambda: Course(straights((60.0, -90.0, -60.0, 90.0, 90.0), (1.7,) * 6)),
    "waves": lambda: Course(waves(), offset=(-0.1, 0.2, -0.4)),
    "corridor": lambda: Course(_BENDS, _beside(_BENDS, _RADIUS + 0.1)),
    "three_points": lambda: Course(_three_points()),
    "meander": lambda: Course(straights((90.0, 90.0, -90.0, -90.0), (2.0, 0.1, 2.0, 0.1, 2.0), radius=0.25),
                              replans=True),
}  # fmt: skip

TEST: dict[str, Callable[[], Course]] = {
    "eight": lambda: Course(eight()),
    "corners": lambda: Course(straights((90.0, -90.0, -90.0, 90.0), (2.0,) * 5)),
    "cusps": _cusps,
    "lanes": lambda: Course(straights((180.0, -180.0, 180.0), (3.0,) * 4, radius=0.2)),
    "replans": lambda: Course(straights((45.0, -90.0, 45.0), (2.0,) * 4, radius=0.4), replans=True),
    "off": lambda: Course(straights((-60.0, 120.0), (2.0, 2.5, 2.0), radius=0.6), offset=(0.1, -0.3, 0.6)),
}
COURSES = TRAIN | TEST
