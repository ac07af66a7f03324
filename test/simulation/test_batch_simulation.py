import time

import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.simulation.batch import simulate_batch
from mppi_maml_ros.simulation.commands import tracking_commands
from mppi_maml_ros.simulation.parameters import WorldParameters, randomize
from mppi_maml_ros.simulation.random_bits import mix, normal, uniform
from mppi_maml_ros.simulation.world import DynamicWorld


def tasks(count, steps, seed=0, **fixed):
    rng = np.random.default_rng(seed)
    worlds = [attrs.evolve(randomize(rng), **fixed) for _ in range(count)]
    return worlds, tracking_commands(rng, count, steps, 0.05, VelocityLimits())


def matrix(worlds):
    return np.array([world.as_vector() for world in worlds])


@pytest.mark.parametrize("dt", [0.05, 0.02])
def test_batch_is_the_world_many_times(dt):
    worlds, commands = tasks(6, 120, odometry_delay=0.07, battery_sag=0.02)
    true, observed = simulate_batch(matrix(worlds), commands, dt, np.arange(6))
    for b, parameters in enumerate(worlds):
        world = DynamicWorld(parameters)
        states = [(world.state, world.odometry())]
        for command in commands[b]:
            world.step(command, dt)
            states.append((world.state, world.odometry()))
        np.testing.assert_allclose(true[b], [s for s, _ in states], atol=1e-9)
        np.testing.assert_allclose(observed[b], [o for _, o in states], atol=1e-9)


def test_noise_follows_from_each_tasks_own_seed():
    worlds, commands = tasks(3, 50)
    noisy = [w.with_process_noise([0.01] * 5).with_odometry_noise([0.01] * 5) for w in worlds]
    first = simulate_batch(matrix(noisy), commands, 0.05, np.array([5, 6, 7]))
    again = simulate_batch(matrix(noisy[1:]), commands[1:], 0.05, np.array([6, 7]))
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a[1:], b)
    other = simulate_batch(matrix(noisy), commands, 0.05, np.array([5, 6, 8]))
    assert np.array_equal(first[0][0], other[0][0]) and not np.array_equal(first[0][2], other[0][2])


def test_noise_has_the_deviations_asked_for():
    process, odometry = np.array([0.02, 0.01, 0.03, 0.0, 0.0]), np.array([0.03, 0.02, 0.01, 0.05, 0.04])
    p = WorldParameters().with_process_noise(process).with_odometry_noise(odometry)
    true, observed = simulate_batch(matrix([p] * 4), np.zeros((4, 2000, 2)), 0.05, np.arange(4))
    steps, errors = np.diff(true, axis=1), observed - true
    for change in (steps, errors):
        change[..., 2] = (change[..., 2] + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(steps.std(axis=(0, 1)), process, rtol=0.05, atol=1e-12)
    np.testing.assert_allclose(errors.std(axis=(0, 1)), odometry, rtol=0.05)
    np.testing.assert_allclose(errors.mean(axis=(0, 1)), 0.0, atol=0.003)


def test_initial_states_and_commands_are_honoured():
    p = WorldParameters(command_delay=0.1, acceleration_limit=100.0)
    start = np.array([[1.0, 2.0, 4.0, 0.5, 0.2]])
    true, _ = simulate_batch(
        matrix([p]), np.zeros((1, 4, 2)), 0.05, [0], initial_states=start, initial_commands=[[0.5, 0.2]]
    )
    np.testing.assert_allclose(true[0, 0], [1.0, 2.0, 4.0 - 2 * np.pi, 0.5, 0.2])
    np.testing.assert_allclose(true[0, :3, 3:], [[0.5, 0.2]] * 3, atol=1e-12)
    assert true[0, 3, 3] < 0.4


def test_sixty_four_tasks_of_four_hundred_steps_take_well_under_a_fifth_of_a_second():
    worlds, commands = tasks(64, 400)
    arguments = (matrix(worlds), commands, 0.05, np.arange(64))
    simulate_batch(*arguments)
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        simulate_batch(*arguments)
        best = min(best, time.process_time() - start)
    assert best < 0.2


def test_one_phase_is_a_world_that_stays():
    worlds, commands = tasks(3, 60, battery_sag=0.02)
    noisy = matrix([w.with_process_noise([0.01] * 5).with_odometry_noise([0.01] * 5) for w in worlds])
    plain = simulate_batch(noisy, commands, 0.05, np.arange(3))
    phases = {"starts": np.zeros((3, 1), int), "pushes": np.zeros((3, 1, 2))}
    for a, b in zip(plain, simulate_batch(noisy[:, None], commands, 0.05, np.arange(3), **phases)):
        np.testing.assert_array_equal(a, b)


def test_a_change_takes_effect_at_its_step():
    worlds, commands = tasks(2, 60, command_delay=0.0, friction_v=0.5)
    before, after = (matrix([attrs.evolve(w, friction_v=c) for w in worlds]) for c in (0.5, 2.5))
    starts = np.array([[0, 20], [0, 33]])
    stays, _ = simulate_batch(before, commands, 0.05, np.arange(2))
    phases = np.stack([before, after], axis=1)
    changes, _ = simulate_batch(phases, commands, 0.05, np.arange(2), starts=starts)
    for b, first in enumerate(starts[:, 1]):
        np.testing.assert_array_equal(changes[b, : first + 1], stays[b, : first + 1])
        assert changes[b, first + 1, 3] != stays[b, first + 1, 3]
        rest, _ = simulate_batch(
            after[b : b + 1], commands[b : b + 1, first:], 0.05, [0], changes[b : b + 1, first]
        )
        np.testing.assert_allclose(rest[0], changes[b, first:], atol=1e-12)


def test_a_push_accelerates_while_it_lasts():
    still = matrix([WorldParameters(acceleration_limit=100.0)] * 3)[None]
    pushes = np.array([[[0.0, 0.0], [0.8, -0.3], [0.0, 0.0]]])
    starts = np.array([[0, 20, 40]])
    true, _ = simulate_batch(still, np.zeros((1, 60, 2)), 0.05, [0], starts=starts, pushes=pushes)
    v, omega = true[0, :, 3], true[0, :, 4]
    assert not v[:21].any() and not omega[:21].any()
    assert v[21] > 0.0 > omega[21]
    assert 0.0 < v[60] < 0.5 * v[40]


def test_no_tasks_are_no_states():
    true, observed = simulate_batch(
        np.zeros((0, len(WorldParameters().as_vector()))), np.zeros((0, 5, 2)), 0.05, np.zeros(0, int)
    )
    assert true.shape == observed.shape == (0, 6, 5)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"commands": np.zeros((1, 4, 3))}, "commands"),
        ({"commands": np.full((1, 4, 2), np.nan)}, "commands"),
        ({"parameter_matrix": np.zeros((1, 3))}, "parameter_matrix"),
        ({"parameter_matrix": WorldParameters().as_vector()[None] * np.nan}, "lag_v"),
        ({"parameter_matrix": WorldParameters().as_vector()[None] * 5}, "mass"),
        ({"parameter_matrix": np.tile(WorldParameters().as_vector(), (1, 2, 1))}, "starts"),
        ({"starts": [[1]]}, "starts"),
        ({"starts": np.zeros((1, 2), int)}, "starts"),
        ({"pushes": np.zeros((1, 2))}, "pushes"),
        ({"pushes": np.full((1, 1, 2), np.nan)}, "pushes"),
        ({"dt": 0.0}, "dt"),
        ({"dt": np.nan}, "dt"),
        ({"seeds": [1, 2]}, "seeds"),
        ({"seeds": [-1]}, "seeds"),
        ({"seeds": [0.5]}, "seeds"),
        ({"initial_states": np.zeros((1, 3))}, "initial_states"),
        ({"initial_states": np.full((1, 5), np.inf)}, "initial_states"),
        ({"initial_commands": np.zeros((2, 2))}, "initial_commands"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, complaint):
    arguments = {
        "parameter_matrix": WorldParameters().as_vector()[None],
        "commands": np.zeros((1, 4, 2)),
        "dt": 0.05,
        "seeds": [0],
    }
    with pytest.raises(InvalidValueError, match=complaint):
        simulate_batch(**{**arguments, **change})


def test_hashed_numbers_are_uniform_and_normal_and_differ_by_stream():
    key = mix(3)
    flat = np.array([uniform(key, i) for i in range(20000)])
    assert 0.0 < flat.min() and flat.max() < 1.0
    assert flat.mean() == pytest.approx(0.5, abs=0.01) and flat.std() == pytest.approx(12**-0.5, rel=0.02)
    bell = np.array([normal(key, i) for i in range(20000)])
    assert bell.mean() == pytest.approx(0.0, abs=0.03) and bell.std() == pytest.approx(1.0, rel=0.02)
    assert np.corrcoef(bell[1:], bell[:-1])[0, 1] == pytest.approx(0.0, abs=0.03)
    other = np.array([normal(mix(4), i) for i in range(20000)])
    assert np.corrcoef(bell, other)[0, 1] == pytest.approx(0.0, abs=0.03)
