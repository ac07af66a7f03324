"""Tasks from bases with firmware."""

import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.meta.tasks.firmware import FirmwareTasks
from mppi_maml_ros.meta.tasks.worlds import WorldTasks
from mppi_maml_ros.simulation.firmware_worlds import TEST_FAMILIES, TRAINING_FAMILIES

SHORT = WorldTasks(steps=80)
FIELDS = ("inputs", "residuals", "clean_inputs", "clean_residuals", "delays", "noise")


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_pool_is_finite_and_of_its_seed_alone(share, changing):
    tasks = FirmwareTasks(share=share, worlds=SHORT)
    make = tasks.changing_pool if changing else tasks.pool
    first, again, other = make(3, 40), make(3, 40), make(4, 40)
    assert len(first) == 40 and first.inputs.shape == SHORT.pool(3, 40).inputs.shape
    for name in FIELDS:
        assert np.isfinite(getattr(first, name)).all()
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.residuals, other.residuals)


@pytest.mark.parametrize("family", TRAINING_FAMILIES)
def test_every_training_family_leaves_something_to_learn(family):
    pool = FirmwareTasks((family,), share=1.0, worlds=SHORT).pool(1, 20)
    assert np.abs(pool.clean_residuals).max() > 0.01


def test_a_base_that_changes_is_another_task():
    tasks = FirmwareTasks(("weak",), share=1.0, worlds=SHORT)
    assert not np.array_equal(tasks.pool(1, 10).residuals, tasks.changing_pool(1, 10).residuals)


@pytest.mark.parametrize("family", [*TEST_FAMILIES, "nowhere"])
def test_what_is_kept_for_testing_is_never_trained_on(family):
    with pytest.raises(InvalidValueError, match="kept for testing"):
        FirmwareTasks(("weak", family))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_between_nothing_and_all(share):
    with pytest.raises(InvalidValueError, match="share"):
        FirmwareTasks(share=share)


def test_it_says_what_it_draws_from():
    said = FirmwareTasks(share=0.3).describe()
    assert said["families"] == TRAINING_FAMILIES and said["share"] == 0.3 and said["worlds"]["steps"] == 240
