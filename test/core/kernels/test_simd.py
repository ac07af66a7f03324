import llvmlite.binding as llvm
import numpy as np
import pytest
from numba import njit

from mppi_maml_ros.core.kernels import simd
from mppi_maml_ros.core.kernels.simd import (
    GROUP,
    LANES,
    NONE,
    RELU,
    TANH,
    dense_tile,
    load,
    maximum,
    minimum,
    round_even,
    splat,
    square_root,
    store,
)


@njit
def _arithmetic(a, b, out):
    for j in range(0, a.size, LANES):
        x, y = load(a, j), load(b, j)
        z = -(x * 2.0 + y / 4) - splat(0.5)
        z += square_root(maximum(x, y) - minimum(x, y))
        z *= round_even(x)
        store(out, j, z)


@njit
def _tanh(a, out):
    for j in range(0, a.size, LANES):
        store(out, j, simd.tanh(load(a, j)))


@njit
def _tile(weights, inner, source, out, activation):
    if activation == NONE:
        dense_tile(weights, 0, inner, source, out, 0, GROUP, 1, 4, NONE)
    elif activation == TANH:
        dense_tile(weights, 0, inner, source, out, 0, GROUP, 1, 4, TANH)
    else:
        dense_tile(weights, 0, inner, source, out, 0, GROUP, 1, 4, RELU)


def test_vector_arithmetic_is_numpys():
    a, b = np.random.default_rng(0).normal(scale=3.0, size=(2, 4 * LANES)).astype(np.float32)
    out = np.empty_like(a)
    _arithmetic(a, b, out)
    expected = (-(2 * a + b / 4) - 0.5 + np.sqrt(np.maximum(a, b) - np.minimum(a, b))) * np.rint(a)
    assert out == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_tanh_is_exact_to_single_precision_and_keeps_nan():
    a = np.linspace(-20, 20, 1024 * LANES).astype(np.float32)
    a[:3] = np.nan, np.inf, -np.inf
    out = np.empty_like(a)
    _tanh(a, out)
    assert np.isnan(out[0])
    assert out[1:] == pytest.approx(np.tanh(a[1:].astype(float)), abs=5e-7)
    assert np.abs(out[1:]).max() <= 1.0


@pytest.mark.parametrize("activation", [NONE, TANH, RELU])
def test_a_tile_is_a_dense_layer_and_lets_nan_through(activation):
    rng = np.random.default_rng(1)
    matrix, bias = rng.normal(size=(4, 7)), rng.normal(size=4)
    source = rng.normal(size=(7, GROUP)).astype(np.float32)
    source[2, 5] = np.nan
    out = np.zeros((6, GROUP), dtype=np.float32)
    packed = np.concatenate([bias[None], matrix.T]).astype(np.float32).ravel()
    _tile(packed, 7, source, out, activation)
    expected = matrix @ source + bias[:, None]
    expected = {NONE: expected, TANH: np.tanh(expected), RELU: np.maximum(expected, 0.0)}[activation]
    assert out[1:5] == pytest.approx(expected, abs=1e-5, nan_ok=True)
    assert not out[0].any() and not out[5].any()


@pytest.mark.parametrize(
    ("wide", "registers", "floats"),
    [(True, 32, 16), (False, 16, 8), (False, 32, 4)],
    ids=["AVX-512", "AVX2", "NEON"],
)
def test_a_tile_is_as_large_as_the_registers_of_the_processor_allow(wide, registers, floats):
    parts = (16 if wide else 8) // floats  # registers of a vector

    def needed(rows):
        return (2 * rows + 3) * parts  # two columns of accumulators; two vectors of the source, a weight

    assert needed(simd.rows(wide)) <= registers < needed(2 * simd.rows(wide))


def test_the_tile_here_is_that_of_this_processor():
    features = llvm.get_host_cpu_features()
    assert (simd.LANES, simd.ROWS) == ((16, 8) if features.get("avx512f") else (8, 4))
