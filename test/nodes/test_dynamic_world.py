"""``dynamic_world`` alone: it moves as told, says where it is, and stops when nobody commands it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from geometry_msgs.msg import Twist
from mppi_maml_ros.msg import WorldState
from mppi_maml_ros.srv import RandomizeWorld
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock

from mppi_maml_ros.nodes.dynamic_world import DynamicWorldNode
from mppi_maml_ros.ros import conversions as to
from mppi_maml_ros.ros.parameters import ParameterError
from mppi_maml_ros.simulation.parameters import DEFAULT_RANGES, PARAMETER_NAMES, WorldParameters, randomize


class Pilot:
    """Commands the world and hears everything that it says."""

    def __init__(self, bench):
        self.bench = bench
        self.node = bench.probe("pilot")
        self.states: list[WorldState] = []
        self.odometry: list[Odometry] = []
        self.node.create_subscription(WorldState, "dynamic_world/world_state", self.states.append, 100)
        self.node.create_subscription(Odometry, "odom", self.odometry.append, 100)
        self._publisher = self.node.create_publisher(Twist, "cmd_vel", 1)
        self._client = self.node.create_client(RandomizeWorld, "dynamic_world/randomize")

    def command(self, v: float, omega: float = 0.0) -> float:
        """Send one command; the world's time when it was sent [s]."""
        self.bench.until(lambda: self._publisher.get_subscription_count() and self.states)
        self._publisher.publish(to.twist_message((v, omega)))
        return self.time

    @property
    def time(self) -> float:
        return to.seconds(self.states[-1].header.stamp)

    def speed(self) -> float:
        return self.states[-1].twist.linear.x if self.states else 0.0

    def randomize(self, **fields) -> RandomizeWorld.Response:
        return self.bench.call(self._client, RandomizeWorld.Request(**fields))

    def parameters(self) -> dict[str, float]:
        return dict(zip(self.states[-1].names, self.states[-1].values, strict=True))


@pytest.fixture
def pilot(bench):
    return Pilot(bench)


def test_odometry_comes_at_its_rate_in_its_frames(bench, pilot):
    bench.start(DynamicWorldNode, odom_rate=100.0, odom_frame="o", base_frame="b", start_pose=[1.0, 2.0, 0.5])
    bench.until(lambda: len(pilot.odometry) > 60)
    first = pilot.odometry[0]
    assert (first.header.frame_id, first.child_frame_id) == ("o", "b")
    assert first.pose.pose.position.x == pytest.approx(1.0) and to.yaw_of(first.pose.pose) == pytest.approx(
        0.5
    )
    stamps = np.array([to.seconds(message.header.stamp) for message in pilot.odometry])
    np.testing.assert_allclose(np.diff(stamps), 0.01, atol=2e-3)
    now = to.now(pilot.node.get_clock())
    assert abs(now - stamps[-1]) < 0.2


@pytest.mark.fault(42)
def test_it_stops_when_cmd_vel_is_older_than_half_a_second(bench, pilot):
    bench.start(DynamicWorldNode, randomize_on_start=False)
    sent = pilot.command(0.8)
    bench.until(lambda: pilot.speed() > 0.5)
    bench.until(lambda: pilot.states[-1].command_timed_out)
    stopped = next(s for s in pilot.states if s.command_timed_out and to.seconds(s.header.stamp) > sent + 0.1)
    assert 0.45 < to.seconds(stopped.header.stamp) - sent < 0.6
    assert stopped.command.linear.x == 0.0
    bench.until(lambda: pilot.speed() < 1e-2)


def test_a_command_acts_from_its_arrival_on_and_not_from_the_next_step_on(bench, pilot):
    node = bench.start(DynamicWorldNode, randomize_on_start=False, odom_rate=2.0, cmd_vel_timeout=10.0)
    bench.until(lambda: pilot.states and 0.1 < node._world_now() % 0.5 < 0.2)
    pilot.command(1.0)
    bench.until(lambda: node._command != (0.0, 0.0))
    arrived = node._world.time
    assert arrived % 0.5 > 0.1  # within a step
    bench.until(lambda: pilot.speed() > 0.0)
    moving = next(state for state in pilot.states if state.twist.linear.x > 0.0)
    expected = 0.5 - arrived % 0.5
    driven = expected - 0.1 * (1.0 - math.exp(-expected / 0.1))  # of a lag of 0.1 s at 1 m/s
    assert moving.pose.position.x == pytest.approx(driven, abs=5e-3)


def test_the_world_drawn_at_the_start_follows_from_the_seed(bench, pilot):
    bench.start(DynamicWorldNode, seed=11)
    bench.until(lambda: pilot.states)
    drawn = randomize(np.random.default_rng(11), DEFAULT_RANGES)
    np.testing.assert_allclose(pilot.states[-1].values, drawn.as_vector())
    assert pilot.states[-1].seed == 11


def test_given_values_are_exact_also_when_the_rest_is_drawn(bench, pilot):
    bench.start(DynamicWorldNode, world__mass=1.25, world__command_delay=0.08, ranges__inertia=[1.1, 1.1])
    bench.until(lambda: pilot.states)
    values = pilot.parameters()
    assert (values["mass"], values["command_delay"], values["inertia"]) == (1.25, 0.08, 1.1)
    assert values["friction_v"] > 0.0


def test_randomize_repeats_a_seed_and_draws_another_one_for_zero(bench, pilot):
    bench.start(DynamicWorldNode)
    first, other, again = (pilot.randomize(seed=seed) for seed in (5, 0, 5))
    assert first.success and other.success and again.success
    assert first.values == again.values != other.values
    assert first.seed == again.seed == 5 and other.seed not in (0, 5)
    assert list(first.names) == list(PARAMETER_NAMES)
    bench.until(lambda: pilot.states and list(pilot.states[-1].values) == list(again.values))


def test_randomize_sets_exact_values_and_leaves_the_others(bench, pilot):
    bench.start(DynamicWorldNode, randomize_on_start=False)
    answer = pilot.randomize(names=["mass", "motor_gain"], low=[2.0, 0.7], high=[2.0, 0.7])
    values = dict(zip(answer.names, answer.values, strict=True))
    assert (values["mass"], values["motor_gain_left"], values["motor_gain_right"]) == (2.0, 0.7, 0.7)
    assert values["inertia"] == WorldParameters().inertia


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"names": ["weight"], "low": [1.0], "high": [1.0]}, "weight"),
        ({"names": ["mass"], "low": [1.0], "high": []}, "one length"),
        ({"names": ["mass"], "low": [math.nan], "high": [1.0]}, "mass"),
        ({"names": ["mass"], "low": [1.0], "high": [99.0]}, "mass"),
    ],
)
def test_a_wrong_range_is_refused_by_name_and_changes_nothing(bench, pilot, fields, named):
    node = bench.start(DynamicWorldNode)
    before = node._world.parameters
    answer = pilot.randomize(**fields)
    assert not answer.success and named in answer.message
    assert node._world.parameters == before


def test_randomize_puts_the_robot_back_when_asked(bench, pilot):
    bench.start(DynamicWorldNode, start_pose=[3.0, 0.0, 0.0])
    pilot.command(1.0)
    bench.until(lambda: pilot.states[-1].pose.position.x > 3.05)
    assert pilot.randomize(reset_pose=True).success
    count = len(pilot.states)
    bench.until(lambda: len(pilot.states) > count)
    assert pilot.states[-1].pose.position.x == pytest.approx(3.0, abs=0.05)


def test_the_world_changes_by_itself_when_told_to(bench, pilot):
    bench.start(DynamicWorldNode, randomize_period=0.2)
    bench.until(lambda: len({state.seed for state in pilot.states}) >= 3)


@pytest.mark.fault(25)
def test_a_command_that_is_not_finite_is_ignored(bench, pilot):
    node = bench.start(DynamicWorldNode, randomize_on_start=False)
    pilot.command(math.nan)
    bench.until(lambda: node._ignored)
    pilot.command(0.5)
    bench.until(lambda: pilot.speed() > 0.1)
    assert all(math.isfinite(state.pose.position.x) for state in pilot.states)


def test_its_time_can_be_the_clock_of_the_others(bench, pilot):
    clocks: list[Clock] = []
    pilot.node.create_subscription(Clock, "/clock", clocks.append, 10)
    bench.start(DynamicWorldNode, publish_clock=True)
    bench.until(lambda: len(clocks) > 5)
    assert 1.0 <= to.seconds(clocks[0].clock) < 5.0
    times = [to.seconds(message.clock) for message in clocks]
    np.testing.assert_allclose(np.diff(times), 0.02, atol=1e-6)
    assert to.seconds(pilot.odometry[-1].header.stamp) <= times[-1] + 0.1


@pytest.mark.parametrize("backend", ["simulated", "mujoco"])
def test_every_backend_drives_and_is_randomized_by_the_same_service(bench, pilot, backend):
    if backend == "mujoco":
        pytest.importorskip("mujoco", reason="the extra mujoco is not installed")
    bench.start(DynamicWorldNode, backend=backend, randomize_on_start=False)
    pilot.command(0.5)
    bench.until(lambda: pilot.speed() > 0.1)
    answer = pilot.randomize(names=["mass", "slope"], low=[1.5, 0.05], high=[1.5, 0.05])
    assert answer.success
    bench.until(lambda: pilot.parameters()["mass"] == 1.5 and pilot.parameters()["slope"] == 0.05)
    bench.until(lambda: pilot.speed() < 0.0)  # no command any more: it rolls back down


def test_faults_to_order_count_from_the_first_command_to_move(bench, pilot):
    node = bench.start(
        DynamicWorldNode,
        randomize_on_start=False,
        publish_clock=True,
        faults="odom_nan@0.1+0.1,cmd_lost@0.2,odom_stop@0.3+0.3,clock_back@0.6=0.5",
    )
    bench.until(lambda: len(pilot.odometry) > 10)
    assert node._moved_at is None and all(math.isfinite(m.pose.pose.position.x) for m in pilot.odometry)
    pilot.command(0.5)
    bench.until(lambda: node._world.time - (node._moved_at or math.inf) > 0.55)
    assert 3 <= sum(math.isnan(message.pose.pose.position.x) for message in pilot.odometry) <= 6
    count = len(pilot.odometry)
    pilot.command(0.7)
    bench.until(lambda: len(pilot.odometry) > count + 3)
    assert node._command == (0.5, 0.0)  # the second command is lost
    stamps = np.array([to.seconds(message.header.stamp) for message in pilot.odometry])
    assert np.diff(stamps).max() < 0.35 and np.diff(stamps).min() < -0.1


@pytest.mark.parametrize(
    ("text", "named"), [("odom_gone@1", "odom_stop"), ("world_kill@1", "process"), ("clock_back@1", "clock")]
)
def test_a_fault_that_it_cannot_make_is_refused(bench, text, named):
    with pytest.raises(ParameterError, match=named):
        bench.start(DynamicWorldNode, faults=text)


def test_a_stamp_is_no_older_for_a_process_that_had_to_wait_between_two_clocks(bench, monkeypatch):
    node = bench.start(DynamicWorldNode)
    true, waits = node._world_now, iter([0.03])
    monkeypatch.setattr(node, "_world_now", lambda: true() + next(waits, 0.0))
    assert node._stamp() == pytest.approx(node.now() - true() + node._world.time, abs=0.01)
    assert next(waits, None) is None
