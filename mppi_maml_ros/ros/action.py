"""An action server whose goals are worked on by somebody's timer."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle

from .base import BaseNode


class End(enum.Enum):
    """How a goal ends."""

    SUCCEEDED = "succeed"
    CANCELED = "canceled"
    ABORTED = "abort"


class TickedActionServer(ActionServer):
    """Goals are under way from their acceptance until :meth:`end`; no thread or coroutine waits meanwhile.

    Args:
        node: that serves; goals are rejected while it is not active.
        kind: type of the action.
        name: of the action.
        on_goal: takes the handle of each accepted goal.
        result_timeout: results are kept for so long [s].
    """

    def __init__(
        self,
        node: BaseNode,
        kind: Any,
        name: str,
        on_goal: Callable[[ServerGoalHandle], None],
        result_timeout: int = 10,
    ) -> None:
        def accept(handle: ServerGoalHandle) -> None:
            handle.execute()
            on_goal(handle)

        super().__init__(
            node,
            kind,
            name,
            lambda handle: None,
            goal_callback=lambda goal: GoalResponse.ACCEPT if node.active else GoalResponse.REJECT,
            handle_accepted_callback=node.guard(accept),
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
            result_timeout=result_timeout,
        )

    def notify_execute(self, goal_handle: ServerGoalHandle, execute_callback: Callable | None) -> None:
        """Nothing is to be executed: see :meth:`end`."""

    def end(self, handle: ServerGoalHandle, end: End, result: Any) -> None:
        """The goal is over, with this result."""
        getattr(handle, end.value)()
        super().notify_execute(handle, lambda _: result)
