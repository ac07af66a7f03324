import attrs
import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.simulation.disturbances import FrictionStep
from mppi_maml_ros.simulation.parameters import WorldParameters
from mppi_maml_ros.simulation.seed_world import (
    SEED_NOISE,
    PerturbedWorld,
    SeedWorld,
    forced_seed_step,
    seed_step,
)


def reference_step(state, command, c_v, c_omega, dt, push=(0.0, 0.0)):
    """One Runge-Kutta step with the accelerations of its start held, as the benchmark states it."""
    a = 5.0 * (command[0] - state[3]) + push[0]
    alpha = 5.0 * (command[1] - state[4]) + push[1]

    def rates(s):
        return np.array(
            [s[3] * np.cos(s[2]), s[3] * np.sin(s[2]), s[4], a - c_v * s[3], alpha - c_omega * s[4]]
        )

    k1 = rates(state)
    k2 = rates(state + 0.5 * dt * k1)
    k3 = rates(state + 0.5 * dt * k2)
    k4 = rates(state + dt * k3)
    return state + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


def commands(steps, seed=0):
    return np.random.default_rng(seed).uniform(-2.0, 2.0, (steps, 2))


@pytest.mark.parametrize("dt", [0.05, 0.02])
def test_seed_world_is_the_benchmarks_to_rounding(dt):
    world = SeedWorld(noise=False)
    state = np.zeros(5)
    for command in commands(400):
        state = reference_step(state, command, 0.5, 0.3, dt)
        state[2] = (state[2] + np.pi) % (2.0 * np.pi) - np.pi
        np.testing.assert_allclose(world.step(command, dt), state, atol=1e-10)


def test_seed_step_is_one_runge_kutta_step():
    rng = np.random.default_rng(1)
    for _ in range(50):
        state, command = rng.normal(size=5), rng.normal(size=2)
        c_v, c_omega, dt = rng.uniform(0.0, 3.0), rng.uniform(0.0, 3.0), rng.uniform(0.01, 0.1)
        np.testing.assert_allclose(
            seed_step(*state, *command, c_v, c_omega, dt),
            reference_step(state, command, c_v, c_omega, dt),
            atol=1e-13,
        )
        push = rng.normal(size=2)
        np.testing.assert_allclose(
            forced_seed_step(*state, *command, c_v, c_omega, *push, dt),
            reference_step(state, command, c_v, c_omega, dt, push),
            atol=1e-13,
        )


def test_process_noise_is_added_after_the_step_with_the_benchmarks_deviations():
    world = SeedWorld(seed=5)
    errors = []
    for command in commands(4000):
        before = world.state
        world.step(command, 0.05)
        error = world.state - reference_step(before, command, 0.5, 0.3, 0.05)
        error[2] = (error[2] + np.pi) % (2.0 * np.pi) - np.pi
        errors.append(error)
    np.testing.assert_allclose(np.std(errors, axis=0), SEED_NOISE, rtol=0.05)
    np.testing.assert_allclose(np.mean(errors, axis=0), 0.0, atol=4 * max(SEED_NOISE) / 60)


def test_friction_and_start_are_as_given():
    world = SeedWorld(c_v=0.1, c_omega=0.8, noise=False, start=(1.0, 2.0, 3.0))
    state = np.array([1.0, 2.0, 3.0, 0.0, 0.0])
    np.testing.assert_array_equal(world.state, state)
    world.step((1.0, -0.5), 0.05)
    np.testing.assert_allclose(
        world.step((1.0, -0.5), 0.05),
        reference_step(reference_step(state, (1.0, -0.5), 0.1, 0.8, 0.05), (1.0, -0.5), 0.1, 0.8, 0.05),
        atol=1e-12,
    )
    assert (world.current_parameters().friction_v, world.current_parameters().friction_omega) == (0.1, 0.8)


def test_friction_step_changes_the_equations_from_its_time_on():
    world = SeedWorld(noise=False, disturbances=(FrictionStep(1.0, 2.5, 1.5),))
    state = np.zeros(5)
    for i in range(40):
        friction = (2.5, 1.5) if i >= 20 else (0.5, 0.3)
        e = world.equations()
        assert (e.vector[6], e.vector[7]) == friction
        state = reference_step(state, (1.0, 0.2), *friction, 0.05)
        np.testing.assert_allclose(world.step((1.0, 0.2), 0.05), state, atol=1e-12)


def test_seed_world_can_delay_commands_by_whole_steps():
    delayed, plain = SeedWorld(noise=False, command_delay=0.15), SeedWorld(noise=False)
    sequence = commands(40)
    for i, command in enumerate(sequence):
        delayed.step(command, 0.05)
        if i >= 3:
            plain.step(sequence[i - 3], 0.05)
    np.testing.assert_allclose(delayed.state, plain.state, atol=1e-12)


def test_seed_world_takes_friction_and_noise_and_refuses_what_it_does_not_have():
    world = SeedWorld()
    world.set_parameters(attrs.evolve(world.parameters, friction_v=1.0))
    assert world.current_parameters().friction_v == 1.0
    with pytest.raises(InvalidValueError, match="coulomb"):
        world.set_parameters(attrs.evolve(world.parameters, coulomb=0.3))
    with pytest.raises(InvalidValueError, match="lag_v"):
        world.set_parameters(WorldParameters())


def test_perturbed_world_scales_the_displacement_of_the_biased_command():
    world = PerturbedWorld(noise=False, start=(1.0, -1.0, 0.4))
    pose = np.array([1.0, -1.0, 0.4])
    for command in commands(100, seed=2):
        v, omega = command + [0.12, -0.05]
        nominal = pose.copy()
        rates = [
            np.array([v * np.cos(angle), v * np.sin(angle), omega])
            for angle in (pose[2], pose[2] + 0.025 * omega, pose[2] + 0.025 * omega, pose[2] + 0.05 * omega)
        ]
        nominal += 0.05 / 6.0 * (rates[0] + 2.0 * rates[1] + 2.0 * rates[2] + rates[3])
        pose = pose + (nominal - pose) * [0.55, 0.55, 0.80]
        pose[2] = (pose[2] + np.pi) % (2.0 * np.pi) - np.pi
        after = world.step(command, 0.05)
        np.testing.assert_allclose(after[:3], pose, atol=1e-12)
        np.testing.assert_allclose(after[3:], [0.55 * v, 0.80 * omega], atol=1e-12)


def test_perturbed_world_refuses_parameters_that_it_does_not_have():
    with pytest.raises(InvalidValueError, match="perturbed"):
        PerturbedWorld().set_parameters(WorldParameters(mass=2.0))
    with pytest.raises(InvalidValueError, match="perturbation"):
        PerturbedWorld(perturbation=(0.1, np.nan, 1.0, 1.0))
