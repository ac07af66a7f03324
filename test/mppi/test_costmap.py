import numpy as np
import pytest

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.mppi.costmap import Costmap


def test_distances_are_those_to_the_nearest_obstacle():
    rng = np.random.default_rng(0)
    data = np.where(rng.random((25, 40)) < 0.03, 100, 0).astype(np.int8)
    grid = Costmap(data, 0.1, (0.0, 0.0))
    rows, columns = np.nonzero(data)
    for row, column in rng.integers(0, (25, 40), (50, 2)):
        centres = np.hypot(rows - row, columns - column).min()
        assert grid.field[row, column] == pytest.approx(0.1 * max(centres - 0.5, 0.0), abs=1e-5)


def test_a_turned_and_moved_grid_is_read_in_its_place():
    data = np.zeros((10, 10), dtype=np.int8)
    data[5, 9] = 100
    grid = Costmap(data, 0.1, (1.0, 2.0, np.pi / 2))
    # cell (5, 9): 0.95 m along the grid's x, 0.55 m along its y
    assert grid.distance_at(1.0 - 0.55, 2.0 + 0.85) < 0.06
    moved = Costmap(data, 0.1, (0.0, 0.0)).moved((1.0, 2.0, np.pi / 2))
    assert moved.distance_at(1.0 - 0.55, 2.0 + 0.85) < 0.06
    assert grid.distance_at(100.0, 0.0) == np.inf


def test_unknown_cells_are_free_unless_asked():
    data = np.full((4, 4), -1, dtype=np.int8)
    assert Costmap(data, 0.1, (0, 0)).empty and not Costmap(data, 0.1, (0, 0), track_unknown=True).empty


@pytest.mark.parametrize("share", [0.0, 0.002, 0.05])
def test_distances_after_a_change_are_those_of_a_new_grid(share):
    rng = np.random.default_rng(2)
    grid = None
    data = np.zeros((30, 50), dtype=np.int8)
    for step in range(20):
        flipped = rng.random(data.shape) < rng.choice([0.0, 0.001, share])
        data = np.where(flipped, 100 - data, data)
        held = None if grid is None else (grid, grid.field.copy())
        grid = Costmap(data, 0.1, (0.1 * step, 0.0), before=grid)
        new = Costmap(data, 0.1, (0.1 * step, 0.0))
        np.testing.assert_array_equal(grid.field, new.field)
        assert grid.empty == new.empty and grid.origin[0] == new.origin[0]
        if held is not None:
            np.testing.assert_array_equal(held[0].field, held[1])


def test_a_grid_of_another_shape_or_resolution_is_measured_anew():
    data = np.eye(8, dtype=np.int8) * 100
    before = Costmap(data, 0.1, (0, 0))
    for other, resolution in ((data[:6], 0.1), (data, 0.2)):
        grid = Costmap(other, resolution, (0, 0), before=before)
        np.testing.assert_array_equal(grid.field, Costmap(other, resolution, (0, 0)).field)


def test_what_is_derived_from_the_distances_is_kept_with_them():
    data = np.eye(8, dtype=np.int8) * 100
    made = []

    def make(field):
        made.append(field)
        return field + 1.0

    grid = Costmap(data, 0.1, (0, 0))
    first = grid.derived("a", make)
    same = Costmap(data, 0.1, (5, 5), before=grid)
    assert grid.derived("a", make) is first is same.derived("a", make) and len(made) == 1
    data[0, 5] = 100
    changed = Costmap(data, 0.1, (0, 0), before=grid)
    assert changed.derived("a", make) is not first and len(made) == 2


@pytest.mark.parametrize(
    ("data", "resolution", "origin", "named"),
    [
        (np.zeros((0, 0)), 0.1, (0, 0), "cells"),
        (np.zeros((4, 4)), np.nan, (0, 0), "resolution"),
        (np.zeros((4, 4)), 0.1, (np.inf, 0), "origin"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(data, resolution, origin, named):
    with pytest.raises(InvalidValueError, match=named):
        Costmap(data, resolution, origin)
