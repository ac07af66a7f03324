"""Characters drawn by a hand that is not there: small affine maps (Koch et al., 2015)."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

TURN, SHEAR, STRETCH, SHIFT = 0.26, 0.3, 0.2, 0.15
"""Largest turn [rad], shear, logarithm of the stretch of an axis, and shift in halves of the image."""


def distorted(images: np.ndarray, rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """Each image mapped by an affine map of its own.

    Args:
        images: (..., H, W), 0 outside.
        strength: share of the largest maps, 0 leaves all as it is.
    """
    flat = images.reshape(-1, 1, *images.shape[-2:])
    turn, shear, wide, high, *shift = strength * rng.uniform(-1.0, 1.0, (6, len(flat)))
    angle, shear = TURN * turn, SHEAR * shear
    wide, high = np.exp(STRETCH * wide), np.exp(STRETCH * high)
    cos, sin = np.cos(angle), np.sin(angle)
    rows = [[wide * cos, high * (shear * cos - sin)], [wide * sin, high * (shear * sin + cos)]]
    maps = np.concatenate([np.array(rows), SHIFT * np.array(shift)[:, None]], axis=1).transpose(2, 0, 1)
    grid = functional.affine_grid(torch.from_numpy(maps.astype(np.float32)), list(flat.shape), False)
    moved = functional.grid_sample(torch.from_numpy(np.ascontiguousarray(flat)), grid, align_corners=False)
    return moved.numpy().reshape(images.shape)
