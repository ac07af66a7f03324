"""Whether the way that was chosen is free of obstacles for as long as the robot needs to stop."""

from __future__ import annotations

import math

import numpy as np

from ..core.errors import NoValidControlError
from ..core.types import Array
from .costmap import Costmap
from .footprint import Footprint

CONTACT_MARGIN = 0.2  # [s] on top of the time to stop, within which a trajectory must be free


def first_contact(
    poses: Array, start: Array, costmap: Costmap, footprint: Footprint, model_dt: float
) -> float:
    """When a robot on its way first comes nearer to an obstacle than it may [s]; infinite when it does not.

    A robot that is in contact already may move as long as that does not bring it nearer.

    Args:
        poses: after each step, shape (N, 3), frame of the costmap.
        start: its pose leads, shape (3,) or longer.
        footprint: of the robot.
        model_dt: step [s].
    """
    clearance = footprint.clearance(poses, costmap)
    (now,) = footprint.clearance(start[None, :3], costmap)
    touching = np.flatnonzero(clearance < min(now, 0.0))
    return float((touching[0] + 1) * model_dt) if len(touching) else math.inf


def check_way(
    poses: Array,
    start: Array,
    costmap: Costmap,
    footprint: Footprint,
    model_dt: float,
    time_to_stop: float,
) -> None:
    """Refuse a way that touches an obstacle before the robot could stop; arguments of :func:`first_contact`.

    Args:
        time_to_stop: from the present speed [s].

    Raises:
        NoValidControlError: it does.
    """
    contact = first_contact(poses, start, costmap, footprint, model_dt)
    if contact <= time_to_stop + CONTACT_MARGIN:
        raise NoValidControlError(f"the chosen trajectory touches an obstacle in {contact:.2f} s")
