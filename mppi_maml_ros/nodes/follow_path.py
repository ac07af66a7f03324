"""Nav2's action ``follow_path`` and topic ``speed_limit``, where nav2_msgs is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from rclpy.action.server import ServerGoalHandle
from rclpy.serialization import serialize_message

from ..control.follow_path import Ending, Error, Feedback, GoalWatch, Outcome, speed_share
from ..control.output import ControlOutput
from ..core.errors import InvalidPathError, InvalidValueError
from ..ros import conversions as to
from ..ros import qos
from ..ros.action import End, TickedActionServer
from ..ros.base import BaseNode
from ..ros.parameters import Declared, ParameterError
from ..safety.codes import State

SOURCES = ("auto", "topic", "action")

TABLE = (
    Declared(
        "path_source",
        "auto",
        "Paths come by the topic plan, by nav2's action follow_path alone, between whose goals nothing is "
        "commanded, or (auto) by either",
        choices=SOURCES,
    ),
    Declared(
        "controller_plugins",
        (),
        "Names of controllers that a goal of follow_path may ask for; empty: any",
        element=str,
        dynamic=True,
    ),
    Declared(
        "failure_tolerance",
        0.3,
        "A goal of follow_path fails after so long of what may pass; -1: never",
        "s",
        -1.0,
        3600.0,
        dynamic=True,
    ),
)

_END = {
    Ending.SUCCEEDED: End.SUCCEEDED,
    Ending.CANCELED: End.CANCELED,
    Ending.ABORTED: End.ABORTED,
}


def messages() -> tuple[Any, Any] | None:
    """Types FollowPath and SpeedLimit; None where nav2_msgs is not installed."""
    try:
        from nav2_msgs.action import FollowPath
        from nav2_msgs.msg import SpeedLimit
    except ImportError:
        return None
    return FollowPath, SpeedLimit


def fill(message: Any, values: dict[str, Any]) -> Any:
    """``message`` with those of the values for which it has a field: distributions differ."""
    for name in message.get_fields_and_field_types():
        if name in values:
            setattr(message, name, values[name])
    return message


def feedback(message: Any, output: ControlOutput) -> Any:
    """``message`` of FollowPath, filled in after a tick; from Lyrical on its content is in a part of it."""
    values = attrs.asdict(Feedback.of(output))
    if hasattr(message, "tracking_feedback"):
        fill(message.tracking_feedback, values)
    return fill(message, values)


class PathGoals:
    """The goal that is followed, from its acceptance until the robot has been told to stand still.

    Args:
        node: that serves.
        kind: nav2_msgs/FollowPath.
        values: parameters at present.
        follow: takes a path; its answer is why it cannot be followed, None when it can.
        drop: forgets the path.
    """

    def __init__(
        self,
        node: BaseNode,
        kind: Any,
        values: Mapping[str, Any],
        follow: Callable[[to.PathMessage], Outcome | None],
        drop: Callable[[], None],
    ) -> None:
        self._node, self._kind, self._values = node, kind, values
        self._follow, self._drop = follow, drop
        self._handle: ServerGoalHandle | None = None
        self._outcome: Outcome | None = None
        self._watch = GoalWatch(0.0, 0.0)
        self._server = TickedActionServer(node, kind, "follow_path", self._on_goal)

    @property
    def busy(self) -> bool:
        """A goal is under way."""
        return self._handle is not None

    def _on_goal(self, handle: ServerGoalHandle) -> None:
        if self._handle is not None:
            self._end(Outcome(Ending.ABORTED, reason="another goal came"))
        self._handle = handle
        self._watch = GoalWatch(self._node.steady_now(), self._values["failure_tolerance"])
        self._outcome = self._take(handle.request)
        if self._outcome is not None:
            self._drop()

    def _take(self, goal: Any) -> Outcome | None:
        allowed = self._values["controller_plugins"]
        if allowed and goal.controller_id not in ("", *allowed):
            reason = f"controller_id must be one of {', '.join(allowed)}, got {goal.controller_id!r}"
            return Outcome(Ending.ABORTED, Error.INVALID_CONTROLLER, reason)
        try:
            return self._follow(to.read_path(serialize_message(goal.path)))
        except InvalidPathError as error:
            return Outcome(Ending.ABORTED, Error.INVALID_PATH, str(error))

    def tick(self, output: ControlOutput) -> None:
        """A control period has passed."""
        if self._handle is None:
            return
        if self._outcome is None:
            if self._handle.is_cancel_requested:
                self._outcome = Outcome(Ending.CANCELED)
            else:
                self._outcome = self._watch.update(output, self._node.steady_now())
            if self._outcome is not None:
                self._drop()
        if self._outcome is None and output.state is State.RUNNING:
            self._handle.publish_feedback(feedback(self._kind.Feedback(), output))
        elif self._outcome is not None and not output.command.any():
            self._end(self._outcome)

    def terminate(self) -> None:
        """The node goes: the goal ends, as nav2's do, without an error of its own."""
        if self._handle is not None:
            self._drop()
            self._end(Outcome(Ending.ABORTED, reason="the controller was deactivated"))

    def _end(self, outcome: Outcome) -> None:
        handle, self._handle, self._outcome = self._handle, None, None
        assert handle is not None
        result = fill(self._kind.Result(), {"error_code": int(outcome.error), "error_msg": outcome.reason})
        if outcome.error:
            self._node.get_logger().warning(f"goal aborted ({outcome.error.name}): {outcome.reason}")
        self._server.end(handle, _END[outcome.ending], result)

    def destroy(self) -> None:
        """The action is there no more."""
        self._server.destroy()


def offer(
    node: BaseNode,
    values: Mapping[str, Any],
    follow: Callable[[to.PathMessage], Outcome | None],
    drop: Callable[[], None],
    slow: Callable[[float], None],
) -> PathGoals | None:
    """The action, and the speed limit; None where they are not wanted, or cannot be had.

    Args:
        node, values, follow, drop: see :class:`PathGoals`.
        slow: takes the share of the velocities that a limit leaves.

    Raises:
        ParameterError: they are wanted and cannot be had.
    """
    source, reference = values["path_source"], values["reference"]
    if source == "topic" or (source == "auto" and reference != "plan"):
        return None
    if reference != "plan":
        raise ParameterError(f"path_source action needs reference plan, got {reference}")
    types = messages()
    if types is None:
        if source == "action":
            raise ParameterError("path_source action needs nav2_msgs, which is not installed")
        node.get_logger().info("nav2_msgs is not installed: paths come by the topic plan alone")
        return None

    def on_limit(message: Any) -> None:
        try:
            slow(speed_share(message.percentage, message.speed_limit, values["vx_max"]))
        except InvalidValueError as error:
            node.get_logger().error(f"speed limit refused: {error}", throttle_duration_sec=1.0)

    node.subscribe(types[1], "speed_limit", on_limit, qos.STATE)
    return PathGoals(node, types[0], values, follow, drop)
