"""Arrays that nobody writes to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .types import Array, Float32


def read_only(values: ArrayLike) -> Array:
    """A copy in double precision, row after row in memory."""
    return _locked(np.array(values, dtype=np.float64, order="C"))


def read_only_float32(values: ArrayLike) -> Float32:
    """A copy in single precision, row after row in memory; what is one already, and read-only, stays it."""
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        flags = values.flags
        if flags.owndata and flags.c_contiguous and not flags.writeable:
            return values
    return _locked(np.array(values, dtype=np.float32, order="C"))


def locked(values: NDArray[Any]) -> NDArray[Any]:
    """The same memory, not to be written to through what is returned."""
    return _locked(values.view())


def _locked(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
