"""One version, one list of dependencies: package.xml, pyproject.toml and the sources agree."""

from __future__ import annotations

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import mppi_maml_ros
from mppi_maml_ros.doctor import machine

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

NAME = "mppi_maml_ros"
# where the import's name is not the package's
DISTRIBUTIONS = {"yaml": "pyyaml", "attr": "attrs", "PIL": "pillow"}


@pytest.fixture(scope="module")
def package_xml(root: Path) -> ElementTree.Element:
    return ElementTree.parse(root / "package.xml").getroot()


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def names(requirements: list[str]) -> set[str]:
    """The bare names, lower case, of requirements such as ``numpy>=1.24``."""
    return {re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower() for requirement in requirements}


def lines(path: Path) -> list[str]:
    """The requirements in a file, without comments."""
    found = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in found if line]


def imported(folder: Path) -> set[str]:
    """Top-level names imported anywhere below a folder, without relative imports."""
    found = set()
    for source in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module.split(".")[0])
    return found


def is_ros(name: str) -> bool:
    """Whether a top-level import comes with ROS, and so from package.xml rather than from pip."""
    return name.endswith(("_msgs", "_srvs", "_interfaces")) or name.startswith(
        ("rclpy", "launch", "ament_", "tf2_", "bond")
    )


def test_package_xml_and_module_have_one_version(package_xml: ElementTree.Element) -> None:
    assert package_xml.findtext("version") == mppi_maml_ros.__version__


def test_changelog_describes_this_version(root: Path) -> None:
    text = (root / "CHANGELOG.rst").read_text(encoding="utf-8")
    releases = re.findall(r"^(\d+\.\d+\.\d+) \(\d{4}-\d{2}-\d{2}\)\n-+$", text, flags=re.MULTILINE)
    assert releases[0] == mppi_maml_ros.__version__
    assert f"Changelog for package {NAME}" in text


def test_package_xml_is_what_rosidl_and_colcon_need(package_xml: ElementTree.Element) -> None:
    assert package_xml.get("format") == "3"
    assert package_xml.findtext("name") == NAME
    assert package_xml.findtext("license") == "MIT"
    assert package_xml.findtext("export/build_type") == "ament_cmake"
    assert package_xml.findtext("member_of_group") == "rosidl_interface_packages"


def test_resource_marker_is_there(root: Path) -> None:
    assert (root / "resource" / NAME).is_file()


def test_ros_packages_in_use_are_declared(root: Path, package_xml: ElementTree.Element) -> None:
    declared = {element.text for element in package_xml if element.tag.endswith("depend")}
    used = imported(root / NAME) | imported(root / "launch")
    assert {name for name in used if is_ros(name)} - declared == set()


def test_python_packages_in_use_are_declared(root: Path, pyproject: dict) -> None:
    project = pyproject["project"]
    declared = names(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        declared |= names(extra)
    used = imported(root / NAME) - set(sys.stdlib_module_names) - {NAME}
    assert {DISTRIBUTIONS.get(name, name).lower() for name in used if not is_ros(name)} - declared == set()


def test_requirement_files_cover_what_an_isolated_build_needs(root: Path, pyproject: dict) -> None:
    folder = root / "requirements"
    ros = [*lines(folder / "ros.txt"), *lines(folder / "ros-jazzy.txt")]
    available = {*lines(folder / "build.txt"), *(f"ros-jazzy-{name}" for name in ros)}
    needed = set(pyproject["build-system"]["requires"])
    assert needed - available == set()
    assert set(lines(folder / "build.txt")) - needed == set()


def test_message_packages_in_use_are_installed_by_setup(root: Path) -> None:
    available = names(lines(root / "requirements" / "ros.txt"))
    used = {name for name in imported(root / NAME) if name.endswith(("_msgs", "_srvs"))}
    used -= {"nav2_msgs", "trajectory_msgs"}  # the controller does without them
    assert {name.replace("_", "-") for name in used} - available == set()


def test_the_doctor_asks_for_the_versions_that_are_declared(pyproject: dict) -> None:
    declared = dict(requirement.split(">=") for requirement in pyproject["project"]["dependencies"])
    assert machine.REQUIRED == declared
    python = ".".join(map(str, machine._PYTHON))
    assert pyproject["project"]["requires-python"] == f">={python}"
