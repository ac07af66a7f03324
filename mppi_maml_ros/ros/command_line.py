"""What is wrong with the ROS arguments of a node, in one sentence.

rcl says that as well, mostly, but names lines of its sources, and neither a file that is not there nor a name
that is misspelt. So a node asks here when rcl has refused, and for what rcl leaves out in silence.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

PARAMETERS = "ros__parameters"
_RULES = {"-p": "name:=value", "--param": "name:=value", "-r": "from:=to", "--remap": "from:=to"}
_SOURCE_LINE = re.compile(r", at \S+:\d+")
_RULE = re.compile(r"\S+?:=\s*\S.*")


def complaint(error: Exception, args: Sequence[str]) -> str:
    """Why these arguments were refused with ``error``."""
    if type(error).__name__ == "UnknownROSArgsError":
        return f"unknown arguments after --ros-args: {error}"
    for flag, value in _pairs(args):
        if flag == "--params-file" and (problem := _problem(Path(value))):
            return problem
        if flag in _RULES and not _RULE.fullmatch(value):
            return f"{flag} {value} must be {_RULES[flag]}"
    return _SOURCE_LINE.sub("", str(error)).removeprefix("failed to initialize rcl: ")


def remarks(args: Sequence[str], *names: str) -> list[str]:
    """What is legal in the files of parameters but surely not meant for the nodes of these names."""
    found = []
    for path in (Path(value) for flag, value in _pairs(args) if flag == "--params-file"):
        try:
            content = yaml.safe_load(path.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError):  # rcl could read it
            continue
        if not content:
            found.append(f"{path} sets nothing: it is empty")
            continue
        told = {key.rsplit("/", 1)[-1] for key, _ in _sections(content)}
        for name in names:
            if name not in told and (close := difflib.get_close_matches(name, told - set(names), 1, 0.8)):
                found.append(
                    f"{path} has parameters of {close[0]}, which is not the name of this node, {name}"
                )
    return found


def _pairs(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Flags after ``--ros-args``, with what follows them."""
    args = list(args)
    while "--ros-args" in args:
        args = args[args.index("--ros-args") + 1 :]
        own = args[: args.index("--")] if "--" in args else args
        yield from zip(own, own[1:], strict=False)


def _problem(path: Path) -> str:
    """Why rcl cannot take a file of parameters; empty where none is known."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        return f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}"
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        return f"{path}{line} is no YAML: {error.problem or error.context}"
    except yaml.YAMLError:
        return f"{path} is no YAML"
    if not isinstance(content, Mapping):
        return f"{path} must hold parameters below a node's name and {PARAMETERS}"
    for key, values in _sections(content):
        if not isinstance(values, Mapping) or not isinstance(below := values.get(PARAMETERS), Mapping):
            return f"{path}: {key} must hold {PARAMETERS}, and that the parameters"
        for name, value in _values(below):
            if value is None:
                return f"{path}: {name} has no value"
            if isinstance(value, list) and len({type(element) for element in value}) > 1:
                return f"{path}: {name} must be a list of one type, such as [1.0, 2.0]"
    return ""


def _sections(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names of nodes, with namespaces, and what is below each."""
    if not isinstance(content, Mapping):
        return
    for key, values in content.items():
        nested = isinstance(values, Mapping) and PARAMETERS not in values
        if nested and values and all(isinstance(below, Mapping) for below in values.values()):
            yield from _sections(values, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", values


def _values(group: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters by their full names."""
    for key, value in group.items():
        if isinstance(value, Mapping):
            yield from _values(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
