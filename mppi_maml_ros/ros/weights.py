"""Residual weights as a message, and the codes of why they are refused."""

from __future__ import annotations

import array
import hashlib

import numpy as np
from builtin_interfaces.msg import Time

from ..core.errors import InvalidValueError
from ..dynamics.residual import ResidualWeights
from ..dynamics.soundness import MAX_HIDDEN
from ..msg import ResidualWeights as ResidualWeightsMessage
from ..srv import SwapWeights
from ..weights.admission import Refusal, SwapError, check_tensor

MAX_TENSORS = 16
MATRICES = ("linear", "error_model", "covariance", "observer", "acceleration")
"""Tensors with two dimensions, as the weights of layers; all others are vectors."""
MAX_VALUES = 2 * MAX_HIDDEN * MAX_HIDDEN


def code_of(error: SwapError) -> int:
    """The code of srv/SwapWeights that says why weights were refused."""
    return int(getattr(SwapWeights.Response, error.reason.name))


def _invalid(message: str) -> SwapError:
    return SwapError(Refusal.INVALID_FORMAT, message)


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
        check_tensor(name, tensor)
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
