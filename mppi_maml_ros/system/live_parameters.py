"""The parameters of running nodes as the live page offers them; ranges are those of their descriptors."""

from __future__ import annotations

import math
import re
import threading
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor, ParameterType
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient
from rclpy.task import Future

from ..core.errors import InvalidValueError
from .live_server import UnreachableError

_TAKES = 2.0  # [s] at most, an answer of a node
_NAMES = {
    ParameterType.PARAMETER_BOOL: "bool",
    ParameterType.PARAMETER_INTEGER: "int",
    ParameterType.PARAMETER_DOUBLE: "float",
    ParameterType.PARAMETER_STRING: "str",
}
_CHOICES = re.compile(r"one of: ([^;]*)")
_LARGEST = 1e9  # a bound beyond is none to slide to


def offered(node: str, descriptor: ParameterDescriptor, value: Any) -> dict[str, Any] | None:
    """A parameter for the page, or None where it cannot be set, or has neither range nor choices."""
    kind = _NAMES.get(descriptor.type)
    if descriptor.read_only or not kind or not descriptor.description:
        return None
    found = {"node": node, "name": descriptor.name, "type": kind, "value": value}
    found["description"] = descriptor.description
    if kind == "str":
        choices = _CHOICES.search(descriptor.additional_constraints)
        return found | {"choices": choices[1].split(", ")} if choices else None
    if kind != "bool":
        ranges = (*descriptor.floating_point_range, *descriptor.integer_range)
        if not ranges or not max(abs(ranges[0].from_value), abs(ranges[0].to_value)) <= _LARGEST:
            return None
        found |= {"low": ranges[0].from_value, "high": ranges[0].to_value}
    return found


class ParameterDesk:
    """Reads and sets parameters over the services of nodes that another thread's executor hears.

    Args:
        node: that asks.
        names: of the nodes that are asked, beside it.
    """

    def __init__(self, node: Node, names: tuple[str, ...]) -> None:
        self._clients = {name: AsyncParameterClient(node, name) for name in names}
        self._offered: dict[tuple[str, str], dict[str, Any]] = {}

    def parameters(self) -> list[dict[str, Any]]:
        """Node, name, type (bool, int, float, str), value, description, and low and high, or choices.

        A node that is not there has none.
        """
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for node, client in self._clients.items():
            if not client.services_are_ready():
                continue
            try:
                names = list(_answer(node, client.list_parameters()).result.names)
                descriptors = _answer(node, client.describe_parameters(names)).descriptors
                values = _answer(node, client.get_parameters(names)).values
            except UnreachableError:
                continue
            for descriptor, value in zip(descriptors, values, strict=False):
                if one := offered(node, descriptor, parameter_value_to_python(value)):
                    found[node, one["name"]] = one
        self._offered = found
        return list(found.values())

    def set_parameter(self, node: str, name: str, value: Any) -> Any:
        """See :class:`.live_server.Desk`."""
        if node not in self._clients:
            raise InvalidValueError(f"node must be one of {', '.join(self._clients)}, got {node!r}")
        if (node, name) not in self._offered:
            self.parameters()
        one = self._offered.get((node, name))
        if one is None:
            raise InvalidValueError(f"{node} offers no parameter {name!r}")
        wish = _converted(one, value)
        (result,) = _answer(node, self._clients[node].set_parameters([Parameter(name, value=wish)])).results
        if not result.successful:
            raise InvalidValueError(f"{name} stays at {one['value']}: {result.reason}")
        one["value"] = wish
        return wish


def _converted(one: dict[str, Any], value: Any) -> Any:
    """The value with the parameter's type.

    Raises:
        InvalidValueError: it is of another type, or out of range.
    """
    name, kind = one["name"], one["type"]
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind in ("int", "float"):
        if not number or (kind == "int" and value != int(value)):
            raise InvalidValueError(
                f"{name} must be {'an integer' if kind == 'int' else 'a number'}, got {value!r}"
            )
        if not one["low"] <= value <= one["high"]:
            raise InvalidValueError(f"{name} must be in [{one['low']:g}, {one['high']:g}], got {value:g}")
        return int(value) if kind == "int" else float(value)
    if not isinstance(value, bool if kind == "bool" else str):
        raise InvalidValueError(
            f"{name} must be {'true or false' if kind == 'bool' else 'text'}, got {value!r}"
        )
    return value


def _answer(node: str, future: Future) -> Any:
    """What comes of a request.

    Raises:
        UnreachableError: nothing does in time.
    """
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    if not done.wait(_TAKES) or future.result() is None:
        future.cancel()
        raise UnreachableError(f"{node} does not answer")
    return future.result()
