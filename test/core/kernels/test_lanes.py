"""Choices, look-ups and copies of vectors of samples, and calls by address."""

import numpy as np
import pytest
from numba import njit, types

from mppi_maml_ros.core.kernels.calls import address_of, grid_at, line_at
from mppi_maml_ros.core.kernels.lanes import copy_column, nearest_cell, where_less
from mppi_maml_ros.core.kernels.simd import LANES, load, store


@njit
def look_up(grid, column, row, out):
    store(out, 0, nearest_cell(grid, load(column, 0), load(row, 0)))


@pytest.mark.parametrize("far", [-1.0, 7.0, 1e9, -1e9, 1e30, -1e30, np.inf, -np.inf])
def test_places_off_the_grid_read_its_last_row_or_column(far):
    grid = np.arange(42, dtype=np.float32).reshape(6, 7)
    out, inside = np.zeros(LANES, np.float32), np.full(LANES, 2.9, np.float32)
    look_up(grid, inside, np.full(LANES, far, np.float32), out)
    np.testing.assert_array_equal(out, grid[-1, 2])
    look_up(grid, np.full(LANES, far, np.float32), inside, out)
    np.testing.assert_array_equal(out, grid[2, -1])


def test_each_lane_reads_its_own_cell_and_what_is_no_number_some_cell():
    grid = np.arange(42, dtype=np.float32).reshape(6, 7)
    rng = np.random.default_rng(0)
    column, row = rng.uniform(0, 6, LANES).astype(np.float32), rng.uniform(0, 5, LANES).astype(np.float32)
    out = np.zeros(LANES, np.float32)
    look_up(grid, column, row, out)
    np.testing.assert_array_equal(out, grid[row.astype(int), column.astype(int)])
    look_up(grid, np.full(LANES, np.nan, np.float32), row, out)
    assert np.isin(out, grid).all()


@njit
def choose(a, b, out):
    store(out, 0, where_less(load(a, 0), load(b, 0), 1.0, 2.0))


def test_what_is_no_number_is_not_less():
    a, b, out = np.zeros(LANES, np.float32), np.ones(LANES, np.float32), np.zeros(LANES, np.float32)
    a[1], b[2], a[3] = np.nan, np.nan, 1.0
    choose(a, b, out)
    np.testing.assert_array_equal(out, [1.0, 2.0, 2.0, 2.0, *[1.0] * (LANES - 4)])


@njit
def copy(source, target):
    copy_column(source, 1, source.shape[1], target, 2, target.shape[1], len(source))


def test_a_column_is_copied_and_nothing_else():
    source = np.arange(15, dtype=np.float32).reshape(5, 3)
    target = np.zeros((5, 4), np.float32)
    copy(source, target)
    np.testing.assert_array_equal(target[:, 2], source[:, 1])
    assert not target[:, [0, 1, 3]].any()


@njit
def total_at(address, rows, columns):
    return grid_at(address, rows, columns).sum() + 100.0 * line_at(address, columns).sum()


def test_arrays_are_read_where_they_lie():
    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert total_at(grid.ctypes.data, 2, 3) == 15.0 + 300.0


def test_a_function_has_an_address_once_it_is_compiled():
    @njit
    def nothing(a):
        a[0] = 1.0

    assert address_of(nothing, types.void(types.float32[::1])) > 0
