"""The study of proposals: its cases, and that the command runs it."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mppi_maml_ros import cli  # noqa: E402
from mppi_maml_ros.core import se2  # noqa: E402
from mppi_maml_ros.literature import proposal_study as study  # noqa: E402


def test_a_reference_jumps_once_and_goes_on_as_before():
    case = study.jump(np.random.default_rng(0))
    moved = np.array([se2.to_body(b, a) for a, b in zip(case.reference, case.reference[1:])])
    far = np.hypot(*moved[:, :2].T) > 0.15
    assert far.sum() <= 1 and not far[: study.SETTLED - 1].any() and not far[study.SETTLED :].any()
    assert len(case.reference) >= study.SETTLED + study.STEPS + 31


def test_discs_stand_on_the_way_but_not_where_the_robot_does():
    for seed in range(5):
        case = study.between(np.random.default_rng(seed))
        gaps = case.scene.costmap.distance_at(*case.reference[: study.STEPS, :2].T)
        assert not study._touches(case.scene.costmap, case.start)
        assert gaps.min() < study.RADIUS < gaps[0]


def test_the_same_case_costs_the_same_again():
    costs = [study.drive(study.cold(np.random.default_rng(1)), 64, 3, "mppi+trpo")[0] for _ in range(2)]
    assert costs[0] == costs[1] > 0.0


def test_the_command_runs_it(tmp_path):
    done = cli.main(["reproduce", "proposal-cold", "--scale", "0.01", "--out", str(tmp_path)])
    assert done == 0
    rows = json.loads((tmp_path / "proposal-cold.json").read_text())["rows"]
    assert [(row["method"], row["x"]) for row in rows] == [
        (m, k) for m in study.METHODS for k in study.SAMPLES
    ]
