"""The outer update: one flat vector of meta-parameters, and how a meta-gradient moves it."""

from __future__ import annotations

import math

import torch


class Parameters:
    """Named views into one flat tensor.

    Args:
        values: the starting values by name.
        device, dtype: of the flat tensor.
    """

    def __init__(
        self, values: dict[str, torch.Tensor], device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.flat = torch.cat([value.reshape(-1) for value in values.values()]).to(device, dtype)
        self._shapes = {name: value.shape for name, value in values.items()}

    def views(self, flat: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """The parameters by name; of another flat tensor of the same length when given."""
        parts = (self.flat if flat is None else flat).split([s.numel() for s in self._shapes.values()])
        return {n: part.view(s) for (n, s), part in zip(self._shapes.items(), parts, strict=True)}

    def flatten(self, named: dict[str, torch.Tensor]) -> torch.Tensor:
        """One flat tensor of what is shaped like the parameters."""
        return torch.cat([named[name].reshape(-1) for name in self._shapes])


def falling(rate: float, steps: int, iterations: int) -> float:
    """``rate`` after ``steps`` of its linear fall to 0 over the iterations."""
    return rate * max(1.0 - steps / iterations, 0.0)


class Adam:
    """Adam (Kingma and Ba, ICLR 2015, algorithm 1) on a flat tensor, its state open to checkpoints.

    Args:
        flat: what is optimised, changed in place.
        lr: learning rate of the first step.
        iterations: steps until the rate is 0, falling linearly; None: it stays.
    """

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, flat: torch.Tensor, lr: float, iterations: int | None = None) -> None:
        self._flat, self.lr, self._iterations = flat, lr, iterations
        self.first, self.second = torch.zeros_like(flat), torch.zeros_like(flat)
        self.steps = 0

    @property
    def rate(self) -> float:
        """Of the next step."""
        return self.lr if self._iterations is None else falling(self.lr, self.steps, self._iterations)

    def step(self, gradient: torch.Tensor) -> None:
        """Move by a gradient shaped like the flat tensor."""
        rate = self.rate
        self.steps += 1
        self.first.lerp_(gradient, 1.0 - self.beta1)
        self.second.mul_(self.beta2).addcmul_(gradient, gradient, value=1.0 - self.beta2)
        correction = math.sqrt(1.0 - self.beta2**self.steps)
        denominator = self.second.sqrt().div_(correction).add_(self.epsilon)
        self._flat.addcdiv_(self.first, denominator, value=-rate / (1.0 - self.beta1**self.steps))

    def tensors(self) -> dict[str, torch.Tensor]:
        """State, for checkpoints."""
        return {"adam.first": self.first, "adam.second": self.second}

    def restore(self, tensors: dict[str, torch.Tensor], steps: int) -> None:
        """Inverse of :meth:`tensors`."""
        self.first.copy_(tensors["adam.first"])
        self.second.copy_(tensors["adam.second"])
        self.steps = steps


class Descent:
    """theta <- theta - rate * gradient, the rate falling linearly to 0 (Reptile's outer update).

    Args:
        flat: what is optimised, changed in place.
        lr: rate of the first step.
        iterations: steps until the rate is 0.
    """

    def __init__(self, flat: torch.Tensor, lr: float, iterations: int) -> None:
        self._flat, self.lr, self._iterations, self.steps = flat, lr, iterations, 0

    @property
    def rate(self) -> float:
        """Of the next step."""
        return falling(self.lr, self.steps, self._iterations)

    def step(self, gradient: torch.Tensor) -> None:
        """Move by a gradient shaped like the flat tensor."""
        self._flat.sub_(gradient, alpha=self.rate)
        self.steps += 1

    def tensors(self) -> dict[str, torch.Tensor]:
        """State, for checkpoints: none."""
        return {}

    def restore(self, tensors: dict[str, torch.Tensor], steps: int) -> None:
        """Inverse of :meth:`tensors`."""
        self.steps = steps
