"""Compiled kernels on disk: what was compiled from other sources is not run, and no folder is needed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mppi_maml_ros.core.kernels import cache

NAME = cache.PACKAGE.name
NOBODY = 65534
KERNEL = """
from .constants import FACTOR
from .core.kernels.cache import njit
from .core.kernels.simd import LANES

@njit(cache=True)
def scaled(x):
    return FACTOR * x

@njit(cache=True)
def lanes(x):
    return LANES * x
"""
PROGRAM = f"""
from {NAME} import kernel
print(kernel.scaled(2.0), kernel.lanes(1), sum(kernel.scaled.stats.cache_misses.values()), end="")
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of the same name with little in it, where every user may read."""
    folder = tmp_path / "lib" / NAME
    (folder / "core" / "kernels").mkdir(parents=True)
    for file in (
        "__init__.py",
        "core/__init__.py",
        *(f"core/kernels/{n}.py" for n in ("__init__", "cache", "simd")),
    ):
        shutil.copy(cache.PACKAGE / file, folder / file)
    (folder / "constants.py").write_text("FACTOR = 3.0\n")
    (folder / "kernel.py").write_text(KERNEL)
    return folder


def start(package: Path, *, set_up: str = "", **environment: object) -> tuple[str, str]:
    """What a process prints that runs both kernels, and what it says on stderr."""
    folder = package.parent.parent
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(package.parent), "HOME": str(folder / "home")}
    variables |= {"PYTHONDONTWRITEBYTECODE": "1"}  # which is out of date by the second only
    found = subprocess.run(
        [sys.executable, "-c", set_up + PROGRAM],
        env=variables | {name: str(value) for name, value in environment.items()},
        cwd=package.parent,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return found.stdout, found.stderr


def closed(package: Path) -> Path:
    """The package with a folder for kernels that nobody can write, root included."""
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    (package / "__pycache__").touch()
    return package


def kernels(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.nbi"))


def test_a_second_start_compiles_nothing(package: Path) -> None:
    assert start(package) == (f"6.0 {cache.LANES} 1", "")
    assert start(package) == (f"6.0 {cache.LANES} 0", "")


def test_who_wants_to_know_is_told_once_that_kernels_are_compiled(package: Path) -> None:
    set_up = f"from {NAME}.core.kernels import cache; cache.tell(lambda text: print(text, end=' '))"
    told = f"compiling numerical kernels, which a first start does: {cache.START} "
    assert start(package, set_up=set_up) == (f"{told}6.0 {cache.LANES} 1", "")
    assert start(package, set_up=set_up) == (f"6.0 {cache.LANES} 0", "")


@pytest.mark.parametrize(
    ("file", "before", "after", "expected"),
    [
        ("constants.py", "FACTOR = 3.0", "FACTOR = 4.0", f"8.0 {cache.LANES} 1"),
        ("core/kernels/simd.py", "LANES = 16 if WIDE else 8", "LANES = 32", "6.0 32 1"),
        ("core/kernels/simd.py", "ROWS = rows(WIDE)", "ROWS = 6", f"6.0 {cache.LANES} 1"),
    ],
)
def test_a_constant_of_another_file_is_compiled_anew(
    package: Path, file: str, before: str, after: str, expected: str
) -> None:
    start(package)
    kept = kernels(package)
    text = (package / file).read_text()
    assert before in text
    (package / file).write_text(text.replace(before, after))
    assert start(package) == (expected, "")
    left = kernels(package)
    assert len(left) == len(kept) == 2 and not set(left) & set(kept)


@pytest.mark.parametrize("pattern", ["*.nbi", "*.nbc"])
def test_files_that_a_loss_of_power_tore_are_compiled_anew(package: Path, pattern: str) -> None:
    start(package)
    for path in package.rglob(pattern):
        path.write_bytes(path.read_bytes()[:100])
    assert start(package) == (f"6.0 {cache.LANES} 1", "")
    assert start(package) == (f"6.0 {cache.LANES} 0", "")


def test_kernels_of_a_package_that_cannot_be_written_are_kept_by_the_user(
    package: Path, tmp_path: Path
) -> None:
    out, said = start(closed(package), XDG_CACHE_HOME=tmp_path / "xdg")
    assert out == f"6.0 {cache.LANES} 1"
    assert said.count("RuntimeWarning") == 1 and str(tmp_path / "xdg") in said and "warm_up" in said
    assert len(kernels(tmp_path / "xdg")) == 2
    assert start(closed(package), XDG_CACHE_HOME=tmp_path / "xdg") == (f"6.0 {cache.LANES} 0", "")


def test_a_user_without_home_keeps_kernels_among_temporary_files(package: Path, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    for misses in (1, 0):
        out, said = start(closed(package), HOME="/dev/null", TMPDIR=tmp_path / "tmp")
        assert out == f"6.0 {cache.LANES} {misses}"
        assert said.count("RuntimeWarning") == misses
    assert len(kernels(tmp_path / "tmp")) == 2


def test_kernels_run_where_nothing_can_be_written(package: Path) -> None:
    nowhere = "import tempfile; tempfile.tempdir = '/dev/null'\n"
    out, said = start(closed(package), HOME="/dev/null", set_up=nowhere)
    assert out == f"6.0 {cache.LANES} 1"
    assert said.count("RuntimeWarning") == 1 and f"every start takes {cache.START}" in said


def test_numba_cache_dir_comes_first(package: Path, tmp_path: Path) -> None:
    start(package, NUMBA_CACHE_DIR=tmp_path / "chosen")
    assert len(kernels(tmp_path / "chosen")) == 2 and kernels(package) == []
    assert start(closed(package), NUMBA_CACHE_DIR=tmp_path / "chosen") == (f"6.0 {cache.LANES} 0", "")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")
def test_kernels_that_root_compiled_serve_everybody(package: Path) -> None:
    for folder in (package, *package.parents):
        if folder.stat().st_uid == os.getuid() and "pytest" in str(folder):
            folder.chmod(0o755)
    (package / "__pycache__").mkdir(mode=0o700)  # as python does with such a umask
    start(package, set_up="import os; os.umask(0o077)\n")
    # what python itself loads may lie where only root reads
    leave = f"import os, numba, {NAME}.core.kernels.cache; numba.njit(lambda x: 2 * x)(1.0)\n"
    leave += f"os.setgroups([]); os.setuid({NOBODY})\n"
    out, said = start(package, set_up=leave, HOME="/nonexistent")
    assert (out, said) == (f"6.0 {cache.LANES} 0", "")


def test_kernels_that_others_could_have_put_there_are_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = cache.PACKAGE / "core" / "kernels" / "simd.py"
    ours = next(folder for folder in cache.folders(path) if tmp_path in folder.parents)
    ours.mkdir(parents=True, mode=0o755)
    assert ours in cache.folders(path)
    ours.chmod(0o777)
    assert ours not in cache.folders(path)
    ours.rmdir()
    (tmp_path / "theirs").mkdir()
    ours.symlink_to(tmp_path / "theirs")
    assert ours not in cache.folders(path)


def test_sources_are_what_python_imports() -> None:
    for path in cache.PACKAGE.rglob("*.py"):
        expected = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.level or str(node.module).startswith(NAME)):
                base = path.parents[node.level - 1] if node.level else cache.PACKAGE.parent
                base = base.joinpath(*(node.module or "").split("."))
                for stem in (base, *(base / alias.name for alias in node.names)):
                    expected |= {stem.with_suffix(".py"), stem / "__init__.py"}
        assert {file for file in expected if file.is_file()} - {path} <= cache.sources(path)


def test_every_kernel_is_in_this_cache() -> None:
    wrong = [
        f"{path.relative_to(cache.PACKAGE)}:{node.lineno}"
        for path in cache.PACKAGE.rglob("*.py")
        if path != Path(cache.__file__)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("numba")
        and {alias.name for alias in node.names} & {"njit", "jit", "vectorize", "guvectorize", "cfunc"}
    ]
    assert wrong == [], "import njit from core.kernels.cache"


def test_the_package_is_imported_without_numba() -> None:
    code = f"import {NAME}, sys; assert 'numba' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=cache.PACKAGE.parent, check=True)
