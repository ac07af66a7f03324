"""Who imports whom: packages build on those below them, ROS stays at the edge, nothing is pickled."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "mppi_maml_ros"


def _house():
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "scripts" / "draw_architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOUSE = _house()  # the rooms and their levels, and the picture of them
LEVEL, KNOWS_ROS = HOUSE.LEVEL, HOUSE.KNOWS_ROS

LONGEST = 500  # lines of a file
LARGEST = 0.15  # share of a room in all lines

ROS = {"ros", "nodes", "system"}
ROS = {
    "rclpy",
    "bond",
    "launch",
    "launch_ros",
    "std_srvs",
    "builtin_interfaces",
    "tf2_ros",
    f"{NAME}.msg",
    f"{NAME}.srv",
}
ROS_PREFIXES = ("rosidl_", "ament_", "rcl_", "rmw_", "tf2_", "unique_identifier_msgs")

COMPILERS = {"numba", "llvmlite"}  # of core/kernels alone
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
PICKLING_CALLS = {"torch.load", "torch.save"}


@attrs.frozen
class Import:
    """``module`` (dotted, absolute) as imported on a line of ``file`` (relative to the package)."""

    file: Path
    line: int
    module: str

    @property
    def package(self) -> str:
        """The part of our package that imports."""
        return self.file.parts[0].removesuffix(".py")

    @property
    def target(self) -> str | None:
        """The part of our package that is imported, or None where it is not ours."""
        parts = self.module.split(".")
        return parts[1] if parts[0] == NAME and len(parts) > 1 else None

    def __str__(self) -> str:
        return f"{NAME}/{self.file}:{self.line} imports {self.module}"


def imports_of(file: Path) -> Iterator[Import]:
    """Every import in a file, those within functions and TYPE_CHECKING included."""
    relative = file.relative_to(ROOT / NAME)
    folders = (NAME, *relative.parent.parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(relative, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(folders[: len(folders) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                # `from .. import mppi` names a package only in its last part
                yield Import(relative, node.lineno, f"{module}.{alias.name}" if module == NAME else module)
                yield Import(relative, node.lineno, f"{module}.{alias.name}")


SOURCES = sorted(path for path in (ROOT / NAME).rglob("*.py"))
IMPORTS = [found for source in SOURCES for found in imports_of(source)]


def is_ros(module: str) -> bool:
    top = module.split(".")[0]
    ours = ".".join(module.split(".")[:2])
    return top in ROS or ours in ROS or top.endswith("_msgs") or top.startswith(ROS_PREFIXES)


def test_every_package_has_its_level() -> None:
    packages = {path.name for path in (ROOT / NAME).iterdir() if path.is_dir() and list(path.glob("*.py"))}
    modules = {path.stem for path in (ROOT / NAME).glob("*.py")} - {"__init__"}
    assert (packages | modules) - set(LEVEL) == set()


def test_imports_point_down() -> None:
    wrong = [
        str(found)
        for found in IMPORTS
        if found.target in LEVEL and found.package in LEVEL and LEVEL[found.target] > LEVEL[found.package]
    ]
    assert wrong == []


def test_no_packages_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {package: set() for package in LEVEL}
    for found in IMPORTS:
        if found.package in LEVEL and found.target in LEVEL and found.target != found.package:
            graph[found.package].add(found.target)

    def visit(package: str, path: tuple[str, ...]) -> None:
        assert package not in path, " -> ".join([*path[path.index(package) :], package])
        for target in sorted(graph[package]):
            visit(target, (*path, package))

    for package in graph:
        visit(package, ())


def test_no_files_import_each_other_in_a_circle_when_they_are_loaded() -> None:
    names = {".".join((NAME, *path.relative_to(ROOT / NAME).with_suffix("").parts)): path for path in SOURCES}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        folders = name.split(".")[:-1]
        found = set()
        for node in tree.body:  # neither within functions nor below TYPE_CHECKING
            if isinstance(node, ast.ImportFrom):
                base = folders[: len(folders) - node.level + 1] if node.level else []
                module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
                found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        graph[name] = found & (names.keys() - {name})
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_no_file_is_too_long() -> None:
    lengths = {str(path.relative_to(ROOT)): HOUSE.lines_of(path) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_no_room_outgrows_the_house() -> None:
    sizes = {room: sum(map(HOUSE.lines_of, files)) for room, files in HOUSE.files().items()}
    total = sum(sizes.values())
    assert {room: size / total for room, size in sizes.items() if size > LARGEST * total} == {}


def test_the_picture_of_the_architecture_is_that_of_the_code() -> None:
    assert HOUSE.is_current(), "run python scripts/draw_architecture.py"


def test_the_controller_does_not_know_who_adapts() -> None:
    assert [
        str(found) for found in IMPORTS if found.package == "mppi" and found.target in ("adaptation", "meta")
    ] == []


def test_the_simulation_knows_no_learned_model() -> None:
    learned = (
        "dynamics.residual",
        "dynamics.neural",
        "dynamics.maml",
        "dynamics.gaussian_process",
        "weights",
        "meta",
    )
    wrong = [
        str(found)
        for found in IMPORTS
        if found.package == "simulation"
        and found.module.startswith(tuple(f"{NAME}.{name}" for name in learned))
    ]
    assert wrong == []


def test_only_ros_nodes_and_system_import_ros() -> None:
    wrong = [str(found) for found in IMPORTS if is_ros(found.module) and found.package not in KNOWS_ROS]
    assert wrong == []


def test_the_core_needs_numpy_attrs_safetensors_and_for_kernels_numba_alone() -> None:
    allowed = {"numpy", "attrs", "attr", "safetensors", NAME, "__future__", *sys.stdlib_module_names}
    wrong = [
        str(found)
        for found in IMPORTS
        if found.package == "core"
        and found.module.split(".")[0]
        not in allowed | (COMPILERS if "kernels" in found.file.parts else set())
    ]
    assert wrong == []


@pytest.mark.fault(30)
def test_nothing_is_pickled() -> None:
    assert [str(found) for found in IMPORTS if found.module.split(".")[0] in PICKLES] == []


@pytest.mark.fault(30)
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(ROOT / NAME).as_posix())
def test_file_makes_no_call_that_pickles(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in PICKLING_CALLS, f"line {node.lineno}"
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle":
                    assert getattr(keyword.value, "value", True) is False, f"line {node.lineno}"
