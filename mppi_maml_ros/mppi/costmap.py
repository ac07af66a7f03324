"""An occupancy grid as critics read it: the distance to the nearest obstacle, in constant time."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..core import se2
from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.types import Array, Float32

OCCUPIED = 65  # per cent; nav2's and map_server's threshold
_MAX_CELLS = 4_000_000
_INFINITE = 1e12
_MOST_DERIVED = 4


@njit(cache=True)
def _distances(occupied, columns, down, resolution, field):  # type: ignore[no-untyped-def]  # numba
    """Distances to the nearest occupied cell; Felzenszwalb and Huttenlocher 2012.

    Args:
        occupied: (R, C) bool; ``columns``: (C,) bool, those in which it changed.
        down: (R, C) float32, squared distances within each column [cells^2], brought up to date.
        resolution: edge of a cell [m].
        field: (R, C) float32, brought up to date: from each cell's centre to the edge of the obstacle's [m].
    """
    height, width = occupied.shape
    rows = np.zeros(height, dtype=np.bool_)  # in which something changed
    most = max(height, width)
    f, d, v, z = np.empty(most), np.empty(most), np.empty(most, dtype=np.int64), np.empty(most + 1)
    for column in range(width):
        if not columns[column]:
            continue
        for i in range(height):
            f[i] = 0.0 if occupied[i, column] else _INFINITE
        _envelope(f, height, v, z, d)
        for i in range(height):
            value = np.float32(d[i])
            if value != down[i, column]:
                down[i, column] = value
                rows[i] = True
    for row in range(height):
        if not rows[row]:
            continue
        for i in range(width):
            f[i] = down[row, i]
        _envelope(f, width, v, z, d)
        for i in range(width):
            cells = max(np.sqrt(min(d[i], _INFINITE)) - 0.5, 0.0)
            field[row, i] = np.float32(cells) * np.float32(resolution)


@njit(inline="always")
def _envelope(f, count, v, z, out):  # type: ignore[no-untyped-def]  # numba
    """The least of the parabolas f[i] + (q - i)^2 at each q."""
    k = 0
    v[0] = 0
    z[0] = -np.inf
    z[1] = np.inf
    for q in range(1, count):
        s = ((f[q] + q * q) - (f[v[k]] + v[k] * v[k])) / (2.0 * (q - v[k]))
        while s <= z[k]:
            k -= 1
            s = ((f[q] + q * q) - (f[v[k]] + v[k] * v[k])) / (2.0 * (q - v[k]))
        k += 1
        v[k] = q
        z[k] = s
        z[k + 1] = np.inf
    k = 0
    for q in range(count):
        while z[k + 1] < q:
            k += 1
        out[q] = (q - v[k]) * (q - v[k]) + f[v[k]]


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
        before: a grid as it was; where this one has its shape, only what changed is computed.

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
        before: Costmap | None = None,
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
        self.resolution = float(resolution)
        self.origin = place
        self.empty = not occupied.any()
        self._occupied = occupied
        self._down: Float32  # squared distances within columns [cells^2]
        self._field: Float32
        self._derived: dict[Hashable, Float32] = {}
        self._measure(before)

    def _measure(self, before: Costmap | None) -> None:
        shape = self._occupied.shape
        if before is None or before._field.shape != shape or before.resolution != self.resolution:
            self._down, self._field = np.full((2, *shape), -1.0, dtype=np.float32)
            columns = np.ones(shape[1], dtype=np.bool_)
        else:
            columns = (self._occupied != before._occupied).any(axis=0)
            if not columns.any():
                self._down, self._field, self._derived = before._down, before._field, before._derived
                return
            self._down, self._field = before._down.copy(), before._field.copy()
        _distances(self._occupied, columns, self._down, self.resolution, self._field)

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
        (x, y, yaw), (px, py, heading) = self.origin.tolist(), pose[:3].tolist()
        dx, dy = px - x, py - y
        c, s, turn = math.cos(yaw), math.sin(yaw), heading - yaw
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
