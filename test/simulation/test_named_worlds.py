import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.simulation.worlds import (
    BASE,
    NONLINEAR_WORLDS,
    WHEEL_WORLDS,
    WORLD_NAMES,
    describe_world,
    make_world,
    propagate,
    propagate_delayed,
    split_delay,
)

EXPECTED = {
    "seed",
    "seed_noise_free",
    "seed_delayed",
    "friction_step",
    "wind_gust",
    "terrain_change",
    "sinusoidal",
    "combined_disturbance",
    "perturbed",
    "coulomb",
    "dead_zone",
    "motor_gain",
    "lag",
    "delay",
    "lateral_slip",
    "radius_asymmetry",
    "payload",
    "battery_sag",
    "friction_patches",
    "odometry_noise",
    "everything",
}
# What one seed draws differs from the next in every world but these, whose magnitudes are the guide's.
FIXED = {"seed", "seed_noise_free", "seed_delayed", "friction_step", "perturbed"}


def drive(world, steps=400):
    commands = np.column_stack([0.6 + 0.4 * np.sin(np.arange(steps) / 20), np.sin(np.arange(steps) / 33)])
    return np.array([(world.step(command, 0.05), world.state) for command in commands])


def test_the_registry_has_all_worlds():
    assert set(WORLD_NAMES) == EXPECTED
    assert set(NONLINEAR_WORLDS) < set(WHEEL_WORLDS) < EXPECTED


@pytest.mark.parametrize("name", WORLD_NAMES)
def test_every_world_runs_finite_for_20_s_and_repeats_itself(name):
    run = drive(make_world(name, 1))
    assert np.isfinite(run).all()
    assert np.abs(run[:, :, 3:]).max() < 5.0
    np.testing.assert_array_equal(run, drive(make_world(name, 1)))


@pytest.mark.parametrize("name", sorted(EXPECTED - FIXED))
def test_every_seed_draws_other_magnitudes(name):
    first, second = (drive(make_world(name, seed, noise_scale=0.0)) for seed in (1, 2))
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("name", sorted(FIXED))
def test_the_guides_worlds_do_not_depend_on_the_seed_but_for_noise(name):
    first, second = (drive(make_world(name, seed, noise_scale=0.0)) for seed in (1, 2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", sorted(EXPECTED - {"seed", "seed_noise_free"}))
def test_every_world_differs_from_its_base_in_what_it_is_named_for(name):
    base = make_world("seed_noise_free")
    base_run = drive(base)[:, 0]
    worst = max(
        np.abs(drive(make_world(name, seed, noise_scale=0.0))[:, 0] - base_run).max() for seed in range(3)
    )
    assert worst > 0.02


@pytest.mark.parametrize("name", WORLD_NAMES)
def test_current_equations_predict_every_world_exactly(name):
    world = make_world(name, 2, noise_scale=0.0)
    older = command = (0.0, 0.0)
    history = [command] * 8
    for i in range(240):
        command = (0.6 + 0.4 * np.sin(i / 20), np.sin(i / 33))
        history = [command, *history[:-1]]
        e = world.equations()
        whole, late = split_delay(e.command_delay, 0.05)
        command, older = history[whole], history[whole + 1]
        predicted = np.array(
            propagate_delayed(
                e.kind,
                *world.state,
                *older,
                *command,
                late,
                0.05,
                e.vector,
                e.acceleration_v,
                e.acceleration_omega,
            )
        )
        world.step(history[0], 0.05)
        error = world.state - predicted
        error[2] = (error[2] + np.pi) % (2 * np.pi) - np.pi
        np.testing.assert_allclose(error, 0.0, atol=1e-9)


def test_a_delay_without_rest_is_a_plain_step():
    e = make_world("lag", 1).equations()
    arguments = (e.kind, 0.0, 0.0, 0.0, 0.3, 0.1)
    assert propagate_delayed(*arguments, 9.0, 9.0, 0.5, 0.2, 0.0, 0.05, e.vector, 0.0, 0.0) == propagate(
        *arguments, 0.5, 0.2, 0.05, e.vector, 0.0, 0.0
    )


@pytest.mark.parametrize(
    ("delay", "expected"),
    [(0.0, (0, 0.0)), (0.05, (1, 0.0)), (0.15, (3, 0.0)), (0.07, (1, 0.02)), (0.0499, (0, 0.0499))],
)
def test_delays_split_into_whole_steps_and_a_rest(delay, expected):
    whole, late = split_delay(delay, 0.05)
    assert whole == expected[0] and late == pytest.approx(expected[1], abs=1e-9)


def test_the_friction_step_comes_at_10_s():
    world = make_world("friction_step", 0)
    for _ in range(200):
        assert world.current_parameters().friction_v == 0.5
        world.step((0.5, 0.1), 0.05)
    assert (world.current_parameters().friction_v, world.current_parameters().friction_omega) == (2.5, 1.5)


@pytest.mark.parametrize(
    ("name", "field", "low", "high"),
    [
        ("coulomb", "coulomb", 0.2, 0.8),
        ("dead_zone", "dead_zone", 0.03, 0.12),
        ("motor_gain", "motor_gain_left", 0.6 * 0.96, 1.1 * 1.04),
        ("lag", "lag_v", 0.05, 0.5),
        ("delay", "command_delay", 0.0, 0.15),
        ("lateral_slip", "slip", 0.1, 0.4),
        ("odometry_noise", "odometry_delay", 0.05, 0.1),
    ],
)
def test_magnitudes_cover_the_documented_range(name, field, low, high):
    values = [getattr(make_world(name, seed).parameters, field) for seed in range(40)]
    assert low <= min(values) and max(values) <= high
    assert max(values) - min(values) > 0.7 * (high - low)


def test_noise_scale_scales_the_process_noise_alone():
    world = make_world("odometry_noise", 3, noise_scale=0.5)
    full = make_world("odometry_noise", 3)
    assert world.parameters.process_noise_v == pytest.approx(0.5 * BASE.process_noise_v)
    assert world.parameters.odometry_noise_v == full.parameters.odometry_noise_v > 0.0


def test_worlds_start_where_they_are_told():
    np.testing.assert_allclose(make_world("lag", 0, start=(1.0, 2.0, 0.5)).state, [1.0, 2.0, 0.5, 0.0, 0.0])


def test_every_world_tells_its_law():
    for name in WORLD_NAMES:
        assert len(describe_world(name)) > 30
    assert make_world("coulomb").name == "coulomb"


def test_unknown_worlds_and_bad_arguments_are_refused():
    with pytest.raises(InvalidValueError, match="friction_step"):
        make_world("nowhere")
    with pytest.raises(InvalidValueError, match="coulomb"):
        describe_world("nowhere")
    for bad in ({"seed": -1}, {"noise_scale": np.nan}, {"noise_scale": -1.0}, {"duration": np.nan}):
        with pytest.raises(InvalidValueError, match=next(iter(bad))):
            make_world("lag", **bad)
