"""Small multi-layer networks as plain (W, b) pairs of torch tensors, and their offline training."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch

from ..core.errors import InvalidValueError

FUNCTIONS = {"tanh": torch.tanh, "relu": torch.relu}
Layers = list[tuple[torch.Tensor, torch.Tensor]]


def initial_layers(inputs: int, outputs: int, hidden: Sequence[int], seed: int) -> Layers:
    """Scaled normal hidden layers and a zero output layer: the network begins by saying nothing.

    Args:
        inputs, outputs: widths of the ends.
        hidden: widths between them, each in [1, 4096].
        seed: of the hidden layers.
    """
    if not all(1 <= width <= 4096 for width in hidden):
        raise InvalidValueError(f"hidden widths must be in [1, 4096], got {tuple(hidden)}")
    generator = torch.Generator().manual_seed(seed)
    sizes = [inputs, *hidden]
    layers = [
        (torch.randn(after, before, generator=generator) / before**0.5, torch.zeros(after))
        for before, after in zip(sizes[:-1], sizes[1:], strict=True)
    ]
    return [*layers, (torch.zeros(outputs, sizes[-1]), torch.zeros(outputs))]


def forward(layers: Layers, inputs: torch.Tensor, activation: str) -> torch.Tensor:
    """Outputs (..., out) for inputs (..., in)."""
    function = FUNCTIONS[activation]
    for weight, bias in layers[:-1]:
        inputs = function(inputs @ weight.T + bias)
    weight, bias = layers[-1]
    return inputs @ weight.T + bias


@attrs.frozen
class FitConfig:
    """Settings of offline training.

    Attributes:
        epochs: most passes over the data, 1 to 100000.
        batch_size: samples a step, 1 to 1e6.
        learning_rate: of Adam at the start, in (0, 1]; it falls to zero along half a cosine.
        validation_share: part of the samples that watches for overfitting, in [0, 0.5].
        patience: epochs without improvement on them before training ends; 0 for never.
        seed: of the order of the samples.
    """

    epochs: int = 300
    batch_size: int = 256
    learning_rate: float = 3e-3
    validation_share: float = 0.2
    patience: int = 40
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 100_000),
            ("batch_size", 1, 1_000_000),
            ("learning_rate", 1e-9, 1.0),
            ("validation_share", 0.0, 0.5),
            ("patience", 0, 100_000),
            ("seed", 0, 2**63 - 1),
        ):
            if not low <= getattr(self, name) <= high:
                raise InvalidValueError(f"{name} must be in [{low:g}, {high:g}], got {getattr(self, name)}")


def train(
    layers: Layers, activation: str, inputs: torch.Tensor, targets: torch.Tensor, config: FitConfig
) -> tuple[Layers, np.ndarray]:
    """Fit by Adam on the mean squared error, ending early.

    Args:
        layers: start; not changed.
        inputs: normalised, (M, in); targets: normalised, (M, out).

    Returns:
        The layers with the lowest validation loss, and the losses of each epoch: training, validation
        (the training loss again where there is no validation), shape (epochs done, 2).
    """
    generator = torch.Generator(device="cpu").manual_seed(config.seed)
    order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
    held = order[: int(config.validation_share * len(inputs))]
    used = order[len(held) :]
    layers = [(w.detach().clone().requires_grad_(), b.detach().clone().requires_grad_()) for w, b in layers]
    parameters = [p for pair in layers for p in pair]
    optimiser = torch.optim.Adam(parameters, lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs)
    best, best_loss, waited, losses = None, np.inf, 0, []
    for _ in range(config.epochs):
        shuffled = used[torch.randperm(len(used), generator=generator).to(inputs.device)]
        total = 0.0
        for batch in shuffled.split(config.batch_size):
            loss = torch.nn.functional.mse_loss(forward(layers, inputs[batch], activation), targets[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(batch)
        schedule.step()
        watched = total / len(used)
        if len(held):
            with torch.no_grad():
                predicted = forward(layers, inputs[held], activation)
                watched = float(torch.nn.functional.mse_loss(predicted, targets[held]))
        losses.append((total / len(used), watched))
        if watched < best_loss:
            best, best_loss, waited = [p.detach().clone() for p in parameters], watched, 0
        else:
            waited += 1
            if config.patience and waited >= config.patience:
                break
    if best is None:
        raise InvalidValueError("training gave no finite loss")
    return list(zip(best[::2], best[1::2], strict=True)), np.array(losses)
