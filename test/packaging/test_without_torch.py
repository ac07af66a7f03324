"""Driving and adapting need no torch, and what does need it says how to get it.

The demo runs without torch in test/system/test_demo.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mppi_maml_ros.core.errors import NEEDS_TORCH

ROBOT = (
    "core",
    "references",
    "safety",
    "simulation",
    "weights",
    "ros",
    "control",
    "adaptation",
    "nodes",
    "system",
)


@pytest.fixture
def run(root: Path, tmp_path: Path):
    """Runs code where torch cannot be imported."""
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(name='torch')\n")
    search = os.pathsep.join([str(tmp_path), str(root), os.environ.get("PYTHONPATH", "")])

    def start(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": search},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return start


def test_the_rooms_of_the_robot_are_imported(run, root: Path) -> None:
    pytest.importorskip("rclpy")
    files = [file for room in ROBOT for file in (root / "mppi_maml_ros" / room).rglob("*.py")]
    names = [".".join(file.relative_to(root).with_suffix("").parts) for file in files]
    found = run("\n".join(f"import {name.removesuffix('.__init__')}" for name in names))
    assert len(names) > 100 and found.returncode == 0, found.stderr


@pytest.mark.parametrize("command", ["meta-train", "meta-compare", "sinusoid", "compare"])
def test_a_command_that_needs_torch_says_so(run, command: str) -> None:
    found = run(f"from mppi_maml_ros.cli import main; raise SystemExit(main([{command!r}]))")
    assert (found.returncode, found.stderr) == (1, f"error: {NEEDS_TORCH}\n")


@pytest.mark.parametrize(
    "code",
    [
        "from mppi_maml_ros.mppi.rollouts.backends import rollout_on; rollout_on('cuda')",
        "from mppi_maml_ros.nodes.meta_trainer import train; train({}, None, None)",
    ],
)
def test_what_needs_torch_raises_an_error_that_says_so(run, code: str) -> None:
    pytest.importorskip("rclpy")
    found = run(code)
    last = found.stderr.strip().splitlines()[-1]
    assert found.returncode and last.startswith("mppi_maml_ros.core.errors.") and NEEDS_TORCH in last
