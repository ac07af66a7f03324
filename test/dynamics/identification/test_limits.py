"""Limits of acceleration are found in noisy odometry, and nowhere else."""

import attrs
import numpy as np
import pytest

from mppi_maml_ros.dynamics.acceleration import FREE_ACCELERATION, UNLIMITED
from mppi_maml_ros.dynamics.identification import limits, servo
from mppi_maml_ros.dynamics.transitions import Transitions
from mppi_maml_ros.simulation.firmware import simulate_firmware
from mppi_maml_ros.simulation.firmware_parameters import FirmwareParameters

DT, TAPS = 0.05, 4
NOISE = np.repeat(np.square([0.003, 0.01, 0.03, 0.1])[:, None], 3, axis=1)
FAMILY = servo.ServoFamily.make(TAPS, DT)


def drawn(up=FREE_ACCELERATION, down=None, steps=100, seed=0, noise=0.01, tau=0.12, gain=0.9, jumps=20):
    """A lag with limits, alike on both axes, under commands that jump every so many steps."""
    rng = np.random.default_rng(seed)
    down = up if down is None else down
    commands = np.repeat(rng.uniform(-1.2, 1.2, (steps // jumps + 2, 2)), jumps, axis=0)[: steps + TAPS]
    x, course = np.zeros(2), [np.zeros(2)]
    for u in commands[TAPS:]:
        want = x + (1.0 - np.exp(-DT / tau)) * (gain * u - x)
        step = np.where((want - x) * x >= 0.0, up, down) * DT
        x = x + np.clip(want - x, -step, step)
        course.append(x)
    return transitions(np.array(course) + rng.normal(0.0, noise, (steps + 1, 2)), commands)


def transitions(twists, commands):
    steps = len(twists) - 1
    states = np.zeros((steps + 1, 5))
    states[:, 3:] = twists
    history = np.stack([commands[TAPS - 1 - k :][:steps] for k in range(TAPS)], axis=1)
    return Transitions(
        np.arange(steps) * DT,
        states[:-1],
        commands[TAPS:],
        history,
        states[1:],
        np.zeros(steps, dtype=int),
        DT,
    )


def found(data, before=UNLIMITED):
    return limits.find(data, FAMILY, NOISE, before)


def base(seed=0, steps=200, **parameters):
    """A base of simulation.firmware under commands that jump and swing."""
    rng = np.random.default_rng(seed)
    p = FirmwareParameters(odometry_noise_v=0.01, odometry_noise_omega=0.01, **parameters)
    commands = np.repeat(rng.uniform(-0.8, 0.8, (steps // 25 + 2, 2)), 25, axis=0)[: steps + TAPS]
    _, observed = simulate_firmware(p.as_vector()[None], commands[None], DT, np.array([seed]))
    return transitions(observed[0, TAPS:, 3:5], commands)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("up, down", [(0.5, 0.5), (0.4, 1.0), (1.5, 0.8)])
def test_both_limits_are_found(up, down, seed):
    got = found(drawn(up, down, seed=seed, steps=160)).acceleration
    for axis in (0, 1):
        assert got[0, axis] == pytest.approx(up, rel=0.15), got
        # The other one may not have been met; then it is taken to be about as low.
        assert got[1, axis] == pytest.approx(down, rel=0.2) or got[1, axis] < down, got


@pytest.mark.parametrize("tau", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("seed", range(8))
def test_a_robot_without_limits_has_none(tau, seed):
    data = drawn(tau=tau, seed=seed, gain=0.6 + 0.05 * seed, noise=0.005 * (1 + seed % 3))
    result = found(data)
    assert (result.acceleration == FREE_ACCELERATION).all() and result.unlimited is data


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("frequency, damping", [(4.0, 0.3), (6.0, 0.6), (9.0, 0.25)])
def test_a_loop_that_swings_is_not_taken_for_one_with_limits(frequency, damping, seed):
    data = base(
        seed, frequency_v=frequency, frequency_omega=frequency, damping_v=damping, damping_omega=damping
    )
    assert (found(data).acceleration == FREE_ACCELERATION).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_ramp_in_firmware_is_found(seed):
    data = base(seed, speed_up_v=0.5, slow_down_v=0.8, speed_up_omega=1.0, slow_down_omega=2.0)
    got = found(data).acceleration
    assert got[0] == pytest.approx([0.5, 1.0], rel=0.2)


def test_what_is_learned_from_is_the_lag_without_its_limits():
    free, limited = drawn(seed=3, noise=0.002), drawn(0.5, seed=3, noise=0.002)
    unlimited = found(limited).unlimited
    gained = unlimited.next_states[:, 3:] - limited.next_states[:, 3:]
    assert np.abs(gained).max() > 0.2
    x, u = unlimited.states[:, 3:], unlimited.commands
    wanted = x + (1.0 - np.exp(-DT / 0.12)) * (0.9 * u - x)
    assert np.sqrt(np.mean((unlimited.next_states[:, 3:] - wanted) ** 2)) < 0.03
    assert np.array_equal(free.commands, limited.commands)


def test_known_limits_stay_while_nothing_tells_of_them_and_go_when_broken():
    known = np.full((2, 2), 0.5)
    quiet = drawn(steps=60, jumps=200, seed=1)
    calm = quiet[20:]
    assert np.array_equal(found(calm, known).acceleration, known)
    assert (found(drawn(seed=2), known).acceleration == FREE_ACCELERATION).all()


def test_few_transitions_tell_nothing():
    known = np.full((2, 2), 0.7)
    data = drawn(0.5, steps=5)
    result = found(data, known)
    assert np.array_equal(result.acceleration, known) and result.unlimited is data


def test_a_gap_is_no_step():
    data = drawn(seed=4, steps=120)
    shifted = data.next_states.copy()
    broken = attrs.evolve(data, segments=np.arange(120) // 3, next_states=shifted)
    assert (found(broken).acceleration == FREE_ACCELERATION).all()


@pytest.mark.parametrize("dt", [0.01, 0.03, 0.049, 0.07, 0.1, 0.33])
def test_no_limit_is_none_at_any_step(dt):
    data = attrs.evolve(drawn(seed=5), model_dt=dt)
    family = servo.ServoFamily.make(TAPS, dt)
    assert (limits.find(data, family, NOISE, UNLIMITED).acceleration == FREE_ACCELERATION).all()
