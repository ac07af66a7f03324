"""Residual weights as a message, and what a controller accepts of them."""

from __future__ import annotations

import array
import hashlib

import numpy as np
from builtin_interfaces.msg import Time

from ..core.errors import InvalidValueError, MppiMamlError
from ..core.types import VelocityLimits
from ..dynamics.features import input_size
from ..dynamics.residual import MAX_HIDDEN, MAX_WEIGHT, ResidualWeights, correction
from ..msg import ResidualWeights as ResidualWeightsMessage
from ..srv import SwapWeights

MAX_TENSORS = 16
MATRICES = ("linear", "error_model", "covariance")  # and the weights of layers; all others are vectors
MAX_VALUES = 2 * MAX_HIDDEN * MAX_HIDDEN
_PROBES = 256


class SwapError(MppiMamlError):
    """Weights that are not installed.

    Attributes:
        code: of srv/SwapWeights.
    """

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


def _invalid(message: str) -> SwapError:
    return SwapError(SwapWeights.Response.INVALID_FORMAT, message)


def weights_message(weights: ResidualWeights, stamp: Time) -> ResidualWeightsMessage:
    """A snapshot as a message."""
    tensors = weights.tensors()
    data = np.concatenate([tensor.ravel() for tensor in tensors.values()]).astype("<f4")
    message = ResidualWeightsMessage(
        format_version=ResidualWeightsMessage.FORMAT_VERSION,
        adapter=weights.adapter,
        model_dt=weights.model_dt,
        delay_taps=weights.delay_taps,
        activation=weights.activation,
        tensor_names=list(tensors),
        tensor_rows=[tensor.shape[0] for tensor in tensors.values()],
        tensor_cols=[tensor.shape[1] if tensor.ndim == 2 else 1 for tensor in tensors.values()],
        data=array.array("f", data.tobytes()),
        sha256=hashlib.sha256(data.tobytes()).hexdigest(),
    )
    message.header.stamp = stamp
    return message


def read_weights(message: ResidualWeightsMessage) -> ResidualWeights:
    """The snapshot that a message carries.

    Raises:
        SwapError: what is wrong with it, naming the tensor.
    """
    if message.format_version != message.FORMAT_VERSION:
        raise _invalid(f"format_version must be {message.FORMAT_VERSION}, got {message.format_version}")
    names = list(message.tensor_names)
    rows, cols = (np.array(sizes, dtype=np.int64) for sizes in (message.tensor_rows, message.tensor_cols))
    if not 1 <= len(names) <= MAX_TENSORS or not len(names) == len(rows) == len(cols):
        raise _invalid(
            f"tensor_names, tensor_rows and tensor_cols must have one length of 1 to {MAX_TENSORS}, "
            f"got {len(names)}, {len(rows)}, {len(cols)}"
        )
    if len(set(names)) != len(names):
        raise _invalid("tensor_names must not repeat a name")
    sizes = rows * cols
    if (rows < 1).any() or (cols < 1).any() or max(rows.max(), cols.max()) > MAX_VALUES:
        raise _invalid("every tensor must have at least one row and one column, and fit into memory")
    data = np.frombuffer(message.data, dtype=np.float32)
    if int(sizes.sum()) != len(data) or len(data) > MAX_VALUES:
        raise _invalid(f"data must have {int(sizes.sum())} values, at most {MAX_VALUES}, got {len(data)}")
    if hashlib.sha256(data.astype("<f4").tobytes()).hexdigest() != message.sha256:
        raise _invalid("sha256 does not match data: the weights were damaged on their way")
    tensors, start = {}, 0
    for name, row, col, size in zip(names, rows, cols, sizes, strict=True):
        tensor = data[start : start + size].reshape(row, col)
        start += size
        if not np.isfinite(tensor).all():
            raise SwapError(SwapWeights.Response.NOT_FINITE, f"{name} holds a NaN or an infinity")
        if np.abs(tensor).max() > MAX_WEIGHT:
            raise SwapError(
                SwapWeights.Response.TOO_LARGE,
                f"{name} must stay within +-{MAX_WEIGHT:g}, largest is {np.abs(tensor).max():g}",
            )
        if name not in MATRICES and not name.endswith(".weight"):
            if col != 1:
                raise _invalid(f"{name} is a vector and must have 1 column, got {col}")
            tensor = tensor[:, 0]
        tensors[name] = tensor
    try:
        return ResidualWeights.from_tensors(
            tensors,
            activation=message.activation,
            delay_taps=int(message.delay_taps),
            model_dt=float(message.model_dt),
            adapter=message.adapter or "unnamed",
        )
    except InvalidValueError as error:
        raise _invalid(str(error)) from error


def check_corrections(weights: ResidualWeights, limits: VelocityLimits) -> None:
    """Refuse weights that predict what no robot does.

    Probes the model at random states and commands within the limits. A robot that obeys its
    commands to some degree never differs from them by more than twice the range.

    Raises:
        SwapError: a predicted correction is too large or not finite.
    """
    rng = np.random.default_rng(0)
    pairs = rng.uniform(limits.low, limits.high, size=(_PROBES, input_size(weights.delay_taps) // 2, 2))
    predicted = np.abs(correction(weights, pairs.reshape(_PROBES, -1)))
    span = 2.0 * (limits.high - limits.low)
    for i, (name, allowed) in enumerate(
        (("forward velocity", span[0]), ("yaw rate", span[1]), ("lateral velocity", span[0]))
    ):
        largest = float(predicted[:, i].max())
        if not largest <= allowed:
            raise SwapError(
                SwapWeights.Response.TOO_LARGE,
                f"a correction of {largest:.3g} is predicted for the {name}, allowed are {allowed:.3g}",
            )
