"""Processes are started apart, watched, and all ended."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mppi_maml_ros.system import processes
from mppi_maml_ros.system.processes import (
    NotInstalledError,
    ProcessDiedError,
    ProcessGroup,
    config_file,
    executable,
    private_domain,
    ros_environment,
)

POLITE = "import signal, sys, time; signal.signal(signal.SIGINT, lambda *_: sys.exit(0))"
STUBBORN = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)]"
LIVE = "; print('ready', flush=True); time.sleep(60)"


@pytest.fixture
def group(tmp_path):
    with ProcessGroup(os.environ, tmp_path) as group:
        yield group


def start(group, code, name="child"):
    process = group.start(name, [sys.executable, "-c", code])
    deadline = time.monotonic() + 20.0
    while "ready" not in process.tail():
        assert process.returncode is None and time.monotonic() < deadline, process.tail()
        time.sleep(0.01)
    return process


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_interrupt_ends_a_polite_process_with_code_0(group):
    process = start(group, POLITE + LIVE)
    assert group.stop() == {"child": 0}
    assert gone(process.pid)


def test_stubborn_process_is_killed_in_the_end(group, monkeypatch):
    monkeypatch.setattr(processes, "INTERRUPT_TIMEOUT", 0.1)
    monkeypatch.setattr(processes, "TERMINATE_TIMEOUT", 0.1)
    process = start(group, STUBBORN + LIVE)
    assert group.stop() == {"child": -signal.SIGKILL}
    assert gone(process.pid)


def test_interrupt_is_not_inherited_as_ignored(group):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        start(
            group,
            "import signal, time; assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
            + LIVE,
        )
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform != "linux", reason="a parent's death is told by Linux alone")
def test_nobody_is_left_behind_by_a_parent_that_is_killed(tmp_path):
    code = f"""
import os, pathlib, sys, time
from mppi_maml_ros.system.processes import NodeProcess
command = [sys.executable, "-c", {POLITE + LIVE!r}]
process = NodeProcess("child", command, os.environ, pathlib.Path({str(tmp_path)!r}))
while "ready" not in process.tail():
    time.sleep(0.01)
print(process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.kill()
    deadline = time.monotonic() + 20.0
    while not (gone(child) or "State:\tZ" in Path(f"/proc/{child}/status").read_text()):  # or not yet reaped
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_process_has_a_session_of_its_own(group):
    process = start(group, POLITE + LIVE)
    assert os.getsid(process.pid) == process.pid != os.getsid(0)


def test_death_is_reported_with_the_end_of_the_log(group):
    process = group.start("child", [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"])
    process.wait(20.0)
    with pytest.raises(ProcessDiedError, match="child ended with code 3(?s:.*)the reason"):
        group.check()


def test_errors_in_a_log_are_found(group):
    process = group.start("child", [sys.executable, "-c", "print('[INFO] [1] a'); print('[ERROR] [2] b')"])
    process.wait(20.0)
    assert process.errors() == ["[ERROR] [2] b"]


def test_death_by_a_signal_is_named(group):
    process = start(group, POLITE + LIVE)
    process.send(signal.SIGKILL)
    process.wait(20.0)
    with pytest.raises(ProcessDiedError, match="SIGKILL"):
        group.check()


def test_leaving_the_group_by_an_exception_ends_every_process(tmp_path):
    with pytest.raises(RuntimeError), ProcessGroup(os.environ, tmp_path) as group:
        pids = [start(group, POLITE + LIVE, name).pid for name in ("one", "two")]
        raise RuntimeError
    assert all(map(gone, pids))


def test_second_interrupt_does_not_end_the_cleanup(group):
    code = "import signal, sys, time; signal.signal(signal.SIGINT, lambda *_: (time.sleep(0.3), sys.exit(0)))"
    process = start(group, code + LIVE)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    assert group.stop() == {"child": 0}
    timer.join()
    assert gone(process.pid)
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_two_private_domains_differ():
    with private_domain() as first, private_domain() as second:
        assert first != second
        assert {first, second} <= set(processes.DOMAINS)


def test_domain_that_someone_uses_is_not_taken(monkeypatch):
    with private_domain() as free:
        pass
    monkeypatch.setattr(processes, "_busy_domains", lambda: set(processes.DOMAINS) - {free})
    with private_domain() as domain:
        assert domain == free


def test_environment_hears_this_machine_only(tmp_path, monkeypatch):
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    environment = ros_environment(17, tmp_path)
    assert environment["ROS_DOMAIN_ID"] == "17"
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert environment["ROS_LOG_DIR"].startswith(str(tmp_path))
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in environment


def test_executable_is_found_in_the_ament_prefix(tmp_path, monkeypatch):
    path = tmp_path / "lib" / "mppi_maml_ros" / "some_node"
    path.parent.mkdir(parents=True)
    path.write_text("")
    path.chmod(0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert executable("some_node") == path


def test_what_is_not_installed_is_named():
    with pytest.raises(NotInstalledError, match="no_such_node.*make setup"):
        executable("no_such_node")
    with pytest.raises(NotInstalledError, match="no_such.yaml"):
        config_file("no_such.yaml")


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (1.0, "1.0"), (1e-9, "1e-09"), (2, "2"), ("circle", "circle"), ([1.0, 0], "[1.0, 0]")],
)
def test_parameters_keep_their_type_on_the_command_line(value, text):
    import yaml

    assert processes._yaml(value) == text
    if not isinstance(value, float) or "e" not in text:
        assert type(yaml.safe_load(processes._yaml(value))) is type(value)
