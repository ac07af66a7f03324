"""A parameter is declared once, where it is used: default, range, unit, meaning and when it may change.

Node tables, files and command lines are made from these declarations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any

import attrs

from .errors import InvalidValueError

_KEY = "declaration"

Choices = tuple[str, ...] | Callable[[], Iterable[str]]


@attrs.frozen
class Declaration:
    """What is known of a parameter.

    Attributes:
        default: bool, int, float, str, or a tuple of one of these for an array.
        description: what it does; one sentence or less.
        unit: empty where there is none.
        low, high: smallest and largest value allowed; None: unbounded.
        choices: strings allowed; empty: any. Given as a callable, they are asked for at each use.
        lengths: lengths allowed of an array; empty: any.
        element: type of an array's elements; needed when the default is empty.
        dynamic: may be changed while a node runs, and acts from its next step on.
    """

    default: Any
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    _choices: Choices = ()
    lengths: tuple[int, ...] = ()
    element: type | None = None
    dynamic: bool = True

    @property
    def choices(self) -> tuple[str, ...]:
        """Strings allowed now; empty: any."""
        return tuple(self._choices()) if callable(self._choices) else self._choices

    @property
    def is_array(self) -> bool:
        """Whether a value is a sequence."""
        return isinstance(self.default, tuple)

    @property
    def kind(self) -> type:
        """Type of a value, or of an array's elements."""
        return self.element or type(self.default[0] if self.is_array else self.default)

    @property
    def allowed(self) -> str:
        """The range in words."""
        low = "-inf" if self.low is None else f"{self.low:g}"
        high = "inf" if self.high is None else f"{self.high:g}"
        return f"[{low}, {high}] {self.unit}".rstrip()

    def check(self, value: Any, name: str = "") -> None:
        """Refuse a value that is not allowed.

        Raises:
            InvalidValueError: says ``name`` and what is allowed.
        """
        values = value if self.is_array else (value,)
        if self.lengths and len(values) not in self.lengths:
            lengths = " or ".join(map(str, self.lengths))
            raise InvalidValueError(f"{name} must have {lengths} elements, got {len(values)}")
        kind, choices = self.kind, self.choices
        for single in values:
            if kind is int and (isinstance(single, bool) or not isinstance(single, Integral)):
                raise InvalidValueError(f"{name} must be an integer, got {single!r}")
            if kind is float and not math.isfinite(single):
                raise InvalidValueError(f"{name} must be finite and in {self.allowed}, got {single}")
            if (self.low is not None and not single >= self.low) or (
                self.high is not None and not single <= self.high
            ):
                raise InvalidValueError(f"{name} must be in {self.allowed}, got {single}")
            if choices and single not in choices:
                raise InvalidValueError(f"{name} must be one of {', '.join(choices)}, got {single!r}")


def tunable(
    default: Any,
    low: float | None = None,
    high: float | None = None,
    description: str = "",
    unit: str = "",
    *,
    dynamic: bool = True,
    choices: Choices = (),
    lengths: tuple[int, ...] = (),
    element: type | None = None,
) -> Any:
    """A field of an attrs class that carries its :class:`Declaration` and refuses what it forbids."""
    declaration = Declaration(default, description, unit, low, high, choices, lengths, element, dynamic)

    def validate(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        declaration.check(value, attribute.name)

    kind: type = type(default)
    converter: Callable[[Any], Any] | None = kind if kind in (float, tuple) else None
    return attrs.field(default=default, converter=converter, validator=validate, metadata={_KEY: declaration})


def declarations(kind: type) -> dict[str, Declaration]:
    """The tunables of an attrs class by name, in their order."""
    return {field.name: field.metadata[_KEY] for field in attrs.fields(kind) if _KEY in field.metadata}
