"""The parts of the benchmarks that decide and write; what they measure is not tested."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def check(tmp_path, monkeypatch):
    module = load("check")
    monkeypatch.setattr(module, "REFERENCE", tmp_path / "reference.json")
    (tmp_path / "reference.json").write_text(json.dumps({"kinematic, 1000 x 56": 10.0}))

    def run(ratio):
        rows = [{"model": "kinematic", "K": 1000, "N": 56, "ratio": ratio}]
        (tmp_path / "mppi.json").write_text(json.dumps({"rows": rows}))
        return CliRunner().invoke(module.main, [str(tmp_path / "mppi.json"), "--tolerance", "0.3"])

    return run


@pytest.mark.parametrize(
    "ratio, code", [(12.0, 0), (10.0, 0), (7.1, 0), (6.9, 1), (0.0, 1), (float("nan"), 1)]
)
def test_a_ratio_well_below_the_reference_fails_the_check(check, ratio, code):
    result = check(ratio)
    assert result.exit_code == code, result.output
    assert ("slower: kinematic, 1000 x 56" in result.output) == (code == 1)


def test_results_without_a_known_ratio_fail_the_check(check, tmp_path):
    (tmp_path / "reference.json").write_text("{}")
    assert check(10.0).exit_code == 1


def test_the_page_of_figures_is_what_the_command_makes_of_the_committed_results(tmp_path):
    out = tmp_path / "performance.md"
    folder = str(ROOT / "docs" / "results")
    result = CliRunner().invoke(load("report").main, [folder, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert out.read_text() == (ROOT / "docs" / "performance.md").read_text()


def test_every_committed_ratio_is_one_that_a_benchmark_reports():
    ratios = load("check").ratios
    reported = {}
    for name in ("mppi", "critics", "adaptation", "attempt"):
        reported |= ratios(json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text()))
    assert json.loads((ROOT / "benchmarks" / "reference.json").read_text()).keys() == reported.keys()


def test_the_table_of_a_board_needs_no_torch(tmp_path):
    code = "import sys; sys.modules['torch'] = None; sys.path[:0] = 'benchmarks',; import board; board.main()"
    command = [
        sys.executable,
        "-c",
        code,
        "--rounds",
        "2",
        "--attempts",
        "1",
        "--json",
        tmp_path / "board.json",
    ]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    times = json.loads((tmp_path / "board.json").read_text())["cpu_ms"]
    steps = {"kinematic", "kinematic, 7 critics", "learned", "learned, 7 critics"}
    assert set(times) == steps | {"draw the samples", "attempt to adapt", "sample of odometry"}
    assert all(ms > 0.0 for ms in times.values())
    for name in times:
        assert name in found.stdout
