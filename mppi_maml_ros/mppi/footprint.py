"""The outline of the robot, covered by equal discs."""

from __future__ import annotations

import functools
import json
import math

import attrs
import numpy as np

from ..core.arrays import locked
from ..core.errors import InvalidValueError
from ..core.types import Array
from .costmap import Costmap

MOST_DISCS = 16
_OVERHANG = 0.04  # [m] beyond edges along the axes, unless that takes too many discs; some more beyond others
_SPACING = 0.005  # [m] of the places on an outline that are covered
_LARGEST = 10.0  # [m] from the base's origin


@attrs.frozen(eq=False)
class Footprint:
    """Discs in the frame of the base.

    Attributes:
        centres: (x, y) [m], shape (D, 2), read-only.
        radius: of each [m].
    """

    centres: Array = attrs.field(converter=locked)
    radius: float

    @classmethod
    def disc(cls, radius: float) -> Footprint:
        """One about the base's origin."""
        return cls(np.zeros((1, 2)), radius)

    @classmethod
    def of(cls, text: str, radius: float) -> Footprint:
        """The outline in nav2's words, ``[[x, y], ...]`` [m]; the disc of ``radius`` where there are none.

        Raises:
            InvalidValueError: not three places or more, or one that is far away.
        """
        return _covered(text) if text.strip() else cls.disc(radius)

    def clearance(self, poses: Array, costmap: Costmap) -> Array:
        """Distance to the nearest obstacle [m], negative in contact, shape (N,).

        Args:
            poses: of the base, shape (N, 3), frame of the costmap.
        """
        cos, sin = np.cos(poses[:, 2, None]), np.sin(poses[:, 2, None])
        x, y = self.centres.T
        across = poses[:, 0, None] + cos * x - sin * y, poses[:, 1, None] + sin * x + cos * y
        least: Array = costmap.distance_at(*across).min(axis=1) - self.radius
        return least


def _outline(text: str) -> Array:
    try:
        corners = np.array(json.loads(text), dtype=float)
    except (ValueError, TypeError):
        corners = np.zeros(0)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise InvalidValueError(f"footprint must be three places or more, [[x, y], ...], got {text!r}")
    if not (np.abs(corners) <= _LARGEST).all():
        raise InvalidValueError(f"footprint must be within {_LARGEST:g} m of the base, got {text!r}")
    places = []
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        count = max(math.ceil(math.dist(a, b) / _SPACING), 1)
        places.append(a + np.arange(count)[:, None] / count * (b - a))
    return np.concatenate(places)


@functools.lru_cache(maxsize=8)
def _covered(text: str) -> Footprint:
    """Discs about the cells of a grid that the outline passes through; what is inside stands behind it."""
    outline = _outline(text)
    low = outline.min(axis=0)
    size = np.maximum(outline.max(axis=0) - low, _SPACING)
    cell = 2.0 * _OVERHANG / (math.sqrt(2.0) - 1.0)
    while True:
        counts = np.ceil(size / cell).astype(int)
        edges = size / counts
        index = np.minimum((outline - low) // edges, counts - 1)
        cells = np.unique(index, axis=0)
        if len(cells) <= MOST_DISCS:
            return Footprint(low + (cells + 0.5) * edges, 0.5 * float(np.hypot(*edges)))
        cell *= 1.05
