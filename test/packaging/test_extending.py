"""CONTRIBUTING.md tells the truth: its blocks, in a module outside the package, add what they say."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest

pytest.importorskip("torch")  # of which the trainer is made

from mppi_maml_ros.adaptation.adapters import ADAPTERS
from mppi_maml_ros.adaptation.attempt import Decision
from mppi_maml_ros.adaptation.online import OnlineAdaptation, OnlineConfig
from mppi_maml_ros.core.errors import InvalidValueError
from mppi_maml_ros.core.tunable import declarations
from mppi_maml_ros.core.types import VelocityLimits
from mppi_maml_ros.dynamics.residual import ResidualWeights
from mppi_maml_ros.experiments.closed_loop import run
from mppi_maml_ros.mppi import MPPIConfig, MPPIController
from mppi_maml_ros.mppi.critics import CRITICS, make_critics
from mppi_maml_ros.references.figures import FIGURES
from mppi_maml_ros.simulation.worlds import WORLDS, describe_world, make_world

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL))
ADDED = ("A critic", "An adapter", "A trainer", "A world", "A parameter")
MPPI = MPPIConfig(batch_size=64, time_steps=10, noise_knots=4)


def block(section: str, language: str = "python") -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)
    return found


def write_module(folder: Path) -> None:
    blocks = [block("How they are found"), *map(block, ADDED)]
    (folder / "my_robot.py").write_text("\n\n".join(blocks), encoding="utf-8")


@pytest.fixture
def my_robot(tmp_path, monkeypatch):
    """The module of a user, imported; what it registers is gone after the test."""
    from mppi_maml_ros.meta.trainers.registry import TRAINERS

    for registry in (CRITICS, ADAPTERS, WORLDS, TRAINERS):
        monkeypatch.setattr(registry, "_things", {name: registry[name] for name in registry})
    monkeypatch.syspath_prepend(tmp_path)
    write_module(tmp_path)
    yield importlib.import_module("my_robot")
    del sys.modules["my_robot"]


@pytest.mark.parametrize("section", ADDED)
def test_each_takes_at_most_ten_lines_of_text_and_code(section):
    lines = [line for line in SECTIONS[section].splitlines() if line and not line.startswith("```")]
    assert len(lines) <= 10


def test_the_critic_judges_rollouts(my_robot):
    def aim(names, values=None):
        critics = make_critics(names, values or {})
        controller = MPPIController(MPPI, VelocityLimits(), seed=0, critics=critics)
        reference = np.column_stack([0.05 * np.arange(11), np.zeros((11, 2))])
        past = np.tile([0.5, 0.0], (8, 1))
        state = np.array([0.0, 0.0, 0.0, 0.5, 0.0])
        return controller.compute_control(state, reference, past, past[0], None).sequence[:, 1].mean()

    assert aim(["keep_left"], {"keep_left.cost_weight": 1000.0}) > aim([]) + 1e-3
    assert aim(["keep_left"], {"keep_left.margin": 5.0}) == aim([])


def test_the_adapter_adapts_online(my_robot, meta, drive):
    adaptation = OnlineAdaptation(meta, OnlineConfig(adapter="gain"))
    slow = ResidualWeights.first_order((0.01, 0.01), (0.6, 0.7), model_dt=meta.model_dt)
    drive(adaptation.add_odometry, adaptation.add_command, slow)
    attempt = adaptation.attempt()
    assert attempt.decision == Decision.ACCEPTED
    assert attempt.weights.adapter == "gain"
    np.testing.assert_allclose(attempt.adaptation.gain, (0.6, 0.7), atol=0.02)
    with pytest.raises(InvalidValueError, match="one of physics.*, gain, got 'gian'"):
        OnlineConfig(adapter="gian")


def test_the_trainer_trains(my_robot):
    from mppi_maml_ros.experiments.studies.sinusoid import SinusoidTasks
    from mppi_maml_ros.meta.config import TrainingConfig
    from mppi_maml_ros.meta.maml_trainer import MAMLTrainer
    from mppi_maml_ros.meta.trainers.registry import TRAINERS

    config = TrainingConfig(hidden=(4,), iterations=2, task_batch_size=2, inner_steps=1, meta_lr=0.01)
    trainer = TRAINERS["signs"](config, 1, 1, silent=False)
    before = trainer.parameters.flat.clone()
    rng = np.random.default_rng(0)
    for _ in range(2):
        trainer.step(*SinusoidTasks().sample(rng, 2))
    moved = (trainer.parameters.flat - before).abs()
    assert 0.0 < float(moved.max()) < 0.021
    MAMLTrainer(trainer="signs")


def test_the_world_can_be_driven_in(my_robot):
    world = make_world("glazed", seed=1)
    assert 0.5 < world.parameters.acceleration_limit < 1.5
    assert describe_world("glazed").startswith("Ice")
    result = run(world, FIGURES["circle"](), MPPI, seed=0, duration=2.0)
    assert np.isfinite(result.error).all()
    assert np.hypot(*result.states[-1, :2] - result.states[0, :2]) > 0.1


def test_what_was_registered_can_be_compared(my_robot):
    from mppi_maml_ros.experiments.comparison.contenders import model_names
    from mppi_maml_ros.experiments.comparison.runs import jobs_of

    assert "gain" in model_names()
    (job,) = jobs_of(["gain"], ["glazed"], ["circle"], [0])
    assert (job.model, job.world) == ("gain", "glazed")


def test_the_parameter_is_checked_and_described(my_robot):
    declared = declarations(my_robot.Approach)["slowness"]
    assert (declared.default, declared.unit) == (1.5, "s")
    with pytest.raises(InvalidValueError, match=r"slowness must be in \[0.1, 10\] s, got 20"):
        my_robot.Approach(slowness=20.0)
    assert attrs.asdict(my_robot.Approach()) == {"slowness": 1.5}


FOUND = """
from mppi_maml_ros.cli.main import main
from mppi_maml_ros.meta.trainers.registry import TRAINERS
from mppi_maml_ros.experiments.comparison.runs import jobs_of
from mppi_maml_ros.adaptation.online import OnlineConfig
from mppi_maml_ros.mppi.critics import make_critics

assert OnlineConfig(adapter="gain").adapter == "gain"
(critic,) = make_critics(["keep_left"], {"keep_left.margin": 1.0})
assert critic.margin == 1.0
jobs_of(["gain"], ["glazed"], ["circle"], [0])
try:
    import rclpy
except ImportError:
    pass
else:
    from mppi_maml_ros.nodes import adaptation_parameters, controller_parameters

    tables = {p.name: p for p in (*adaptation_parameters.TABLE, *controller_parameters.TABLE)}
    tables["adapter"].check("gain")
    tables["critics"].check(["obstacles", "keep_left"])
    tables["keep_left.margin"].check(2.0)
    assert "keep_left" in tables["critics"].descriptor().additional_constraints
assert TRAINERS["signs"].name == "signs"
main(["worlds"])
"""


def in_a_process_with(folder: Path, code: str) -> subprocess.CompletedProcess:
    search = os.pathsep.join([str(ROOT), str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": search}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=110
    )


def declare(folder: Path, entry_points: str) -> None:
    """What ``pip install`` leaves of a distribution's metadata."""
    metadata = folder / "my_robot-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my_robot\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)


def test_entry_points_are_found_by_nodes_and_commands(tmp_path):
    write_module(tmp_path)
    groups = re.findall(r'^"(.*)" = \{ (\w+) = "(.*)" \}$', block("How they are found", "toml"), re.MULTILINE)
    assert len(groups) == 4
    declare(tmp_path, "".join(f"[{group}]\n{name} = {value}\n" for group, name, value in groups))
    done = in_a_process_with(tmp_path, FOUND)
    assert done.returncode == 0, done.stderr
    assert "glazed: Ice" in done.stdout


def test_an_entry_point_that_cannot_be_loaded_is_named(tmp_path):
    declare(tmp_path, "[mppi_maml_ros.adapters]\nbroken = no_such_module:Thing\n")
    code = "from mppi_maml_ros.adaptation.online import OnlineConfig; OnlineConfig()"
    done = in_a_process_with(tmp_path, code)
    assert "adapter 'broken', no_such_module:Thing, cannot be loaded: ModuleNotFoundError" in done.stderr
