"""The convolutional network of the few-shot papers, one for each task: parameters are rows of (T, P).

Four modules of a 3 x 3 convolution, batch normalisation and ReLU, either with stride 2 (Finn et al., ICML
2017) or followed by max-pooling (Vinyals et al., 2016), which costs twice as much and tells characters apart
better. Statistics are those of the batch at hand, as in the first, or given, as for prototypical networks.
"""

from __future__ import annotations

import attrs
import torch
from torch.nn import functional

MODULES = 4
Statistics = list[tuple[torch.Tensor, torch.Tensor]]  # of each module: means and variances of its filters
EPSILON = 1e-5


@attrs.frozen
class ConvNet:
    """Shapes and forward pass.

    Attributes:
        ways: N, classes.
        filters: of each module.
        size: pixels of an image's side.
        pooled: max-pooling in place of strides; the first module, which would take half of the time, has half
            of the filters then.
    """

    ways: int
    filters: int = 64
    size: int = 28
    pooled: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters of each module."""
        return ((self.filters + 1) // 2 if self.pooled else self.filters, *(self.filters,) * (MODULES - 1))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the parameters of one network, by name."""
        found: dict[str, tuple[int, ...]] = {}
        before = 1
        for i, width in enumerate(self.widths):
            found[f"conv{i}.weight"] = (9 * before, width)
            found[f"conv{i}.scale"] = found[f"conv{i}.shift"] = (width,)
            before = width
        return {**found, "head.weight": (self.filters, self.ways), "head.bias": (self.ways,)}

    def initial(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Convolutions as Glorot and Bengio have them, no head, and a normalisation that changes nothing."""
        values = {}
        for name, shape in self.shapes().items():
            values[name] = torch.ones(shape) if name.endswith("scale") else torch.zeros(shape)
            if name.startswith("conv") and name.endswith("weight"):
                deviation = (2.0 / (shape[0] + 9 * shape[1])) ** 0.5
                values[name] = deviation * torch.randn(shape, generator=generator)
        return values

    def split(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """(T, ...) by name, views of rows (T, P)."""
        shapes = self.shapes()
        parts = flat.split([torch.Size(shape).numel() for shape in shapes.values()], dim=1)
        return {
            name: part.reshape(-1, *shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }

    def features(self, parameters: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        """Of images (T, S, size, size): (T, S, pixels, filters), what the last module gives."""
        tasks, count, side = images.shape[:3]
        value, channels, stride = images.reshape(tasks * count, 1, side, side), 1, 1 if self.pooled else 2
        for i, width in enumerate(self.widths):
            patches = functional.unfold(value, 3, padding=1, stride=stride).transpose(1, 2)
            side = (side + stride - 1) // stride
            rows = patches.reshape(tasks, count * side * side, 9 * channels)
            value = rows @ parameters[f"conv{i}.weight"]
            spread, mean = torch.var_mean(value, dim=1, keepdim=True, unbiased=False)
            scale, shift = parameters[f"conv{i}.scale"][:, None], parameters[f"conv{i}.shift"][:, None]
            value = functional.relu((value - mean) * (spread + EPSILON).rsqrt() * scale + shift)
            channels = width
            value = value.reshape(tasks * count, side, side, channels).permute(0, 3, 1, 2)
            if self.pooled:
                value, side = functional.max_pool2d(value, 2), side // 2
        return value.permute(0, 2, 3, 1).reshape(tasks, count, side * side, channels)

    def shared_features(
        self, flat: torch.Tensor, images: torch.Tensor, statistics: Statistics | None = None
    ) -> torch.Tensor:
        """The same of one network (P,), in a third of the time: (S, size, size) to (S, pixels, filters).

        Args:
            statistics: see :meth:`statistics`; None for those of these images.
        """
        return self._shared(flat, images, statistics)[0]

    def statistics(self, flat: torch.Tensor, images: torch.Tensor) -> Statistics:
        """Mean and variance of each filter of each module over images (S, size, size)."""
        return self._shared(flat, images, None, keep=True)[1]

    def _shared(
        self, flat: torch.Tensor, images: torch.Tensor, given: Statistics | None, keep: bool = False
    ) -> tuple[torch.Tensor, Statistics]:
        layout = {"memory_format": torch.channels_last}
        values = {name: part[0] for name, part in self.split(flat[None]).items()}
        value, found = images[:, None].contiguous(**layout), []
        for i in range(MODULES):
            kernel = values[f"conv{i}.weight"].T.unflatten(1, (-1, 3, 3)).contiguous(**layout)
            value = functional.conv2d(value, kernel, stride=1 if self.pooled else 2, padding=1)
            if keep:
                spread, middle = torch.var_mean(value, dim=(0, 2, 3), unbiased=False)
                found.append((middle, spread))
            mean, variance = given[i] if given is not None else (None, None)
            scale, shift = values[f"conv{i}.scale"], values[f"conv{i}.shift"]
            value = functional.batch_norm(value, mean, variance, scale, shift, given is None, eps=EPSILON)
            value = (functional.max_pool2d(value, 2) if self.pooled else value).relu()
        return value.permute(0, 2, 3, 1).flatten(1, 2), found

    def logits(self, flat: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """(T, S, ways)."""
        parameters = self.split(flat)
        pooled = self.features(parameters, images).mean(dim=2)
        return pooled @ parameters["head.weight"] + parameters["head.bias"][:, None]

    def head_mask(self) -> torch.Tensor:
        """1 at the parameters of the head, 0 elsewhere, (P,)."""
        ones = [
            torch.full((torch.Size(s).numel(),), float(n.startswith("head")))
            for n, s in self.shapes().items()
        ]
        return torch.cat(ones)
