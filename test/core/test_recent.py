"""The newest rows are in one piece, whatever was added and dropped before."""

import numpy as np
import pytest

from mppi_maml_ros.core.recent import Recent


@pytest.mark.parametrize("kept", [1, 3, 4, 40])
def test_what_is_kept_are_the_newest_rows_in_order(kept):
    recent, expected = Recent(2, capacity=4), []
    for k in range(200):
        row = recent.add()
        row[:] = k, -k
        expected.append([k, -k])
        recent.drop(len(recent) - kept)
        assert np.array_equal(recent.rows, expected[-kept:]) and recent.rows.flags.c_contiguous


def test_memory_does_not_grow_beyond_what_is_kept():
    recent = Recent(3, capacity=4)
    for _ in range(1000):
        recent.add()[:] = 0.0
        recent.drop(len(recent) - 4)
    assert recent.rows.base.shape[0] <= 8


def test_dropping_more_than_there_is_leaves_nothing():
    recent = Recent(1)
    recent.add()[:] = 1.0
    recent.drop(5)
    assert len(recent) == 0
    recent.add()[:] = 2.0
    assert recent.rows.tolist() == [[2.0]]
    recent.drop(-3)
    assert len(recent) == 1
