"""ReBAL, recurrence-based adaptive learner (Nagabandi et al., ICLR 2019, section 4.2).

A gated recurrent unit reads the last M transitions (input and residual); its state h is the
adaptation. The predictor is the usual network with W_h h added in its first hidden layer: for a
given h that is a bias, so an adapted model is an ordinary network again.
"""

from __future__ import annotations

import torch

from ..gradients.batched import Arrays, Samples
from ..gradients.compiled import Layers, SampleSet
from .base import Trainer, layers_in, limited, named_layers

STATE = 16  # width of h


class ReBAL(Trainer):
    """``support_size`` is M and ``query_size`` K; back-propagation through time."""

    name = "rebal"
    sequential = True

    def _initial(self, layers: Layers, generator: torch.Generator) -> dict[str, torch.Tensor]:
        seen = self.inputs + self.outputs

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

        return named_layers(layers) | {
            "encoder.input": draw(3 * STATE, seen),  # rows: reset, update, candidate
            "encoder.state": draw(3 * STATE, STATE),
            "encoder.bias": torch.zeros(3 * STATE),
            "state.weight": draw(len(layers[0][1]), STATE),
        }

    def encode(self, named: dict[str, torch.Tensor], support: SampleSet) -> torch.Tensor:
        """State after the support set, (B, STATE); samples of no weight are passed over."""
        seen = torch.cat(support[:2], dim=-1) @ named["encoder.input"].T + named["encoder.bias"]
        known = (support[2].amax(dim=-1, keepdim=True) > 0).to(seen.dtype)
        h = seen.new_zeros(len(seen), STATE)
        recurrent = named["encoder.state"].T
        for t in range(seen.shape[1]):
            back = h @ recurrent
            gates = torch.sigmoid(seen[:, t, : 2 * STATE] + back[:, : 2 * STATE])
            reset, update = gates.split(STATE, dim=-1)
            candidate = torch.tanh(seen[:, t, 2 * STATE :] + reset * back[:, 2 * STATE :])
            h = h + known[:, t] * (1.0 - update) * (candidate - h)
        return h

    def predict(self, named: dict[str, torch.Tensor], h: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs (B, S, out) for states h (B, STATE)."""
        layers = layers_in(named)
        hidden = inputs
        for i, (w, b) in enumerate(layers):
            value = hidden @ w.T + b
            if i == 0:
                value = value + (h @ named["state.weight"].T)[:, None]
            if i < len(layers) - 1:
                value = torch.tanh(value) if self.config.activation == "tanh" else torch.relu(value)
            hidden = value
        return hidden

    def _loss(self, named: dict[str, torch.Tensor], h: torch.Tensor, query: SampleSet) -> torch.Tensor:
        error = self.predict(named, h, query[0]) - query[1]
        return (error * error * query[2]).sum(dim=(1, 2))

    def meta_gradient(
        self, support: Samples, query: Samples, measure: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | float, torch.Tensor]:
        flat = self.parameters.flat.detach().requires_grad_(True)
        named = self.parameters.views(flat)
        after = self._loss(named, self.encode(named, support), query).mean()
        (gradient,) = torch.autograd.grad(after, flat)
        with torch.no_grad():
            before: torch.Tensor | float = float("nan")
            if measure:
                before = self._loss(named, support[0].new_zeros(len(support[0]), STATE), query).mean()
        return gradient, before, after.detach()

    def _limit(self, gradient: torch.Tensor) -> torch.Tensor:
        return limited(gradient, self.config.max_gradient_norm)

    @torch.no_grad()
    def losses(self, support: Arrays, query: Arrays, steps: int | None = None) -> torch.Tensor:
        support, query = self._samples(support), self._samples(query)
        named = self.parameters.views()
        nothing = support[0].new_zeros(len(support[0]), STATE)
        before = self._loss(named, nothing, query)
        after = self._loss(named, self.encode(named, support), query)
        return torch.stack([before, *[after] * (steps or 1)])

    def extras(self) -> dict:
        named = self.parameters.views()
        names = ("encoder.input", "encoder.state", "encoder.bias", "state.weight")
        return super().extras() | {name: named[name].cpu().numpy().copy() for name in names}
