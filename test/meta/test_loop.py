"""The outer loop can stop, go on to the bit, end early, and be shared by processes."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import attrs
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mppi_maml_ros.core.errors import ArtifactError, InvalidValueError  # noqa: E402 - after the check for torch
from mppi_maml_ros.experiments.studies.sinusoid import SinusoidTasks  # noqa: E402
from mppi_maml_ros.meta import distributed, loop  # noqa: E402
from mppi_maml_ros.meta.checkpoint import Checkpoint  # noqa: E402
from mppi_maml_ros.meta.config import TrainingConfig  # noqa: E402
from mppi_maml_ros.meta.trainers.registry import TRAINERS  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CONFIG = TrainingConfig(
    hidden=(8,), iterations=24, task_batch_size=4, inner_steps=2, inner_lr=0.01, evaluate_every=8, seed=3
)


class Tasks(SinusoidTasks):
    """Sinusoids; counts the batches and can raise the cancel event after some."""

    drawn = 0
    cancel, cancel_after = None, None

    def sample(self, rng, tasks):
        type(self).drawn += 1
        if self.cancel_after is not None and type(self).drawn > self.cancel_after:
            self.cancel.set()
        return super().sample(rng, tasks)

    def held_out(self):
        return SinusoidTasks.sample(self, np.random.default_rng(99), 16)


def trained(name, controls=None, tasks=None, config=CONFIG):
    trainer = TRAINERS[name](config, 1, 1, silent=False)
    return trainer, loop.run(name, trainer, tasks or Tasks(), controls)


def interrupted(name, folder, after):
    cancel = threading.Event()

    class Stopping(Tasks):
        drawn = 0

    Stopping.cancel, Stopping.cancel_after = cancel, after
    checkpoint = Checkpoint(folder, attrs.asdict(CONFIG))
    with pytest.raises(loop.Cancelled):
        trained(name, loop.Controls(cancel=cancel, checkpoint=checkpoint), Stopping())


@pytest.mark.parametrize("name", [*TRAINERS])
@pytest.mark.parametrize("after", [0, 13])
def test_a_resumed_run_ends_to_the_bit_as_one_that_was_not_stopped(tmp_path, name, after):
    whole, curve = trained(name)
    interrupted(name, tmp_path, after)
    checkpoint = Checkpoint(tmp_path, attrs.asdict(CONFIG), resume=True)
    resumed, again = trained(name, loop.Controls(checkpoint=checkpoint))
    assert torch.equal(whole.parameters.flat, resumed.parameters.flat)
    assert np.array_equal(curve.train, again.train, equal_nan=True)
    assert np.array_equal(curve.held_out, again.held_out)
    checkpoint.remove()
    assert not tmp_path.exists()


def test_a_checkpoint_of_other_settings_is_refused_by_name(tmp_path):
    interrupted("maml", tmp_path, 5)
    other = Checkpoint(tmp_path, attrs.asdict(attrs.evolve(CONFIG, inner_lr=0.02, seed=4)), resume=True)
    with pytest.raises(ArtifactError, match="other inner_lr, seed"):
        other.load("maml")
    assert Checkpoint(tmp_path, attrs.asdict(CONFIG)).load("maml") is None  # without --resume


def test_a_damaged_checkpoint_is_refused(tmp_path):
    interrupted("maml", tmp_path, 5)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ArtifactError):
        Checkpoint(tmp_path, attrs.asdict(CONFIG), resume=True).load("maml")


def test_cancelling_takes_effect_within_the_inner_loop():
    cancel = threading.Event()
    config = attrs.evolve(CONFIG, inner_steps=1000)
    steps = []

    class Watched(TRAINERS["fomaml"]):
        @property
        def rates(self):
            cancel.set()  # as the first inner loop begins
            return super().rates

    trainer = Watched(config, 1, 1, silent=False)
    before = trainer.parameters.flat.clone()
    original = loop.check
    loop_check = lambda event: (steps.append(1), original(event))  # noqa: E731
    loop.check = loop_check
    try:
        with pytest.raises(loop.Cancelled):
            loop.run("maml", trainer, Tasks(), loop.Controls(cancel=cancel))
    finally:
        loop.check = original
    assert len(steps) == 1
    assert torch.equal(before, trainer.parameters.flat)


def test_patience_ends_a_run_and_keeps_the_best():
    class Worsening(TRAINERS["fomaml"]):
        """Its parameters move away from where they were best."""

        def meta_gradient(self, support, query, measure=False):
            return -torch.ones_like(self.parameters.flat), 1.0, 1.0

        def losses(self, support, query, steps=None):
            return (self.parameters.flat[0] - self.target).abs() * torch.ones(2, 1)

    config = attrs.evolve(CONFIG, iterations=1000, evaluate_every=1, patience=5, meta_lr=0.1)
    trainer = Worsening(config, 1, 1, silent=False)
    trainer.target = trainer.parameters.flat[0] + 1.0
    curve = loop.run("maml", trainer, Tasks())
    assert len(curve.train) == 15  # ten steps of 0.1 to the best, five more without
    assert float(trainer.parameters.flat[0]) == pytest.approx(float(trainer.target), abs=1e-5)
    assert curve.final[1] == pytest.approx(0.0, abs=1e-5)


def test_progress_reports_the_newest_held_out_loss():
    reports = []
    trained("maml", loop.Controls(on_progress=reports.append))
    assert [report.iteration for report in reports] == [10, 20, 24]
    assert all(np.isfinite(report.held_out) and report.rate > 0 for report in reports)


WORKER = """
import json, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {test!r})
from test_loop import trained
from mppi_maml_ros.meta import distributed
with distributed.process_group():
    out = {{}}
    for name in ("maml", "alpaca"):
        trainer, curve = trained(name)
        out[name] = trainer.parameters.flat.tolist(), distributed.world()
    print(json.dumps(out) if distributed.rank() == 0 else "")
"""


def test_two_processes_get_what_one_gets():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", MASTER_ADDR="127.0.0.1",
               MASTER_PORT=str(port), WORLD_SIZE="2", GLOO_SOCKET_IFNAME="lo")  # fmt: skip
    code = WORKER.format(test=str(Path(__file__).parent))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=env | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        outputs = [process.communicate(timeout=100)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0]
    found = json.loads(outputs[0].splitlines()[-1])
    for name, (flat, world) in found.items():
        alone, _ = trained(name)
        assert world == 2
        assert flat == pytest.approx(alone.parameters.flat.tolist(), rel=1e-3, abs=2e-5), name


def test_tasks_that_cannot_be_shared_out_evenly_are_refused(monkeypatch):
    monkeypatch.setattr(distributed, "world", lambda: 3)
    with pytest.raises(InvalidValueError, match="task_batch_size must be a multiple of the 3"):
        distributed.share(16)
