"""Validators for attrs fields; each raises :class:`InvalidValueError` with the field and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from attrs import Attribute

from .errors import InvalidValueError


def above_zero(_: object, attribute: Attribute[Any], value: float) -> None:
    """Finite and above 0."""
    if not (0.0 < value < math.inf):
        raise InvalidValueError(f"{attribute.name} must be finite and above 0, got {value}")


def not_negative(_: object, attribute: Attribute[Any], value: float) -> None:
    """Finite and at least 0."""
    if not (0.0 <= value < math.inf):
        raise InvalidValueError(f"{attribute.name} must be finite and at least 0, got {value}")


def finite(_: object, attribute: Attribute[Any], value: float) -> None:
    """Neither NaN nor infinite."""
    if not math.isfinite(value):
        raise InvalidValueError(f"{attribute.name} must be finite, got {value}")


def at_least(low: float) -> Callable[[object, Attribute[Any], float], None]:
    """``low`` or more."""

    def validate(_: object, attribute: Attribute[Any], value: float) -> None:
        if not (value >= low):
            raise InvalidValueError(f"{attribute.name} must be at least {low}, got {value}")

    return validate


def within(low: float, high: float, unit: str = "") -> Callable[[object, Attribute[Any], float], None]:
    """In [low, high]; NaN is not."""
    allowed = f"[{low:g}, {high:g}] {unit}".rstrip()

    def validate(_: object, attribute: Attribute[Any], value: float) -> None:
        if not (low <= value <= high):
            raise InvalidValueError(f"{attribute.name} must be in {allowed}, got {value}")

    return validate
