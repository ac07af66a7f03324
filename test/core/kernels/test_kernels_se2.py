import numpy as np
import pytest

from mppi_maml_ros.core import se2 as reference
from mppi_maml_ros.core.kernels import se2


def test_motions_are_those_of_the_reference():
    rng = np.random.default_rng(0)
    for start, end in rng.uniform(-4.0, 4.0, (200, 2, 3)):
        moved = se2.displacement(start, end)
        assert moved == pytest.approx(reference.displacement_twist(start, end, 1.0), abs=1e-12)
        assert se2.moved(start, *moved) == pytest.approx(reference.integrate(start, moved, 1.0), abs=1e-12)


def test_angles_in_a_row_follow_as_in_numpy():
    rng = np.random.default_rng(0)
    rows = [
        rng.uniform(-np.pi, np.pi, 40),
        np.array([0.0, np.pi, 0.0, -np.pi, np.pi]),
        np.zeros(0),
        np.ones(1),
    ]
    for angles in rows:
        expected = np.unwrap(angles)
        se2.unwrap(angles)
        np.testing.assert_allclose(angles, expected, rtol=0.0, atol=1e-12)
