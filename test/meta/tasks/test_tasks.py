"""Worlds that change while they are driven in."""

import numpy as np
import pytest

from mppi_maml_ros.meta.tasks.worlds import Changes, WorldTasks
from mppi_maml_ros.simulation.parameters import (
    BATTERY,
    COULOMB,
    FRICTION_OMEGA,
    FRICTION_V,
    INERTIA,
    MASS,
    PARAMETER_HIGH,
    PARAMETER_LOW,
    randomize_batch,
)

DRAWN = [FRICTION_V, FRICTION_OMEGA, COULOMB, MASS, INERTIA, BATTERY]


def drawn(seed=0, **settings):
    rng = np.random.default_rng(seed)
    worlds = randomize_batch(rng, 200)
    return worlds, Changes(**settings).draw(rng, worlds, 240, 0.05)


def test_the_first_phase_is_the_world_itself_without_a_push():
    worlds, (parameters, starts, pushes) = drawn()
    assert np.array_equal(parameters[:, 0], worlds)
    assert not starts[:, 0].any() and not pushes[:, 0].any()


def test_changes_are_within_their_ranges_and_nothing_else_changes():
    worlds, (parameters, starts, pushes) = drawn(interval=(1.0, 8.0))
    assert ((PARAMETER_LOW <= parameters) & (parameters <= PARAMETER_HIGH)).all()
    lengths = np.diff(starts, axis=1) * 0.05
    assert lengths.min() >= 1.0 and lengths.max() <= 8.0
    assert (np.abs(pushes) <= Changes().push).all()
    others = np.setdiff1d(np.arange(worlds.shape[1]), DRAWN)
    assert np.array_equal(parameters[..., others], np.repeat(worlds[:, None, others], parameters.shape[1], 1))
    inside = (parameters > PARAMETER_LOW) & (parameters < PARAMETER_HIGH)  # the others were clipped
    ratio = parameters / np.where(worlds == 0.0, 1.0, worlds)[:, None]
    for indices, (low, high) in (
        ([FRICTION_V, FRICTION_OMEGA, COULOMB], Changes().floor),
        ([MASS, INERTIA], Changes().load),
        ([BATTERY], Changes().battery),
    ):
        found = ratio[..., indices][inside[..., indices]]
        assert low - 1e-9 <= found.min() and found.max() <= high + 1e-9
        assert found.max() - found.min() > 0.8 * (high - low)


def test_each_change_comes_with_its_chance():
    for chance, share in ((0.0, 0.0), (0.4, 0.4), (1.0, 1.0)):
        _, (parameters, _, pushes) = drawn(chance=chance)
        assert np.mean(np.diff(pushes[..., 0], axis=1) != 0.0) == pytest.approx(share, abs=0.08)
        load = parameters[..., MASS] / parameters[:, :1, MASS]
        unclipped = (parameters[:, 1:, MASS] < PARAMETER_HIGH[MASS]) & (
            parameters[:, :-1, MASS] < PARAMETER_HIGH[MASS]
        )
        assert np.mean(np.diff(load, axis=1)[unclipped] != 0.0) == pytest.approx(share, abs=0.08)


def test_the_same_seed_gives_the_same_changing_pool_and_no_change_the_plain_one():
    tasks = WorldTasks(steps=120)
    first, again, other = (tasks.changing_pool(seed, 20) for seed in (5, 5, 6))
    assert np.array_equal(first.inputs, again.inputs) and np.array_equal(first.residuals, again.residuals)
    assert not np.array_equal(first.inputs, other.inputs)
    plain = tasks.pool(5, 20)
    assert first.inputs.shape == plain.inputs.shape
    # Until the first change the robots and their commands are the same.
    assert np.array_equal(first.clean_inputs[:, :30], plain.clean_inputs[:, :30])
    assert not np.array_equal(first.clean_inputs, plain.clean_inputs)


def test_a_distribution_tells_its_changes():
    assert WorldTasks().describe()["changes"]["interval"] == Changes().interval
