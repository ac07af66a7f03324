"""An occupancy grid as critics read it: the distance to the nearest obstacle, in constant time."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from ..core import se2
from ..core.errors import InvalidValueError
from ..core.types import Array, Float32

OCCUPIED = 65  # per cent; nav2's and map_server's threshold
_MAX_CELLS = 4_000_000
_INFINITE = 1e12
_MOST_DERIVED = 4


@njit(cache=True)
def _squared_distances(occupied, out):  # type: ignore[no-untyped-def]  # numba
    """Squared distances [cells^2] to the nearest occupied cell; Felzenszwalb and Huttenlocher 2012."""
    rows, columns = occupied.shape
    most = max(rows, columns)
    f, v, z = np.empty(most), np.empty(most, dtype=np.int64), np.empty(most + 1)
    for pass_ in range(2):
        lines, length = (columns, rows) if pass_ == 0 else (rows, columns)
        for line in range(lines):
            for i in range(length):
                if pass_ == 0:
                    f[i] = 0.0 if occupied[i, line] else _INFINITE
                else:
                    f[i] = out[line, i]
            k = 0
            v[0] = 0
            z[0] = -np.inf
            z[1] = np.inf
            for q in range(1, length):
                s = ((f[q] + q * q) - (f[v[k]] + v[k] * v[k])) / (2.0 * (q - v[k]))
                while s <= z[k]:
                    k -= 1
                    s = ((f[q] + q * q) - (f[v[k]] + v[k] * v[k])) / (2.0 * (q - v[k]))
                k += 1
                v[k] = q
                z[k] = s
                z[k + 1] = np.inf
            k = 0
            for q in range(length):
                while z[k + 1] < q:
                    k += 1
                d = (q - v[k]) * (q - v[k]) + f[v[k]]
                if pass_ == 0:
                    out[q, line] = d
                else:
                    out[line, q] = d


@njit(cache=True, error_model="numpy")
def _lookup(x, y, field, origin_x, origin_y, cos, sin, scale, outside, out):  # type: ignore[no-untyped-def]  # numba
    rows, columns = field.shape
    for i in range(x.size):
        dx, dy = x[i] - origin_x, y[i] - origin_y
        column = (cos * dx + sin * dy) * scale - 0.5
        row = (cos * dy - sin * dx) * scale - 0.5
        left, low = math.floor(column), math.floor(row)
        if not (0 <= left and left < columns - 1 and 0 <= low and low < rows - 1):
            out[i] = outside
            continue
        a, b = column - left, row - low
        out[i] = (1.0 - b) * ((1.0 - a) * field[low, left] + a * field[low, left + 1]) + b * (
            (1.0 - a) * field[low + 1, left] + a * field[low + 1, left + 1]
        )


class Costmap:
    """A grid of cells that are free or not.

    Args:
        data: per cent of occupancy, -1 for unknown, shape (rows, columns), row 0 at the origin.
        resolution: edge of a cell [m].
        origin: (x, y) or (x, y, yaw) of the corner of cell (0, 0) [m, rad].
        threshold: a cell with at least this many per cent is an obstacle.
        track_unknown: unknown cells are obstacles.

    Raises:
        InvalidValueError: an empty or too large grid, or a number that is not finite.
    """

    def __init__(
        self,
        data: ArrayLike,
        resolution: float,
        origin: Sequence[float] | Array,
        threshold: int = OCCUPIED,
        track_unknown: bool = False,
    ) -> None:
        data = np.asarray(data)
        if data.ndim != 2 or not 1 <= data.size <= _MAX_CELLS or min(data.shape) < 2:
            raise InvalidValueError(
                f"a costmap must have 2 x 2 to {_MAX_CELLS} cells in rows, got the shape {data.shape}"
            )
        if not (1e-3 <= resolution <= 10.0):
            raise InvalidValueError(f"resolution must be in [0.001, 10] m, got {resolution}")
        place = np.zeros(3)
        place[: len(origin)] = origin
        if not np.isfinite(place).all():
            raise InvalidValueError(f"origin must be finite, got {origin}")
        occupied = data >= threshold
        if track_unknown:
            occupied |= data < 0
        field = np.empty(data.shape)
        _squared_distances(occupied, field)
        self.resolution = float(resolution)
        self.origin = place
        self.empty = not occupied.any()
        # To the edge of the obstacle's cell, not to its centre.
        self._field = np.maximum(np.sqrt(np.minimum(field, _INFINITE)) - 0.5, 0.0).astype(np.float32)
        self._field *= np.float32(resolution)
        self._derived: dict[Hashable, Float32] = {}

    @property
    def field(self) -> Float32:
        """Distance of each cell to the nearest obstacle [m], shape (rows, columns), float32."""
        return self._field

    def derived(self, key: Hashable, make: Callable[[Float32], Float32]) -> Float32:
        """What ``make`` makes of :attr:`field`, once for each key; of the newest keys alone."""
        found = self._derived.get(key)
        if found is None:
            if len(self._derived) >= _MOST_DERIVED:
                self._derived.clear()
            found = self._derived[key] = make(self._field)
        return found

    def locate(self, pose: Array) -> tuple[float, float, float, float]:
        """(column, row) of a pose, as fractions of cells, and (cos, sin) of its heading on the grid."""
        x, y, yaw = self.origin
        dx, dy = pose[0] - x, pose[1] - y
        c, s, turn = math.cos(yaw), math.sin(yaw), pose[2] - yaw
        scale = 1.0 / self.resolution
        return (c * dx + s * dy) * scale, (c * dy - s * dx) * scale, math.cos(turn), math.sin(turn)

    def moved(self, pose: ArrayLike) -> Costmap:
        """The same grid in another frame, in which its own frame has ``pose`` (x, y, yaw) [m, m, rad]."""
        other = copy.copy(self)
        other.origin = se2.compose(np.asarray(pose, dtype=float), self.origin)
        return other

    def distance_at(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Distance to the nearest obstacle [m], infinite off the grid.

        Args:
            x, y: in the frame of the grid, of one shape [m].
        """
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        out = np.empty(x.size)
        place = self.origin
        _lookup(
            x.ravel(), y.ravel(), self._field, place[0], place[1], math.cos(place[2]), math.sin(place[2]),
            1.0 / self.resolution, math.inf, out,
        )  # fmt: skip
        return out.reshape(x.shape)
