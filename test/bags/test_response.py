"""What commands explain of velocities: no base of the worlds is implausible, and clocks are told apart."""

import numpy as np
import pytest

from mppi_maml_ros.bags.response import lead, responses
from mppi_maml_ros.core.types import Odometry, VelocityLimits
from mppi_maml_ros.dynamics.buffer import BufferConfig, TransitionBuffer
from mppi_maml_ros.simulation.commands import tracking_commands
from mppi_maml_ros.simulation.world import DynamicWorld, WorldParameters
from mppi_maml_ros.simulation.worlds import WORLDS, make_world

DT, STEPS = 0.05, 600
LIMITS = VelocityLimits(vx_max=1.0, vx_min=-0.3, wz_max=1.5)


def tracking(rng):
    return tracking_commands(rng, 1, STEPS, DT, LIMITS)[0]


def teleop(rng):
    held = [rng.choice(levels, STEPS // 50) for levels in ((0.0, 0.2, 0.5), (-0.8, 0.0, 0.0, 0.8))]
    return np.repeat(np.column_stack(held), 50, axis=0)


def straight(rng):
    return np.repeat([[0.0, 0.0], [0.4, 0.0]], [20, STEPS - 20], axis=0)


def drive(world, commands, behind=0.0):
    """Transitions of a drive whose odometry is stamped ``behind`` [s]."""
    buffer, state = TransitionBuffer(BufferConfig()), np.zeros(5)
    for k, command in enumerate(commands):
        buffer.add_odometry(Odometry(k * DT - behind, state[:3], state[3:]))
        buffer.add_command(k * DT - 1e-9, command)
        state = world.step(command, DT)
    return buffer.latest()


@pytest.mark.fault(82)
@pytest.mark.parametrize("name", sorted(WORLDS))
def test_every_base_of_the_worlds_is_plausible_and_answers_after_its_commands(name):
    for seed, commands in enumerate((tracking, teleop, straight)):
        data = drive(make_world(name, seed, duration=STEPS * DT), commands(np.random.default_rng(seed)))
        found = responses(data)
        assert [r.contradiction for r in found if r is not None] == [""] * sum(r is not None for r in found)
        assert lead(found) == 0.0


def test_a_known_response_is_found():
    world = DynamicWorld(WorldParameters(lag_v=0.3, lag_omega=0.2, command_delay=0.1), 0)
    v, omega = responses(drive(world, tracking(np.random.default_rng(0))))
    assert v.gain == pytest.approx(1.0, abs=0.03) and omega.gain == pytest.approx(1.0, abs=0.03)
    assert 0.2 < v.time_constant < 0.4 and 0.1 < omega.time_constant < 0.3
    assert v.delay == pytest.approx(0.1, abs=0.051) and omega.delay == pytest.approx(0.1, abs=0.051)


@pytest.mark.fault(81)
@pytest.mark.parametrize("behind", [0.15, 0.2, 0.3])
def test_an_answer_before_the_command_is_found(behind):
    world = DynamicWorld(WorldParameters(lag_v=0.1, lag_omega=0.1), 0)
    found = lead(responses(drive(world, tracking(np.random.default_rng(0)), behind)))
    assert found == pytest.approx(behind, abs=0.051)


def test_a_robot_that_stands_or_drives_for_a_moment_says_nothing():
    world = DynamicWorld(WorldParameters(), 0)
    assert responses(drive(world, tracking(np.random.default_rng(0))[:80])) == (None, None)
    assert responses(drive(world, np.zeros((STEPS, 2)))) == (None, None) and lead((None, None)) == 0.0
