"""``mppi-maml demo``, as a user runs it."""

import json
import os
import signal
import time

import pytest

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def start_demo(start_command, root, tmp_path):
    """Starts the demo, in which no process can import torch."""
    temporary, blocked = tmp_path / "temporary", tmp_path / "blocked"
    temporary.mkdir()
    blocked.mkdir()
    (blocked / "torch.py").write_text("raise ModuleNotFoundError(name='torch')\n")
    search = os.pathsep.join([str(blocked), str(root), os.environ.get("PYTHONPATH", "")])

    def start(*arguments):
        folder = str(tmp_path / "report")
        return start_command("demo", "--out", folder, *arguments, TMPDIR=str(temporary), PYTHONPATH=search)

    return start


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


def test_demo_reports_without_torch_and_leaves_nothing_behind(start_demo, demo_keys, tmp_path):
    demo = start_demo("--duration", "8", "--seed", "2")
    output, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, output
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert demo_keys <= set(summary)
    assert summary["seed"] == 2
    assert summary["swaps_accepted"] >= 1
    assert 0.0 < summary["rmse_adaptive"] < summary["rmse_kinematic"]
    assert 0.0 < summary["control_ms_p50"] <= summary["control_ms_p99"]
    assert (tmp_path / "report" / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["demo.png", "summary.json"]
    assert list((tmp_path / "temporary").iterdir()) == []
    assert left_running(tmp_path) == []


def test_interrupted_demo_ends_its_nodes(start_demo, tmp_path):
    demo = start_demo()
    deadline = time.monotonic() + 60.0
    while len(left_running(tmp_path / "temporary")) < 2:
        assert demo.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, output
    assert list((tmp_path / "temporary").iterdir()) == []
    assert left_running(tmp_path) == []
