import json

import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.dynamics.residual import open_loop
from mppi_maml_ros.experiments.studies import mujoco as work
from mppi_maml_ros.simulation.commands import tracking_commands
from mppi_maml_ros.simulation.world import DynamicWorld, WorldParameters


def driven(parameters, seed, steps=400):
    """True states (steps + 1, 5) and commands of a varied drive."""
    commands = tracking_commands(np.random.default_rng(seed), 1, steps, 0.05, work.LIMITS)[0]
    world = DynamicWorld(parameters)
    states = [world.state]
    for command in commands:
        world.step(command, 0.05)
        states.append(world.state)
    return np.array(states), commands


def test_the_offline_fit_predicts_the_robot_that_it_was_fitted_to():
    robot = WorldParameters(
        lag_v=0.3, lag_omega=0.2, motor_gain_left=0.8, motor_gain_right=0.8, command_delay=0.1
    )
    fitted = work.fit_offline([work.transitions_of(*driven(robot, 0), 0.05)])
    states, commands = driven(robot, 1)
    for start in range(20, 300, 40):
        past = commands[start - 8 : start][::-1]
        predicted = open_loop(fitted, states[start], commands[start : start + 30], past)
        assert np.hypot(*(predicted[-1, :2] - states[start + 30, :2])) < 0.03


def test_a_history_holds_the_commands_before_newest_first():
    states, commands = driven(WorldParameters(), 0, steps=12)
    history = work.transitions_of(states, commands, 0.05).history
    np.testing.assert_array_equal(history[0], np.zeros((8, 2)))
    np.testing.assert_array_equal(history[9], commands[8:0:-1])


def test_a_seed_draws_one_robot_and_another_seed_another():
    assert work.draw(3, 40.0) == work.draw(3, 40.0)
    assert work.draw(3, 40.0) != work.draw(4, 40.0)
    parameters, load = work.draw(3, 40.0)
    assert parameters.patch_grip < 0.1 and 16.0 <= load.at <= 24.0 and load.mass >= 1.5


def test_results_are_written_with_the_gap_of_the_means(tmp_path):
    row = dict.fromkeys(work.COLUMNS, 0)
    first = {"seed": 0, "kinematic": 0.2, "fixed": 0.1, "adaptive": 0.1, "gap_closed": 1.0}
    second = {"seed": 1, "kinematic": 0.4, "fixed": 0.1, "adaptive": 0.3, "gap_closed": 1 / 3}
    rows = [row | first, row | second]
    work.write(tmp_path, rows, work.StudySettings())
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["gap_closed"] == 0.5 and summary["gap_closed_by_seed"]["least"] == 0.333
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "value"), [("duration", 1.0), ("duration", np.nan), ("reference", "spiral")]
)
def test_settings_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(InvalidValueError, match=name):
        work.StudySettings(**{name: value})
