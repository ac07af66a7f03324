"""``mppi-maml demo``, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from mppi_maml_ros.experiments.processes import default_interrupt

KEYS = (
    "rmse_kinematic",
    "rmse_adaptive",
    "control_ms_p50",
    "control_ms_p99",
    "late_fraction",
    "adapt_ms_p50",
    "swaps_accepted",
    "swaps_rejected",
    "seed",
)

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(300)]


def start_demo(root, tmp_path, *arguments):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [
        sys.executable,
        "-c",
        "import sys; from mppi_maml_ros.cli import main; sys.exit(main())",
        "demo",
    ]
    search = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": search, "TMPDIR": str(temporary), "FORCE_COLOR": "1"}
    environment.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    with default_interrupt():
        return subprocess.Popen(
            [*command, "--out", str(tmp_path / "report"), *arguments],
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def left_running(tmp_path):
    """Processes that were told to read a file of this demo."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                if str(tmp_path) in file.read() and int(pid) != os.getpid():
                    found.append(pid)
        except OSError:
            continue
    return found


def test_demo_reports_and_leaves_nothing_behind(root, tmp_path):
    demo = start_demo(root, tmp_path, "--duration", "8", "--seed", "2")
    output, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, output
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert set(KEYS) <= set(summary)
    assert summary["seed"] == 2
    assert summary["swaps_accepted"] >= 1
    assert 0.0 < summary["rmse_adaptive"] < summary["rmse_kinematic"]
    assert 0.0 < summary["control_ms_p50"] <= summary["control_ms_p99"]
    assert (tmp_path / "report" / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["demo.png", "summary.json"]
    assert list((tmp_path / "temporary").iterdir()) == []
    assert left_running(tmp_path) == []


def test_interrupted_demo_ends_its_nodes(root, tmp_path):
    demo = start_demo(root, tmp_path)
    deadline = time.monotonic() + 60.0
    while len(left_running(tmp_path / "temporary")) < 2:
        assert demo.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, output
    assert list((tmp_path / "temporary").iterdir()) == []
    assert left_running(tmp_path) == []
