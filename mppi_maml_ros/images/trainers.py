"""What learns few-shot classification: MAML, first-order MAML, ANIL, Reptile, and prototypical networks.

All of them are learners for :func:`..meta.loop.run`; what that calls a loss is the share of wrong answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs
import numpy as np
import torch
from torch.nn import functional

from ..core.registry import Registry
from ..core.tunable import tunable
from ..meta.gradients.outer import Adam, Descent, Parameters
from .network import ConvNet, Statistics

SETTLING = 600  # images that statistics are taken of, at most
_setting = partial(tunable, dynamic=False)


@attrs.frozen
class FewShotConfig:
    """Settings of a meta-training on images; ranges are checked.

    Attributes:
        ways: N, classes of a task.
        filters: of each module of the network.
        iterations, task_batch_size: outer iterations and tasks in each.
        inner_lr, inner_steps: of the descent on a task.
        test_steps: the same at test.
        meta_lr: of the outer update: Adam, for Reptile plain steps.
        evaluate_every, patience, seed: as in TrainingConfig.

    Raises:
        InvalidValueError: a value is out of range; the message names it.
    """

    ways: int = _setting(5, 2, 1000, "Classes of a task")
    filters: int = _setting(64, 1, 1024, "Of each module of the network")
    iterations: int = _setting(60000, 1, 10_000_000, "Outer iterations")
    task_batch_size: int = _setting(32, 1, 1024, "Tasks an iteration")
    inner_lr: float = _setting(0.4, 1e-9, 10.0, "Learning rate of the inner loop")
    inner_steps: int = _setting(1, 1, 100, "Gradient steps on a task")
    test_steps: int = _setting(3, 1, 100, "Gradient steps on a task at test")
    meta_lr: float = _setting(1e-3, 1e-9, 1.0, "Learning rate of the outer loop")
    evaluate_every: int = _setting(500, 1, 1_000_000, "Iterations between evaluations on held-out tasks")
    patience: int = _setting(0, 0, 1_000_000, "Evaluations without a new best that end a run; 0: none do")
    seed: int = _setting(0, 0, 2**63 - 1, "Seed of tasks and initial weights")


class ImageTrainer(ABC):
    """A learner of few-shot classification.

    Args:
        config: settings.

    Attributes:
        network: shapes and forward pass.
        parameters, optimiser, interrupt: as the loop wants them.
    """

    name: str
    pooled = False

    def __init__(self, config: FewShotConfig) -> None:
        self.config, self.network = config, ConvNet(config.ways, config.filters, pooled=self.pooled)
        self.parameters = Parameters(self.network.initial(torch.Generator().manual_seed(config.seed)))
        self.optimiser = self._optimiser()
        self.interrupt: Callable[[], None] = lambda: None

    def _optimiser(self) -> Adam | Descent:
        return Adam(self.parameters.flat, self.config.meta_lr)

    def step(self, support: Sequence[Any], query: Sequence[Any]) -> tuple[float, float]:
        """One outer iteration; share of wrong answers of chance and after learning."""
        gradient, logits = self.meta_gradient(_tensors(support), _tensors(query))
        self.optimiser.step(gradient)
        return 1.0 - 1.0 / self.config.ways, float(_wrong(logits, _tensors(query)[1]).mean())

    def settle(self, images: np.ndarray) -> None:  # noqa: B027  # most have nothing to do then
        """Training on images (S, 28, 28) is over."""

    @abstractmethod
    def meta_gradient(
        self, support: list[torch.Tensor], query: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Flat gradient for the outer update, and logits of the queries (T, Q, ways)."""

    @abstractmethod
    def answers(self, support: list[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        """Logits for images (T, Q, 28, 28) after learning from the support, (T, Q, ways)."""

    def losses(self, support: Sequence[Any], query: Sequence[Any]) -> torch.Tensor:
        """Share of wrong answers of each task: of chance, and after learning, (2, T)."""
        asked, labels = _tensors(query)
        wrong = _wrong(self.answers(_tensors(support), asked), labels)
        return torch.stack([torch.full_like(wrong, 1.0 - 1.0 / self.config.ways), wrong])


def _tensors(arrays: Sequence[Any]) -> list[torch.Tensor]:
    images, labels = arrays
    return [torch.as_tensor(np.asarray(images, dtype=np.float32)), torch.as_tensor(np.asarray(labels)).long()]


def _wrong(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (logits.argmax(dim=2) != labels).float().mean(dim=1)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean of each task, (T,)."""
    return functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(dim=1)


def _squares(points: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """Squared distances, (T, Q, N), of points (T, Q, F) from means (T, N, F)."""
    cross = points @ means.transpose(1, 2)
    return points.square().sum(dim=2, keepdim=True) - 2.0 * cross + means.square().sum(dim=2)[:, None]


class ImageMAML(ImageTrainer):
    """MAML (Finn et al., ICML 2017, section 5.2), second order and exact."""

    name, exact = "maml", True

    @property
    def mask(self) -> torch.Tensor | float:
        """1 where a task changes the parameters, 0 where not."""
        return 1.0

    def adapt(
        self, start: torch.Tensor, support: list[torch.Tensor], steps: int, graph: bool
    ) -> torch.Tensor:
        """Descend from (T, P) on the support; with ``graph`` the result can be differentiated."""
        images, labels = support
        flat = start
        for _ in range(steps):
            self.interrupt()
            if not graph:
                flat = flat.detach().requires_grad_()
            with torch.enable_grad():
                loss = cross_entropy(self.network.logits(flat, images), labels).sum()
                (slope,) = torch.autograd.grad(loss, flat, create_graph=graph)
            flat = flat - self.config.inner_lr * self.mask * slope
        return flat if graph else flat.detach()

    def _start(self, tasks: int) -> torch.Tensor:
        return self.parameters.flat.detach().expand(tasks, -1)

    def meta_gradient(
        self, support: list[torch.Tensor], query: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start = self._start(len(query[0])).clone().requires_grad_()
        adapted = self.adapt(start, support, self.config.inner_steps, self.exact)
        end = adapted if self.exact else adapted.requires_grad_()
        logits = self.network.logits(end, query[0])
        loss = cross_entropy(logits, query[1]).sum()
        (slope,) = torch.autograd.grad(loss, start if self.exact else end)
        return slope.mean(dim=0), logits.detach()

    def answers(self, support: list[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        adapted = self.adapt(self._start(len(images)), support, self.config.test_steps, False)
        with torch.no_grad():
            return self.network.logits(adapted, images)


class ImageFOMAML(ImageMAML):
    """The derivative of the adapted parameters by theta is taken as 1."""

    name, exact = "fomaml", False


class ImageANIL(ImageMAML):
    """Only the head is adapted (Raghu et al., ICLR 2020)."""

    name = "anil"

    @property
    def mask(self) -> torch.Tensor | float:
        return self.network.head_mask()


class ImageReptile(ImageMAML):
    """Theta moves toward where descent on all of a task's images ends (Nichol et al., 2018)."""

    name, exact = "reptile", False

    def _optimiser(self) -> Adam | Descent:
        return Descent(self.parameters.flat, self.config.meta_lr, self.config.iterations)

    def meta_gradient(
        self, support: list[torch.Tensor], query: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        together = [torch.cat(pair, dim=1) for pair in zip(support, query, strict=True)]
        start = self._start(len(query[0]))
        adapted = self.adapt(start, together, self.config.inner_steps, False)
        with torch.no_grad():
            return (start - adapted).mean(dim=0), self.network.logits(adapted, query[0])


class Prototypes(ImageTrainer):
    """Prototypical networks (Snell et al., NeurIPS 2017): the nearest mean of a class's features.

    In training the images of a class are its prototype in turn, so that each is asked about and shown.

    Attributes:
        statistics: of the training images, once it has settled; until then those of a task's images serve,
            which of ten images are rough.
    """

    name, pooled = "prototypes", True

    def __init__(self, config: FewShotConfig) -> None:
        super().__init__(config)
        self.statistics: Statistics | None = None

    def _optimiser(self) -> Adam | Descent:
        return Adam(self.parameters.flat, self.config.meta_lr, self.config.iterations)

    @torch.no_grad()
    def settle(self, images: np.ndarray) -> None:
        some = np.ascontiguousarray(images[:: -(-len(images) // SETTLING)], dtype=np.float32)
        self.statistics = self.network.statistics(self.parameters.flat, torch.from_numpy(some))

    def _features(self, flat: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """(T, S, F); tasks come one after the other, since statistics may be those of a task."""
        found = [self.network.shared_features(flat, of, self.statistics).flatten(1) for of in images]
        return torch.stack(found)

    def loss(
        self, flat: torch.Tensor, support: list[torch.Tensor], query: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean cross-entropy over all turns; logits of the queries in the first, (T, Q, ways)."""
        images, labels = (torch.cat(pair, dim=1) for pair in zip(support, query, strict=True))
        features, shown = self._features(flat, images), support[1].shape[1]
        total, ways = labels.shape[1], int(labels.max()) + 1
        place = (torch.arange(total) % (total // ways)).expand_as(labels)  # of an image in its class
        turn = torch.empty_like(labels).scatter_(1, labels.argsort(dim=1, stable=True), place)
        turn //= shown // ways
        losses, logits = [], []
        for now in range(total // shown):
            (f, of), (asked, answers) = (
                [part[rows].unflatten(0, (len(labels), -1)) for part in (features, labels)]
                for rows in (turn == now, turn != now)
            )
            logits.append(_nearest(f, of, asked))
            losses.append(cross_entropy(logits[-1], answers).mean())
        return torch.stack(losses).mean(), logits[0].detach()

    def meta_gradient(
        self, support: list[torch.Tensor], query: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        flat = self.parameters.flat.detach().clone().requires_grad_()
        loss, logits = self.loss(flat, support, query)
        (slope,) = torch.autograd.grad(loss, flat)
        return slope, logits

    @torch.no_grad()
    def answers(self, support: list[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        shown, labels = support
        features = self._features(self.parameters.flat, torch.cat([shown, images], dim=1))
        return _nearest(features[:, : shown.shape[1]], labels, features[:, shown.shape[1] :])


def _nearest(shown: torch.Tensor, labels: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """Minus squared distances, (T, Q, N), of features (T, Q, F) from the means of classes."""
    member = functional.one_hot(labels, int(labels.max()) + 1).to(shown.dtype)
    return -_squares(asked, member.transpose(1, 2) @ shown / member.sum(dim=1)[..., None])


IMAGE_TRAINERS: Registry[type[ImageTrainer]] = Registry("image trainer", "mppi_maml_ros.image_trainers")
"""What learns few-shot classification, by name."""

for _kind in (ImageMAML, ImageFOMAML, ImageANIL, ImageReptile, Prototypes):
    IMAGE_TRAINERS.register(_kind.name, _kind)
