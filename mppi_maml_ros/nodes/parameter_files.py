"""Writes what is made from the declarations of all nodes: the files of ``config`` and ``docs/parameters.md``.

``python -m mppi_maml_ros.nodes.parameter_files`` writes them into the present folder, that of a checkout;
with ``--check`` it only says which of them are out of date.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml

from ..ros.parameters import LARGEST_INTEGER, Declared
from . import adaptation_parameters, controller_parameters, dynamic_world_parameters, meta_trainer

Groups = Mapping[str, tuple[Declared, ...]]

_WIDTH = 110  # columns of a file


@attrs.frozen
class NodeParameters:
    """A node, what it does, and its parameters by the title of their group; the first has none."""

    name: str
    purpose: str
    groups: Groups


NODES = (
    NodeParameters("mppi_controller", "odometry in, velocity commands out", controller_parameters.GROUPS),
    NodeParameters(
        "adaptation",
        "learns from odom and cmd_vel, offers the controller better weights",
        adaptation_parameters.GROUPS,
    ),
    NodeParameters(
        "dynamic_world", "a simulated robot that is unlike its model", dynamic_world_parameters.GROUPS
    ),
    NodeParameters(
        "meta_trainer",
        "meta-trains residuals offline; a request overrides what it names",
        meta_trainer.GROUPS,
    ),
)


def _text(value: Any) -> str:
    """A value as YAML has it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value if value and yaml.safe_load(value) == value else json.dumps(value)
    return repr(value)


def _bound(value: float | None) -> str:
    if value is None:
        return "any"
    return "2^63 - 1" if value == LARGEST_INTEGER else f"{value:g}"


def _allowed(declared: Declared) -> str:
    """What is allowed, in words; empty: anything of its type."""
    if declared.choices:
        return " | ".join(declared.choices)
    if declared.kind is bool:
        return "true | false"
    if declared.low is None and declared.high is None:
        return ""
    return f"{'each ' * declared.is_array}{_bound(declared.low)} to {_bound(declared.high)}"


def _comment(declared: Declared) -> str:
    unit, allowed = f" [{declared.unit}]" if declared.unit else "", _allowed(declared)
    between = (", " if unit else "; ") if allowed else ""
    dynamic = " (may change while running)" if declared.dynamic else ""
    return f"{declared.description}{unit}{between}{allowed}{dynamic}"


def _commented(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_on_hyphens=False
    )


def yaml_file(node: NodeParameters) -> str:
    """The parameter file of a node: every parameter with its default, and what is to be known of it above."""
    lines = [
        f"# {node.name}: {node.purpose}.",
        "# Every parameter with its default; unit in brackets, then what is allowed. "
        "`ros2 param describe` shows the same.",
        "/**:",
        "  ros__parameters:",
    ]
    for title, table in node.groups.items():
        if title:
            lines += ["", *_commented(f"-- {title}", "    ")]
        nest = ""
        for declared in table:
            above, _, name = declared.name.rpartition(".")
            if above != nest and above:
                lines.append(f"    {above}:")
            nest = above
            indent = "      " if nest else "    "
            lines += _commented(_comment(declared), indent)
            lines.append(f"{indent}{name}: {_text(declared.default)}")
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def reference(nodes: Iterable[NodeParameters] = NODES) -> str:
    """The page of the documentation on all parameters, in Markdown."""
    lines = [
        "# Parameters",
        "",
        "Every parameter of every node; `ros2 param describe` shows the same. Files in [config](../config)",
        "hold the defaults. What is live acts from the next step on after `ros2 param set`; the rest is read",
        "at the start. What is not allowed is refused by name. What to change first: [tuning](tuning.md).",
    ]
    for node in nodes:
        lines += ["", f"## {node.name}", "", f"{node.purpose[0].upper()}{node.purpose[1:]}."]
        for title, table in node.groups.items():
            if title:
                lines += ["", f"### {title[0].upper()}{title[1:]}"]
            lines += [
                "",
                _row("name", "default", "unit", "allowed", "live", "meaning"),
                "|---|---|---|---|---|---|",
            ]
            lines += [
                _row(
                    f"`{declared.name}`",
                    f"`{_text(declared.default)}`",
                    declared.unit,
                    _allowed(declared).replace(" | ", ", "),
                    "yes" if declared.dynamic else "",
                    declared.description,
                )
                for declared in table
            ]
    return "\n".join(lines) + "\n"


def files() -> dict[str, str]:
    """Contents by path in a checkout."""
    made = {f"config/{node.name}.yaml": yaml_file(node) for node in NODES}
    return made | {"docs/parameters.md": reference()}


def outdated(root: Path) -> list[str]:
    """Paths of the files below ``root`` that are not what the declarations make of them."""
    return [
        path
        for path, text in files().items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Write or check the files of the present folder; 1: with ``--check`` some are out of date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; say what is out of date")
    check = parser.parse_args(arguments).check
    root = Path.cwd()
    stale = outdated(root)
    for path in stale:
        print(f"{path} is out of date" if check else f"wrote {path}")
        if not check:
            (root / path).write_text(files()[path], encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
