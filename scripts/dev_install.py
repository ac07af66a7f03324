"""Installs this checkout into the environment whose python runs it, and does no more than needed.

Run by ``make setup``. Three steps, each skipped when nothing changed:

1. what is compiled or declared (interfaces, CMake, metadata) changed: ``pip install .``;
2. Python, launch or configuration files changed: copied over the installed ones;
3. Python files changed: numerical code that depends on them is compiled anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

NAME = "mppi_maml_ros"
EXTRAS = "test,lint,bags,mujoco,rl,tune"
ROOT = Path(__file__).resolve().parent.parent
PREFIX = Path(sys.prefix)
STAMPS = PREFIX / ".stamps"
MODULE = Path(sysconfig.get_path("platlib")) / NAME
SHARE = PREFIX / "share" / NAME

BUILT_FROM = (
    "CMakeLists.txt",
    "package.xml",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "scripts/*.in",
    "scripts/dev_install.py",  # which names the extras
    "scripts/*.cmake",
)
INTERFACES = ("msg/*.msg", "srv/*.srv")


def files_below(folder: Path) -> Iterator[Path]:
    """Files that belong to the package, relative to ``folder``: no caches."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield path.relative_to(folder)


def digest(paths: list[Path]) -> str:
    """Hash of names and contents, so that a mere checkout or touch changes nothing."""
    total = hashlib.sha256(f"{ROOT}\n{sys.version}".encode())
    for path in paths:
        total.update(f"\n{path.relative_to(ROOT)}\n".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


@contextlib.contextmanager
def changed(name: str, value: str) -> Iterator[bool]:
    """Whether ``value`` differs from the one remembered; remembers it where the body succeeds."""
    stamp = STAMPS / name
    differs = not stamp.exists() or stamp.read_text() != value
    yield differs
    if differs:
        stamp.write_text(value)


def is_generated(path: Path) -> bool:
    """True for what rosidl puts beside our module (path relative to the module)."""
    return path.parts[0] in ("msg", "srv") or path.suffix in (".so", ".c")


def synchronise(source: Path, target: Path) -> list[Path]:
    """Makes ``target`` hold what ``source`` holds, generated files aside; returns what it changed."""
    wanted = set(files_below(source)) if source.is_dir() else set()
    different = []
    for path in sorted(wanted):
        installed = target / path
        if not installed.exists() or installed.read_bytes() != (source / path).read_bytes():
            installed.parent.mkdir(parents=True, exist_ok=True)
            # replaced at once: a node that starts meanwhile reads one version or the other
            partial = installed.with_name(f".{installed.name}.{os.getpid()}")
            shutil.copyfile(source / path, partial)
            partial.replace(installed)
            different.append(path)
    if target.is_dir():
        for path in sorted(set(files_below(target)) - wanted):
            if not is_generated(path):
                (target / path).unlink()
                different.append(path)
    return different


def pip_install() -> None:
    """Builds and installs the checkout with its dependencies."""
    print(f"building {NAME} and installing it into {PREFIX}", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--no-input", "-qq", "--no-build-isolation"]
    subprocess.run([*command, f".[{EXTRAS}]"], cwd=ROOT, check=True)


def warm_up() -> None:
    """Compiles numerical code anew as far as its sources changed."""
    if (MODULE / "warm_up.py").exists():
        print("compiling the numerical kernels", flush=True)
        # from a folder without a checkout, which would be imported in place of what is installed
        subprocess.run([sys.executable, "-m", f"{NAME}.warm_up"], cwd=PREFIX, check=True)


def main() -> None:
    STAMPS.mkdir(exist_ok=True)
    with (STAMPS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        built_from = [path for pattern in (*BUILT_FROM, *INTERFACES) for path in sorted(ROOT.glob(pattern))]
        with changed("built", digest(built_from)) as differs:
            if differs or not (MODULE / "msg").is_dir():
                pip_install()

        copied = synchronise(ROOT / NAME, MODULE)
        for folder in ("launch", "config"):
            copied += synchronise(ROOT / folder, SHARE / folder)
        if copied:
            print(f"installed {len(copied)} changed file{'s' if len(copied) > 1 else ''} into {PREFIX}")

        sources = [ROOT / NAME / path for path in files_below(ROOT / NAME) if path.suffix == ".py"]
        with changed("kernels", digest(sources)) as differs:
            if differs:
                warm_up()


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"`{' '.join(map(str, error.cmd))}` failed with exit code {error.returncode}")
