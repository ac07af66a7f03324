"""What the nodes say and do when a twist lies, a robot is held or an emergency stop is announced."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mppi_maml_ros.msg import AdaptationStatus, ControllerStatus
from std_msgs.msg import Bool

from mppi_maml_ros.adaptation.attempt import Decision
from mppi_maml_ros.nodes.adaptation import AdaptationNode
from mppi_maml_ros.nodes.mppi_controller import MppiControllerNode
from mppi_maml_ros.safety.codes import Code, State
from mppi_maml_ros.weights.meta_model import PACKAGED

from .conftest import FakeRobot

CIRCLE = {"reference": "circle", "circle__radius": 2.0, "circle__speed": 0.5, "batch_size": 300}

needs_artifact = pytest.mark.skipif(not PACKAGED.exists(), reason="the packaged artifact is not there")


class Liar(FakeRobot):
    """Its twist is zero from the beginning; it can be held."""

    lies, held = True, False

    def publish(self, state):
        if self.held:
            self.state[3:] = [0.0, 0.0]
        super().publish([*state[:3], 0.0, 0.0] if self.lies else state)

    def step(self):
        place = self.state[:3]
        super().step()
        if self.held:
            self.state[:3] = place


class Ears:
    """Hears both nodes and their diagnostics."""

    def __init__(self, bench):
        self.controller, self.adaptation = ControllerStatus(), AdaptationStatus()
        self.diagnostics: dict[str, DiagnosticStatus] = {}
        node = bench.probe("ears")
        node.create_subscription(ControllerStatus, "mppi_controller/status", self._on_controller, 50)
        node.create_subscription(AdaptationStatus, "adaptation/status", self._on_adaptation, 50)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self.estop = node.create_publisher(Bool, "estop", 1)

    def _on_controller(self, message):
        self.controller = message

    def _on_adaptation(self, message):
        self.adaptation = message

    def _on_diagnostics(self, message):
        self.diagnostics |= {status.name: status for status in message.status}

    def warned(self, text):
        """Names of those that warn so."""
        return [
            name
            for name, status in self.diagnostics.items()
            if status.level == DiagnosticStatus.WARN and text in status.message
        ]


@needs_artifact
@pytest.mark.fault(58)
def test_a_twist_of_zero_is_named_in_status_and_diagnostics_of_both_nodes(bench):
    Liar(bench)
    ears = Ears(bench)
    bench.start(MppiControllerNode, **CIRCLE)
    bench.start(AdaptationNode)
    bench.until(lambda: ears.controller.code == Code.ODOMETRY_TWIST, 20.0)
    assert "the twist is zero" in ears.controller.reason
    assert ears.controller.state == State.RUNNING
    bench.until(lambda: any("controller" in name for name in ears.warned("the twist is zero")), 20.0)
    bench.until(lambda: any("adaptation" in name for name in ears.warned("the twist is zero")), 20.0)


@needs_artifact
@pytest.mark.fault(61)
def test_a_held_robot_is_told_and_not_learned_from(bench):
    robot, ears = Liar(bench), Ears(bench)
    robot.lies = False
    bench.start(MppiControllerNode, **CIRCLE)
    bench.start(AdaptationNode)
    bench.until(lambda: robot.fastest > 0.3, 20.0)
    robot.held = True
    bench.until(lambda: ears.controller.code == Code.ROBOT_BLOCKED)
    bench.until(lambda: ears.adaptation.decision == Decision.SKIPPED_NOT_TRUSTED)
    assert "has not moved" in ears.controller.reason and "has not moved" in ears.adaptation.reason
    robot.held = False
    bench.until(lambda: ears.controller.code == Code.NONE)
    bench.until(lambda: ears.adaptation.decision != Decision.SKIPPED_NOT_TRUSTED)


@needs_artifact
@pytest.mark.fault(63)
def test_an_emergency_stop_on_estop_is_a_stop_until_it_is_released(bench):
    robot, ears = FakeRobot(bench), Ears(bench)
    bench.start(MppiControllerNode, **CIRCLE)
    bench.start(AdaptationNode)
    bench.until(lambda: robot.fastest > 0.3, 20.0)
    ears.estop.publish(Bool(data=True))
    bench.until(lambda: ears.controller.code == Code.EMERGENCY_STOP)
    bench.until(lambda: robot.commands[-1][1:] == (0.0, 0.0))
    bench.until(lambda: ears.adaptation.decision == Decision.SKIPPED_NOT_TRUSTED)
    assert "emergency stop" in ears.adaptation.reason
    ears.estop.publish(Bool(data=False))
    bench.until(lambda: ears.controller.state == State.RUNNING)
    bench.until(lambda: ears.adaptation.decision != Decision.SKIPPED_NOT_TRUSTED)
