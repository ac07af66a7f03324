"""Builds the wheel from CMakeLists.txt, the same file that colcon uses.

CMake installs into a stage; its Python package (our module with the generated ``msg`` and ``srv``)
becomes the wheel's package and all else (shared libraries, executables, launch and configuration
files, the ament index) becomes data files below the environment's prefix, which thereby is an ament
prefix. Everything declarative stands in pyproject.toml.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build import build
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel
from setuptools.command.egg_info import egg_info
from setuptools.errors import SetupError

NAME = "mppi_maml_ros"
ROOT = Path(__file__).resolve().parent

# Names the machine's search path at build time, which a wheel has no use for.
LEFT_OUT = "share/ament_index/resource_index/parent_prefix_path/"


def ament_prefix() -> Path:
    """Prefix of the ROS installation: the environment, pip's build environment or /opt/ros/..."""
    spec = importlib.util.find_spec("ament_package")
    if spec is None or spec.origin is None:
        raise SetupError(
            "ament_package is not importable: install the ROS wheels into this environment "
            "(`make setup` does) or source the setup file of a ROS 2 installation first"
        )
    for folder in Path(spec.origin).resolve().parents:
        if (folder / "share" / "ament_cmake_core").is_dir():
            return folder
    raise SetupError(f"ament_package at {spec.origin} is not part of an ament prefix with ament_cmake")


def prepended(path: str | Path, variable: str) -> str:
    """The search path in the environment variable with ``path`` first."""
    rest = os.environ.get(variable)
    return f"{path}{os.pathsep}{rest}" if rest else str(path)


def build_folder() -> Path:
    """Build folder of this environment, so that two of them do not share a CMake cache."""
    return Path("build") / f"pip-{hashlib.sha256(sys.prefix.encode()).hexdigest()[:10]}"


class CMakeDistribution(Distribution):
    """A distribution with compiled parts, although setuptools compiles none."""

    def has_ext_modules(self) -> bool:
        return True


class Build(build):
    """Keeps the build of each environment in a folder of its own."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.build_base = str(build_folder())


class EggInfo(egg_info):
    """Keeps the metadata folder out of the root, where it would shadow the installed metadata."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.egg_base = str(build_folder())
        Path(self.egg_base).mkdir(parents=True, exist_ok=True)


class CMakeBuild(build_py):
    """Runs CMake, then takes package and data files from what it installed."""

    def run(self) -> None:
        base = Path(self.get_finalized_command("build").build_base).resolve()
        stage = base / "stage"
        package = Path(self.build_lib).resolve() / NAME
        for leftover in (stage, package):
            shutil.rmtree(leftover, ignore_errors=True)
        self.run_cmake(base / "cmake", stage)

        found = list(stage.glob(f"**/*-packages/{NAME}/__init__.py"))
        if len(found) != 1:
            raise SetupError(f"expected one installed Python package {NAME} below {stage}, found {found}")
        module = found[0].parent
        shutil.copytree(module, package, ignore=shutil.ignore_patterns("__pycache__"))
        self.distribution.data_files = data_files(stage, leave_out=module.parent)

    def run_cmake(self, binary: Path, stage: Path) -> None:
        """Configures, builds and installs into ``stage``; incremental where ``binary`` exists."""
        prefix = ament_prefix()
        env = dict(
            os.environ,
            AMENT_PREFIX_PATH=prepended(prefix, "AMENT_PREFIX_PATH"),
            CMAKE_PREFIX_PATH=prepended(prefix, "CMAKE_PREFIX_PATH"),
            LD_LIBRARY_PATH=prepended(prefix / "lib", "LD_LIBRARY_PATH"),
            PATH=prepended(Path(sys.executable).parent, "PATH"),
        )
        cmake = shutil.which("cmake", path=env["PATH"])
        if cmake is None:
            raise SetupError("cmake is missing: pip install cmake ninja")
        # pip's build environment has another path at every run: a cache of it cannot be used again
        environment = f"{prefix}\n{sys.executable}\n{ROOT}\n"
        stamp = binary / "environment.txt"
        if binary.exists() and not (stamp.exists() and stamp.read_text() == environment):
            shutil.rmtree(binary)
        binary.mkdir(parents=True, exist_ok=True)
        (binary.parent.parent / "COLCON_IGNORE").touch()
        configure = [
            cmake,
            *("-S", str(ROOT)),
            *("-B", str(binary)),
            *(("-G", "Ninja") if shutil.which("ninja", path=env["PATH"]) else ()),
            "-DCMAKE_BUILD_TYPE=Release",
            "-DBUILD_TESTING=OFF",
            f"-DCMAKE_INSTALL_PREFIX={stage}",
            f"-DPython3_EXECUTABLE={sys.executable}",
            "-DNODE_PYTHON=",  # that of the machine which installs the wheel
        ]
        for command in (
            configure,
            [cmake, "--build", str(binary), "--parallel", str(os.cpu_count() or 1)],
            [cmake, "--install", str(binary)],
        ):
            try:
                subprocess.run(command, env=env, check=True)
            except subprocess.CalledProcessError as error:
                raise SetupError(f"`{' '.join(command)}` failed with exit code {error.returncode}") from error
            if command is configure:
                stamp.write_text(environment)


class Editable(editable_wheel):
    """Refuses: such an installation has no shared libraries, and fails where a message is first used."""

    def run(self) -> None:
        raise SetupError(
            "an editable installation would lack the interfaces' shared libraries: use "
            "`pip install .`, or `colcon build --symlink-install`"
        )


def data_files(stage: Path, leave_out: Path) -> list[tuple[str, list[str]]]:
    """Installed files as (folder below the prefix, files), without those below ``leave_out``."""
    folders: dict[str, list[str]] = {}
    for path in sorted(stage.rglob("*")):
        relative = path.relative_to(stage)
        if not path.is_file() or leave_out in path.parents or relative.as_posix().startswith(LEFT_OUT):
            continue
        folders.setdefault(str(relative.parent), []).append(os.path.relpath(path))
    return list(folders.items())


setup(
    distclass=CMakeDistribution,
    cmdclass={"build": Build, "build_py": CMakeBuild, "editable_wheel": Editable, "egg_info": EggInfo},
)
