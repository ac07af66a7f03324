"""The installation holds what the checkout holds: no data file forgotten, no stale copy."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

NAME = "mppi_maml_ros"


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def assert_same(source: Path, installed: Path) -> None:
    there = files_below(installed)
    wrong = [name for name, content in files_below(source).items() if there.get(name) != content]
    assert wrong == [], f"{installed} lacks these or has older ones: run `make setup`"


@pytest.mark.parametrize("folder", ["launch", "config"])
def test_share_holds_the_folder(root: Path, prefix: Path, folder: str) -> None:
    assert_same(root / folder, prefix / "share" / NAME / folder)


def test_module_is_installed_beside_the_generated_interfaces(root: Path, prefix: Path) -> None:
    modules = [path.parent for path in prefix.glob(f"lib/python3*/site-packages/{NAME}/__init__.py")]
    assert len(modules) == 1
    assert_same(root / NAME, modules[0])
    assert (modules[0] / "msg" / "__init__.py").is_file()
    assert (modules[0] / "srv" / "__init__.py").is_file()


def test_tests_import_the_checkout_and_the_built_interfaces(root: Path, prefix: Path) -> None:
    pytest.importorskip("rclpy")
    package = importlib.import_module(NAME)
    assert Path(package.__file__).parent == root / NAME
    messages = importlib.import_module(f"{NAME}.msg")
    assert prefix in Path(messages.__file__).parents


def test_package_is_in_the_ament_index(prefix: Path) -> None:
    index = prefix / "share" / "ament_index" / "resource_index"
    assert (index / "packages" / NAME).is_file()
    assert "msg/ControllerStatus.msg" in (index / "rosidl_interfaces" / NAME).read_text()


def test_installed_package_imports_without_the_checkout(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    code = f"import {NAME}, {NAME}.msg; print({NAME}.__file__)"
    paths = [
        path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and Path(path) != root
    ]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 0, result.stderr
    assert root / NAME not in Path(result.stdout.strip()).parents
