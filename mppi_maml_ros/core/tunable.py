"""A parameter is declared once, where it is used: default, range, unit, meaning and when it may change.

Node tables, files and command lines are made from these declarations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from numbers import Integral
from typing import Any

import attrs

from .errors import InvalidValueError

_KEY = "declaration"


@attrs.frozen
class Declaration:
    """What is known of a parameter.

    Attributes:
        default: bool, int, float, str, or a tuple of one of these.
        description: what it does; one sentence or less.
        unit: empty where there is none.
        low, high: smallest and largest value allowed; None: unbounded.
        choices: strings allowed, a registry among others; empty: any.
        lengths: lengths allowed of a tuple; empty: any.
        element: type of a tuple's elements; needed when the default is empty.
        dynamic: may be changed while a node runs.
    """

    default: Any
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: Collection[str] = ()
    lengths: tuple[int, ...] = ()
    element: type | None = None
    dynamic: bool = True

    @property
    def allowed(self) -> str:
        """The range in words."""
        low = "-inf" if self.low is None else f"{self.low:g}"
        high = "inf" if self.high is None else f"{self.high:g}"
        return f"[{low}, {high}] {self.unit}".rstrip()

    def check(self, name: str, value: Any) -> None:
        """Refuse a value that is not allowed.

        Raises:
            InvalidValueError: names the parameter and what is allowed.
        """
        values = value if isinstance(self.default, tuple) else (value,)
        if self.lengths and len(values) not in self.lengths:
            lengths = " or ".join(map(str, self.lengths))
            raise InvalidValueError(f"{name} must have {lengths} elements, got {len(values)}")
        kind = self.element or type(self.default[0] if isinstance(self.default, tuple) else self.default)
        for single in values:
            if kind is int and (isinstance(single, bool) or not isinstance(single, Integral)):
                raise InvalidValueError(f"{name} must be an integer, got {single!r}")
            if kind is float and not math.isfinite(single):
                raise InvalidValueError(f"{name} must be finite and in {self.allowed}, got {single}")
            if (self.low is not None and not single >= self.low) or (
                self.high is not None and not single <= self.high
            ):
                raise InvalidValueError(f"{name} must be in {self.allowed}, got {single}")
            if self.choices and single not in self.choices:
                raise InvalidValueError(f"{name} must be one of {', '.join(self.choices)}, got {single!r}")


def tunable(
    default: Any,
    low: float | None = None,
    high: float | None = None,
    description: str = "",
    unit: str = "",
    *,
    dynamic: bool = True,
    choices: Collection[str] = (),
    lengths: tuple[int, ...] = (),
    element: type | None = None,
) -> Any:
    """A field of an attrs class that carries its :class:`Declaration` and refuses what it forbids."""
    declaration = Declaration(default, description, unit, low, high, choices, lengths, element, dynamic)

    def validate(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        declaration.check(attribute.name, value)

    kind: type = type(default)
    converter: Callable[[Any], Any] | None = kind if kind in (float, tuple) else None
    return attrs.field(default=default, converter=converter, validator=validate, metadata={_KEY: declaration})


def declarations(kind: type) -> dict[str, Declaration]:
    """The tunables of an attrs class by name, in their order."""
    return {field.name: field.metadata[_KEY] for field in attrs.fields(kind) if _KEY in field.metadata}
