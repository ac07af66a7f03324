"""Trust region policy optimisation (Schulman et al., ICML 2015): the step, whatever is optimised."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

CG_STEPS = 10
BACKTRACK, TRIES = 0.8, 15
ENOUGH = 1e-10  # squared residual at which conjugate gradients end

Product = Callable[[torch.Tensor], torch.Tensor]


def conjugate_gradient(
    product: Product, right: torch.Tensor, steps: int = CG_STEPS
) -> tuple[torch.Tensor, torch.Tensor]:
    """x with A x = right, and A x; A is symmetric and positive, known by its products with vectors (P,)."""
    x, residual = torch.zeros_like(right), right.clone()
    direction, square = residual.clone(), float(residual @ residual)
    for _ in range(steps):
        if square < ENOUGH * max(float(right @ right), 1e-300):
            break
        image = product(direction)
        rate = square / max(float(direction @ image), 1e-300)
        x.add_(direction, alpha=rate)
        residual.sub_(image, alpha=rate)
        after = float(residual @ residual)
        direction.mul_(after / square).add_(residual)
        square = after
    return x, right - residual


class TRPO:
    """The outer update of a flat vector (P,), without a state besides how often it was made.

    Args:
        flat: what is optimised, changed in place.
        kl: largest mean divergence of a step.
        damping: added to the metric's diagonal.
    """

    def __init__(self, flat: torch.Tensor, kl: float, damping: float = 1e-5) -> None:
        self._flat, self._kl, self._damping, self.steps = flat, kl, damping, 0

    def step(
        self, gradient: torch.Tensor, product: Product, before: float,
        measure: Callable[[torch.Tensor], tuple[float, float]],
    ) -> bool:  # fmt: skip
        """Move along the natural gradient as far as the divergence allows and the loss falls.

        Args:
            gradient: of the loss, (P,).
            product: the metric, the divergence's second derivative, times a vector.
            before: the loss here.
            measure: loss and divergence at a vector.

        Returns:
            Whether there was a step.
        """
        self.steps += 1
        damped: Product = lambda v: product(v) + self._damping * v  # noqa: E731
        direction, image = conjugate_gradient(damped, gradient)
        curvature = float(direction @ image)
        if not (math.isfinite(curvature) and curvature > 0.0):
            return False
        longest = math.sqrt(2.0 * self._kl / curvature)
        for k in range(TRIES):
            there = self._flat - longest * BACKTRACK**k * direction
            loss, divergence = measure(there)
            if loss < before and divergence <= self._kl:
                self._flat.copy_(there)
                return True
        return False

    def tensors(self) -> dict[str, torch.Tensor]:
        """State, for checkpoints: none."""
        return {}

    def restore(self, tensors: dict[str, torch.Tensor], steps: int) -> None:
        """Inverse of :meth:`tensors`."""
        self.steps = steps
