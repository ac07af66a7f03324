"""Validators for attrs fields; each raises :class:`InvalidValueError` with the field and what is allowed."""

from __future__ import annotations

import math

from .errors import InvalidValueError


def above_zero(_, attribute, value):
    """Finite and above 0."""
    if not (0.0 < value < math.inf):
        raise InvalidValueError(f"{attribute.name} must be finite and above 0, got {value}")


def not_negative(_, attribute, value):
    """Finite and at least 0."""
    if not (0.0 <= value < math.inf):
        raise InvalidValueError(f"{attribute.name} must be finite and at least 0, got {value}")


def finite(_, attribute, value):
    """Neither NaN nor infinite."""
    if not math.isfinite(value):
        raise InvalidValueError(f"{attribute.name} must be finite, got {value}")


def at_least(low: float):
    """``low`` or more."""

    def validate(_, attribute, value):
        if not (value >= low):
            raise InvalidValueError(f"{attribute.name} must be at least {low}, got {value}")

    return validate


def within(low: float, high: float, unit: str = ""):
    """In [low, high]; NaN is not."""
    allowed = f"[{low:g}, {high:g}] {unit}".rstrip()

    def validate(_, attribute, value):
        if not (low <= value <= high):
            raise InvalidValueError(f"{attribute.name} must be in {allowed}, got {value}")

    return validate
