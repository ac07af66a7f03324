"""What the controller is to follow and to keep off: paths, trajectories and costmaps, in whatever frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid, Path

from ..control.follow_path import Ending, Error, Outcome
from ..control.loop import ControlLoop
from ..core.errors import InvalidPathError, InvalidValueError
from ..mppi.costmap import Costmap
from ..ros import conversions as to
from ..ros import qos
from ..ros.base import BaseNode
from ..ros.transforms import Transforms
from ..safety.frames import FrameLatch


class Course:
    """Hands them to a control loop, and moves them with their frames.

    Args:
        node: that hears them.
        frames: of odometry.
        loop: that is to follow.
        by_topic: paths come by topics, too.
        busy: whether a path that did not come by a topic is followed, and goes first.

    Attributes:
        early: a path that came before the frames were known; None: there is none.
    """

    def __init__(
        self,
        node: BaseNode,
        frames: FrameLatch,
        loop: ControlLoop,
        by_topic: bool,
        busy: Callable[[], bool],
    ) -> None:
        self._node, self._frames, self._loop, self._busy = node, frames, loop, busy
        self.early: to.PathMessage | None = None
        self._plan_frame = ""
        self._grid: Costmap | None = None
        if by_topic:
            node.subscribe(Path, "plan", self._on_path, qos.STATE, raw=True)
            if (kind := _trajectory_type()) is not None:
                node.subscribe(kind, "trajectory", self._on_trajectory, qos.STATE)
        node.subscribe(OccupancyGrid, "costmap", self._on_costmap, qos.MAP)
        self._transforms = Transforms.of(node)

    def lead(self, loop: ControlLoop) -> None:
        """Another loop is to follow from now on, what came early at once."""
        self._loop = loop
        if self.early is not None:
            self.follow(self.early)

    def drop(self) -> None:
        """Forget the path."""
        self.early = None
        self._loop.drop_path()

    def take_goal(self, path: to.PathMessage) -> Outcome | None:
        """Follow the path of a goal; its outcome where that cannot be done."""
        frame = path.frame_id
        known = frame == self._frames.odom_frame or self._origin_of(frame) is not None
        if self._frames.latched and not known:
            reason = f"no transform from {frame!r} to {self._frames.odom_frame!r}"
            return Outcome(Ending.ABORTED, Error.TF_ERROR, reason)
        rejected = self.follow(path)
        return Outcome(Ending.ABORTED, Error.INVALID_PATH, rejected) if rejected else None

    def follow(self, path: to.PathMessage) -> str:
        """Take a path, or keep it until the frames are known; says why it cannot be followed."""
        if not self._frames.latched:
            self.early = path
            return ""
        self.early, self._plan_frame = None, path.frame_id
        self.move()
        rejected = self._loop.handle_path(*path, now=self._node.now())
        if rejected:
            self._complain(f"plan refused: {rejected}")
        return rejected

    def move(self) -> None:
        """A path in another frame moves with that frame: map against odom, when localisation corrects."""
        origin = self._origin_of(self._plan_frame)
        if origin is not None:
            self._loop.set_path_origin(self._plan_frame, origin)

    def _origin_of(self, frame: str) -> np.ndarray | None:
        """Pose of a frame in that of odometry by tf; None where tf does not know it, or is not there."""
        if not frame or frame == self._frames.odom_frame or self._transforms is None:
            return None
        return self._transforms.pose(self._frames.odom_frame, frame)

    def _complain(self, text: str) -> None:
        self._node.get_logger().error(text, throttle_duration_sec=1.0)

    def _on_path(self, data: bytes) -> None:
        self._hear(to.read_path, data)

    def _on_trajectory(self, message: Any) -> None:
        self._hear(to.read_trajectory, message)

    def _hear(self, read: Callable[[Any], to.PathMessage], message: Any) -> None:
        if self._busy():
            told = "a goal of follow_path is followed, not what comes by topics"
            self._node.get_logger().info(told, once=True)
            return
        try:
            path = read(message)
        except InvalidPathError as error:
            self._complain(str(error))
            path = to.PathMessage(self._frames.odom_frame, np.zeros((0, 3)))
        self.follow(path)

    def _on_costmap(self, message: OccupancyGrid) -> None:
        try:
            costmap = self._grid = to.read_costmap(message, self._grid)
            frame = message.header.frame_id
            if (origin := self._origin_of(frame)) is not None:
                frame, costmap = self._frames.odom_frame, costmap.moved(origin)
            rejected = self._loop.handle_costmap(frame, costmap)
        except InvalidValueError as error:
            rejected = str(error)
        if rejected:
            self._complain(f"costmap refused: {rejected}")


def _trajectory_type() -> Any:
    """The type of trajectories; None where trajectory_msgs is not installed."""
    try:
        from trajectory_msgs.msg import MultiDOFJointTrajectory
    except ImportError:
        return None
    return MultiDOFJointTrajectory
