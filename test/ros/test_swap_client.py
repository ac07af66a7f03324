"""The offering side of the weights service: one end to every offer, and restarts are noticed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from mppi_maml_ros.msg import ControllerStatus
from mppi_maml_ros.srv import SwapWeights
from rclpy.serialization import serialize_message

from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.ros.swap_client import SwapAnswer, SwapClient

WEIGHTS = ResidualWeights.first_order((0.2, 0.2), (1.0, 1.0))


class Future:
    """Done when it is told to."""

    def add_done_callback(self, callback) -> None:
        self.callback = callback

    def answer(self, **fields) -> None:
        self.response = SwapWeights.Response(**fields)
        self.callback(self)

    def result(self) -> SwapWeights.Response:
        return self.response


class Node:
    """As much of a node as the client asks for; its clock stands until it is set."""

    def __init__(self) -> None:
        self.time, self.ready, self.warnings = 0.0, True, []
        self.futures: list[Future] = []
        self.given_up: list[Future] = []
        self.guard = lambda callback: callback

    def client_of(self, kind, name):
        return SimpleNamespace(
            srv_name=name,
            service_is_ready=lambda: self.ready,
            call_async=lambda request: self.futures.append(Future()) or self.futures[-1],
            remove_pending_request=self.given_up.append,
        )

    def subscribe(self, kind, topic, callback, profile, raw) -> None:
        self.tell = lambda version: callback(serialize_message(ControllerStatus(weights_version=version)))

    def every(self, period, callback) -> None:
        self.look = callback

    def now(self) -> float:
        return self.time

    def steady_now(self) -> float:
        return self.time

    def get_logger(self):
        return SimpleNamespace(warning=self.warnings.append)


class Bench:
    def __init__(self) -> None:
        self.node, self.restarts = Node(), 0
        self.ends: list[SwapAnswer] = []
        self.client = SwapClient(self.node, "controller", 1.0, self._restarted)

    def _restarted(self) -> None:
        self.restarts += 1

    def offer(self) -> Future:
        self.client.offer(WEIGHTS, self.ends.append)
        return self.node.futures[-1]

    def installed(self, version: int) -> None:
        self.offer().answer(success=True, version=version)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_weights_that_are_taken_serve_under_the_version_of_the_controller(bench) -> None:
    future = bench.offer()
    assert bench.client.busy and not bench.ends
    bench.node.time = 0.02
    future.answer(success=True, version=7)
    (end,) = bench.ends
    assert end.installed and end.answered and end.swap_ms == pytest.approx(20.0)
    assert bench.client.version == 7 and not bench.client.busy


def test_a_refusal_says_why_and_leaves_the_version(bench) -> None:
    bench.offer().answer(success=False, code=3, message="too large", version=0)
    (end,) = bench.ends
    assert not end.installed and end.answered and end.message == "code 3: too large"
    assert bench.client.version == 0 and not bench.client.busy


@pytest.mark.fault(40)
def test_an_answer_that_does_not_come_is_given_up_and_counts_no_more_when_it_comes(bench) -> None:
    late = bench.offer()
    bench.node.time = 1.0
    bench.node.look()
    assert bench.client.busy
    bench.node.time = 1.1
    bench.node.look()
    (end,) = bench.ends
    assert not end.answered and end.message == "controller/swap_weights did not answer within 1 s"
    assert bench.node.given_up == [late] and not bench.client.busy
    late.answer(success=True, version=9)
    assert len(bench.ends) == 1 and bench.client.version == 0


@pytest.mark.fault(42)
def test_another_version_for_more_than_a_second_is_a_restart_once(bench) -> None:
    bench.installed(2)
    for at in (0.0, 0.6, 1.2, 1.3):
        bench.node.time = at
        bench.node.tell(0)
    assert bench.restarts == 1 and bench.client.version == 0
    assert bench.node.warnings == [
        "the controller runs version 0 instead of 2: taken for the kinematic prior"
    ]


def test_a_status_that_was_under_way_during_a_swap_is_no_restart(bench) -> None:
    bench.installed(2)
    for at, version in ((0.0, 1), (0.9, 1), (1.0, 2), (1.8, 1), (2.7, 1)):
        bench.node.time = at
        bench.node.tell(version)
    bench.offer()
    bench.node.time = 5.0
    bench.node.tell(1)
    assert bench.restarts == 0 and bench.client.version == 2


def test_readiness_is_that_of_the_service(bench) -> None:
    assert bench.client.ready and bench.client.service == "controller/swap_weights"
    bench.node.ready = False
    assert not bench.client.ready
