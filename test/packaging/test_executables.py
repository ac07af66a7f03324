"""The executables in lib/mppi_maml_ros start the right python, from wherever they are called."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NAME = "mppi_maml_ros"
MODULES = {
    "mppi_controller": "nodes/mppi_controller.py",
    "adaptation": "nodes/adaptation.py",
    "dynamic_world": "nodes/dynamic_world.py",
    "meta_trainer": "nodes/meta_trainer.py",
    "composed": "nodes/composed.py",
    "mppi-maml": "cli/main.py",
}

# Stands for python: tells how it was called.
FAKE_PYTHON = """\
#!/bin/sh
printf '%s\\n' "$0" "$1" "$2"
printf '%s\\n' "${AMENT_PREFIX_PATH-}" "${LD_LIBRARY_PATH-}" "${_ROS_WHEELS_BOOTSTRAP_COMPLETE-}"
"""


def write_executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def new_prefix(root: Path, tmp_path: Path) -> Path:
    """A prefix, with a space in its path, that holds one executable and nothing else."""
    prefix = tmp_path / "some prefix"
    template = (root / "scripts" / "executable.in").read_text()
    write_executable(prefix / "lib" / NAME / "node", template.replace("@MODULE@", f"{NAME}.nodes.node"))
    return prefix


def call(
    prefix: Path, *, cwd: Path | None = None, name: str | None = None, **environment: str
) -> dict[str, str]:
    command = name or str(prefix / "lib" / NAME / "node")
    env = {"PATH": os.environ["PATH"], **environment}
    result = subprocess.run(
        [command, "an argument"], cwd=cwd, env=env, capture_output=True, text=True, timeout=20
    )
    assert result.returncode == 0, result.stderr
    names = ("python", "script", "argument", "ament_prefix_path", "library_path", "guard")
    return dict(zip(names, result.stdout.split("\n"), strict=False))


@pytest.mark.parametrize("executable", MODULES)
def test_executable_is_installed_and_may_be_run(prefix: Path, executable: str) -> None:
    path = prefix / "lib" / NAME / executable
    assert path.is_file()
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize(("executable", "module"), MODULES.items())
def test_executable_names_a_module_that_has_a_main(
    prefix: Path, root: Path, executable: str, module: str
) -> None:
    dotted = module.removesuffix(".py").replace("/", ".")
    assert f"from {NAME}.{dotted} import main" in (prefix / "lib" / NAME / executable).read_text()
    tree = ast.parse((root / NAME / module).read_text())
    assert "main" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_template_is_valid_python_too(root: Path) -> None:
    text = (root / "scripts" / "executable.in").read_text()
    ast.parse(text.replace("@MODULE@", "some.module"))


def test_python_beside_the_executable_runs_it(new_prefix: Path) -> None:
    python = write_executable(new_prefix / "bin" / "python3", FAKE_PYTHON)
    seen = call(new_prefix)
    assert seen["python"] == str(python)
    assert seen["script"] == str(new_prefix / "lib" / NAME / "node")
    assert seen["argument"] == "an argument"
    assert seen["ament_prefix_path"] == str(new_prefix)


def test_relative_call_runs_the_same_python(new_prefix: Path) -> None:
    python = write_executable(new_prefix / "bin" / "python3", FAKE_PYTHON)
    assert call(new_prefix, cwd=new_prefix / "lib" / NAME, name="./node")["python"] == str(python)


def test_python_of_the_path_runs_it_where_none_is_beside(new_prefix: Path, tmp_path: Path) -> None:
    python = write_executable(tmp_path / "elsewhere" / "python3", FAKE_PYTHON)
    seen = call(new_prefix, PATH=f"{python.parent}:{os.environ['PATH']}", AMENT_PREFIX_PATH="/workspace")
    assert seen["python"] == str(python)
    assert seen["ament_prefix_path"] == "/workspace"


@pytest.fixture
def workspace(root: Path, tmp_path: Path) -> tuple[Path, Path]:
    """An executable as colcon installs it while a virtual environment is active, and that environment.

    The environment alone has what the executable imports.
    """
    cmake = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
    if cmake is None:
        pytest.skip("no cmake")
    environment, source, build = (tmp_path / name for name in ("an environment", "source", "build"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    for module, text in (
        ("ros/executor", "leave = print"),
        ("nodes/node", "import sys\ndef main(): return sys.prefix"),
    ):
        file = packages / NAME / f"{module}.py"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    source.mkdir()
    (source / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.20)\nproject({NAME} NONE)\n"
        f'include("{root}/scripts/executables.cmake")\ninstall_executable(node {NAME}.nodes.node)\n'
    )
    active = {**os.environ, "VIRTUAL_ENV": str(environment)}
    active["PATH"] = f"{environment / 'bin'}:{os.environ['PATH']}"
    prefix = tmp_path / "install" / NAME
    for command in ([cmake, "-S", source, "-B", build], [cmake, "--install", build, "--prefix", prefix]):
        subprocess.run(command, env=active, check=True, capture_output=True)
    return prefix / "lib" / NAME / "node", environment


def test_a_node_finds_the_environment_that_it_was_built_with_when_none_is_active(
    workspace: tuple[Path, Path], tmp_path: Path
) -> None:
    node, environment = workspace
    write_executable(tmp_path / "other" / "python3", "#!/bin/sh\necho another python\n")
    elsewhere = {"PATH": f"{tmp_path / 'other'}:/usr/bin:/bin"}

    def said() -> str:
        found = subprocess.run(
            [node], env=elsewhere, cwd=tmp_path, capture_output=True, text=True, timeout=20
        )
        return found.stdout.strip() or found.stderr

    assert said() == str(environment)
    shutil.rmtree(environment)
    assert said() == "another python"


def test_other_ament_prefixes_stay_and_come_second(new_prefix: Path) -> None:
    write_executable(new_prefix / "bin" / "python3", FAKE_PYTHON)
    assert call(new_prefix, AMENT_PREFIX_PATH="/a:/b")["ament_prefix_path"] == f"{new_prefix}:/a:/b"
    known = f"/a:{new_prefix}"
    assert call(new_prefix, AMENT_PREFIX_PATH=known)["ament_prefix_path"] == known


def test_libraries_of_the_prefix_come_before_those_of_another_environment(new_prefix: Path) -> None:
    write_executable(new_prefix / "bin" / "python3", FAKE_PYTHON)
    packages = new_prefix / "lib" / "python3.99" / "site-packages"
    (packages / "ros_wheels_bootstrapper").mkdir(parents=True)
    (packages / "ros_rclpy.libs").mkdir()
    seen = call(new_prefix, LD_LIBRARY_PATH="/other/lib", _ROS_WHEELS_BOOTSTRAP_COMPLETE="1")
    assert seen["library_path"] == f"{new_prefix}/lib:{packages}/ros_rclpy.libs:/other/lib"
    assert seen["guard"] == "1"


def test_library_path_is_left_alone_without_ros_wheels(new_prefix: Path) -> None:
    write_executable(new_prefix / "bin" / "python3", FAKE_PYTHON)
    seen = call(new_prefix, LD_LIBRARY_PATH="/ros/lib")
    assert seen["library_path"] == "/ros/lib"
    assert seen["guard"] == ""
