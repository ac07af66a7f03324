"""What the demo is made of; the demo itself is run by test/system."""

import io
import json
import math

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.experiments import demo
from mppi_maml_ros.experiments.demo import DemoSettings, draw_world, node_parameters
from mppi_maml_ros.experiments.plots import demo_figure, learning_curves, save
from mppi_maml_ros.experiments.recording import Run
from mppi_maml_ros.simulation.parameters import WorldParameters

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


def made_up_run(offset, swaps=()):
    time = np.arange(0.0, 10.0, 0.05)
    reference = np.stack([np.cos(time), np.sin(time)], axis=-1)
    return Run(
        time=time,
        reference=reference,
        position=(1.0 + offset) * reference,
        command=np.stack([np.ones_like(time), np.sin(time)], axis=-1),
        error=np.full(len(time), offset),
        step_ms=np.full(len(time), 2.0),
        late_fraction=0.0,
        adapt_ms=np.array([20.0] * len(swaps)),
        swap_times=np.array(swaps, dtype=float),
        rejection_times=np.array([]),
        swaps_accepted=len(swaps),
        swaps_rejected=0,
        interruptions=(),
        world={},
    )


def test_world_follows_from_the_seed():
    assert draw_world(3) == draw_world(3)
    assert draw_world(3) != draw_world(4)


def test_worlds_are_far_from_nominal():
    for seed in range(20):
        world, nominal = draw_world(seed), WorldParameters()
        assert world.lag_v >= 3.0 * nominal.lag_v
        assert world.motor_gain_left <= 0.8 * nominal.motor_gain_left


def test_both_runs_get_the_same_world_and_figure():
    settings = DemoSettings(seed=2)
    kinematic, adaptive = (node_parameters(v, settings, draw_world(2)) for v in ("kinematic", "adaptive"))
    assert kinematic["dynamic_world"] == adaptive["dynamic_world"]
    different = {
        (node, name)
        for node in kinematic
        for name in kinematic[node]
        if kinematic[node][name] != adaptive[node][name]
    }
    assert different == {("mppi_controller", "model"), ("adaptation", "enabled")}


def test_summary_has_its_keys_and_is_json():
    settings = DemoSettings(seed=5)
    summary = demo.summarise(settings, draw_world(5), made_up_run(0.2), made_up_run(0.05, (3.0, 6.0)))
    assert set(KEYS) <= set(summary)
    assert summary["rmse_kinematic"] == pytest.approx(0.2)
    assert summary["improvement"] == pytest.approx(0.75)
    assert summary["swaps_accepted"] == 2
    json.loads(json.dumps(summary, allow_nan=False))


def test_summary_without_an_adaptation_is_json_too():
    summary = demo.summarise(DemoSettings(), draw_world(0), made_up_run(0.2), made_up_run(0.2))
    assert math.isnan(summary["adapt_ms_p50"])
    assert demo._without_nan(summary)["adapt_ms_p50"] is None


def test_table_shows_units_and_both_runs():
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(demo.table(made_up_run(0.2), made_up_run(0.05, (3.0,))))
    text = console.export_text()
    assert "[m]" in text and "0.2000" in text and "0.0500" in text and "1 / 0" in text


def test_headline_says_when_adaptation_made_it_worse():
    summary = demo.summarise(DemoSettings(), draw_world(0), made_up_run(0.1), made_up_run(0.2))
    assert "100% HIGHER" in demo.headline(summary)


@pytest.mark.parametrize("swaps", [(), (2.0, 4.0)])
def test_picture_is_drawn_with_and_without_swaps(tmp_path, swaps):
    figure = demo_figure(made_up_run(0.2), made_up_run(0.05, swaps), 5.0, "title", "subtitle")
    path = save(figure, tmp_path / "folder" / "demo.png")
    image = matplotlib.image.imread(path)
    assert image.shape[0] > 500 and image[..., :3].std() > 0.01
    assert [p.name for p in path.parent.iterdir()] == ["demo.png"]


def test_learning_curves_are_drawn_for_short_and_long_runs(tmp_path):
    for steps in (1, 5, 300):
        curve = np.stack([np.full(steps, 2.0), np.linspace(2.0, 1.0, steps)], axis=-1)
        assert (
            save(learning_curves({"a": curve, "b": curve}, "title"), tmp_path / f"{steps}.png").stat().st_size
            > 1000
        )


def test_failed_drawing_leaves_no_file(tmp_path):
    class Broken:
        number = -1

        def savefig(self, *_, **__):
            raise OSError("disk full")

    with pytest.raises((OSError, TypeError)):
        save(Broken(), tmp_path / "demo.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "bad",
    [{"seed": -1}, {"duration": 1.0}, {"duration": float("nan")}, {"reference": "plan"}, {"domain": 233}],
)
def test_settings_out_of_range_are_refused_by_name(bad):
    with pytest.raises(InvalidValueError, match=next(iter(bad))):
        DemoSettings(**bad)
