"""A neural model that returns to meta-learned weights and adapts to the last transitions from there.

Source: Finn et al., Model-Agnostic Meta-Learning (ICML 2017), eq. 1; Nagabandi et al., Learning to
Adapt in Dynamic, Real-World Environments (ICLR 2019), for adapting from the newest transitions.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..core.errors import InvalidValueError
from .mlp import forward
from .neural import NeuralDynamics
from .robot_model import transitions_of

MAX_GRADIENT_NORM = 10.0


class MAMLDynamics(NeuralDynamics):
    """:class:`NeuralDynamics` with few-shot adaptation.

    The meta weights are those that a file held, or those of the last :meth:`save_meta_weights`; until
    then they are the weights at birth.

    Args:
        state_dim, control_dim, hidden_dims, activation, model_path, device, seed: see the base class.
        inner_lr: learning rate of the adaptation, in (0, 10].
        inner_steps: gradient steps of an adaptation, 1 to 10000.
        use_adam: True: Adam, False: plain gradient descent.
    """

    def __init__(
        self,
        state_dim: int = 3,
        control_dim: int = 2,
        hidden_dims: Sequence[int] = (128, 128),
        activation: str = "tanh",
        model_path: str | os.PathLike[str] | None = None,
        device: str = "cpu",
        inner_lr: float = 0.01,
        inner_steps: int = 5,
        use_adam: bool = False,
        seed: int = 0,
    ) -> None:
        if not 0.0 < inner_lr <= 10.0:
            raise InvalidValueError(f"inner_lr must be in (0, 10], got {inner_lr}")
        if not 1 <= inner_steps <= 10_000:
            raise InvalidValueError(f"inner_steps must be in [1, 10000], got {inner_steps}")
        self.inner_lr, self.inner_steps, self.use_adam = inner_lr, inner_steps, use_adam
        super().__init__(state_dim, control_dim, hidden_dims, activation, model_path, device, seed)
        self.save_meta_weights()

    def load(self, path: str | os.PathLike[str]) -> None:
        super().load(path)
        self.save_meta_weights()

    def save_meta_weights(self) -> None:
        """Take the present weights as those that adaptation starts from."""
        self._meta = self.layers

    def restore_meta_weights(self) -> None:
        """Go back to the meta weights."""
        self.layers = self._meta

    def adapt(
        self, states: ArrayLike, controls: ArrayLike, next_states: ArrayLike, dt: float, restore: bool = True
    ) -> float:
        """Gradient steps on the newest transitions.

        Args:
            states: (M, nx); controls: (M, nu); next_states: (M, nx); dt: step [s].
            restore: True: from the meta weights (MAML). False: on from the present ones.

        Returns:
            Mean squared error of the adapted model on these transitions, normalised.

        Raises:
            InvalidValueError: the data do not fit or are not finite.
        """
        states, controls, state_dots = transitions_of(self, states, controls, next_states, dt)
        if restore:
            self.restore_meta_weights()
        inputs, targets = self.inputs_of(states, controls), self.targets_of(states, state_dots)
        layers = [(w.requires_grad_(), b.requires_grad_()) for w, b in self.layers]
        parameters = [p for pair in layers for p in pair]
        kind = torch.optim.Adam if self.use_adam else torch.optim.SGD
        optimiser = kind(parameters, lr=self.inner_lr)
        for _ in range(self.inner_steps):
            loss = torch.nn.functional.mse_loss(forward(layers, inputs, self.activation), targets)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
            optimiser.step()
        with torch.no_grad():
            final = float(torch.nn.functional.mse_loss(forward(layers, inputs, self.activation), targets))
        if not np.isfinite(final):
            raise InvalidValueError(
                f"adaptation diverged and was taken back: inner_lr {self.inner_lr} is too high"
            )
        self.layers = layers
        return final
