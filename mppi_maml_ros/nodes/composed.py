"""``composed``: several nodes in one process, for computers where each process counts.

``ros2 run mppi_maml_ros composed mppi_controller adaptation --ros-args --params-file ...``: the first node
has the main thread, each other one a thread with an executor of its own, so that an adaptation
delays no control period by more than the interpreter's switching.
"""

from __future__ import annotations

import importlib
import sys
import threading

from ..core.errors import MppiMamlError
from ..ros.executor import make_executor, run, spin

NODES = {
    "mppi_controller": "MppiControllerNode",
    "adaptation": "AdaptationNode",
    "dynamic_world": "DynamicWorldNode",
    "meta_trainer": "MetaTrainerNode",
}
USUAL = ("mppi_controller", "adaptation")
_SWITCH_INTERVAL = 1e-3  # [s]; the interpreter's default of 5 ms would delay a control period by as much


class _Companion:
    """A node that spins in a thread."""

    def __init__(self, node):
        from rclpy.task import Future

        self.node, self._stop = node, Future()
        self._executor = make_executor(node.context, events=False)
        self._executor.add_node(node)
        arguments = (self._executor, node.context, self._stop, node.on_spin_error)
        self._thread = threading.Thread(target=spin, args=arguments, name=node.get_name(), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Join the thread, then let the node say its last word."""
        self._stop.set_result(None)
        self._executor.wake()
        self._thread.join(5.0)
        if hasattr(self.node, "shutdown") and self.node.context.ok():
            self.node.shutdown()
        self._executor.shutdown()
        self.node.destroy_node()


def compose(names) -> object:
    """Make the nodes; the first one is returned and ends the others with itself.

    Raises:
        MppiMamlError: an unknown name, or one twice.
    """
    unknown = [name for name in names if name not in NODES]
    if unknown or len(set(names)) < len(names):
        raise MppiMamlError(f"nodes must be different ones of {', '.join(NODES)}, got {', '.join(names)}")
    kinds = [getattr(importlib.import_module(f".{name}", __package__), NODES[name]) for name in names]
    sys.setswitchinterval(_SWITCH_INTERVAL)
    first, *others = (kind() for kind in kinds)
    companions = [_Companion(node) for node in others]
    destroy = first.destroy_node

    def destroy_all() -> None:
        for companion in reversed(companions):
            companion.end()
        destroy()

    first.destroy_node = destroy_all
    return first


def main(args: list[str] | None = None) -> int:
    """Run the nodes that are named before ``--ros-args``; returns the exit code."""
    args = sys.argv if args is None else args
    own = args[1 : args.index("--ros-args")] if "--ros-args" in args else args[1:]
    return run("composed", lambda: compose(tuple(own) or USUAL), args)


if __name__ == "__main__":
    sys.exit(main())
