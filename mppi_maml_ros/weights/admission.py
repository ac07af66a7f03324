"""Why a controller refuses weights: the reasons, and the checks that give them."""

from __future__ import annotations

import enum

import numpy as np

from ..core.errors import InvalidValueError
from ..core.types import Float32, VelocityLimits
from ..dynamics.features import input_size
from ..dynamics.residual import ResidualWeights, correction
from ..dynamics.soundness import MAX_WEIGHT

_PROBES = 256


class Refusal(enum.Enum):
    """Why weights are not installed; named as the codes of srv/SwapWeights."""

    INVALID_FORMAT = enum.auto()
    NOT_FINITE = enum.auto()
    TOO_LARGE = enum.auto()
    WRONG_MODEL = enum.auto()


class SwapError(InvalidValueError):
    """Weights that are not installed.

    Attributes:
        reason: which check they failed.
    """

    def __init__(self, reason: Refusal, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def check_model(model: str) -> None:
    """Refuse all weights unless the controller runs the residual model.

    Raises:
        SwapError: it runs ``model``.
    """
    if model != "residual":
        raise SwapError(
            Refusal.WRONG_MODEL, f"the controller runs the {model} model, only residual takes weights"
        )


def check_tensor(name: str, tensor: Float32) -> None:
    """Refuse numbers that no weights have.

    Raises:
        SwapError: a value is not finite or beyond MAX_WEIGHT.
    """
    if not np.isfinite(tensor).all():
        raise SwapError(Refusal.NOT_FINITE, f"{name} holds a NaN or an infinity")
    largest = np.abs(tensor).max()
    if largest > MAX_WEIGHT:
        raise SwapError(
            Refusal.TOO_LARGE, f"{name} must stay within +-{MAX_WEIGHT:g}, largest is {largest:g}"
        )


def check_step(weights: ResidualWeights, model_dt: float) -> None:
    """Refuse weights that predict over another step than ``model_dt`` [s].

    Raises:
        SwapError: they do.
    """
    try:
        weights.check_step(model_dt)
    except InvalidValueError as error:
        raise SwapError(Refusal.WRONG_MODEL, str(error)) from error


def check_fit(weights: ResidualWeights, model_dt: float, delay_taps: int, limits: VelocityLimits) -> None:
    """Refuse weights that do not fit the controller.

    Args:
        model_dt: its step [s].
        delay_taps: past commands that it keeps, those of the transport delay among them.
        limits: its velocities.

    Raises:
        SwapError: the first check that they fail.
    """
    check_step(weights, model_dt)
    if weights.history > delay_taps:
        late = f" and {max(weights.transport_delay)} steps of transport delay" * any(weights.transport_delay)
        raise SwapError(
            Refusal.WRONG_MODEL, f"delay_taps must be at most {delay_taps}, got {weights.delay_taps}{late}"
        )
    check_corrections(weights, limits)


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
                Refusal.TOO_LARGE,
                f"a correction of {largest:.3g} is predicted for the {name}, allowed are {allowed:.3g}",
            )


def expired(now: float, installed_at: float | None, ttl: float) -> bool:
    """Whether weights are to go because none came after them for ``ttl`` [s]; 0: they stay for ever.

    Args:
        now, installed_at: on one steady clock [s]; None: nothing was installed.
    """
    return ttl > 0.0 and installed_at is not None and now - installed_at > ttl
