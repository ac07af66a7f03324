"""What the demo is made of; the demo itself is run by test/system."""

import io
import json
import math

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console

from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.experiments.plots import learning_curves, save
from mppi_maml_ros.simulation.faults import parse
from mppi_maml_ros.simulation.parameters import WorldParameters
from mppi_maml_ros.system import demo, demo_watch
from mppi_maml_ros.system.demo import DemoSettings, draw_world, node_parameters
from mppi_maml_ros.system.demo_figure import demo_figure
from mppi_maml_ros.system.recording import ControlStep, DemoRun, Recording


def made_up_run(offset, swaps=()):
    time = np.arange(0.0, 10.0, 0.05)
    reference = np.stack([np.cos(time), np.sin(time)], axis=-1)
    return DemoRun(
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


def test_summary_has_its_keys_and_is_json(demo_keys):
    settings = DemoSettings(seed=5)
    summary = demo.summarise(settings, draw_world(5), made_up_run(0.2), made_up_run(0.05, (3.0, 6.0)))
    assert demo_keys <= set(summary)
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


@pytest.mark.parametrize("text", ["clock_back@3", "odom_stop@40"])
def test_faults_that_a_run_cannot_show_are_refused(text):
    with pytest.raises(InvalidValueError, match=text.partition("@")[0]):
        DemoSettings(faults=parse(text))


def test_faults_of_the_robot_go_to_its_node_and_kills_do_not():
    settings = DemoSettings(faults=parse("odom_stop@10+2,controller_kill@5,cmd_lost@20"))
    told = node_parameters("adaptive", settings, draw_world(0))["dynamic_world"]["faults"]
    assert parse(told) == parse("odom_stop@10+2,cmd_lost@20")


class FakeGroup:
    """Processes that can be killed and started."""

    def __init__(self):
        self.members, self.log = {}, []
        self.start("mppi_controller")

    def start(self, name):
        self.log.append(f"start {name}")
        self.members[name] = self

    def send(self, number):
        self.log.append(f"signal {int(number)}")

    def wait(self, timeout):
        pass


def test_processes_are_killed_and_started_again_on_time():
    group = FakeGroup()
    kills = demo_watch.Kills(parse("controller_kill@5+2,controller_kill@9+inf"), group, group.start)
    kills.act(4.9)
    assert group.log == ["start mppi_controller"]
    kills.act(5.1)
    assert group.log[1:] == ["signal 9"] and not group.members
    kills.act(7.5)
    assert group.log[2:] == ["start mppi_controller"]
    kills.act(100.0)
    assert group.log[3:] == ["signal 9"]
    assert kills.patience > demo_watch.Kills((), group, group.start).patience


def test_what_the_controller_said_is_told_once_a_transition():
    def step(stamp, state, reason=""):
        return ControlStep(stamp, state, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 1.0, 50.0, 1, 0, reason)

    recording = Recording(
        steps=[
            step(1.0, 0),
            step(2.0, 2),
            step(3.0, 2),
            step(4.0, 3, "a 1"),
            step(4.1, 3, "a 2"),
            step(5.0, 2),
        ]
    )
    assert demo.transitions(recording) == [(0.0, "running"), (2.0, "stopping: a 1"), (3.0, "running")]
