"""Critics, found by the files in this folder: the name of a critic is that of its file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from ...core.tunable import tunable
from .base import Critic, Rollouts, Scene

__all__ = ["CRITICS", "Critic", "Rollouts", "Scene", "make_critics", "tunable"]


def _found() -> dict[str, type[Critic]]:
    critics = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name == "base":
            continue
        contents = vars(importlib.import_module(f"{__name__}.{module.name}"))
        (critics[module.name],) = (
            kind
            for kind in contents.values()
            if isinstance(kind, type) and issubclass(kind, Critic) and kind.__module__.endswith(module.name)
        )
    return critics


CRITICS: dict[str, type[Critic]] = _found()
"""All critics by name."""


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
