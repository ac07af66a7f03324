"""Starts the installed executables as processes of their own, and ends every one of them.

Each process gets a session (and with it a process group) of its own, so that Ctrl-C in the
terminal reaches the parent only, which then ends its children in order: SIGINT, which nodes
answer by stopping the robot, SIGTERM when they do not, SIGKILL as the last resort. When the parent
is killed itself, Linux interrupts them in its place, so that nobody is left behind who commands a robot.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import MppiMamlError

PACKAGE = "mppi_maml_ros"
INTERRUPT_TIMEOUT = 6.0  # [s] from SIGINT to SIGTERM
TERMINATE_TIMEOUT = 3.0  # [s] from SIGTERM to SIGKILL
KILL_TIMEOUT = 5.0  # [s] for the kernel to reap
DOMAINS = range(1, 102)  # ports of higher domains overlap the range of ephemeral ports
_HEARING = ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOG_DIR", "ROS_LOCALHOST_ONLY")
_SET_PARENT_DEATH_SIGNAL = 1  # prctl(2)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # a child between fork and exec loads nothing
_PORT_BASE, _PORTS_PER_DOMAIN = 7400, 250  # RTPS 2.2, 9.6.1.1


class NotInstalledError(MppiMamlError):
    """An executable or a configuration file of this package is nowhere to be found."""


class ProcessDiedError(MppiMamlError):
    """A process ended although nobody asked it to; the message holds the end of its log."""


def prefixes() -> Iterator[Path]:
    """Folders that may be this package's install prefix, the likeliest first."""
    yield from Path(__file__).resolve().parents
    yield from map(Path, filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)))
    yield Path(sys.prefix)


def executable(name: str) -> Path:
    """The installed executable of a node.

    Raises:
        NotInstalledError: no prefix holds it.
    """
    for prefix in prefixes():
        path = prefix / "lib" / PACKAGE / name
        if os.access(path, os.X_OK) and path.is_file():
            return path
    raise NotInstalledError(
        f"no executable lib/{PACKAGE}/{name} found: run `make setup`, or build and source the workspace"
    )


def config_file(name: str) -> Path:
    """A file of ``config/``, from where the package is installed, else from the source tree.

    Raises:
        NotInstalledError: neither holds it.
    """
    folders = [prefix / "share" / PACKAGE / "config" for prefix in prefixes()]
    folders.append(Path(__file__).resolve().parents[2] / "config")
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise NotInstalledError(f"no configuration file {name} in share/{PACKAGE}/config: run `make setup`")


def _busy_domains() -> set[int]:
    """Domains with a UDP port in use on this machine; empty where the kernel does not tell."""
    busy = set()
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        with contextlib.suppress(OSError), open(table) as lines:
            for line in list(lines)[1:]:
                port = int(line.split()[1].rsplit(":", 1)[1], 16)
                busy.add((port - _PORT_BASE) // _PORTS_PER_DOMAIN)
    return busy


@contextlib.contextmanager
def private_domain() -> Iterator[int]:
    """Reserve a DDS domain that nobody on this machine uses, for as long as the context lasts.

    The reservation is a socket name that vanishes with the process; no file is made.

    Raises:
        MppiMamlError: every domain is taken.
    """
    busy = _busy_domains()
    candidates = [domain for domain in DOMAINS if domain not in busy]
    random.shuffle(candidates)
    for domain in candidates:
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with reservation:
            try:
                reservation.bind(f"\0{PACKAGE}/domain/{domain}")
            except OSError:
                continue
            yield domain
            return
    raise MppiMamlError(f"all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are in use on this machine")


def ros_environment(domain: int, log_folder: Path) -> dict[str, str]:
    """Environment in which a node hears this machine and this domain only."""
    environment = dict(os.environ)
    # The bootstrap of the ROS wheels takes an inherited mark for its own.
    environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    environment.pop("ROS_LOCALHOST_ONLY", None)
    environment.update(
        ROS_DOMAIN_ID=str(domain),
        ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
        ROS_LOG_DIR=str(log_folder / "ros"),
        PYTHONUNBUFFERED="1",
    )
    return environment


@contextlib.contextmanager
def listening_in(environment: Mapping[str, str]) -> Iterator[None]:
    """This process hears what processes with ``environment`` say, for as long as the context lasts."""
    before = {name: os.environ.get(name) for name in _HEARING}
    _put(environment)
    try:
        yield
    finally:
        _put(before)


def _put(environment: Mapping[str, str | None]) -> None:
    for name in _HEARING:
        value = environment.get(name)
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextlib.contextmanager
def default_interrupt() -> Iterator[None]:
    """Processes started within answer SIGINT, even when this one ignores it.

    A shell without job control starts background jobs with SIGINT ignored, and children inherit
    that; a handler, in contrast, becomes the default at exec. Without effect outside the main thread.
    """
    try:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        if ignored:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:  # not the main thread
        ignored = False
    try:
        yield
    finally:
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """An impatient second Ctrl-C does not end the cleanup; it is bounded in time anyway."""
    try:
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread, which is the one that Ctrl-C interrupts
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _die_with_parent() -> None:
    """In a child of Linux: an interrupt when the thread that started it ends; elsewhere nothing."""
    if _LIBC is not None:
        _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGINT)


class NodeProcess:
    """One running executable whose output goes to a file.

    Args:
        name: for messages and the log's file name.
        command: program and arguments.
        environment: of the process.
        log_folder: where ``<name>.log`` is written.
    """

    def __init__(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], log_folder: Path
    ) -> None:
        self.name = name
        self.log = log_folder / f"{name}.log"
        with open(self.log, "ab") as log, default_interrupt():
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=log_folder,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    @property
    def pid(self) -> int:
        """Process id, which is the id of its group too."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, the negative signal number, or None while it runs."""
        return self._process.poll()

    def send(self, number: int) -> None:
        """Send a signal to the whole process group; no error when it is gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def wait(self, timeout: float) -> int | None:
        """Exit code, or None when it still runs after ``timeout`` [s]."""
        try:
            return self._process.wait(max(timeout, 0.0))
        except subprocess.TimeoutExpired:
            return None

    def tail(self, lines: int = 20) -> str:
        """The end of its output."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def errors(self) -> list[str]:
        """Lines that a node logged as an error."""
        return [line for line in self.tail(10_000).splitlines() if line.startswith(("[ERROR]", "[FATAL]"))]

    def complaint(self) -> str:
        """How it ended, with the end of its output."""
        code = self.returncode
        how = (
            f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with code {code}"
        )
        return f"{self.name} {how}; the end of its log:\n{self.tail()}"


class ProcessGroup:
    """Processes that live and end together.

    Args:
        environment: of every process.
        log_folder: where their output goes.
    """

    def __init__(self, environment: Mapping[str, str], log_folder: Path) -> None:
        self._environment = environment
        self._log_folder = log_folder
        self.members: dict[str, NodeProcess] = {}

    def start(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> NodeProcess:
        """Start ``command`` as ``name``; ``environment`` adds to the group's. Returns the process."""
        merged = {**self._environment, **(environment or {})}
        self.members[name] = NodeProcess(name, command, merged, self._log_folder)
        return self.members[name]

    def start_node(
        self, name: str, params_files: Sequence[Path] = (), parameters: Mapping[str, Any] | None = None
    ) -> NodeProcess:
        """Start the installed executable ``name``; single ``parameters`` win over the files."""
        command: list[str | Path] = [executable(name), "--ros-args"]
        for path in params_files:
            command += ["--params-file", path]
        for key, value in (parameters or {}).items():
            command += ["-p", f"{key}:={_yaml(value)}"]
        return self.start(name, command)

    def check(self) -> None:
        """Raises :class:`ProcessDiedError` when a process is no longer there."""
        for process in self.members.values():
            if process.returncode is not None:
                raise ProcessDiedError(process.complaint())

    def stop(self) -> dict[str, int | None]:
        """End all processes that still run and wait for them; exit codes by name."""
        with _undisturbed():
            return self._stop()

    def _stop(self) -> dict[str, int | None]:
        stages = (
            (signal.SIGINT, INTERRUPT_TIMEOUT),
            (signal.SIGTERM, TERMINATE_TIMEOUT),
            (signal.SIGKILL, KILL_TIMEOUT),
        )
        for number, timeout in stages:
            running = [process for process in self.members.values() if process.returncode is None]
            for process in running:
                process.send(number)
            deadline = time.monotonic() + timeout
            for process in running:
                process.wait(deadline - time.monotonic())
        for process in self.members.values():
            process.send(signal.SIGKILL)  # what a member may have left in its group
        return {name: process.returncode for name, process in self.members.items()}

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = repr(value)
        return text if any(mark in text for mark in ".en") else f"{text}.0"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    return str(value)
