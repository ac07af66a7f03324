"""What README.md and the Dockerfile install is what the package needs."""

from __future__ import annotations

import json
import re
import shlex
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from mppi_maml_ros.doctor.machine import REQUIRED

KEYS = {"yaml": "pyyaml"}  # where rosdep's name is not the package's
BROUGHT = {"llvmlite"}  # by numba


@pytest.fixture(params=["README.md", "Dockerfile"])
def recipe(request: pytest.FixtureRequest, root: Path) -> str:
    text = (root / request.param).read_text(encoding="utf-8")
    if request.param == "README.md":
        text = text[text.index("## In a ROS 2 workspace") : text.index("## On your robot")]
    return text


def skipped(recipe: str) -> set[str]:
    (keys,) = re.findall(r"rosdep install .*--skip-keys (\"[^\"]*\"|\S+)", recipe)
    return set(keys.strip('"').split())


def installed(recipe: str) -> dict[str, str]:
    """What pip is told to install: name and bound."""
    (line,) = re.findall(r"pip install (?:--no-cache-dir )?(\"numpy.*)", recipe)
    return dict(re.match(r"(\w+)(.*)", part).groups() for part in shlex.split(line))


def test_rosdep_and_pip_bring_every_package_between_them(root: Path, recipe: str) -> None:
    elements = ElementTree.parse(root / "package.xml").getroot().iter("exec_depend")
    keys = {element.text for element in elements} - skipped(recipe)
    system = {name.removeprefix("python3-") for name in keys if name.startswith("python3-")}
    brought = {KEYS.get(name, name) for name in system} | installed(recipe).keys() | BROUGHT
    assert set(REQUIRED) == brought


def test_pip_is_told_the_bounds_of_the_package(recipe: str) -> None:
    bounds = installed(recipe)
    assert bounds.pop("numpy") == "<2"
    assert bounds == {name: f">={REQUIRED[name]}" for name in bounds}


def test_the_environment_sees_the_system_and_is_active_in_the_build(recipe: str) -> None:
    order = ["--system-site-packages", "COLCON_IGNORE", ".venv/bin/activate", "colcon build", "warm_up"]
    at = [recipe.index(part) for part in order]
    assert at == sorted(at)


def test_the_devcontainer_mounts_the_checkout_where_the_dockerfile_builds_it(root: Path) -> None:
    settings = json.loads((root / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    dockerfile = (root / ".devcontainer" / settings["build"]["dockerfile"]).resolve()
    workspace = re.search(r"^WORKDIR (.*)$", dockerfile.read_text(encoding="utf-8"), re.MULTILINE).group(1)
    assert settings["workspaceFolder"] == f"{workspace}/src/mppi_maml_ros"
    assert f"target={settings['workspaceFolder']}," in settings["workspaceMount"]
