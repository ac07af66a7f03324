"""What the control loop asks of whatever is followed, be it a path or a figure."""

from __future__ import annotations

import math
from typing import Protocol

import attrs

from ..core.types import Array
from ..dynamics.reach import Reach
from .config import ControlConfig
from .output import Halt


@attrs.frozen(eq=False)
class Target:
    """Where the robot is wanted; poses (x, y, yaw) in the frame of odometry.

    Attributes:
        window: wanted now and model_dt, 2 model_dt, ... ahead, shape (time_steps + 1, 3); with ``halt``
            as much as is known of it, or None.
        goal: at the end, shape (3,); None where there is none.
        remaining: way left to it [m].
        halt: why the robot may not be driven; None when it may.
        rate: of the reference, in its own speeds.
        remark: what is to be told of that; empty where nothing is.
    """

    window: Array | None
    goal: Array | None = None
    remaining: float = math.inf
    halt: Halt | None = None
    rate: float = 1.0
    remark: str = ""


class Follower(Protocol):
    """Says step by step where the robot is wanted."""

    def waiting(self) -> Halt | None:
        """Why there is nothing to drive towards, as far as that can be told without the state."""

    def see(self, pose: Array) -> None:
        """Where the robot was at the newest odometry (x, y, yaw), shape (3,)."""

    def learn(self, reach: Reach) -> None:
        """What the robot reaches, by the weights that serve from now on."""

    def target(self, now: float, state: Array, dt: float) -> Target:
        """For a step at ``now`` [s], ``dt`` [s] after the last, from (x, y, yaw, v, omega), shape (5,)."""

    def hold(self) -> None:
        """The robot is not driven until the next :meth:`target`."""

    def retreat(self, duration: float) -> None:
        """The robot stood still over the last ``duration`` [s]: it is wanted where it was before."""

    def relocate(self, before: Array, after: Array) -> None:
        """Odometry jumped farther than the robot drives, from one pose to another, shape (3,)."""

    def restart(self) -> None:
        """Begin anew."""

    def configure(self, config: ControlConfig) -> None:
        """Other thresholds from now on."""
