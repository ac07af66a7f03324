"""ALPaCA (Harrison et al., WAFR 2018): Bayesian linear regression on meta-learned features.

Features psi(z) = [last hidden layer, 1]; the head's prior for each output is N(k0, s^2 inv(Lambda0)).
A context of any length gives the posterior in closed form,

    Lambda = Lambda0 + Psi^T Psi,    k = Lambda^-1 (Psi^T y + Lambda0 k0),

and predictions N(k . psi, s^2 (1 + psi^T Lambda^-1 psi)). Features, k0, Lambda0 and s^2 maximise the
likelihood of the query under the posterior, with contexts of random length.
"""

from __future__ import annotations

import math

import torch

from .. import distributed
from ..gradients.batched import Arrays, Samples
from ..gradients.compiled import Layers, SampleSet
from .base import Trainer, layers_in, limited, named_layers

MIN_LOG_NOISE = math.log(1e-3)  # of s, in normalised units: what is repeated exactly is not certain


class ALPaCA(Trainer):
    """Trained by the exact gradient of the predictive likelihood."""

    name = "alpaca"

    def _initial(self, layers: Layers, generator: torch.Generator) -> dict[str, torch.Tensor]:
        width = self.config.hidden[-1] + 1
        head = torch.cat([layers[-1][0], layers[-1][1][:, None]], dim=1)  # (out, Q)
        return named_layers(layers[:-1]) | {
            "head": head,
            "precision": torch.zeros(width, width),  # strictly lower part of Lambda0's factor
            "log_precision": torch.zeros(width),  # logarithm of its diagonal
            "log_noise": torch.full((self.outputs,), -1.0),
        }

    def features(self, named: dict[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        """psi, (B, S, Q)."""
        hidden = inputs
        for w, b in layers_in(named):
            value = hidden @ w.T + b
            hidden = torch.tanh(value) if self.config.activation == "tanh" else torch.relu(value)
        return torch.cat([hidden, torch.ones_like(hidden[..., :1])], dim=-1)

    def _prior(self, named: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        factor = torch.tril(named["precision"], -1) + torch.diag(named["log_precision"].exp())
        return factor @ factor.T, named["head"]

    def posterior(
        self, named: dict[str, torch.Tensor], support: SampleSet
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cholesky factor of Lambda (B, Q, Q) and k (B, out, Q)."""
        precision, head = self._prior(named)
        psi = self.features(named, support[0]) * (support[2][..., :1] > 0)
        right = psi.mT @ support[1] + precision @ head.T
        factor = torch.linalg.cholesky(precision + psi.mT @ psi)
        return factor, torch.cholesky_solve(right, factor).mT

    def _predict(
        self, named: dict[str, torch.Tensor], support: SampleSet, inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        factor, head = self.posterior(named, support)
        psi = self.features(named, inputs)
        spread = torch.linalg.solve_triangular(factor, psi.mT, upper=False)
        return psi @ head.mT, 1.0 + (spread * spread).sum(dim=1)[..., None]

    def _loss(self, mean: torch.Tensor, query: SampleSet) -> torch.Tensor:
        return ((mean - query[1]) ** 2 * query[2]).sum(dim=(1, 2))

    def meta_gradient(
        self, support: Samples, query: Samples, measure: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | float, torch.Tensor]:
        flat = self.parameters.flat.detach().requires_grad_(True)
        named = self.parameters.views(flat)
        shorter = self._shortened(support)
        mean, variance = self._predict(named, shorter, query[0])
        scale = named["log_noise"].clamp(min=MIN_LOG_NOISE).exp() ** 2
        likelihood = (query[1] - mean) ** 2 / (scale * variance) + torch.log(scale * variance)
        (gradient,) = torch.autograd.grad(0.5 * (likelihood * query[2]).sum(dim=(1, 2)).mean(), flat)
        with torch.no_grad():
            before: torch.Tensor | float = float("nan")
            if measure:
                psi = self.features(named, query[0])
                before = self._loss(psi @ named["head"].T, query).mean()
            return gradient, before, self._loss(mean, query).mean()

    def _shortened(self, support: SampleSet) -> SampleSet:
        """Contexts of every length from none on, so that the prior is trained as well."""
        size = support[0].shape[1]
        generator = torch.Generator().manual_seed(self.config.seed + self.optimiser.steps)
        length = torch.rand(len(support[0]) * distributed.world(), generator=generator)
        length = (length * (size + 1)).floor()[distributed.share(len(length)), None, None]
        kept = torch.arange(size, device=self.device)[None, :, None] < length.to(self.device)
        return (*support[:2], support[2] * kept)

    def _limit(self, gradient: torch.Tensor) -> torch.Tensor:
        return limited(gradient, self.config.max_gradient_norm)

    @torch.no_grad()
    def losses(self, support: Arrays, query: Arrays, steps: int | None = None) -> torch.Tensor:
        support, query = self._samples(support), self._samples(query)
        named = self.parameters.views()
        before = self._loss(self.features(named, query[0]) @ named["head"].T, query)
        after = self._loss(self._predict(named, support, query[0])[0], query)
        return torch.stack([before, *[after] * (steps or 1)])

    @property
    def layers(self) -> Layers:
        named = self.parameters.views()
        head = named["head"]
        return [*layers_in(named), (head[:, :-1], head[:, -1])]

    def extras(self) -> dict:
        named = self.parameters.views()
        precision, _ = self._prior(named)
        noise = named["log_noise"].clamp(min=MIN_LOG_NOISE).exp() ** 2
        return {"precision": precision.cpu().numpy(), "noise": noise.cpu().numpy()}
