"""Restore-then-adapt SGD on the residual network, in compiled code.

Inner loop of MAML (Finn et al., ICML 2017, eq. 1; GrBAL, Nagabandi et al., ICLR 2019): start
from the meta-learned weights each time, take a fixed number of full-batch gradient steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.kernels import backprop
from ..core.kernels.cache import njit
from ..core.tunable import tunable
from ..core.types import Array, Float32, Layers

OPTIMISERS = ("sgd", "adam")


@attrs.frozen
class SGDConfig:
    """Settings of the inner loop.

    Attributes:
        inner_lr: learning rate.
        inner_steps: gradient steps.
        optimiser: ``sgd`` or ``adam``.
        max_gradient_norm: gradients are scaled down to this Euclidean norm.
        patience: stop when the validation loss has not improved for this many steps;
            0 never stops early and keeps the last step.
    """

    inner_lr: float = tunable(0.05, 1e-6, 10.0, "Learning rate of the SGD steps")
    inner_steps: int = tunable(100, 1, 10_000, "SGD steps from the meta-learned weights")
    optimiser: str = tunable("sgd", description="Of the inner steps", choices=OPTIMISERS)
    max_gradient_norm: float = tunable(10.0, 1e-6, 1e9, "Gradients are scaled down to this")
    patience: int = tunable(
        20, 0, 10_000, "Stop after so many steps without improvement on held-out data; 0: take all steps"
    )


class NetworkGradient:
    """Loss and gradient of a small multi-layer network; all memory is taken once per batch size.

    The loss is the mean over samples of the weighted squared error summed over outputs.

    Args:
        layers: (W, b) pairs, input side first.
        activation: ``tanh`` or ``relu``.
        output_weight: weight of each output's squared error, shape (out,); None for ones.

    Attributes:
        parameters, gradient: flat, see :mod:`dynamics.backprop`.
    """

    def __init__(self, layers: Layers, activation: str, output_weight: ArrayLike | None = None):
        self._widths = widths_of(layers)
        self._output_weight = np.ones(self._widths[-1], dtype=np.float32)
        if output_weight is not None:
            self._output_weight[:] = output_weight
        self.parameters = backprop.flatten(layers)
        self.gradient = np.empty_like(self.parameters)
        self._tanh = activation == "tanh"
        self._rows = -1

    def restore(self, layers: Layers) -> None:
        """Copy ``layers`` into the parameters."""
        self.parameters[:] = backprop.flatten(layers)

    @property
    def layers(self) -> Layers:
        """Copies of the present (W, b) pairs."""
        return copies(self.parameters, self._widths)

    def _reserve(self, rows: int) -> None:
        if rows != self._rows:
            self._rows, self._space = rows, backprop.Workspace(self._widths, rows)
            self._weights = sample_weights(self._output_weight, rows)

    def forward(self, inputs: Float32) -> Float32:
        """Outputs (M, out) for inputs (M, in) float32."""
        self._reserve(len(inputs))
        out = np.empty((len(inputs), self._widths[-1]), dtype=np.float32)
        backprop.outputs(self._space.plan, self._space.memory, self.parameters, self._tanh, inputs, out)
        return out

    def loss(self, inputs: Float32, targets: Float32) -> float:
        """Mean over samples of the weighted, summed squared error."""
        self._reserve(len(inputs))
        return float(backprop.loss(
            self._space.plan, self._space.memory, self.parameters, self._tanh, inputs, targets, self._weights
        ))  # fmt: skip

    def backward(self, inputs: Float32, targets: Float32) -> float:
        """Fill ``gradient``; returns the loss at the present parameters."""
        self._reserve(len(inputs))
        return float(backprop.loss_and_gradient(
            self._space.plan, self._space.memory, self.parameters, self._tanh, inputs, targets,
            self._weights, self.gradient,
        ))  # fmt: skip


def widths_of(layers: Layers) -> list[int]:
    """Widths of a network, from its inputs to its outputs."""
    return [layers[0][0].shape[1], *(len(b) for _, b in layers)]


def copies(parameters: Float32, widths: Sequence[int]) -> Layers:
    """(W, b) pairs of flat parameters, each an array of its own."""
    return tuple((w.copy(), b.copy()) for w, b in backprop.views(parameters, widths))


def sample_weights(output_weight: Array | Float32, rows: int) -> Float32:
    """What makes a sum over samples and outputs their weighted mean, shape (rows, out)."""
    return np.tile(np.asarray(output_weight / max(rows, 1), dtype=np.float32), (rows, 1))


@attrs.frozen(eq=False)
class SGDResult:
    """Adapted layers; training loss at the start and of the result; steps taken."""

    layers: Layers
    loss_before: float
    loss_after: float
    steps: int


def restore_then_adapt(
    layers: Layers,
    activation: str,
    inputs: Array | Float32,
    targets: Array | Float32,
    config: SGDConfig,
    validation: tuple[Array | Float32, Array | Float32] | None = None,
    output_weight: ArrayLike | None = None,
) -> SGDResult:
    """Gradient steps from ``layers`` on (inputs, targets).

    Args:
        layers: meta-learned (W, b) pairs; not changed.
        activation: ``tanh`` or ``relu``.
        inputs: shape (M, in), already scaled; targets: shape (M, out), normalised.
        config: settings.
        validation: (inputs, targets) for early stopping; without it all steps are taken.
        output_weight: weight of each output's squared error, shape (out,); None for ones.

    Returns:
        The layers with the lowest validation loss, or the last ones without validation.
    """
    widths, tanh = widths_of(layers), activation == "tanh"
    parameters = backprop.flatten(layers)
    watch = validation is not None and config.patience > 0 and len(validation[0]) > 0
    sets, spaces = [], []
    held = validation if watch and validation is not None else (inputs[:1], targets[:1])
    for x, y in ((inputs, targets), held):
        weights = np.ones(widths[-1]) if output_weight is None else np.asarray(output_weight)
        sets += [
            np.ascontiguousarray(x, dtype=np.float32),
            np.ascontiguousarray(y, dtype=np.float32),
            sample_weights(weights, len(x)),
        ]
        spaces.append(backprop.Workspace(widths, len(x)))
    scratch = np.zeros((4, len(parameters)), dtype=np.float32)
    before, after, taken = _descend(
        spaces[0].plan, spaces[0].memory, spaces[1].plan, spaces[1].memory, parameters, tanh, *sets,
        config.inner_lr, config.inner_steps, config.max_gradient_norm, config.optimiser == "adam",
        config.patience if watch else 0, scratch,
    )  # fmt: skip
    return SGDResult(copies(parameters, widths), before, after, taken)


@njit(cache=True, **backprop.COMPILED)
def _descend(  # type: ignore[no-untyped-def] # numba finds the types
    plan, memory, held_plan, held_memory, parameters, tanh, inputs, targets, weights,
    held_inputs, held_targets, held_weights, rate, steps, max_norm, adam, patience, scratch,
):  # fmt: skip
    """Step down in place; returns the loss before, the loss after and the steps taken."""
    gradient, best, first, second = scratch[0], scratch[1], scratch[2], scratch[3]
    rows, filled = backprop.place_inputs(plan, memory, inputs, weights)
    held_rows, held_filled = backprop.place_inputs(held_plan, held_memory, held_inputs, held_weights)
    before, taken, waited, lowest = np.nan, 0, 0, np.inf
    if patience > 0:
        best[:] = parameters
        lowest = backprop.loss_at(
            held_plan, held_memory, parameters, tanh, held_targets, held_weights, held_rows, held_filled
        )
    for step in range(1, steps + 1):
        loss = backprop.gradient_at(plan, memory, parameters, tanh, targets, weights, rows, filled, gradient)
        if step == 1:
            before = loss
        if not np.isfinite(loss):
            break
        factor = np.float32(backprop.shrink(gradient, max_norm))
        if adam:
            scale = np.float32(rate * math.sqrt(1.0 - 0.999**step) / (1.0 - 0.9**step))
            for p in range(len(parameters)):
                slope = factor * gradient[p]
                first[p] += np.float32(0.1) * (slope - first[p])
                second[p] += np.float32(0.001) * (slope * slope - second[p])
                parameters[p] -= scale * first[p] / (np.sqrt(second[p]) + np.float32(1e-8))
        else:
            factor *= np.float32(rate)
            for p in range(len(parameters)):
                parameters[p] -= factor * gradient[p]
        taken = step
        if patience > 0:
            held = backprop.loss_at(
                held_plan, held_memory, parameters, tanh, held_targets, held_weights, held_rows, held_filled
            )
            if held < lowest:
                lowest, waited = held, 0
                best[:] = parameters
            else:
                waited += 1
                if waited >= patience:
                    break
    if patience > 0:
        parameters[:] = best
    after = backprop.loss_at(plan, memory, parameters, tanh, targets, weights, rows, filled)
    return before, after, taken
