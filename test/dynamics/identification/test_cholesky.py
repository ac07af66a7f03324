"""Small positive definite systems."""

import numpy as np
import pytest

from mppi_maml_ros.dynamics.identification import cholesky


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def definite(rng, size):
    root = rng.normal(size=(size, size + 2))
    return root @ root.T + 0.1 * np.eye(size)


@pytest.mark.parametrize("size", [1, 2, 7, 16])
def test_solution_determinant_and_square_are_those_of_numpy(rng, size):
    matrix, right, out = definite(rng, size), rng.normal(size=size), np.empty(size)
    log_det, square = cholesky.solve(matrix.copy(), right, out)
    np.testing.assert_allclose(out, np.linalg.solve(matrix, right), rtol=1e-9)
    assert log_det == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-9)
    assert square == pytest.approx(right @ out, rel=1e-9)


def test_only_the_lower_triangle_is_read(rng):
    matrix, right, out = definite(rng, 5), rng.normal(size=5), np.empty(5)
    lower = np.where(np.tri(5, dtype=bool), matrix, np.nan)
    cholesky.solve(lower, right, out)
    np.testing.assert_allclose(out, np.linalg.solve(matrix, right), rtol=1e-9)


def test_each_of_many_systems_is_solved(rng):
    matrices = np.stack([definite(rng, 4) for _ in range(6)])
    rights, out, log_det = rng.normal(size=(6, 4)), np.empty((6, 4)), np.empty(6)
    cholesky.solve_many(matrices.copy(), rights, out, log_det)
    np.testing.assert_allclose(out, np.linalg.solve(matrices, rights[..., None])[..., 0], rtol=1e-9)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(matrices)[1], rtol=1e-9)


def test_a_matrix_that_is_not_definite_gives_nan(rng):
    out = np.empty(2)
    cholesky.solve(np.array([[1.0, 2.0], [2.0, 1.0]]), np.ones(2), out)
    assert np.isnan(out).all()


def test_a_matrix_that_is_definite_but_for_rounding_is_solved():
    column = np.array([1.0, 1.0 / 3.0, 1.0 / 7.0])
    matrix, out = np.outer(column, column), np.empty(3)
    log_det, _ = cholesky.solve(matrix.copy(), column.copy(), out)
    np.testing.assert_allclose(matrix @ out, column, rtol=1e-6)
    assert np.isfinite(log_det)
