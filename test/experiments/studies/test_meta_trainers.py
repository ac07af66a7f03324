"""What ``mppi-maml meta-compare`` says is what was measured."""

import numpy as np
import pytest

pytest.importorskip("torch")

from mppi_maml_ros.experiments.studies import meta_trainers as comparison
from mppi_maml_ros.simulation.worlds import WORLD_NAMES, make_world
from mppi_maml_ros.weights.meta_model import PACKAGED, MetaModel


def rows_of(errors):
    """One row for each (world, seed, model, error)."""
    return [{"world": w, "seed": s, "model": m, "one_step": e} for w, s, m, e in errors]


def test_the_ratio_is_paired_by_world_and_seed():
    rows = rows_of(
        (world, seed, model, base * factor)
        for world, base in (("a", 1.0), ("b", 50.0))
        for seed in (3, 4)
        for model, factor in (("good", 1.0 + seed), ("bad", 2.0 * (1.0 + seed)))
    )
    found = comparison.paired(rows, "good", "bad", "one_step")
    assert (found["ratio"], found["ci95"]) == (2.0, [2.0, 2.0])
    assert (found["wins"], found["runs"]) == (4, 4)
    assert comparison.paired(rows, "bad", "good", "one_step")["wins"] == 0


def test_the_interval_is_over_seeds():
    rows = rows_of(
        (world, seed, model, error)
        for world in "abcdefgh"
        for seed in range(10)
        for model, error in (
            ("good", 1.0),
            ("bad", 4.0 if seed % 2 else 1.0),
        )  # alike in all worlds of a seed
    )
    found = comparison.paired(rows, "good", "bad", "one_step")
    half = 2.262 * np.log(2.0) * np.sqrt(10 / 9) / np.sqrt(10)
    assert found["ratio"] == 2.0
    assert found["ci95"] == pytest.approx([2.0 * np.exp(-half), 2.0 * np.exp(half)], abs=2e-3)


@pytest.mark.parametrize("freedom, quantile", [(4, 2.776), (9, 2.262), (19, 2.093), (1000, 1.962)])
def test_the_quantile_of_students_t_is_that_of_the_tables(freedom, quantile):
    assert comparison.student_t(freedom) == pytest.approx(quantile, abs=2e-3)


def test_the_changing_worlds_are_all_those_that_change():
    worlds = {name: make_world(name, 0, duration=comparison.DURATION) for name in WORLD_NAMES}
    changing = {name for name, w in worlds.items() if w.disturbances or w.parameters.battery_sag > 0.0}
    assert set(comparison.CHANGING) == changing


def test_a_run_says_when_its_world_changes_for_good_and_zero_where_it_never_stays():
    data, change = comparison.record_run("friction_step", 0)
    assert change == 10.0 and data.stamps[-1] == pytest.approx(comparison.DURATION, abs=0.2)
    assert comparison.record_run("battery_sag", 0)[1] == 0.0


def test_held_out_gains_are_differences_in_the_same_worlds_and_the_tables_hold_them():
    result = comparison.held_out(50, 10, 12, names=("reptile", "grbal", "supervised"))
    for row in result.values():
        for kind in comparison.CONTEXTS:
            part = row[kind]
            assert part["gain_on_start"][0] == pytest.approx(
                part["start"][0] - part["adapted"][0], abs=2.1e-5
            )
            start = result["supervised"][kind]["start"][0]
            assert part["gain_on_supervised"][0] == pytest.approx(start - part["adapted"][0], abs=2.1e-5)
    page = comparison._markdown({"command": "x", "worlds": 12, "iterations": 10, "held_out": result})
    assert page.count("| reptile |") == len(comparison.CONTEXTS)
    assert "{:.4f} ± {:.4f}".format(*result["reptile"]["next"]["gain_on_supervised"]) in page


def test_models_are_judged_on_the_same_run_and_dynamic_evaluation_is_not_the_plain_net(monkeypatch):
    monkeypatch.setattr(comparison, "DURATION", 8.0)
    rows = comparison.changing_worlds(MetaModel.load(PACKAGED), [100], ("payload",), ("mb", "mb+de"))
    assert [row["model"] for row in rows] == ["mb", "mb+de"]
    assert rows[0]["change"] == rows[1]["change"] and rows[0]["one_step"] != rows[1]["one_step"]
    assert all(np.isfinite([row["ahead_m"], row["ahead_m_after"]]).all() for row in rows)
    assert "mb+de against mb" in comparison._markdown({"command": "x", "changing": rows})
