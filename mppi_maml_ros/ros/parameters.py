"""Parameters declared once: name, default, unit, range, meaning and mutability in one table.

A value out of its range, NaN or infinite is refused, at the launch as well as at run time, by a
message that names the parameter and what is allowed. A set is all or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from ..core.errors import InvalidValueError, MppiMamlError
from ..core.tunable import Choices, Declaration, declarations

_SCALARS = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
}
_ARRAYS = {
    bool: Parameter.Type.BOOL_ARRAY,
    int: Parameter.Type.INTEGER_ARRAY,
    float: Parameter.Type.DOUBLE_ARRAY,
    str: Parameter.Type.STRING_ARRAY,
}
_TYPE_NAMES = {
    Parameter.Type.BOOL: "true or false",
    Parameter.Type.INTEGER: "an integer",
    Parameter.Type.DOUBLE: "a float, such as 1.0",
    Parameter.Type.STRING: "a string",
    Parameter.Type.BOOL_ARRAY: "a list of true and false",
    Parameter.Type.INTEGER_ARRAY: "a list of integers",
    Parameter.Type.DOUBLE_ARRAY: "a list of floats, such as [1.0, 2.0]",
    Parameter.Type.STRING_ARRAY: "a list of strings",
}

# Declared by rclpy or the middleware for every node, not by us.
_FOREIGN = ("use_sim_time", "start_type_description_service", "qos_overrides.")

LARGEST_INTEGER = 2**63 - 1
"""Of a parameter."""

Value = bool | int | float | str | tuple[Any, ...]


class ParameterError(MppiMamlError):
    """A launch parameter that the node cannot start with; the message names it."""


@attrs.frozen(init=False)
class Declared(Declaration):
    """One parameter of a node: a declaration and its name, with dots between groups."""

    name: str = attrs.field(kw_only=True)

    def __init__(
        self,
        name: str,
        default: Value,
        description: str,
        unit: str = "",
        low: float | None = None,
        high: float | None = None,
        choices: Choices = (),
        lengths: tuple[int, ...] = (),
        element: type | None = None,
        dynamic: bool = False,
    ):
        self.__attrs_init__(
            default, description, unit, low, high, choices, lengths, element, dynamic, name=name
        )
        self.check(default)

    @classmethod
    def of(cls, name: str, declaration: Declaration) -> Declared:
        """The parameter that a declaration becomes under a name."""
        known: dict[str, Any] = {
            str(field.alias): getattr(declaration, field.name) for field in attrs.fields(Declaration)
        }
        return cls(name, **known)

    @property
    def type(self) -> Parameter.Type:
        """The type that every value must have."""
        return (_ARRAYS if self.is_array else _SCALARS)[self.kind]

    @property
    def constraints(self) -> str:
        """The constraints that have no field in a descriptor, in words."""
        parts = []
        if self.choices:
            parts.append(f"one of: {', '.join(self.choices)}")
        if self.lengths:
            parts.append(f"{' or '.join(map(str, self.lengths))} elements")
        if self.is_array and (self.low is not None or self.high is not None):
            parts.append(f"each in {self.allowed}")
        if self.type in (Parameter.Type.DOUBLE, Parameter.Type.DOUBLE_ARRAY):
            parts.append("finite")
        return "; ".join(parts)

    def descriptor(self) -> ParameterDescriptor:
        """What ``ros2 param describe`` shows."""
        descriptor = ParameterDescriptor(
            name=self.name,
            type=self.type.value,
            description=f"{self.description} [{self.unit}]" if self.unit else self.description,
            additional_constraints=self.constraints,
            read_only=not self.dynamic,
        )
        if self.low is not None or self.high is not None:
            if self.type is Parameter.Type.DOUBLE:
                low = -math.inf if self.low is None else float(self.low)
                high = math.inf if self.high is None else float(self.high)
                descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
            elif self.type is Parameter.Type.INTEGER:
                low = -LARGEST_INTEGER - 1 if self.low is None else int(self.low)
                high = LARGEST_INTEGER if self.high is None else int(self.high)
                descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        return descriptor

    def check(self, value: Any, name: str = "") -> None:
        """See :class:`Declaration`; ``name`` is the parameter's own if not given."""
        super().check(value, name or self.name)


def declared_from(
    kind: type,
    prefix: str = "",
    names: Iterable[str] | None = None,
    defaults: Mapping[str, Value] | None = None,
) -> tuple[Declared, ...]:
    """The parameters that the tunables of an attrs class stand for.

    Args:
        kind: the class.
        prefix: before each name, with its dot.
        names: which of them, in this order; None: all.
        defaults: of a node where they differ from those of the class.
    """
    known, other = declarations(kind), defaults or {}
    return tuple(
        Declared.of(prefix + name, attrs.evolve(known[name], default=other.get(name, known[name].default)))
        for name in (known if names is None else names)
    )


class Parameters(Mapping[str, Value]):
    """The parameters of one node and their present values.

    Args:
        node: whose parameters these are.
        table: declarations.
        check: judges all values together, e.g. by building the configuration records from them;
            raises InvalidValueError. Called at the start and before each change.
        apply: called after a change with the names that changed.

    Raises:
        ParameterError: a launch parameter is not allowed.
    """

    def __init__(
        self,
        node: Node,
        table: Iterable[Declared],
        check: Callable[[Mapping[str, Value]], object] = lambda values: None,
        apply: Callable[[set[str]], None] = lambda names: None,
    ):
        self._node = node
        self._table = {declared.name: declared for declared in table}
        self._check, self._apply = check, apply
        self._values: dict[str, Value] = {}
        for declared in self._table.values():
            self._values[declared.name] = self._declare(declared)
        self._warn_of_unknown()
        try:
            check(dict(self._values))
        except InvalidValueError as error:
            raise ParameterError(f"invalid parameters: {error}") from error
        node.add_on_set_parameters_callback(self._on_set)
        node.add_post_set_parameters_callback(self._after_set)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def group(self, prefix: str) -> dict[str, Value]:
        """Values of the parameters below ``prefix``, by the rest of their names."""
        return {
            name[len(prefix) + 1 :]: value for name, value in self.items() if name.startswith(prefix + ".")
        }

    def select(self, names: Iterable[str]) -> dict[str, Value]:
        """Values by name."""
        return {name: self._values[name] for name in names}

    def _declare(self, declared: Declared) -> Value:
        node, name = self._node, declared.name
        try:
            if not declared.is_array:
                value = node.declare_parameter(name, declared.default, declared.descriptor()).value
            else:
                value = self._declare_array(declared)
            if value is None:
                raise InvalidValueError(f"{name} must be {_TYPE_NAMES[declared.type]}, got nothing")
            declared.check(value)
        except InvalidParameterTypeException as error:
            given = error.args[0] if error.args else ""
            raise ParameterError(
                f"parameter {name} must be {_TYPE_NAMES[declared.type]} ({given})"
            ) from error
        except InvalidParameterValueException as error:
            try:
                declared.check(self._given(name))
            except InvalidValueError as reason:
                raise ParameterError(f"parameter {reason}") from error
            raise ParameterError(f"parameter {name}: {error}") from error
        except InvalidValueError as error:
            raise ParameterError(f"parameter {error}") from error
        return tuple(value) if declared.is_array else value

    def _declare_array(self, declared: Declared) -> Any:
        # An empty list has no element type: rclpy leaves the parameter without a value, in a launch
        # file as in a default, and then nobody can read any parameter of the node at once.
        node, name = self._node, declared.name
        descriptor = declared.descriptor()
        mutable = declared.descriptor()
        mutable.read_only = False
        if declared.default:
            node.declare_parameter(name, list(declared.default), mutable)
        else:
            node.declare_parameter(name, declared.type, mutable)
        parameter = node.get_parameter_or(name, Parameter(name, declared.type, []))
        if parameter.type_ is Parameter.Type.NOT_SET:
            parameter = Parameter(name, declared.type, [])
        node.set_parameters([parameter])
        node.set_descriptor(name, descriptor)
        return parameter.value

    def _given(self, name: str) -> Any:
        return getattr(self._node, "_parameter_overrides", {})[name].value

    def _warn_of_unknown(self) -> None:
        """A misspelt name in a file is otherwise ignored in silence."""
        given = getattr(self._node, "_parameter_overrides", {})
        unknown = [name for name in given if name not in self._table and not name.startswith(_FOREIGN)]
        if unknown:
            self._node.get_logger().warning(f"unknown parameters are ignored: {', '.join(sorted(unknown))}")

    def _merged(self, parameters: Iterable[Parameter]) -> dict[str, Value]:
        merged = dict(self._values)
        for parameter in parameters:
            declared = self._table.get(parameter.name)
            if declared is None:
                continue
            if parameter.type_ is not declared.type and not (declared.is_array and not parameter.value):
                raise InvalidValueError(f"{parameter.name} must be {_TYPE_NAMES[declared.type]}")
            declared.check(parameter.value)
            merged[parameter.name] = tuple(parameter.value) if declared.is_array else parameter.value
        return merged

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            self._check(self._merged(parameters))
        except InvalidValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # noqa: BLE001 - a set must never end the node
            return SetParametersResult(successful=False, reason=f"{type(error).__name__}: {error}")
        return SetParametersResult(successful=True)

    def _after_set(self, parameters: list[Parameter]) -> None:
        merged = self._merged(parameters)
        changed = {name for name, value in merged.items() if value != self._values[name]}
        self._values = merged
        if changed:
            self._apply(changed)
