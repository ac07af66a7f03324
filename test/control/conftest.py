"""A robot that does what it is told, a controller that is quick to run, and a drive with both."""

import math
from types import SimpleNamespace

import attrs
import numpy as np
import pytest

from mppi_maml_ros.control.config import ControlConfig
from mppi_maml_ros.control.loop import ControlLoop
from mppi_maml_ros.core import se2
from mppi_maml_ros.core.angles import wrap
from mppi_maml_ros.core.types import OdometryMessage, VelocityLimits
from mppi_maml_ros.references.figures import circle
from mppi_maml_ros.safety.codes import State


def pytest_configure(config):
    config.addinivalue_line("markers", "fault(row): the row of the fault table that the test proves")


class FakeMppi:
    """Chases the reference half a second ahead; remembers what it was called with."""

    def __init__(self):
        self.calls = []
        self.resets = 0
        self.override = None

    def reset(self):
        self.resets += 1

    def compute_control(
        self, state, reference, history, last_command, weights, elapsed, scene=None, push=None, change=None
    ):
        self.calls.append(("compute", weights, elapsed, history.copy()))
        if self.override is not None:
            return self.override(state, reference)
        step = min(10, len(reference) - 1)
        ahead = se2.to_body(reference[step], state[:3])
        distance = math.hypot(ahead[0], ahead[1])
        if distance < 0.05:
            return SimpleNamespace(command=np.array([0.0, 1.5 * ahead[2]]))
        backwards = math.cos(reference[step, 2] - state[2]) * ahead[0] < 0.0 and abs(wrap(ahead[2])) < 0.8
        bearing = math.atan2(-ahead[1], -ahead[0]) if backwards else math.atan2(ahead[1], ahead[0])
        speed = distance / (step * 0.05) * max(0.0, math.cos(bearing))
        return SimpleNamespace(command=np.array([-speed if backwards else speed, 2.0 * bearing]))

    def optimal_trajectory(self, state, history, weights):
        self.calls.append(("trajectory", weights, 0.0, history.copy()))
        return np.repeat(state[None, :3], 4, axis=0)


class FakeWeights(str):
    """Told apart by name."""

    error_model = np.zeros((3, 2))


class FakeSlot:
    """Weights that change each time they are looked at."""

    def __init__(self):
        self.looks = 0

    @property
    def current(self):
        self.looks += 1
        return SimpleNamespace(weights=FakeWeights(f"weights {self.looks}"), version=self.looks)


class Drive:
    """A robot under a control loop in simulated time.

    Each :meth:`step` moves the robot by the last command, hands its odometry over and ticks.
    The steady clock has another origin than the node's. Every output is held against the limits.
    """

    def __init__(self, pose=(0.0, 0.0, 0.0), figure=None, **config):
        config = {
            "limits": VelocityLimits(vx_max=1.0),
            "reference": "circle",
            "controller_frequency": 20.0,
        } | config
        if config["reference"] != "plan" and figure is None:
            figure = circle(radius=5.0, speed=0.5)
        self.config = ControlConfig(**config)
        self.mppi, self.slot = FakeMppi(), FakeSlot()
        self.figure = figure
        self.loop = ControlLoop(self.config, self.mppi, self.slot, figure)
        self.predictor = self.loop._step.predictor
        self._predict, self.predictor.now = self.predictor.now, self._look_on
        self.pose = np.array(pose, dtype=float)
        self.t, self.steady = 1000.0, 50.0
        self.command = np.zeros(2)
        self.outputs = []
        self.verdicts = []
        self.jumps_allowed = False

    def _look_on(self, now, weights):
        found = self._predict(now, weights)
        self.mppi.calls.append(("predict", weights, found.age, found.history.copy()))
        return found

    def message(self, receive_time=None, steady_time=None, **changes):
        state = (*self.pose, *self.command)
        verdict = self.loop.handle_odometry(
            attrs.evolve(OdometryMessage.planar(self.t, state), **changes),
            self.t if receive_time is None else receive_time,
            self.steady if steady_time is None else steady_time,
        )
        self.verdicts.append(verdict)
        return verdict

    def advance(self, period, node_period=None):
        self.pose = se2.integrate(self.pose, np.array([self.command[0], 0.0, self.command[1]]), period)
        self.t += period if node_period is None else node_period
        self.steady += period

    def tick(self, **arguments):
        before = self.command
        out = self.loop.tick(self.t, self.steady, **arguments)
        self.outputs.append(out)
        self.command = out.command
        self._hold_against_limits(before, out)
        return out

    def _hold_against_limits(self, before, out):
        limits = self.config.limits
        assert out.command.shape == (2,) and np.isfinite(out.command).all()
        assert (limits.low <= out.command).all() and (out.command <= limits.high).all()
        if not self.jumps_allowed:
            dt = 2.0 * self.config.period
            assert (
                abs(out.command - before) <= np.maximum(limits.acceleration, limits.deceleration) * dt + 1e-9
            ).all()
        if out.state in (
            State.STOPPED,
            State.GOAL_REACHED,
            State.WAITING_FOR_ODOMETRY,
            State.WAITING_FOR_PLAN,
        ):
            assert (out.command == 0.0).all(), f"{out.state.name} must mean an exact zero"
        if out.state is State.STOPPING:
            assert (abs(out.command) <= abs(before)).all() and (out.command != 0.0).any()
        assert bool(out.reason) == bool(out.code)

    def step(self, odometry=True, period=0.05, node_period=None, **changes):
        self.advance(period, node_period)
        if odometry:
            self.message(**changes)
        return self.tick()

    def run(self, seconds, **arguments):
        for _ in range(round(seconds / arguments.get("period", 0.05))):
            out = self.step(**arguments)
        return out

    def until(self, condition, seconds, **arguments):
        """Steps until an output meets the condition; fails after so many seconds."""
        for _ in range(round(seconds / 0.05)):
            out = self.step(**arguments)
            if condition(out):
                return out
        raise AssertionError(f"not within {seconds} s; the last output was {out}")


@pytest.fixture
def drive():
    """A drive class; see above."""
    return Drive


@pytest.fixture
def running():
    """A drive that has followed a circle for a second."""
    ready = Drive()
    assert ready.run(1.0).state is State.RUNNING
    return ready


@pytest.fixture
def on_path():
    """A drive that follows a straight path of ten metres and has done so for a second."""
    ready = Drive(reference="plan")
    ready.run(0.5)
    x = np.linspace(0.0, 10.0, 201)
    assert ready.loop.handle_path("odom", np.column_stack([x, 0 * x, 0 * x])) == ""
    assert ready.run(1.0).state is State.RUNNING
    return ready
