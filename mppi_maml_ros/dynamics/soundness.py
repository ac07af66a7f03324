"""What weights of the residual may be."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.types import Float32
from .acceleration import FREE_ACCELERATION
from .features import MAX_DELAY_TAPS, MAX_TRANSPORT_DELAY, feature_size, input_size

if TYPE_CHECKING:
    from .residual import ResidualWeights

ACTIVATIONS = ("tanh", "relu")
OUTPUTS = 3  # dv [m/s], domega [rad/s], lateral velocity to the left [m/s]
MAX_HIDDEN = 1024  # widest hidden layer accepted
MAX_WEIGHT = 1e3  # largest magnitude of any weight accepted
ERROR_MODEL_RANGE = ((0.0, 0.0, -1.0), (0.99, 1.0, 0.0))  # a push that never fades would be a bias


def check(weights: ResidualWeights) -> None:
    """Raise :class:`InvalidValueError` that names the tensor unless weights are sound."""
    if not (isinstance(weights.delay_taps, int) and 0 <= weights.delay_taps <= MAX_DELAY_TAPS):
        raise InvalidValueError(
            f"delay_taps must be an integer in [0, {MAX_DELAY_TAPS}], got {weights.delay_taps}"
        )
    if not all(0 <= d <= MAX_TRANSPORT_DELAY for d in weights.transport_delay):
        raise InvalidValueError(
            f"transport_delay must be in [0, {MAX_TRANSPORT_DELAY}] steps, got {weights.transport_delay}"
        )
    if not 0.001 <= weights.model_dt <= 1.0:
        raise InvalidValueError(f"model_dt must be in [0.001, 1] s, got {weights.model_dt}")
    if weights.activation not in ACTIVATIONS:
        raise InvalidValueError(
            f"activation must be one of {', '.join(ACTIVATIONS)}, got {weights.activation!r}"
        )
    if not 0.0 <= weights.displacement_blend <= 1.0:
        raise InvalidValueError(f"displacement_blend must be in [0, 1], got {weights.displacement_blend}")
    tensors = (
        weights.linear, weights.input_scale, weights.error_model, weights.momentum, weights.observer,
        weights.acceleration,
    )  # fmt: skip
    fits = tuple(tensor.shape for tensor in tensors) == tuple(_shapes(weights.delay_taps).values())
    size = feature_size(weights.delay_taps)
    fits = fits and weights.covariance.shape in ((0, 0), (size, size))
    ranges = MAX_WEIGHT, FREE_ACCELERATION, *ERROR_MODEL_RANGE
    if not (fits and not weights.layers and _is_sound(*tensors, weights.covariance, *ranges)):
        _explain(weights)


def _explain(weights: ResidualWeights) -> None:
    """The whole of the tensors with a message for whatever is wrong, and nothing when nothing is."""
    _check_shapes(weights)
    for name, tensor in weights.tensors().items():
        largest = _largest(tensor.reshape(-1))
        if not math.isfinite(largest):
            raise InvalidValueError(f"{name} must be finite")
        if largest > MAX_WEIGHT:
            raise InvalidValueError(f"{name} must stay within +-{MAX_WEIGHT:g}, largest is {largest:g}")
    if max(map(abs, weights.momentum.tolist())) > 1.0:
        raise InvalidValueError(f"momentum must be in [-1, 1], got {weights.momentum}")
    if not all(0.0 < limit <= FREE_ACCELERATION for row in weights.acceleration.tolist() for limit in row):
        raise InvalidValueError(
            f"acceleration must be in (0, {FREE_ACCELERATION:g}], got {weights.acceleration.tolist()}"
        )
    for row, low, high in zip(weights.error_model.tolist(), *ERROR_MODEL_RANGE, strict=True):
        if not all(low <= value <= high for value in row):
            raise InvalidValueError(f"a row of error_model must be in [{low:g}, {high:g}], got {row}")


@cache
def _shapes(delay_taps: int) -> dict[str, tuple[int, ...]]:
    return {
        "linear": (OUTPUTS, feature_size(delay_taps)),
        "input_scale": (input_size(delay_taps),),
        "error_model": (3, 2),
        "momentum": (2,),
        "observer": (2, 2),
        "acceleration": (2, 2),
    }


def _check_shapes(weights: ResidualWeights) -> None:
    for name, shape in _shapes(weights.delay_taps).items():
        if getattr(weights, name).shape != shape:
            raise InvalidValueError(f"{name} must have shape {shape}, got {getattr(weights, name).shape}")
    size = feature_size(weights.delay_taps)
    if weights.covariance.shape not in ((0, 0), (size, size)):
        raise InvalidValueError(
            f"covariance must have shape {(size, size)} or be empty, got {weights.covariance.shape}"
        )
    if weights.layers and len(weights.layers) not in (2, 3):
        raise InvalidValueError(
            f"the network must have one or two hidden layers, got {len(weights.layers) - 1}"
        )
    width = input_size(weights.delay_taps)
    for i, (weight, bias) in enumerate(weights.layers):
        last = i == len(weights.layers) - 1
        if weight.ndim != 2 or weight.shape[1] != width or (last and weight.shape[0] != OUTPUTS):
            rows = OUTPUTS if last else "n"
            raise InvalidValueError(f"layer{i}.weight must have shape ({rows}, {width}), got {weight.shape}")
        if not 1 <= weight.shape[0] <= MAX_HIDDEN:
            raise InvalidValueError(
                f"layer{i}.weight must have 1 to {MAX_HIDDEN} rows, got {weight.shape[0]}"
            )
        if bias.shape != (weight.shape[0],):
            raise InvalidValueError(f"layer{i}.bias must have shape ({weight.shape[0]},), got {bias.shape}")
        width = weight.shape[0]


@njit(cache=True)
def _is_sound(
    linear: Float32,
    input_scale: Float32,
    error_model: Float32,
    momentum: Float32,
    observer: Float32,
    acceleration: Float32,
    covariance: Float32,
    most: float,
    free: float,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
) -> bool:
    """Whether tensors of the right shapes hold nothing that :func:`_explain` has a word for."""
    sound = True
    for tensor in (linear, error_model, observer, acceleration, covariance):
        for row in tensor:
            for value in row:
                sound = sound and abs(value) <= most
    for tensor in (input_scale, momentum):
        for value in tensor:
            sound = sound and abs(value) <= most
    for axis in range(2):
        sound = sound and abs(momentum[axis]) <= 1.0
        for row in acceleration:
            sound = sound and 0.0 < row[axis] <= free
        for k in range(3):
            sound = sound and low[k] <= error_model[k, axis] <= high[k]
    return sound


@njit(cache=True)
def _largest(values: Float32) -> float:
    """Magnitude; NaN where one is."""
    largest = 0.0
    for value in values:
        if not abs(value) <= largest:
            largest = abs(value)
            if math.isnan(largest):
                break
    return largest
