"""What is driven before anything is learned."""

from __future__ import annotations

import itertools
import json
import math

import attrs
import numpy as np
import pytest

from mppi_maml_ros.control.loop import ControlLoop
from mppi_maml_ros.experiments.studies import fallback
from mppi_maml_ros.mppi.critics import CRITICS

FAST = 0.55  # [m/s]


NAV2_TUNED = {  # [m] cross-track RMSE of nav2's controller tuned by hand, as measured for issue 17
    ("b", "eight", FAST): 0.011,
    ("c", "eight", FAST): 0.025,
    ("b", "corners", 0.35): 0.015,
    ("b", "corners", FAST): 0.026,
    ("c", "corners", FAST): 0.048,
}


@pytest.mark.parametrize("case", NAV2_TUNED)
def test_what_is_not_known_is_driven_as_well_as_by_a_tuned_controller(case):
    found = fallback.drive(*case, "auto", seed=3)
    assert found.rmse <= NAV2_TUNED[case]
    assert found.change_v <= 0.025 and found.change_omega <= (0.025 if case[1] == "eight" else 0.055)


@pytest.mark.parametrize("path", ["eight", "corners"])
def test_a_robot_with_lag_and_delay_does_not_swing_while_nothing_is_learned_of_it(path):
    """No more than with its very equations."""
    found, known = (fallback.drive("d", path, FAST, model, seed=3) for model in ("auto", "known"))
    assert found.rmse <= 2.0 * known.rmse
    assert found.change_omega <= 1.2 * known.change_omega


def test_with_all_critics_and_a_large_batch_a_late_robot_is_driven_as_if_it_were_known():
    mppi = attrs.evolve(fallback.MPPI, batch_size=2000, time_steps=56)
    found, known = (
        fallback.drive("d", "replans", 0.6, model, seed=3, mppi=mppi, critics=tuple(CRITICS))
        for model in ("auto", "known")
    )
    assert found.rmse <= 2.0 * known.rmse


def test_a_late_robot_swings_with_a_prior_that_is_quick():
    """What the bank is for."""
    found, typical = (fallback.drive("d", "eight", 0.6, model, seed=3) for model in ("auto", "typical"))
    assert found.rmse <= 0.1 * typical.rmse


@pytest.mark.parametrize(("path", "far"), [("eight", 0.005), ("corners", 0.011)])
def test_a_robot_that_obeys_at_once_is_driven_within_millimetres_all_the_same(path, far):
    found, known = (fallback.drive("a", path, FAST, model, seed=3) for model in ("auto", "known"))
    assert found.rmse <= min(1.5 * known.rmse + 1e-3, far)
    assert found.worst < 0.06 and math.isfinite(found.time)


@pytest.mark.parametrize("path", ["cusps", "lanes", "off"])
def test_cusps_lanes_and_a_start_off_the_path_are_driven_with_a_late_robot(path):
    found = fallback.drive("b", path, 0.45, "auto", seed=3)
    assert math.isfinite(found.time) and found.clearance > 0.0
    assert found.rmse < 0.03


def test_another_prior_serves_without_a_jump_of_the_command(monkeypatch):
    served, told, tick = [], [], ControlLoop.tick

    def watched(self, *arguments):
        output = tick(self, *arguments)
        served.append(self._bank.weights)
        told.append(output.command)
        return output

    monkeypatch.setattr(ControlLoop, "tick", watched)
    fallback.drive("c", "corners", FAST, "auto", seed=3)
    change = np.abs(np.diff(told, axis=0))
    other = np.array([a is not b for a, b in itertools.pairwise(served)])
    assert 3 <= other.sum() < 50
    assert (change[other].max(axis=0) <= change[~other].max(axis=0)).all()


def test_a_robot_that_came_to_rest_beside_a_corner_goes_on():
    found = fallback.drive("firmware3", "corners", 0.6, "auto")
    assert math.isfinite(found.time) and found.worst < 0.15


def test_cross_track_is_the_distance_to_the_path_where_it_was_followed():
    path = fallback.COURSES["eight"]().poses
    normal = np.column_stack([-np.sin(path[:, 2]), np.cos(path[:, 2])])
    np.testing.assert_allclose(fallback.cross_track(path, path[:, :2] + 0.03 * normal), 0.03, atol=2e-3)


def test_the_robots_to_train_on_are_drawn_within_their_ranges():
    drawn = [fallback.known(f"train{k}") for k in range(20)]
    lags = [[r.time_constant_v, r.time_constant_omega] for r in drawn]
    assert 0.02 <= np.min(lags) and np.max(lags) <= 0.5
    assert all(0.7 <= r.gain_v == r.gain_omega <= 1.1 and 0.0 <= r.delay <= 0.3 for r in drawn)
    assert all(v == omega for v, omega in lags[::2]) and all(v != omega for v, omega in lags[1::2])
    assert drawn[0] == fallback.known("train0") and fallback.known("firmware0") is None


def test_the_results_hold_every_drive_and_their_means_and_are_read_again(tmp_path):
    assert fallback.finished(tmp_path) == []
    one = fallback.Drive(rmse=0.01, worst=0.03, speed=0.4, change_v=0.001, change_omega=0.01, time=30.0)
    other = fallback.Drive(rmse=0.03, worst=0.05, speed=0.4, change_v=0.003, change_omega=0.03, time=30.0)
    cases = (("eight", 0.3, one), ("corners", 0.3, other), ("eight", 0.5, other))
    rows = [fallback.row_of("a", path, speed, "typical", d) for path, speed, d in cases]
    summary = fallback.write(tmp_path, rows)
    means = {"rmse": 0.02, "change_v": 0.002, "change_omega": 0.02}
    assert summary["a"]["0.3"] == {"typical": {"paths": 2} | means}
    assert summary["a"]["0.5"]["typical"]["rmse"] == 0.03
    assert json.loads((tmp_path / "fallback.json").read_text()) == summary
    lines = (tmp_path / "fallback.csv").read_text().splitlines()
    assert lines[0] == ",".join(fallback.COLUMNS) and len(lines) == 4
    assert fallback.finished(tmp_path) == rows


def test_the_tables_tell_speeds_smoothness_goals_that_were_missed_and_what_nav2_did(tmp_path):
    one = fallback.Drive(rmse=0.0104, worst=0.03, speed=0.31, change_v=0.001, change_omega=0.01, time=30.0)
    late = attrs.evolve(one, rmse=0.02, change_omega=0.04, time=math.nan)
    rows = [fallback.row_of("b", "eight", 0.3, "auto", one), fallback.row_of("b", "eight", 0.5, "auto", late)]
    rows += [fallback.row_of("a", path, 0.5, "typical", one) for path in ("off", "lanes")]
    rows.append(fallback.row_of("a", "off", 0.3, "typical", late))  # of one of its paths, which is no mean
    fallback.write(tmp_path, rows)
    lines = (tmp_path / "fallback.md").read_text().splitlines()
    assert "| b | auto | 1 | 10.4 / 20.0 | 0.31 | 0.001 | 0.010 / 0.040 | 30 / – |" in lines
    assert "| a | typical | 2 | – / 10.4 | – / 0.31 | – / 0.001 | – / 0.010 | – / 30 |" in lines
    assert (
        "| b | eight | auto | 10.4 / 20.0 | 0.31 | 0.001 | 0.010 / 0.040 | 30 / – | 24; 4.1 / 11 |" in lines
    )
    assert sum(line.startswith("| b | eight") for line in lines) == 1 and "0.3 / 0.5 m/s" in lines[2]
