"""The sources where others take them: a checkout in an unusual folder, and the sdist."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

NAME = "mppi_maml_ros"
FOLDER = "Stra\u00dfe \u8def"
REFUSAL = "cannot build in a folder with letters beyond ASCII"


def tracked(root: Path) -> set[str]:
    found = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    if found.returncode or not (root / ".git").exists():
        pytest.skip("not a checkout")
    return {name for name in found.stdout.split("\0") if name and (root / name).exists()}


@pytest.fixture(scope="module")
def sdist(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made of what git tracks, in a folder of its own."""
    copy, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("sdist")
    for name in tracked(root):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, copy / name)
    code = f"import setuptools.build_meta as backend; backend.build_sdist({str(out)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, check=True)
    (found,) = out.iterdir()
    return found


def test_the_sdist_holds_what_the_checkout_holds(root: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    assert tracked(root) - names == set()
    assert {name for name in names if not name.startswith("build/")} - tracked(root) == {"PKG-INFO"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_sdist_builds_elsewhere(root: Path, prefix: Path, sdist: Path, tmp_path: Path) -> None:
    pytest.importorskip("ament_package")
    command = [sys.executable, "-m", "pip", "wheel", "--no-input", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", tmp_path, sdist], cwd=tmp_path, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in tracked(root) if name.startswith(f"{NAME}/")} - names == set()
    assert {f"{NAME}/msg/__init__.py", f"{NAME}/srv/__init__.py"} <= names
    for file in (*root.glob("launch/*.py"), *root.glob("config/*.yaml")):
        assert any(name.endswith(f"share/{NAME}/{file.relative_to(root)}") for name in names), file


def test_cmake_refuses_a_folder_that_rosidl_cannot_write(root: Path, tmp_path: Path) -> None:
    cmake = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
    if cmake is None:
        pytest.skip("no cmake")
    folder = tmp_path / FOLDER
    folder.mkdir()
    shutil.copy(root / "CMakeLists.txt", folder)
    found = subprocess.run(
        [cmake, "-S", folder, "-B", tmp_path / "build"], capture_output=True, text=True, check=False
    )
    assert found.returncode != 0 and REFUSAL in " ".join(found.stderr.split())


def test_make_refuses_it_before_it_downloads_anything(root: Path, tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    folder = tmp_path / FOLDER
    folder.mkdir()
    shutil.copy(root / "Makefile", folder)
    shutil.copytree(root / "requirements", folder / "requirements")
    found = subprocess.run(["make", "setup"], cwd=folder, capture_output=True, text=True, check=False)
    assert found.returncode != 0 and REFUSAL in found.stderr and not (folder / ".venv").exists()


def test_make_names_the_way_with_colcon_at_once_where_ros_has_no_wheels(root: Path, tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    shutil.copy(root / "Makefile", tmp_path)
    shutil.copytree(root / "requirements", tmp_path / "requirements")
    uname = tmp_path / "bin" / "uname"
    uname.parent.mkdir()
    uname.write_text("#!/bin/sh\necho Linux aarch64\n")
    uname.chmod(0o755)
    search = {**os.environ, "PATH": f"{uname.parent}:{os.environ['PATH']}"}
    for target in ("setup", "test", "demo"):
        found = subprocess.run(["make", target], cwd=tmp_path, env=search, capture_output=True, text=True)
        assert found.returncode != 0 and "Linux aarch64" in found.stderr and "colcon" in found.stderr
        assert not (tmp_path / ".venv").exists()
