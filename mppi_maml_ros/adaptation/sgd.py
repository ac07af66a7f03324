"""Restore-then-adapt SGD on the residual network, by hand-written back-propagation in numpy.

Inner loop of MAML (Finn et al., ICML 2017, eq. 1; GrBAL, Nagabandi et al., ICLR 2019): start
from the meta-learned weights each time, take a fixed number of full-batch gradient steps.
"""

from __future__ import annotations

import attrs
import numpy as np

from ..core.errors import InvalidValueError

OPTIMISERS = ("sgd", "adam")


@attrs.frozen
class SGDConfig:
    """Settings of the inner loop.

    Attributes:
        inner_lr: learning rate, above 0 and at most 10.
        inner_steps: gradient steps, 1 to 10000.
        optimiser: ``sgd`` or ``adam``.
        max_gradient_norm: gradients are scaled down to this Euclidean norm.
        patience: stop when the validation loss has not improved for this many steps;
            0 never stops early and keeps the last step.
    """

    inner_lr: float = attrs.field(default=0.05, converter=float)
    inner_steps: int = 100
    optimiser: str = "sgd"
    max_gradient_norm: float = attrs.field(default=10.0, converter=float)
    patience: int = 20

    def __attrs_post_init__(self):
        if not 0.0 < self.inner_lr <= 10.0:
            raise InvalidValueError(f"inner_lr must be in (0, 10], got {self.inner_lr}")
        if not 1 <= self.inner_steps <= 10_000:
            raise InvalidValueError(f"inner_steps must be in [1, 10000], got {self.inner_steps}")
        if self.optimiser not in OPTIMISERS:
            raise InvalidValueError(
                f"optimiser must be one of {', '.join(OPTIMISERS)}, got {self.optimiser!r}"
            )
        if not 0.0 < self.max_gradient_norm <= 1e9:
            raise InvalidValueError(f"max_gradient_norm must be in (0, 1e9], got {self.max_gradient_norm}")
        if self.patience < 0:
            raise InvalidValueError(f"patience must be at least 0, got {self.patience}")


class NetworkGradient:
    """Loss and gradient of a small multi-layer network; all memory is taken once per batch size.

    The loss is the mean over samples of the weighted squared error summed over outputs.

    Args:
        layers: (W, b) pairs, input side first.
        activation: ``tanh`` or ``relu``.
        output_weight: weight of each output's squared error, shape (out,); None for ones.
    """

    def __init__(self, layers, activation: str, output_weight=None):
        outputs = len(layers[-1][1])
        self._output_weight = np.ones(outputs, dtype=np.float32)
        if output_weight is not None:
            self._output_weight[:] = output_weight
        sizes = [w.size for w, _ in layers] + [b.size for _, b in layers]
        self.parameters = np.empty(sum(sizes), dtype=np.float32)
        self.gradient = np.empty_like(self.parameters)
        self._layers, self._grads = self._views(self.parameters, layers), self._views(self.gradient, layers)
        self._tanh = activation == "tanh"
        self._rows = -1
        self.restore(layers)

    @staticmethod
    def _views(flat, layers):
        views, offset = [], 0
        for w, b in layers:
            weight = flat[offset : offset + w.size].reshape(w.shape)
            offset += w.size
            views.append((weight, flat[offset : offset + b.size]))
            offset += b.size
        return views

    def restore(self, layers) -> None:
        """Copy ``layers`` into the parameters."""
        for (w, b), (source_w, source_b) in zip(self._layers, layers, strict=True):
            w[:], b[:] = source_w, source_b

    @property
    def layers(self):
        """Copies of the present (W, b) pairs."""
        return tuple((w.copy(), b.copy()) for w, b in self._layers)

    def _reserve(self, rows: int) -> None:
        if rows == self._rows:
            return
        self._rows = rows
        self._hidden = [np.empty((rows, w.shape[0]), dtype=np.float32) for w, _ in self._layers]
        self._delta = [np.empty((rows, w.shape[0]), dtype=np.float32) for w, _ in self._layers]
        self._weighted = np.empty_like(self._delta[-1])

    def forward(self, inputs: np.ndarray) -> np.ndarray:
        """Outputs (M, out) for inputs (M, in) float32; the array is reused by the next call."""
        self._reserve(len(inputs))
        source = inputs
        for i, (w, b) in enumerate(self._layers):
            hidden = self._hidden[i]
            np.matmul(source, w.T, out=hidden)
            hidden += b
            if i < len(self._layers) - 1:
                if self._tanh:
                    np.tanh(hidden, out=hidden)
                else:
                    np.maximum(hidden, 0.0, out=hidden)
            source = hidden
        return source

    def loss(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """Mean over samples of the weighted, summed squared error."""
        error = self.forward(inputs) - targets
        return float(np.vdot(error, error * self._output_weight)) / len(inputs)

    def backward(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """Fill ``gradient``; returns the loss at the present parameters."""
        output = self.forward(inputs)
        delta = self._delta[-1]
        np.subtract(output, targets, out=delta)
        weighted = self._weighted
        np.multiply(delta, self._output_weight, out=weighted)
        loss = float(np.vdot(delta, weighted)) / len(inputs)
        np.multiply(weighted, np.float32(2.0 / len(inputs)), out=delta)
        for i in range(len(self._layers) - 1, -1, -1):
            source = inputs if i == 0 else self._hidden[i - 1]
            grad_w, grad_b = self._grads[i]
            np.matmul(delta.T, source, out=grad_w)
            np.sum(delta, axis=0, out=grad_b)
            if i > 0:
                before = self._delta[i - 1]
                np.matmul(delta, self._layers[i][0], out=before)
                if self._tanh:
                    # The activations are not needed again in this pass: square them in place.
                    np.multiply(source, source, out=source)
                    np.subtract(np.float32(1.0), source, out=source)
                    before *= source
                else:
                    before *= source > 0.0
                delta = before
        return loss


@attrs.frozen(eq=False)
class SGDResult:
    """Adapted layers; training loss at the start and of the result; steps taken."""

    layers: tuple
    loss_before: float
    loss_after: float
    steps: int


def restore_then_adapt(
    layers,
    activation: str,
    inputs: np.ndarray,
    targets: np.ndarray,
    config: SGDConfig,
    validation=None,
    output_weight=None,
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
    net = NetworkGradient(layers, activation, output_weight)
    inputs = np.ascontiguousarray(inputs, dtype=np.float32)
    targets = np.ascontiguousarray(targets, dtype=np.float32)
    watch = validation is not None and config.patience > 0 and len(validation[0]) > 0
    if watch:
        check = NetworkGradient(layers, activation, output_weight)
        check.parameters = net.parameters
        check._layers = net._layers  # one set of parameters, two sets of scratch
        held = [np.ascontiguousarray(a, dtype=np.float32) for a in validation]
        best_loss, best, waited = check.loss(*held), net.parameters.copy(), 0
    first = second = None
    if config.optimiser == "adam":
        first, second = np.zeros_like(net.parameters), np.zeros_like(net.parameters)
    before, taken = None, 0
    for step in range(1, config.inner_steps + 1):
        loss = net.backward(inputs, targets)
        before = loss if before is None else before
        if not np.isfinite(loss):
            break
        norm = float(np.sqrt(np.vdot(net.gradient, net.gradient)))
        if norm > config.max_gradient_norm:
            net.gradient *= np.float32(config.max_gradient_norm / norm)
        if first is None:
            net.gradient *= np.float32(config.inner_lr)
            net.parameters -= net.gradient
        else:
            first += 0.1 * (net.gradient - first)
            second += 0.001 * (net.gradient * net.gradient - second)
            scale = config.inner_lr * np.sqrt(1.0 - 0.999**step) / (1.0 - 0.9**step)
            net.parameters -= (scale * first / (np.sqrt(second) + 1e-8)).astype(np.float32)
        taken = step
        if watch:
            held_loss = check.loss(*held)
            if held_loss < best_loss:
                best_loss, waited = held_loss, 0
                np.copyto(best, net.parameters)
            else:
                waited += 1
                if waited >= config.patience:
                    break
    if watch:
        np.copyto(net.parameters, best)
    return SGDResult(net.layers, before, net.loss(inputs, targets), taken)
