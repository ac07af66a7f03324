"""The convolutional network of the few-shot papers, one for each task: parameters are rows of (T, P).

Four modules of a 3 x 3 convolution with stride 2, batch normalisation and ReLU (Vinyals et al., 2016; Finn et
al., ICML 2017). As in these, statistics are always those of the batch at hand, at test as well.
"""

from __future__ import annotations

import attrs
import torch
from torch.nn import functional

MODULES = 4
EPSILON = 1e-5


@attrs.frozen
class ConvNet:
    """Shapes and forward pass.

    Attributes:
        ways: N, classes.
        filters: of each module.
        size: pixels of an image's side.
    """

    ways: int
    filters: int = 64
    size: int = 28

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the parameters of one network, by name."""
        found: dict[str, tuple[int, ...]] = {}
        before = 1
        for i in range(MODULES):
            found[f"conv{i}.weight"] = (9 * before, self.filters)
            found[f"conv{i}.scale"] = found[f"conv{i}.shift"] = (self.filters,)
            before = self.filters
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
        value, channels = images.reshape(tasks * count, 1, side, side), 1
        for i in range(MODULES):
            side = (side + 1) // 2
            patches = functional.unfold(value, 3, padding=1, stride=2).transpose(1, 2)
            rows = patches.reshape(tasks, count * side * side, 9 * channels)
            value = rows @ parameters[f"conv{i}.weight"]
            spread, mean = torch.var_mean(value, dim=1, keepdim=True, unbiased=False)
            scale, shift = parameters[f"conv{i}.scale"][:, None], parameters[f"conv{i}.shift"][:, None]
            value = functional.relu((value - mean) * (spread + EPSILON).rsqrt() * scale + shift)
            channels = self.filters
            if i < MODULES - 1:
                value = value.reshape(tasks * count, side, side, channels).permute(0, 3, 1, 2)
        return value.reshape(tasks, count, side * side, channels)

    def shared_features(self, flat: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """The same of one network (P,), in a third of the time: (S, size, size) to (S, pixels, filters)."""
        layout = {"memory_format": torch.channels_last}
        values = {name: part[0] for name, part in self.split(flat[None]).items()}
        value = images[:, None].contiguous(**layout)
        for i in range(MODULES):
            kernel = values[f"conv{i}.weight"].T.unflatten(1, (-1, 3, 3)).contiguous(**layout)
            value = functional.conv2d(value, kernel, stride=2, padding=1)
            scale, shift = values[f"conv{i}.scale"], values[f"conv{i}.shift"]
            value = functional.batch_norm(value, None, None, scale, shift, True, eps=EPSILON).relu()
        return value.permute(0, 2, 3, 1).flatten(1, 2)

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
