"""What nobody listens to is not made, and does not pile up."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from mppi_maml_ros.msg import AdaptationStatus, ControllerStatus

from mppi_maml_ros.nodes.adaptation import AdaptationNode
from mppi_maml_ros.nodes.mppi_controller import MppiControllerNode

from .conftest import FakeRobot


def test_the_controller_makes_a_status_only_for_who_listens(bench, monkeypatch):
    made, make = [], MppiControllerNode._status
    monkeypatch.setattr(MppiControllerNode, "_status", lambda *args: made.append(args) or make(*args))
    robot = FakeRobot(bench)
    node = bench.start(MppiControllerNode, reference="circle", batch_size=200)
    bench.until(lambda: len(robot.commands) > 20)
    assert not made
    heard = []
    probe = bench.probe()
    subscription = probe.create_subscription(ControllerStatus, "mppi_controller/status", heard.append, 10)
    bench.until(lambda: len(heard) > 3)
    assert len(made) >= len(heard)
    probe.destroy_subscription(subscription)
    bench.until(lambda: not node._status_publisher.get_subscription_count())
    so_far, ticks = len(made), len(robot.commands)
    bench.until(lambda: len(robot.commands) > ticks + 5)
    assert len(made) == so_far


def test_the_adaptation_publishes_a_status_only_for_who_listens(bench, monkeypatch):
    node = bench.start(AdaptationNode)
    published = []
    publish = node._status_publisher.publish
    monkeypatch.setattr(node._status_publisher, "publish", lambda m: (published.append(m), publish(m)))
    node._publish_status()
    assert not published
    heard = []
    bench.probe().create_subscription(AdaptationStatus, "adaptation/status", heard.append, 10)
    bench.until(lambda: heard)  # the timer publishes
    assert len(published) >= len(heard) and heard[0].adapter == "physics+maml"


@pytest.mark.parametrize("kind", [MppiControllerNode, AdaptationNode])
def test_diagnostics_ask_only_for_who_listens(bench, monkeypatch, kind):
    asked, report = [], kind.report_callbacks
    monkeypatch.setattr(kind, "report_callbacks", lambda self: asked.append(self) or report(self))
    bench.start(kind)
    bench.spin_for(1.3)  # the period is one second
    assert not asked
    heard = []
    bench.probe().create_subscription(DiagnosticArray, "/diagnostics", heard.append, 10)
    bench.until(lambda: heard)
    assert asked


def test_what_the_diagnostics_would_have_said_does_not_pile_up(bench):
    robot = FakeRobot(bench)
    node = bench.start(MppiControllerNode, reference="circle", batch_size=200)
    longest = 0
    for _ in range(25):  # two and a half seconds
        ticks = len(robot.commands)
        bench.until(lambda count=ticks: len(robot.commands) > count + 1)
        longest = max(longest, len(node._window._steps))
    assert 0 < longest < 1.5 * node._settings.control.controller_frequency
