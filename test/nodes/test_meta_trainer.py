"""``meta_trainer`` alone: one run at a time, arguments checked, an artifact or a code."""

from __future__ import annotations

import math
import re
import threading

import attrs
import pytest
from mppi_maml_ros.msg import MetaTrainProgress
from mppi_maml_ros.srv import MetaTrain
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from mppi_maml_ros.adaptation.adapters import META_TRAINED
from mppi_maml_ros.core import artifact
from mppi_maml_ros.meta.pipeline import Cancelled, Progress
from mppi_maml_ros.nodes.meta_trainer import MetaTrainerNode

CODE = MetaTrain.Response


class Meta:
    def save(self, path):
        return artifact.save(path, {}, {"kind": "test"})


@attrs.frozen
class Outcome:
    meta: Meta = attrs.field(factory=Meta)
    loss_before: float = 2.0
    loss_after: float = 0.5


class Work:
    """Stands for the pipeline: goes on when allowed to."""

    def __init__(self):
        self.may_end = threading.Event()
        self.settings: list[dict] = []
        self.fails: Exception | None = None
        self.longer = 1

    def __call__(self, settings, on_progress, cancel):
        self.settings.append(settings)
        on_progress(Progress("physics+maml", 24, self.longer * settings["iterations"], 0.7, 100.0))
        while not self.may_end.wait(0.01):
            if cancel.is_set():
                raise Cancelled("cancelled")
        if self.fails:
            raise self.fails
        return Outcome()


class Desk:
    def __init__(self, bench, folder):
        self.bench, self.work, self.folder = bench, Work(), folder
        overrides = [Parameter("output_folder", value=str(folder))]
        self.node = bench.add(
            MetaTrainerNode(work=self.work, context=bench.context, parameter_overrides=overrides)
        )
        probe = bench.probe("desk")
        self.progress: list[MetaTrainProgress] = []
        probe.create_subscription(MetaTrainProgress, "meta_trainer/progress", self.progress.append, 100)
        self.client = probe.create_client(MetaTrain, "meta_trainer/meta_train")
        self.canceller = probe.create_client(Trigger, "meta_trainer/cancel")

    def ask(self, **fields):
        self.bench.until(self.client.service_is_ready)
        return self.client.call_async(MetaTrain.Request(**fields))

    def answer(self, future) -> MetaTrain.Response:
        self.bench.until(future.done)
        return future.result()

    def state(self) -> int | None:
        return self.progress[-1].state if self.progress else None


@pytest.fixture
def desk(bench, tmp_path):
    desk = Desk(bench, tmp_path / "artifacts")
    yield desk
    desk.work.may_end.set()
    desk.node.shutdown()


def test_a_run_answers_when_it_ends_and_its_artifact_lies_there(desk):
    future = desk.ask(name="mine", iterations=50, seed=7)
    desk.bench.until(lambda: desk.state() == MetaTrainProgress.RUNNING and desk.progress[-1].iteration > 0)
    assert not future.done()
    report = desk.progress[-1]
    parts = len(META_TRAINED)  # an iteration counts when every network has done it
    assert (report.iteration, report.iterations, report.meta_loss) == (24 // parts, 50, 0.7)
    assert report.rate == pytest.approx(100.0 / parts)
    assert report.eta == pytest.approx((50 * parts - 24) / 100.0)
    desk.work.may_end.set()
    answer = desk.answer(future)
    assert (answer.success, answer.code, answer.message) == (True, CODE.OK, "")
    assert (answer.loss_before, answer.loss_after) == (2.0, 0.5) and answer.seconds > 0.0
    assert answer.path == str(desk.folder / "mine.safetensors")
    assert artifact.load(answer.path)[1] == {"kind": "test"}
    desk.bench.until(lambda: desk.state() == MetaTrainProgress.DONE)
    settings = desk.work.settings[0]
    assert (settings["iterations"], settings["seed"], settings["inner_steps"]) == (50, 7, 30)


def test_a_network_that_trains_for_longer_counts_no_more_than_the_others(desk):
    desk.work.longer = 5
    desk.ask(iterations=50)
    desk.bench.until(lambda: desk.state() == MetaTrainProgress.RUNNING and desk.progress[-1].rate > 0.0)
    report, parts = desk.progress[-1], len(META_TRAINED)
    assert (report.iteration, report.iterations) == (int(24 / 5 / parts), 50)
    assert report.rate == pytest.approx(100.0 / 5 / parts)
    assert report.eta == pytest.approx((50 * parts - 24 / 5) / (100.0 / 5))


@pytest.mark.fault(50)
def test_a_second_call_is_told_busy_and_the_first_goes_on(desk):
    first = desk.ask(name="first")
    desk.bench.until(lambda: desk.work.settings)
    second = desk.answer(desk.ask(name="second"))
    assert (second.success, second.code) == (False, CODE.BUSY)
    desk.work.may_end.set()
    assert desk.answer(first).success
    assert [path.name for path in desk.folder.iterdir()] == ["first.safetensors"]
    assert desk.answer(desk.ask(name="third")).success


@pytest.mark.fault(50)
@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"iterations": 2_000_000}, r"iterations.*\[1, 1e\+06\]"),
        ({"task_batch_size": 5000}, "task_batch_size"),
        ({"support_size": 1}, "support_size"),
        ({"inner_lr": -0.1}, "inner_lr"),
        ({"inner_lr": math.nan}, "inner_lr"),
        ({"meta_lr": math.inf}, "meta_lr"),
        ({"seed": 2**64 - 1}, "seed"),
    ],
)
def test_a_bad_argument_is_refused_with_its_range(desk, fields, named):
    answer = desk.answer(desk.ask(**fields))
    assert (answer.success, answer.code) == (False, CODE.INVALID_ARGUMENT)
    assert re.search(named, answer.message)
    assert not desk.work.settings


@pytest.mark.fault(32)
@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/b", ".hidden", "x" * 200])
def test_a_name_that_leads_elsewhere_is_refused(desk, name):
    answer = desk.answer(desk.ask(name=name))
    assert (answer.success, answer.code) == (False, CODE.INVALID_ARGUMENT)
    assert "name" in answer.message


def test_a_run_can_be_cancelled(desk):
    future = desk.ask()
    desk.bench.until(lambda: desk.work.settings)
    assert desk.bench.call(desk.canceller, Trigger.Request()).success
    answer = desk.answer(future)
    assert (answer.success, answer.code) == (False, CODE.CANCELLED)
    desk.bench.until(lambda: desk.state() == MetaTrainProgress.CANCELLED)
    assert not desk.folder.exists()
    assert not desk.bench.call(desk.canceller, Trigger.Request()).success


@pytest.mark.fault(45)
def test_a_folder_that_cannot_be_written_is_told_and_leaves_no_litter(desk):
    desk.folder.write_text("a file where a folder should be")
    desk.work.may_end.set()
    answer = desk.answer(desk.ask(name="mine"))
    assert (answer.success, answer.code) == (False, CODE.SAVE_FAILED)
    assert "mine" in answer.message
    desk.bench.until(lambda: desk.state() == MetaTrainProgress.FAILED)
    assert desk.folder.read_text().startswith("a file")


def test_a_failure_within_the_run_is_told_and_the_node_lives(desk):
    desk.work.fails = RuntimeError("out of luck")
    desk.work.may_end.set()
    answer = desk.answer(desk.ask())
    assert (answer.success, answer.code) == (False, CODE.INTERNAL_ERROR)
    assert "out of luck" in answer.message
    desk.work.fails = None
    assert desk.answer(desk.ask()).success
