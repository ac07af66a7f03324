"""The machine and its environment: versions, ROS, compiled kernels, processor, clock.

What may be missing is imported while it is looked for, and not before.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import attrs

from .finding import Finding, note, ok, wrong

REQUIRED = {
    "attrs": "23.2",
    "click": "8",
    "llvmlite": "0.43",
    "matplotlib": "3.6.3",
    "numba": "0.60",
    "numpy": "1.26.4",
    "pyyaml": "6.0.1",
    "rich": "13",
    "safetensors": "0.4.5",
}
"""Lowest versions, as pyproject.toml has them."""

MODULES = {"attrs": "attr", "pyyaml": "yaml"}  # where the import has another name

DISTRIBUTIONS = ("jazzy", "kilted")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PYTHON = (3, 10)
_DOMAINS = 232
_BUILT = 1_735_689_600.0  # [s] 2025-01-01: no clock that was ever set is before it
_START = "about a minute"  # to compile the kernels
_BUILD = "make setup; or colcon build --packages-select mppi_maml_ros && source install/setup.bash"


@attrs.frozen
class Machine:
    """What there is.

    Attributes:
        python: version.
        versions: installed, by distribution; None: not installed.
        broken: why those cannot be imported that are installed and cannot.
        distribution, domain: ROS_DISTRO and ROS_DOMAIN_ID, empty where they are not set.
        rclpy, interfaces: why they cannot be imported; empty where they can.
        cache: first folder that can be written for compiled kernels; None: there is none.
        compiled: kernels lie there.
        cores: that this process may use.
        governors: of the processor's frequency.
        threads: environment variables that bound threads of numerical libraries.
        clock: system time [s].
    """

    python: tuple[int, ...]
    versions: Mapping[str, str | None]
    broken: Mapping[str, str] = attrs.field(factory=dict)
    distribution: str = ""
    domain: str = ""
    rclpy: str = ""
    interfaces: str = ""
    cache: Path | None = None
    compiled: bool = False
    cores: int = 1
    governors: frozenset[str] = frozenset()
    threads: Mapping[str, str] = attrs.field(factory=dict)
    clock: float = _BUILT

    @property
    def can_listen(self) -> bool:
        """What hears and judges topics is there."""
        return not (self.rclpy or self.broken or None in self.versions.values())


def this_machine() -> Machine:
    """The machine that this runs on."""
    versions = {name: _version(name) for name in REQUIRED}
    tried = {name: _why_not(MODULES.get(name, name)) for name, version in versions.items() if version}
    cache, compiled = (None, False) if any(tried.values()) else _kept_kernels()
    governors = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return Machine(
        python=tuple(sys.version_info[:3]),
        versions=versions,
        broken={name: why for name, why in tried.items() if why},
        distribution=os.environ.get("ROS_DISTRO", ""),
        domain=os.environ.get("ROS_DOMAIN_ID", ""),
        rclpy=_why_not("rclpy"),
        interfaces=_why_not("mppi_maml_ros.msg", "ControllerStatus"),
        cache=cache,
        compiled=compiled,
        cores=len(os.sched_getaffinity(0)),
        governors=frozenset(path.read_text().strip() for path in governors),
        threads={name: os.environ[name] for name in THREADS if name in os.environ},
        clock=time.time(),
    )


def _kept_kernels() -> tuple[Path | None, bool]:
    """First folder that can be written for kernels, and whether kernels of these sources lie anywhere."""
    from ..core.kernels import cache

    kernel = Path(cache.__file__).resolve().parents[2] / "mppi" / "sampling.py"  # any that has kernels
    folders, name = list(cache.folders(kernel)), f"{kernel.stem}.*-{cache.stamp(kernel)[:16]}-*.nbi"
    compiled = any(next(folder.glob(name), None) for folder in folders)
    return next(filter(_can_be_written, folders), None), compiled


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _why_not(module: str, message: str = "") -> str:
    """Why a module cannot be imported, or a message's shared libraries not be loaded; empty: they can."""
    try:
        found = importlib.import_module(module)
        if message:
            kind = type(getattr(found, message))
            kind.__import_type_support__()
            if kind._TYPE_SUPPORT is None:
                return f"the shared libraries of {module} cannot be loaded"
    except Exception as error:  # noqa: BLE001 - whatever is raised is what the user has to know
        return f"{type(error).__name__}: {error}"
    return ""


def _can_be_written(folder: Path) -> bool:
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def judge_machine(machine: Machine) -> list[Finding]:
    """What is to be said of a machine, with and without fault."""
    return [
        _python(machine),
        *_packages(machine),
        *_ros(machine),
        *_kernels(machine),
        *_processor(machine),
        _clock(machine),
    ]


def _python(machine: Machine) -> Finding:
    version = ".".join(map(str, machine.python))
    if machine.python[:2] < _PYTHON:
        least = ".".join(map(str, _PYTHON))
        return wrong(
            "python", f"Python is {version}, {least} or newer is needed", "make PYTHON=/path/to/python3"
        )
    return ok("python", version)


def _packages(machine: Machine) -> list[Finding]:
    found = [
        wrong("packages", f"{name} cannot be imported ({why})", f"pip install --force-reinstall {name}")
        for name, why in machine.broken.items()
    ]
    for name, least in REQUIRED.items():
        version = machine.versions.get(name)
        if version is None or _numbers(version) < _numbers(least):
            says = f"{name} is {version or 'not installed'}, {least} or newer is needed"
            found.append(
                wrong("packages", says, f"pip install '{name}>={least}' in the environment of the build")
            )
    if not found:
        named = (f"{name} {machine.versions[name]}" for name in ("numpy", "numba"))
        found.append(ok("packages", ", ".join(named)))
    return found


def _ros(machine: Machine) -> list[Finding]:
    name, found = machine.distribution, []
    if machine.rclpy:
        source = f"source /opt/ros/{name or DISTRIBUTIONS[0]}/setup.bash; or make setup"
        found.append(wrong("ros", f"rclpy cannot be imported ({machine.rclpy})", source))
    elif name and name not in DISTRIBUTIONS:
        found.append(note("ros", f"ROS 2 {name}: tested with {' and '.join(DISTRIBUTIONS)}"))
    else:
        found.append(ok("ros", f"ROS 2 {name}" if name else "rclpy; ROS_DISTRO is not set"))
    if not machine.rclpy:
        found.append(
            wrong("interfaces", f"our messages cannot be used ({machine.interfaces})", _BUILD)
            if machine.interfaces
            else ok("interfaces", "built")
        )
    domain = machine.domain or "0"
    if not (domain.isdecimal() and int(domain) <= _DOMAINS):
        says = f"ROS_DOMAIN_ID is {domain!r}, allowed is 0 to {_DOMAINS}"
        found.append(wrong("domain", says, "export ROS_DOMAIN_ID=0, as on the robot"))
    else:
        found.append(ok("domain", f"ROS_DOMAIN_ID {domain}"))
    return found


def _kernels(machine: Machine) -> list[Finding]:
    if machine.broken or machine.versions.get("numba") is None:
        return []
    warm = "python3 -m mppi_maml_ros.warm_up"
    if machine.compiled:
        return [ok("kernels", "compiled")]
    if machine.cache is None:
        says = f"no folder can be written for compiled kernels: each start takes {_START}"
        return [wrong("kernels", says, f"export NUMBA_CACHE_DIR=FOLDER; or {warm} as the package's owner")]
    return [note("kernels", f"not compiled yet: the first start takes {_START}", warm)]


def _processor(machine: Machine) -> list[Finding]:
    found = []
    if machine.cores < 2:
        says = "one core for controller and adaptation: control may run late"
        found.append(
            note("processor", says, "fewer batch_size or time_steps; see tuning in the documentation")
        )
    slow = machine.governors & {"powersave", "conservative"}
    if slow:
        says = f"the processor's frequency is governed by {', '.join(sorted(slow))}"
        found.append(note("processor", says, "sudo cpupower frequency-set --governor performance"))
    for name, value in machine.threads.items():
        if not (value.isdecimal() and int(value) == 1):
            says = f"{name} is {value}: threads of numerical libraries wait for each other"
            found.append(note("processor", says, f"export {name}=1"))
    return found or [ok("processor", f"{machine.cores} cores")]


def _clock(machine: Machine) -> Finding:
    if machine.clock < _BUILT:
        day = time.strftime("%Y-%m-%d", time.gmtime(machine.clock))
        return wrong("clock", f"the system clock says {day}: it was never set", "sudo apt install chrony")
    return ok("clock", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(machine.clock)))
