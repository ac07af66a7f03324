"""``rebal``: the state of a recurrent encoder is the adaptation (Nagabandi et al., ICLR 2019).

The encoder reads the newest transitions; what its state adds to the first hidden layer is a bias,
so that the adapted model is an ordinary network.
"""

from __future__ import annotations

import numpy as np

from ...core.errors import InvalidValueError
from ...core.types import Array, Float32
from ...dynamics.residual import ResidualWeights
from ...dynamics.transitions import Transitions
from ...weights.meta_model import MetaModel
from ..learning import LearningProblem, extras_of, window_of
from .base import Adaptation


def encode(extras: dict[str, Float32], seen: Float32) -> Array:
    """State of the gated recurrent unit after a sequence of (inputs, targets) rows, oldest first.

    Args:
        extras: encoder.input (3 H, I), encoder.state (3 H, H), encoder.bias (3 H,), rows for
            reset, update and candidate.
        seen: shape (M, I).

    Returns:
        Shape (H,).
    """
    width = extras["encoder.state"].shape[1]
    rows = seen @ extras["encoder.input"].T + extras["encoder.bias"]
    state, recurrent = np.zeros(width), extras["encoder.state"].T
    for row in rows:
        back = state @ recurrent
        gates = 0.5 + 0.5 * np.tanh(0.5 * (row[: 2 * width] + back[: 2 * width]))
        candidate = np.tanh(row[2 * width :] + gates[:width] * back[2 * width :])
        state = state + (1.0 - gates[width:]) * (candidate - state)
    return state


class ReBALAdapter:
    """See the module.

    Args:
        meta: meta-model; must hold a network ``rebal`` with its encoder and its window.
    """

    name = "rebal"

    def __init__(self, meta: MetaModel) -> None:
        self._meta, self._problem = meta, LearningProblem.of(meta, self.name)
        names = ("encoder.input", "encoder.state", "encoder.bias", "state.weight")
        self._theta = meta.networks[self.name]
        self._extras = extras_of(meta, self.name, *names, "window")
        self._window = window_of(meta, self.name) or 0
        width = self._extras["encoder.state"].shape[-1]
        seen, first = len(meta.input_scale) + 3, len(self._theta[0][1])
        wanted = ((3 * width, seen), (3 * width, width), (3 * width,), (first, width))
        for name, shape in zip(names, wanted, strict=True):
            if self._extras[name].shape != shape:
                raise InvalidValueError(f"{name} must have shape {shape}, got {self._extras[name].shape}")

    def _weights(self, state: Array) -> ResidualWeights:
        weight, bias = self._theta[0]
        shifted = (bias + self._extras["state.weight"] @ state).astype(np.float32)
        return self._meta.weights(self.name, layers=((weight, shifted), *self._theta[1:]))

    def start(self) -> ResidualWeights:
        return self._weights(np.zeros(self._extras["encoder.state"].shape[1]))

    def adapt(self, data: Transitions) -> Adaptation:
        newest = data[-self._window :]
        seen = np.hstack(self._problem.of_transitions(newest).float32())
        weights = self._weights(encode(self._extras, seen))
        before, after = (self._problem.loss(w, newest) for w in (self.start(), weights))
        return Adaptation(weights, before, after)
