"""Critics: those of this folder, each by the name of its file, and those that others register."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from ...core.registry import Registry
from ...core.tunable import tunable
from .base import CompiledCritic, Critic, Judge, Rollouts, Scene, Situation, power, weight

__all__ = [
    "CRITICS", "CompiledCritic", "Critic", "Rollouts", "Scene", "Situation", "Judge", "make_critics", "power",
    "tunable", "weight",
]  # fmt: skip


def _own() -> Iterator[tuple[str, type[Critic]]]:
    for module in pkgutil.iter_modules(__path__):
        if module.name == "base":
            continue
        contents = vars(importlib.import_module(f"{__name__}.{module.name}"))
        (critic,) = (
            kind
            for kind in contents.values()
            if isinstance(kind, type) and issubclass(kind, Critic) and kind.__module__.endswith(module.name)
        )
        yield module.name, critic


CRITICS: Registry[type[Critic]] = Registry("critic", "mppi_maml_ros.critics")
"""All critics by name."""

for _name, _critic in _own():
    CRITICS.register(_name, _critic)


def make_critics(names: Iterable[str], values: Mapping[str, Any]) -> tuple[Critic, ...]:
    """The critics of a list of names.

    Args:
        names: keys of :data:`CRITICS`.
        values: mapping from ``<name>.<field>`` to values; what is missing keeps its default.
    """
    return tuple(
        CRITICS[name](
            **{
                field.name: values[f"{name}.{field.name}"]
                for field in attrs.fields(CRITICS[name])  # type: ignore[arg-type]  # each is an attrs class
                if f"{name}.{field.name}" in values
            }
        )
        for name in names
    )
