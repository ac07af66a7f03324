"""``composed``: several nodes in one process, for computers where each process counts.

``ros2 run mppi_maml_ros composed mppi_controller adaptation --ros-args --params-file ...``: one executor in
one thread runs all of them, so a control period may wait for an adaptation of some milliseconds; threads
would wait for the interpreter for longer.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from rclpy.node import Node

from ..core.errors import MppiMamlError
from ..ros.executor import leave, run

NODES = {
    "mppi_controller": "MppiControllerNode",
    "adaptation": "AdaptationNode",
    "dynamic_world": "DynamicWorldNode",
    "meta_trainer": "MetaTrainerNode",
}
USUAL = ("mppi_controller", "adaptation")


def compose(names: Sequence[str]) -> Node:
    """Make the nodes; the first one is returned and ends the others with itself.

    Raises:
        MppiMamlError: an unknown name, or one twice.
    """
    unknown = [name for name in names if name not in NODES]
    if unknown or len(set(names)) < len(names):
        raise MppiMamlError(f"nodes must be different ones of {', '.join(NODES)}, got {', '.join(names)}")
    kinds = [getattr(importlib.import_module(f".{name}", __package__), NODES[name]) for name in names]
    first, *others = (kind() for kind in kinds)
    first.companions = others
    first.thread_priority = 0  # what adapts and trains is not to run before the rest of the robot
    destroy = first.destroy_node

    def destroy_all() -> None:
        for node in reversed(others):
            if hasattr(node, "shutdown") and node.context.ok():
                node.shutdown()
            node.destroy_node()
        destroy()

    first.destroy_node = destroy_all
    return first


def main(args: list[str] | None = None) -> int:
    """Run the nodes that are named before ``--ros-args``; returns the exit code."""
    args = sys.argv if args is None else args
    own = args[1 : args.index("--ros-args")] if "--ros-args" in args else args[1:]
    return run("composed", lambda: compose(tuple(own) or USUAL), args)


if __name__ == "__main__":
    leave(main())
