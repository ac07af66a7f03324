"""Loss, gradient and gradient descent of small multi-layer networks, in compiled vector code.

The loss of a network f on S samples is sum over samples s and outputs o of weights[s, o]
(f(inputs[s])[o] - targets[s, o])^2. Parameters are one flat float32 array: for each layer, input side
first, W (out, in) and then b (out,), as :func:`flatten` lays them.

Rows of samples are split into tiles of a few rows by a few vectors of units, whose sums stay in
registers (see :mod:`.simd`). For that every width is filled up with zeros to whole vectors, in scratch
memory that a :class:`Workspace` takes once; the fill stays zero through all that is done here.
"""

# numba finds the types of compiled functions, and says none of its own.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, call-overload, var-annotated"
from __future__ import annotations

import math
from typing import Any

import numpy as np

from .cache import njit
from .simd import (
    LANES,
    LAYER,
    LAYER_RELU,
    LAYER_TANH,
    PRODUCT,
    ROWS,
    THROUGH_RELU,
    THROUGH_TANH,
    load,
    product_tile,
    splat,
    store,
    transpose_tile,
)

# As of simd's operations: NaN and infinity are kept, the order of sums is not.
COMPILED: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}
FEW = ROWS // 2  # rows of the smaller tile: what the number of samples is filled up to

# Columns of a plan, one row a layer and a last one for the network's outputs: widths, widths filled up,
# where W and b begin in the parameters, whether W can be used there as it is, and where the scratch begins
# of W filled up, of W transposed, of b, of each sample's input and of the derivative by it.
_IN, _OUT, _WIDE_IN, _WIDE_OUT, _WEIGHT, _BIAS, _DIRECT, _FILLED, _TURNED, _EDGE, _VALUE, _DELTA = range(12)


def flatten(layers) -> np.ndarray:
    """(W, b) pairs as one new flat float32 array."""
    parts = [np.ravel(part) for pair in layers for part in pair]
    return np.concatenate(parts).astype(np.float32, copy=False)


def views(flat: np.ndarray, widths) -> list[tuple[np.ndarray, np.ndarray]]:
    """(W, b) pairs in the last axis of ``flat`` (..., P): shapes (..., out, in) and (..., out).

    Args:
        widths: of the network, from its inputs to its outputs.
    """
    pairs, at = [], 0
    for before, after in zip(widths[:-1], widths[1:], strict=True):
        weight = flat[..., at : at + after * before].reshape(*flat.shape[:-1], after, before)
        at += after * before
        pairs.append((weight, flat[..., at : at + after]))
        at += after
    return pairs


def _up(width: int, step: int = LANES) -> int:
    return -(-width // step) * step


class Workspace:
    """Scratch memory for one network and up to so many samples.

    Args:
        widths: of the network, from its inputs to its outputs.
        samples: most samples at once.

    Attributes:
        plan, memory: what the compiled functions read and write.
        samples: most samples at once.
    """

    def __init__(self, widths, samples: int):
        self.samples = samples
        rows = _up(max(samples, 1), FEW)
        self.plan = np.zeros((len(widths), 12), dtype=np.int64)
        at = used = 0
        for i, line in enumerate(self.plan):
            before, after = widths[i], widths[i + 1] if i + 1 < len(widths) else 0
            wide_in, wide_out = _up(before), _up(after)
            line[:_DIRECT] = before, after, wide_in, wide_out, at, at + before * after
            line[_DIRECT] = before == wide_in and after == wide_out
            at += before * after + after
            for column, size in (
                (_FILLED, wide_out * wide_in), (_TURNED, wide_in * wide_out), (_EDGE, wide_out),
                (_VALUE, rows * wide_in), (_DELTA, rows * wide_in),
            ):  # fmt: skip
                line[column] = used
                used += size
        self.memory = np.zeros(used, dtype=np.float32)


def _products(kind):
    """A compiled product of matrices of any size in whole tiles, see :func:`simd.product_tile`."""

    @njit(**COMPILED)
    def product(
        left, left_at, left_row, left_step, right, right_at, right_row, inner,
        target, target_at, target_row, aside, aside_at, aside_row, rows, vectors,
    ):  # fmt: skip
        for column in range(0, vectors, 2):
            c, row, both = column * LANES, 0, column + 1 < vectors
            from_right, from_target, from_aside = right_at + c, target_at + c, aside_at + c
            while row < rows:
                source, out, beside = (
                    left_at + row * left_row, from_target + row * target_row, from_aside + row * aside_row,
                )  # fmt: skip
                many = row + ROWS <= rows
                if many and both:
                    product_tile(left, source, left_row, left_step, right, from_right, right_row, inner,
                                 target, out, target_row, aside, beside, ROWS, 2, kind)  # fmt: skip
                elif many:
                    product_tile(left, source, left_row, left_step, right, from_right, right_row, inner,
                                 target, out, target_row, aside, beside, ROWS, 1, kind)  # fmt: skip
                elif both:
                    product_tile(left, source, left_row, left_step, right, from_right, right_row, inner,
                                 target, out, target_row, aside, beside, FEW, 2, kind)  # fmt: skip
                else:
                    product_tile(left, source, left_row, left_step, right, from_right, right_row, inner,
                                 target, out, target_row, aside, beside, FEW, 1, kind)  # fmt: skip
                row += ROWS if many else FEW

    return product


_layer, _layer_tanh, _layer_relu = _products(LAYER), _products(LAYER_TANH), _products(LAYER_RELU)
_product, _through_tanh, _through_relu = (
    _products(PRODUCT), _products(THROUGH_TANH), _products(THROUGH_RELU),
)  # fmt: skip


@njit(**COMPILED)
def _take_parameters(plan, memory, parameters):
    """Fill up every layer's weights, and turn them."""
    for layer in range(len(plan) - 1):
        line = plan[layer]
        before, after, wide_in, wide_out = line[_IN], line[_OUT], line[_WIDE_IN], line[_WIDE_OUT]
        weight, filled, turned, edge = line[_WEIGHT], line[_FILLED], line[_TURNED], line[_EDGE]
        for o in range(after):
            memory[edge + o] = parameters[line[_BIAS] + o]
        if line[_DIRECT]:
            for o in range(0, wide_out, LANES):
                for i in range(0, wide_in, LANES):
                    source, at = weight + o * wide_in + i, turned + i * wide_out + o
                    transpose_tile(parameters, source, wide_in, memory, at, wide_out)
            continue
        for o in range(after):
            for i in range(before):
                memory[filled + o * wide_in + i] = parameters[weight + o * before + i]
        for o in range(0, wide_out, LANES):
            for i in range(0, wide_in, LANES):
                source, at = filled + o * wide_in + i, turned + i * wide_out + o
                transpose_tile(memory, source, wide_in, memory, at, wide_out)


@njit(**COMPILED)
def _take_inputs(plan, memory, inputs, rows):
    """Copy (S, in) inputs, with zeros up to a whole tile; returns the number of rows to work on."""
    value, width, wide = plan[0, _VALUE], plan[0, _IN], plan[0, _WIDE_IN]
    filled = max(rows + FEW - 1, FEW) // FEW * FEW
    for s in range(filled):
        for i in range(width):
            memory[value + s * wide + i] = inputs[s, i] if s < rows else 0.0
    return filled


@njit(**COMPILED)
def _forward(plan, memory, tanh, rows):
    """Values of every layer, from the inputs on."""
    last = len(plan) - 2
    for layer in range(last + 1):
        line = plan[layer]
        value, wide_in, wide_out, edge = line[_VALUE], line[_WIDE_IN], line[_WIDE_OUT], line[_EDGE]
        turned, inner, output, vectors = line[_TURNED], line[_IN], plan[layer + 1, _VALUE], wide_out // LANES
        if layer == last:
            _layer(memory, value, wide_in, 1, memory, turned, wide_out, inner,
                   memory, output, wide_out, memory, edge, 0, rows, vectors)  # fmt: skip
        elif tanh:
            _layer_tanh(memory, value, wide_in, 1, memory, turned, wide_out, inner,
                        memory, output, wide_out, memory, edge, 0, rows, vectors)  # fmt: skip
        else:
            _layer_relu(memory, value, wide_in, 1, memory, turned, wide_out, inner,
                        memory, output, wide_out, memory, edge, 0, rows, vectors)  # fmt: skip


@njit(**COMPILED)
def _errors(plan, memory, targets, weights, rows, filled):
    """The loss; the derivative by the outputs goes to the scratch."""
    line = plan[len(plan) - 1]
    width, wide, value, delta = line[_IN], line[_WIDE_IN], line[_VALUE], line[_DELTA]
    total = 0.0
    for s in range(filled):
        for o in range(width):
            at = s * wide + o
            slope = np.float32(0.0)
            if s < rows:
                error = memory[value + at] - targets[s, o]
                slope = weights[s, o] * error
                total += slope * error
            memory[delta + at] = np.float32(2.0) * slope
    return total


@njit(**COMPILED)
def _backward(plan, memory, parameters, tanh, rows, gradient):
    """The gradient, from the derivative by the outputs."""
    for layer in range(len(plan) - 2, -1, -1):
        line = plan[layer]
        before, after, wide_in, wide_out = line[_IN], line[_OUT], line[_WIDE_IN], line[_WIDE_OUT]
        weight, value, direct, filled = line[_WEIGHT], line[_VALUE], line[_DIRECT], line[_FILLED]
        delta, bias, edge = plan[layer + 1, _DELTA], line[_BIAS], line[_EDGE]
        for o in range(0, wide_out, LANES):
            total = splat(0.0)
            for s in range(rows):
                total += load(memory, delta + s * wide_out + o)
            store(memory, edge + o, total)
        for o in range(after):
            gradient[bias + o] = memory[edge + o]
        if layer > 0:  # before the weights' scratch is taken for their gradient
            source, at = (parameters, weight) if direct else (memory, filled)
            target, vectors = line[_DELTA], wide_in // LANES
            if tanh:
                _through_tanh(memory, delta, wide_out, 1, source, at, wide_in, after,
                              memory, target, wide_in, memory, value, wide_in, rows, vectors)  # fmt: skip
            else:
                _through_relu(memory, delta, wide_out, 1, source, at, wide_in, after,
                              memory, target, wide_in, memory, value, wide_in, rows, vectors)  # fmt: skip
        if direct:
            _product(memory, delta, 1, wide_out, memory, value, wide_in, rows,
                     gradient, weight, wide_in, memory, 0, 0, after, wide_in // LANES)  # fmt: skip
            continue
        lines = (after + FEW - 1) // FEW * FEW
        _product(memory, delta, 1, wide_out, memory, value, wide_in, rows,
                 memory, filled, wide_in, memory, 0, 0, lines, wide_in // LANES)  # fmt: skip
        for o in range(after):
            for i in range(before):
                gradient[weight + o * before + i] = memory[filled + o * wide_in + i]


@njit(cache=True, **COMPILED)
def outputs(plan, memory, parameters, tanh, inputs, out):
    """The network's outputs into ``out`` (S, out) for inputs (S, in)."""
    rows = len(inputs)
    _take_parameters(plan, memory, parameters)
    filled = _take_inputs(plan, memory, inputs, rows)
    _forward(plan, memory, tanh, filled)
    line = plan[len(plan) - 1]
    for s in range(rows):
        for o in range(line[_IN]):
            out[s, o] = memory[line[_VALUE] + s * line[_WIDE_IN] + o]


@njit(**COMPILED)
def place_inputs(plan, memory, inputs, weights):
    """Put the inputs of one set of samples into the scratch, where they stay.

    Returns:
        How many rows count, the last ones without weight left out; and how many are worked on.
    """
    rows = len(inputs)
    while rows > 1 and not weights[rows - 1].any():
        rows -= 1
    return rows, _take_inputs(plan, memory, inputs, rows)


@njit(**COMPILED)
def loss_at(plan, memory, parameters, tanh, targets, weights, rows, filled):
    """The loss on the samples whose inputs were placed."""
    _take_parameters(plan, memory, parameters)
    _forward(plan, memory, tanh, filled)
    return _errors(plan, memory, targets, weights, rows, filled)


@njit(**COMPILED)
def gradient_at(plan, memory, parameters, tanh, targets, weights, rows, filled, gradient):
    """The loss, and its gradient, on the samples whose inputs were placed."""
    loss = loss_at(plan, memory, parameters, tanh, targets, weights, rows, filled)
    _backward(plan, memory, parameters, tanh, filled, gradient)
    return loss


@njit(**COMPILED)
def shrink(gradient, max_norm):
    """What brings a gradient down to a Euclidean norm of at most ``max_norm``."""
    total = np.float32(0.0)
    for p in range(len(gradient)):
        total += gradient[p] * gradient[p]
    return min(1.0, max_norm / (math.sqrt(total) + 1e-12))


@njit(cache=True, **COMPILED)
def loss(plan, memory, parameters, tanh, inputs, targets, weights):
    """The loss of one network: parameters (P,), inputs (S, in), targets and weights (S, out)."""
    rows, filled = place_inputs(plan, memory, inputs, weights)
    return loss_at(plan, memory, parameters, tanh, targets, weights, rows, filled)


@njit(cache=True, **COMPILED)
def loss_and_gradient(plan, memory, parameters, tanh, inputs, targets, weights, gradient):
    """As :func:`loss`; ``gradient`` (P,) is filled."""
    rows, filled = place_inputs(plan, memory, inputs, weights)
    return gradient_at(plan, memory, parameters, tanh, targets, weights, rows, filled, gradient)


@njit(cache=True, **COMPILED)
def losses(plan, memory, parameters, tanh, inputs, targets, weights, out):
    """As :func:`losses_and_gradients`, the losses alone into ``out`` (B,)."""
    for b in range(len(parameters)):
        rows, filled = place_inputs(plan, memory, inputs[b], weights[b])
        out[b] = loss_at(plan, memory, parameters[b], tanh, targets[b], weights[b], rows, filled)


@njit(cache=True, **COMPILED)
def losses_and_gradients(plan, memory, parameters, tanh, inputs, targets, weights, out, gradients):
    """Loss and gradient of each of B networks on its own samples.

    Args:
        plan, memory: of a :class:`Workspace` for S samples.
        parameters: (B, P).
        tanh: or ReLU.
        inputs: (B, S, in); targets, weights: (B, S, out).
        out: losses, (B,), gradients: (B, P); filled.
    """
    for b in range(len(parameters)):
        rows, filled = place_inputs(plan, memory, inputs[b], weights[b])
        out[b] = gradient_at(
            plan, memory, parameters[b], tanh, targets[b], weights[b], rows, filled, gradients[b]
        )


@njit(cache=True, **COMPILED)
def step_down(plan, memory, parameters, tanh, inputs, targets, weights, rate, max_norm, gradient):
    """One gradient step of each of B networks on its own samples, in place.

    Args:
        plan, memory, parameters, tanh, inputs, targets, weights: as in :func:`losses_and_gradients`.
        rate: learning rate.
        max_norm: each network's gradient is scaled down to this Euclidean norm.
        gradient: (P,), scratch.
    """
    for b in range(len(parameters)):
        rows, filled = place_inputs(plan, memory, inputs[b], weights[b])
        gradient_at(plan, memory, parameters[b], tanh, targets[b], weights[b], rows, filled, gradient)
        factor, row = np.float32(rate * shrink(gradient, max_norm)), parameters[b]
        for p in range(len(row)):
            row[p] -= factor * gradient[p]
