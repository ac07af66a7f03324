"""What is needed of nav2_msgs, bond and trajectory_msgs, generated where they are not installed.

Field names, types and constants are theirs; see the table in ``test/launch/nav2_facts.py`` for
names of nodes, topics and parameters.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import attrs

FOLLOW_PATH = """\
nav_msgs/Path path
string controller_id
string goal_checker_id
string progress_checker_id
---
uint16 NONE=0
uint16 UNKNOWN=100
uint16 INVALID_CONTROLLER=101
uint16 TF_ERROR=102
uint16 INVALID_PATH=103
uint16 PATIENCE_EXCEEDED=104
uint16 FAILED_TO_MAKE_PROGRESS=105
uint16 NO_VALID_CONTROL=106
uint16 CONTROLLER_TIMED_OUT=107
std_msgs/Empty result
uint16 error_code
string error_msg
---
float32 distance_to_goal
float32 speed
"""
SPEED_LIMIT = """\
std_msgs/Header header
bool percentage
float64 speed_limit
"""
BOND_STATUS = """\
std_msgs/Header header
string id
string instance_id
bool active
float32 heartbeat_timeout
float32 heartbeat_period
"""
TRAJECTORY = """\
std_msgs/Header header
string[] joint_names
MultiDOFJointTrajectoryPoint[] points
"""
POINT = """\
geometry_msgs/Transform[] transforms
geometry_msgs/Twist[] velocities
geometry_msgs/Twist[] accelerations
builtin_interfaces/Duration time_from_start
"""
PACKAGES = {
    "nav2_msgs": {"action/FollowPath.action": FOLLOW_PATH, "msg/SpeedLimit.msg": SPEED_LIMIT},
    "bond": {"msg/Status.msg": BOND_STATUS},
    "trajectory_msgs": {
        "msg/MultiDOFJointTrajectory.msg": TRAJECTORY,
        "msg/MultiDOFJointTrajectoryPoint.msg": POINT,
    },
}

_CMAKE = """\
cmake_minimum_required(VERSION 3.20)
project({name})
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(std_msgs REQUIRED)
find_package(nav_msgs REQUIRED)
find_package(geometry_msgs REQUIRED)
find_package(builtin_interfaces REQUIRED)
rosidl_generate_interfaces({name} {files} DEPENDENCIES std_msgs nav_msgs geometry_msgs builtin_interfaces)
get_directory_property(targets IMPORTED_TARGETS)
foreach(target IN LISTS targets)
  get_target_property(folders ${{target}} INTERFACE_INCLUDE_DIRECTORIES)
  if(NOT folders)
    continue()
  endif()
  set(usable "")
  foreach(folder IN LISTS folders)
    if(folder MATCHES "\\\\$<" OR EXISTS "${{folder}}")
      list(APPEND usable "${{folder}}")
    endif()
  endforeach()
  set_target_properties(${{target}} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${{usable}}")
endforeach()
ament_package()
"""
_MANIFEST = """\
<package format="3">
  <name>{name}</name><version>0.0.0</version><description>For a test.</description>
  <maintainer email="nobody@example.invalid">nobody</maintainer><license>None</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>std_msgs</depend><depend>nav_msgs</depend><depend>action_msgs</depend>
  <depend>geometry_msgs</depend><depend>builtin_interfaces</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""


@attrs.frozen
class Interfaces:
    """Where generated packages lie.

    Attributes:
        prefix: of their installation.
    """

    prefix: Path

    @property
    def packages(self) -> Path:
        """Folder of the Python packages."""
        (folder,) = self.prefix.glob("**/*-packages")
        return folder

    def environment(self) -> dict[str, str]:
        """For a process that is to find them."""
        lists = {
            "PYTHONPATH": self.packages,
            "LD_LIBRARY_PATH": self.prefix / "lib",
            "AMENT_PREFIX_PATH": self.prefix,
        }
        joined = {name: os.pathsep.join([str(p), os.environ.get(name, "")]) for name, p in lists.items()}
        return os.environ | joined

    def load(self) -> None:
        """Let this process find them; their libraries stay loaded."""
        sys.path.insert(0, str(self.packages))
        pending = sorted((self.prefix / "lib").glob("*.so"))
        while pending:
            left = []
            for library in pending:
                try:
                    ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
                except OSError:  # one that it needs comes later
                    left.append(library)
            assert len(left) < len(pending), f"cannot be loaded: {left}"
            pending = left

    def unload(self) -> None:
        """Let this process find them no more."""
        sys.path.remove(str(self.packages))
        for name in [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
            del sys.modules[name]


def generate(folder: Path) -> Interfaces:
    """Build the packages below ``folder``, as ``CMakeLists.txt`` does our own."""
    import ament_package

    origin = Path(ament_package.__file__).resolve()
    ament = next(p for p in origin.parents if (p / "share" / "ament_cmake_core").is_dir())
    prefix = folder / "prefix"
    lists = {"AMENT_PREFIX_PATH": ament, "CMAKE_PREFIX_PATH": ament, "LD_LIBRARY_PATH": ament / "lib"}
    environment = os.environ | {
        name: os.pathsep.join([str(path), os.environ.get(name, "")]) for name, path in lists.items()
    }
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for name, files in PACKAGES.items():
        source = folder / name
        for path, text in files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
        (source / "CMakeLists.txt").write_text(_CMAKE.format(name=name, files=" ".join(files)))
        (source / "package.xml").write_text(_MANIFEST.format(name=name))
        generator = ["-G", "Ninja"] if shutil.which("ninja", path=environment["PATH"]) else []
        for command in (
            [
                *("cmake", "-S", source, "-B", source / "build", *generator, "-DBUILD_TESTING=OFF"),
                *(f"-DCMAKE_INSTALL_PREFIX={prefix}", f"-DPython3_EXECUTABLE={sys.executable}"),
                f"-DCMAKE_INSTALL_RPATH={prefix / 'lib'};{ament / 'lib'}",
            ],
            ["cmake", "--build", source / "build"],
            ["cmake", "--install", source / "build"],
        ):
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return Interfaces(prefix)
