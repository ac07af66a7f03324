"""What is driven before anything is learned."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mppi_maml_ros.experiments.studies import fallback

FAST = 0.55  # [m/s]


@pytest.mark.parametrize("name", ["b", "c"])
def test_robots_with_lag_and_delay_do_not_swing_while_nothing_is_known_of_them(name):
    before = fallback.drive(name, "eight", FAST, "without_rate", seed=3)
    typical = fallback.drive(name, "eight", FAST, "typical", seed=3)
    assert typical.rmse <= 0.5 * before.rmse
    assert typical.change_omega <= 0.5 * before.change_omega and typical.change_omega <= 0.025
    assert typical.change_v <= 0.025


def test_the_fallback_is_near_what_the_true_equations_can_do():
    typical, oracle = (fallback.drive("b", "corners", 0.35, model, seed=3) for model in ("typical", "oracle"))
    assert typical.rmse <= 3.0 * oracle.rmse


def test_a_robot_that_is_late_does_not_swing_when_that_is_known():
    known, oracle = (fallback.drive("d", "eight", 0.6, model, seed=3) for model in ("known", "oracle"))
    assert known.rmse <= 1.5 * oracle.rmse and known.change_omega <= 0.025


def test_a_robot_that_obeys_at_once_is_driven_within_millimetres_all_the_same():
    for path, share in (("eight", 1.1), ("corners", 2.0)):
        before, typical = (
            fallback.drive("a", path, FAST, model, seed=3) for model in ("without_rate", "typical")
        )
        assert typical.rmse <= share * before.rmse and typical.change_omega <= before.change_omega
        assert typical.worst < 0.06 and math.isfinite(typical.time)


def test_cross_track_is_the_distance_to_the_path_where_it_was_followed():
    path = fallback.eight()
    normal = np.column_stack([-np.sin(path[:, 2]), np.cos(path[:, 2])])
    np.testing.assert_allclose(fallback.cross_track(path, path[:, :2] + 0.03 * normal), 0.03, atol=2e-3)


def test_the_corners_are_right_angles():
    turns = np.diff(np.unwrap(fallback.corners()[:, 2]))
    np.testing.assert_allclose(np.abs(turns[turns != 0.0]), 0.5 * math.pi)


def test_the_results_hold_every_drive_and_their_means(tmp_path):
    one = fallback.Drive(rmse=0.01, worst=0.03, speed=0.4, change_v=0.001, change_omega=0.01, time=30.0)
    other = fallback.Drive(rmse=0.03, worst=0.05, speed=0.4, change_v=0.003, change_omega=0.03, time=30.0)
    rows = [fallback.row_of("a", "eight", speed, "typical", d) for speed, d in ((0.3, one), (0.5, other))]
    summary = fallback.write(tmp_path, rows)
    assert summary == {"a": {"typical": {"rmse": 0.02, "change_v": 0.002, "change_omega": 0.02}}}
    assert json.loads((tmp_path / "fallback.json").read_text()) == summary
    lines = (tmp_path / "fallback.csv").read_text().splitlines()
    assert lines[0] == ",".join(fallback.COLUMNS) and len(lines) == 3
