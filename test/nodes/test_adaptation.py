"""``adaptation`` alone: it learns from what it hears, offers weights, and tells what became of them."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from geometry_msgs.msg import TwistStamped
from mppi_maml_ros.msg import AdaptationStatus, ControllerStatus
from mppi_maml_ros.srv import SwapWeights
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from std_srvs.srv import SetBool, Trigger

from mppi_maml_ros.adaptation.attempt import Attempt, Decision
from mppi_maml_ros.adaptation.online import OnlineConfig
from mppi_maml_ros.nodes.adaptation import AdaptationNode
from mppi_maml_ros.ros import conversions as to
from mppi_maml_ros.ros.weights import read_weights
from mppi_maml_ros.weights.meta_model import PACKAGED

from .conftest import FakeRobot

pytestmark = pytest.mark.skipif(not PACKAGED.exists(), reason="the packaged artifact is not there")

QUICK = {"warmup_samples": 20, "meta_samples": 0, "adapt_interval": 0.3}


class FakeController:
    """Commands a wavy course, and takes or refuses weights."""

    def __init__(self, bench, serves: bool = True):
        self.node = bench.probe("mppi_controller")
        self.offers: list[SwapWeights.Request] = []
        self.status = AdaptationStatus()
        self.heard = 0
        self.accepts = True
        self.version = 0
        self._publisher = self.node.create_publisher(to.Twist, "cmd_vel", 1)
        self._states = self.node.create_publisher(ControllerStatus, "~/status", 1)
        self.node.create_subscription(AdaptationStatus, "adaptation/status", self._on_status, 50)
        self.node.create_timer(0.05, self._drive)
        if serves:
            self.node.create_service(SwapWeights, "~/swap_weights", self._on_swap)

    def _drive(self) -> None:
        t = time.monotonic()
        self._publisher.publish(to.twist_message((0.6 + 0.3 * math.sin(2.0 * t), 0.8 * math.sin(3.1 * t))))
        self._states.publish(ControllerStatus(weights_version=self.version))

    def _on_status(self, message: AdaptationStatus) -> None:
        self.status = message
        self.heard += 1

    def _on_swap(self, request, response):
        self.offers.append(request)
        response.success = self.accepts
        if self.accepts:
            self.version += 1
        else:
            response.code, response.message = response.TOO_LARGE, "too large for my taste"
        response.version = self.version
        return response


@pytest.fixture
def controller(bench):
    return FakeController(bench)


def test_it_offers_weights_that_predict_the_robot_better_than_the_prior(bench, controller):
    FakeRobot(bench)
    bench.start(AdaptationNode, **QUICK)
    bench.until(lambda: controller.status.swaps_accepted >= 1, 15.0)
    status = controller.status
    assert status.decision in (AdaptationStatus.ACCEPTED, AdaptationStatus.REJECTED_HELD_OUT)
    assert status.state == AdaptationStatus.ACTIVE
    assert status.weights_version >= 1
    # A pause of this machine may look like a change of the robot, after which fewer are enough.
    assert status.samples >= (OnlineConfig().min_samples if status.changes_detected else 20)
    assert status.held_out_candidate < 0.5 * status.held_out_prior
    for name in ("loss_before", "loss_after", "held_out_meta", "held_out_current", "adapt_ms", "swap_ms"):
        assert getattr(status, name) >= 0.0, name
    assert np.isfinite([status.delay, *status.gain, *status.time_constant]).all()
    weights = read_weights(controller.offers[0].weights)
    assert weights.adapter == status.adapter == "physics+maml"


def test_it_says_that_it_waits_and_for_what(bench, controller):
    node = bench.start(AdaptationNode, **QUICK)
    bench.until(lambda: controller.heard)
    assert controller.status.state == AdaptationStatus.WAITING_FOR_DATA
    assert math.isnan(controller.status.loss_before)
    robot = FakeRobot(bench)
    bench.until(lambda: controller.status.state == AdaptationStatus.WARMING_UP)
    robot.mute()
    bench.until(lambda: controller.status.decision == AdaptationStatus.SKIPPED_TOO_FEW_SAMPLES)
    assert controller.status.ticks_skipped >= 1
    assert not controller.offers
    assert node.report_callbacks().level == b"\x00"


def test_disabled_it_offers_nothing_and_enabling_needs_no_restart(bench, controller):
    FakeRobot(bench)
    node = bench.start(AdaptationNode, enabled=False, **QUICK)
    bench.until(lambda: controller.status.samples >= 25)
    assert controller.status.state == AdaptationStatus.DISABLED
    assert not controller.offers
    client = bench.probe("switch").create_client(SetBool, "adaptation/enable")
    assert bench.call(client, SetBool.Request(data=True)).success
    bench.until(lambda: controller.offers)
    answer = bench.call(client, SetBool.Request(data=False))
    assert answer.success and "go on serving" in answer.message
    assert node.get_parameter("enabled").value is False
    bench.until(lambda: controller.status.state == AdaptationStatus.DISABLED)


def test_an_attempt_on_request_is_answered_with_its_outcome(bench, controller):
    robot = FakeRobot(bench)
    bench.start(AdaptationNode, warmup_samples=20, meta_samples=0, growth=100.0, adapt_interval=3600.0)
    client = bench.probe("asker").create_client(Trigger, "adaptation/adapt")
    answer = bench.call(client, Trigger.Request())
    assert not answer.success and answer.message.startswith("SKIPPED_TOO_FEW_SAMPLES")
    bench.until(lambda: controller.offers, 15.0)  # the first attempt, when the warm-up is complete
    count = controller.status.samples
    bench.until(lambda: controller.status.samples > count + 10)
    answer = bench.call(client, Trigger.Request())
    assert answer.message.startswith(("ACCEPTED: held-out error", "REJECTED_HELD_OUT: held-out error"))
    assert answer.success == answer.message.startswith("ACCEPTED")
    assert robot.commands


@pytest.mark.fault(33)
def test_a_refusal_by_the_controller_is_told_with_its_reason(bench, controller):
    FakeRobot(bench)
    controller.accepts = False
    bench.start(AdaptationNode, **QUICK)
    bench.until(lambda: controller.status.decision == AdaptationStatus.REJECTED_BY_CONTROLLER, 15.0)
    assert "too large for my taste" in controller.status.reason
    assert controller.status.swaps_rejected >= 1 and controller.status.swaps_accepted == 0
    assert controller.status.weights_version == 0


@pytest.mark.fault(41)
def test_without_a_controller_it_says_so_and_goes_on_at_the_pace_of_its_timer(bench, monkeypatch):
    controller = FakeController(bench, serves=False)
    FakeRobot(bench)
    node = bench.start(AdaptationNode, **QUICK)
    bench.until(lambda: controller.status.decision == AdaptationStatus.SWAP_UNAVAILABLE, 15.0)
    assert "swap_weights" in controller.status.reason
    attempts = controller.status.adapt_ms
    monkeypatch.setattr(type(node._online), "due", True)  # as while weights are to be taken back
    begun, count = time.monotonic(), node._counts.total()
    bench.until(lambda: controller.status.adapt_ms != attempts)
    bench.spin_for(1.0)
    periods = (time.monotonic() - begun) / QUICK["adapt_interval"]
    assert node._counts.total() - count <= periods + 1, "no attempt at each odometry"


@pytest.mark.fault(40)
def test_an_answer_that_does_not_come_is_given_up_and_ticks_meanwhile_are_counted(
    bench, controller, monkeypatch
):
    FakeRobot(bench)
    node = bench.start(AdaptationNode, swap_timeout=0.5, **QUICK)
    # The request goes nowhere, as when the controller dies with it.
    monkeypatch.setattr(
        node._swaps._client, "call_async", lambda request: node.executor.create_task(lambda: None) and Never()
    )
    monkeypatch.setattr(node._swaps._client, "remove_pending_request", lambda future: None)
    bench.until(lambda: controller.status.decision == AdaptationStatus.SKIPPED_BUSY, 15.0)
    bench.until(lambda: controller.status.decision == AdaptationStatus.SWAP_UNAVAILABLE)
    assert "did not answer within 0.5 s" in controller.status.reason
    assert controller.status.ticks_skipped >= 1
    assert controller.status.swap_ms >= 500.0


@pytest.mark.fault(40)
def test_ticks_that_pass_during_an_attempt_are_counted_and_not_made_up_for(bench, controller, monkeypatch):
    FakeRobot(bench)
    node = bench.start(AdaptationNode, adapt_interval=0.1)
    attempts = []

    def slow():
        attempts.append(time.monotonic())
        while time.monotonic() < attempts[-1] + 0.35:
            pass
        return Attempt(Decision.REJECTED_HELD_OUT, "a test")

    monkeypatch.setattr(node._online, "attempt", slow)
    monkeypatch.setattr(type(node._online), "due", False)
    bench.until(lambda: len(attempts) >= 4 and controller.status.ticks_skipped >= 4)
    assert controller.status.ticks_skipped <= 4 * len(attempts)
    assert np.diff(attempts).min() > 0.34


class Never:
    """A future that is never done."""

    def add_done_callback(self, callback) -> None:
        pass


@pytest.mark.fault(42)
def test_a_controller_that_restarted_is_taken_for_one_with_the_prior(bench, controller):
    FakeRobot(bench)
    node = bench.start(AdaptationNode, **QUICK)
    bench.until(lambda: controller.status.swaps_accepted >= 1, 15.0)
    node.set_parameters([Parameter("enabled", value=False)])
    assert node._online.serving is not None
    controller.version = 0
    bench.until(lambda: node._online.serving is None)
    assert node._swaps.version == 0


@pytest.mark.fault(4)
def test_odometry_that_is_not_finite_is_never_learned_from(bench, controller):
    robot = FakeRobot(bench)
    node = bench.start(AdaptationNode, enabled=False, **QUICK)
    bench.until(lambda: node._online.samples >= 5)
    robot.mute()
    for _ in range(10):
        robot.publish([math.nan] * 5)
    rejected = node._checks.rejected
    bench.until(lambda: node._checks.rejected >= rejected + 5)
    assert np.isfinite(node._online.buffer.latest().states).all()


def test_stamped_commands_count_from_their_stamp_on(bench, monkeypatch):
    node = bench.start(AdaptationNode, cmd_vel_type="twist_stamped")
    seen = []
    monkeypatch.setattr(node._online, "add_command", lambda at, command: seen.append((at, command)))
    now = node.now()
    message = to.command_message((0.5, 0.1), to.to_stamp(now - 0.03), "base", True)
    node._on_command(serialize_message(message), {})
    node._on_command(serialize_message(TwistStamped()), {})
    assert seen[0][0] == pytest.approx(now - 0.03, abs=1e-6) and seen[0][1] == (0.5, 0.1)
    assert seen[1][0] == pytest.approx(now, abs=0.1)  # no stamp: the time of arrival


def test_tunables_change_at_run_time(bench):
    node = bench.start(AdaptationNode)
    results = node.set_parameters([Parameter("inner_steps", value=7), Parameter("guard.margin", value=0.1)])
    assert all(result.successful for result in results)
    assert node._online.config.sgd.inner_steps == 7 and node._online.config.guard.margin == 0.1
    (result,) = node.set_parameters([Parameter("adapter", value="maml")])
    assert not result.successful and "adapter" in result.reason


@pytest.mark.fault(46)
@pytest.mark.fault(55)
def test_the_process_needs_no_torch_and_ends_with_code_0(node_process):
    import signal

    process = node_process("adaptation", "-p", "adapt_interval:=1.0")
    line = process.process.stdout.readline()
    while line and "enabled" not in line:
        line = process.process.stdout.readline()
    code, output = process.end(signal.SIGINT, signal.SIGINT)
    assert code == 0, output
    assert "torch imported: False" in output and "Traceback" not in output
