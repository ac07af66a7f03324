"""What is compared is what drives the robot."""

from types import SimpleNamespace

import numpy as np
import pytest

from mppi_maml_ros.control import step as control_step
from mppi_maml_ros.core.errors import NoValidControlError
from mppi_maml_ros.experiments import closed_loop
from mppi_maml_ros.mppi import MPPIConfig
from mppi_maml_ros.references.figures import circle
from mppi_maml_ros.simulation.worlds import make_world

CONFIG = MPPIConfig(batch_size=32, time_steps=8)


class Constant:
    """A controller of its own: always the same command."""

    def __init__(self, command):
        self.command, self.seen = np.array(command), []

    def reset(self):
        pass

    def compute_control(self, state, reference, history, last_command, weights, elapsed, scene, push, change):
        self.seen.append((state.copy(), weights, history.copy()))
        return SimpleNamespace(command=self.command)


def drive(**options):
    world = make_world("seed", seed=1)
    return closed_loop.run(world, circle(2.0, 0.5), CONFIG, 1, duration=1.0, **options)


def test_a_run_takes_the_steps_of_the_control_loop(monkeypatch):
    calls, step = [], control_step.ControlStep.run

    def watched(self, now, *arguments, **options):
        calls.append(now)
        return step(self, now, *arguments, **options)

    monkeypatch.setattr(control_step.ControlStep, "run", watched)
    drive()
    assert calls == pytest.approx(0.05 * np.arange(20))


def test_a_controller_of_its_own_drives():
    own = Constant((0.3, -0.2))
    result = drive(controller=own, model="its own")
    assert (result.commands == [0.3, -0.2]).all() and len(own.seen) == 20
    assert {weights for _, weights, _ in own.seen} == {"its own"}
    assert np.array_equal(own.seen[5][2][:6], [[0.3, -0.2]] * 5 + [[0.0, 0.0]])


def test_who_may_see_the_true_state_sees_it_to_the_bit():
    own = Constant((0.3, -0.2))
    result = drive(controller=own, true_state=True)
    assert np.array_equal([state for state, *_ in own.seen], result.states[:-1])


def test_a_run_without_a_valid_command_ends():
    with pytest.raises(NoValidControlError):
        drive(controller=Constant((np.nan, 0.0)))
