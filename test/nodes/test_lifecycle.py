"""Managed nodes, several nodes in one process, and several robots at once."""

from __future__ import annotations

import signal

import pytest
from geometry_msgs.msg import Twist, Vector3
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from mppi_maml_ros.msg import ControllerStatus
from nav_msgs.msg import Odometry
from rclpy.exceptions import InvalidHandle

from mppi_maml_ros.core.errors import MppiMamlError
from mppi_maml_ros.nodes.adaptation import AdaptationNode
from mppi_maml_ros.nodes.composed import compose
from mppi_maml_ros.nodes.dynamic_world import DynamicWorldNode
from mppi_maml_ros.nodes.meta_trainer import MetaTrainerNode
from mppi_maml_ros.nodes.mppi_controller import MppiControllerNode
from mppi_maml_ros.ros import conversions as to

KINDS = {
    "mppi_controller": MppiControllerNode,
    "adaptation": AdaptationNode,
    "dynamic_world": DynamicWorldNode,
    "meta_trainer": MetaTrainerNode,
}


class Manager:
    """Asks a node for transitions, as ``ros2 lifecycle`` does."""

    def __init__(self, bench, name):
        self.bench = bench
        probe = bench.probe(f"manager_of_{name}")
        self._change = probe.create_client(ChangeState, f"{name}/change_state")
        self._get = probe.create_client(GetState, f"{name}/get_state")

    def to(self, transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.bench.call(self._change, request).success

    @property
    def state(self) -> int:
        return self.bench.call(self._get, GetState.Request()).current_state.id


@pytest.mark.parametrize("name", KINDS)
def test_a_node_comes_up_by_itself(bench, name):
    node = bench.start(KINDS[name])
    assert Manager(bench, name).state == State.PRIMARY_STATE_ACTIVE
    assert node.configured and node.active


@pytest.mark.parametrize("name", KINDS)
def test_a_managed_node_goes_through_its_states_and_back(bench, name):
    node = bench.start(KINDS[name], autostart=False)
    manager = Manager(bench, name)
    ours = len(list(node.publishers))
    for _ in range(2):
        assert manager.state == State.PRIMARY_STATE_UNCONFIGURED
        assert manager.to(Transition.TRANSITION_CONFIGURE) and len(list(node.publishers)) > ours
        assert manager.to(Transition.TRANSITION_ACTIVATE)
        assert manager.to(Transition.TRANSITION_DEACTIVATE)
        assert manager.to(Transition.TRANSITION_CLEANUP) and len(list(node.publishers)) == ours


def test_a_controller_that_is_deactivated_ramps_to_zero_and_is_silent_until_activated(bench):
    bench.start(DynamicWorldNode, randomize_on_start=False)
    bench.start(MppiControllerNode, reference="circle", circle__radius=1.0)
    commands: list[float] = []
    states: list[int] = []
    probe = bench.probe()
    probe.create_subscription(Twist, "cmd_vel", lambda m: commands.append(m.linear.x), 10)
    probe.create_subscription(
        ControllerStatus, "mppi_controller/status", lambda m: states.append(m.state), 10
    )
    manager = Manager(bench, "mppi_controller")
    bench.until(lambda: commands and commands[-1] > 0.3)
    assert manager.to(Transition.TRANSITION_DEACTIVATE)
    bench.until(lambda: commands[-1] == 0.0)
    bench.spin_for(0.2)
    count = len(commands)
    bench.spin_for(0.3)
    assert len(commands) == count
    assert manager.to(Transition.TRANSITION_ACTIVATE)
    bench.until(lambda: len(commands) > count and commands[-1] > 0.3)
    bench.until(lambda: states[-1] == ControllerStatus.RUNNING)


def test_others_may_drive_the_robot_of_a_controller_that_is_not_active(bench):
    bench.start(DynamicWorldNode, randomize_on_start=False)
    node = bench.start(MppiControllerNode, reference="circle", batch_size=50)
    driven: list[float] = []  # stamps at which the robot was fast

    def hear(message):
        if message.twist.twist.linear.x > 0.3:
            driven.append(to.seconds(message.header.stamp))

    probe = bench.probe()
    probe.create_subscription(Odometry, "odom", hear, 50)
    others = probe.create_publisher(Twist, "cmd_vel", 10)
    bench.until(lambda: node._loop.odometry is not None)
    assert Manager(bench, "mppi_controller").to(Transition.TRANSITION_DEACTIVATE)
    bench.until(node.is_stopped)
    driven.clear()

    def long_enough():
        others.publish(Twist(linear=Vector3(x=0.5)))
        return driven and driven[-1] - driven[0] > 2.0

    bench.until(long_enough)
    assert node._loop.remark is None


def test_parameters_set_before_configuring_count(bench):
    from rclpy.parameter import Parameter

    node = bench.start(MppiControllerNode, autostart=False)
    (result,) = node.set_parameters([Parameter("temperature", value=0.7)])
    assert result.successful
    assert Manager(bench, "mppi_controller").to(Transition.TRANSITION_CONFIGURE)
    assert node._mppi.config.temperature == 0.7


@pytest.mark.parametrize("name", KINDS)
def test_a_node_that_cannot_be_made_is_destroyed_at_once_even_if_its_error_is_kept(bench, name, monkeypatch):
    def refuse(self):
        raise MppiMamlError("no")

    monkeypatch.setattr(KINDS[name], "set_up", refuse)
    bench.probe()
    with pytest.raises(MppiMamlError, match="^no$") as kept:
        bench.start(KINDS[name])
    makers = (frame.frame.f_locals.get("self") for frame in kept.traceback)
    half_made = next(maker for maker in makers if isinstance(maker, KINDS[name]))
    with pytest.raises(InvalidHandle):
        half_made.get_name()


def test_only_known_nodes_are_composed():
    with pytest.raises(MppiMamlError, match="nodes must be different ones of"):
        compose(["mppi_controller", "navigator"])


def test_three_robots_run_at_once_each_in_its_namespace_and_process(bench, node_process):
    """Controller, adaptation and world of each robot in one process."""
    cycles: dict[str, list[ControllerStatus]] = {name: [] for name in ("robot1", "robot2", "robot3")}
    probe = bench.probe()
    for name, received in cycles.items():
        probe.create_subscription(ControllerStatus, f"/{name}/mppi_controller/status", received.append, 50)
    processes = [
        node_process(
            "composed",
            *("-r", f"__ns:=/{name}", "-p", "reference:=circle"),
            before=("mppi_controller", "adaptation", "dynamic_world"),
        )
        for name in cycles
    ]

    def all_run() -> bool:
        return all(
            m and m[-1].state == ControllerStatus.RUNNING and m[-1].cycles > 10 for m in cycles.values()
        )

    bench.until(all_run, timeout=60.0)
    for process in processes:
        code, output = process.end(signal.SIGINT, timeout=20.0)
        assert code == 0 and "Traceback" not in output, output
