"""Small positive definite systems, solved many at a time without the overhead of a call for each."""

import math

import numpy as np

from ...core.kernels.cache import njit
from ...core.types import Array

TOGETHER = 4  # columns that each other one is multiplied by at once
ROUNDING = 1e-13  # share of its diagonal below which a pivot is noise: then it is taken for that share


@njit(cache=True, fastmath={"contract", "reassoc"})
def inner_products(columns: Array, gram: Array) -> None:
    """Of K columns, given as rows (K, M), with one another, (K, K)."""
    for i in range(len(columns)):
        a, last = columns[i], (i + 1) // TOGETHER * TOGETHER
        for j in range(0, last, TOGETHER):
            b, c, d, e = columns[j], columns[j + 1], columns[j + 2], columns[j + 3]
            ab = ac = ad = ae = 0.0
            for k in range(len(a)):
                ab += a[k] * b[k]
                ac += a[k] * c[k]
                ad += a[k] * d[k]
                ae += a[k] * e[k]
            gram[i, j], gram[i, j + 1], gram[i, j + 2], gram[i, j + 3] = ab, ac, ad, ae
        for j in range(last, i + 1):
            b, total = columns[j], 0.0
            for k in range(len(a)):
                total += a[k] * b[k]
            gram[i, j] = total
        for j in range(i):
            gram[j, i] = gram[i, j]


@njit(cache=True, error_model="numpy", fastmath={"contract"})
def solve(matrix: Array, right: Array, out: Array) -> tuple[float, float]:
    """Solve ``matrix out = right`` for a symmetric positive definite matrix.

    Args:
        matrix: shape (P, P), of which the lower triangle is read; becomes the Cholesky factor.
        right: shape (P,).
        out: shape (P,), filled; NaN where the matrix is not definite.

    Returns:
        log det of the matrix, and right . out.
    """
    size = len(right)
    log_det = square = 0.0
    inverse = np.empty(size)  # of the diagonal
    for p in range(size):
        row = matrix[p]
        value = right[p]
        for q in range(p):
            other = matrix[q]
            entry = row[q]
            for r in range(q):
                entry -= row[r] * other[r]
            row[q] = entry * inverse[q]
            value -= row[q] * out[q]
        pivot, least = row[p], ROUNDING * row[p]
        for r in range(p):
            pivot -= row[r] * row[r]
        if abs(pivot) < least:
            pivot = least
        row[p] = math.sqrt(pivot) if pivot > 0.0 else np.nan
        inverse[p] = 1.0 / row[p]
        out[p] = value * inverse[p]
        log_det += math.log(pivot) if pivot > 0.0 else np.nan
        square += out[p] * out[p]
    for p in range(size - 1, -1, -1):
        out[p] *= inverse[p]
        row, value = matrix[p], out[p]
        for r in range(p):
            out[r] -= row[r] * value
    return log_det, square


@njit(cache=True)
def solve_many(matrices: Array, rights: Array, out: Array, log_det: Array) -> None:
    """:func:`solve` for N systems: shapes (N, P, P), (N, P), (N, P) and (N,), the last two filled."""
    for n in range(len(matrices)):
        log_det[n] = solve(matrices[n], rights[n], out[n])[0]
