"""``meta_trainer``: meta-trains residuals offline, one run at a time.

A run works in a thread of its own, at the lowest priority. Everything that speaks ROS happens in the
executor's thread: a timer looks at how far the run has come, publishes it, and answers the caller.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from std_srvs.srv import Trigger

from ..adaptation.adapters import META_TRAINED
from ..core import artifact
from ..core.errors import NEEDS_TORCH, ArtifactError, InvalidValueError, MppiMamlError
from ..core.tunable import declarations
from ..meta.config import TrainingConfig
from ..msg import MetaTrainProgress
from ..ros import conversions as to
from ..ros import qos
from ..ros.base import AUTOSTART, BaseNode
from ..ros.diagnostics import ERROR, OK, Report
from ..ros.executor import Deferred, deferrable, leave, run
from ..ros.parameters import Declared, Parameters, declared_from
from ..srv import MetaTrain

if TYPE_CHECKING:  # torch comes with these
    from ..meta.loop import Progress
    from ..meta.pipeline import Outcome

NAME = "meta_trainer"

GROUPS = {
    "": (AUTOSTART,),
    "what is trained": (
        Declared(
            "output_folder", "", "Where artifacts are saved; empty: mppi_maml_ros in ROS_HOME, or in ~/.ros"
        ),
        Declared("name", "meta_model", "File name of the artifact, without folder and suffix"),
        *declared_from(TrainingConfig),
    ),
}
TABLE = tuple(chain.from_iterable(GROUPS.values()))

_REQUESTED = (
    "iterations",
    "task_batch_size",
    "support_size",
    "query_size",
    "inner_steps",
    "inner_lr",
    "meta_lr",
    "seed",
)

_UNASKED = tuple(name for name in declarations(TrainingConfig) if name not in _REQUESTED)


def output_folder(configured: str) -> Path:
    """Folder of the artifacts."""
    if configured:
        return Path(configured).expanduser()
    return Path(os.environ.get("ROS_HOME") or Path.home() / ".ros") / "mppi_maml_ros"


def train(settings: dict, on_progress: Callable[[Progress], None], cancel: threading.Event) -> Outcome:
    """The pipeline with ``settings``, torch being imported only here; see meta.pipeline.meta_train."""
    try:
        from ..meta.pipeline import meta_train
    except ModuleNotFoundError as error:
        raise MppiMamlError(NEEDS_TORCH) if error.name == "torch" else error from error
    return meta_train(TrainingConfig(**settings), on_progress=on_progress, cancel=cancel)


class TrainingJob:
    """One run in its thread.

    Attributes:
        progress: the newest report of the pipeline, None before the first.
        outcome, error: one of them is set when ``done``.
        saved: the artifact was written.
    """

    parts = len(META_TRAINED)

    def __init__(self, settings: dict, path: Path, work: Callable[..., Outcome] = train) -> None:
        self.settings, self.path = settings, path
        self.started = time.monotonic()
        self.progress: Progress | None = None
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self.saved = False
        self._phases: list[str] = []
        self.cancel = threading.Event()
        self._work = work
        self._thread = threading.Thread(target=self._run, name="meta_train", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread."""
        self._thread.join(timeout)

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        try:
            self.outcome = self._work(self.settings, self._on_progress, self.cancel)
            if not self.cancel.is_set():
                self.outcome.meta.save(self.path)
                self.saved = True
        except Exception as error:  # noqa: BLE001 - it is reported to the caller
            self.error = error

    @property
    def parts_done(self) -> int:
        """Networks that are ready."""
        return max(len(self._phases) - 1, 0)

    def _on_progress(self, progress: Progress) -> None:
        if progress.phase not in self._phases:
            self._phases.append(progress.phase)
        self.progress = progress


class MetaTrainerNode(BaseNode):
    """See the module."""

    def __init__(self, work: Callable[..., Outcome] = train, **options: Any) -> None:
        super().__init__(NAME, **options)
        self._work = work
        self._job: TrainingJob | None = None
        with self.whole():
            self._values = Parameters(self, TABLE)
            self.bring_up(self._values["autostart"])

    def set_up(self) -> None:
        """See :class:`BaseNode`."""
        self._job = None
        self._answer: Deferred | None = None
        self._state = MetaTrainProgress.IDLE
        self._last = "nothing was trained so far"
        self._progress_publisher = self.advertise(MetaTrainProgress, "~/progress", qos.STATE)
        deferrable(self.serve(MetaTrain, "~/meta_train", self._on_meta_train))
        self.serve(Trigger, "~/cancel", self._on_cancel)
        self.diagnose(meta_train=self._report)
        self.every(0.2, self._look)
        self.get_logger().info(f"artifacts go to {output_folder(self._values['output_folder'])}")

    def _on_meta_train(
        self, request: MetaTrain.Request, response: MetaTrain.Response
    ) -> MetaTrain.Response | Deferred:
        if self._job is not None:
            response.code = response.BUSY
            response.message = f"a run is under way since {self._job.seconds:.0f} s; ~/cancel ends it"
            return response
        try:
            settings = self._settings(request)
            path = artifact.resolve(
                output_folder(self._values["output_folder"]), request.name or self._values["name"]
            )
        except (InvalidValueError, ArtifactError) as error:
            response.code, response.message = response.INVALID_ARGUMENT, str(error)
            return response
        self.get_logger().info(f"meta-training {path.name}: {settings}")
        self._job, self._answer = TrainingJob(settings, path, self._work), Deferred()
        self._state = MetaTrainProgress.RUNNING
        self._publish()
        return self._answer

    def _settings(self, request: MetaTrain.Request) -> dict:
        settings = {name: getattr(request, name) or self._values[name] for name in _REQUESTED}
        for declared in TABLE:
            if declared.name in settings:
                declared.check(settings[declared.name])
        settings |= {name: self._values[name] for name in _UNASKED}
        return settings

    def _on_cancel(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._job is not None
        response.message = "the run ends within its present inner step" if self._job else "there is no run"
        if self._job is not None:
            self._job.cancel.set()
        return response

    def _look(self) -> None:
        """Publish how far the run has come; when it has ended, answer."""
        if self._job is None:
            return
        if not self._job.done:
            self._publish()
            return
        job, self._job = self._job, None
        response = MetaTrain.Response(seconds=job.seconds, loss_before=math.nan, loss_after=math.nan)
        if job.saved and job.outcome is not None:
            self._state, response.success, response.code = MetaTrainProgress.DONE, True, response.OK
            response.path = str(job.path)
            response.loss_before, response.loss_after = (
                float(job.outcome.loss_before),
                float(job.outcome.loss_after),
            )
            self._last = f"{job.path.name}: loss {response.loss_before:.3g} -> {response.loss_after:.3g}"
        elif job.cancel.is_set():
            self._state, response.code = MetaTrainProgress.CANCELLED, response.CANCELLED
            response.message = self._last = "the run was cancelled"
        else:
            self._state = MetaTrainProgress.FAILED
            response.code, response.message = (
                self._failure(job.error),
                str(job.error) or type(job.error).__name__,
            )
            self._last = response.message
        if response.success:
            self.get_logger().info(f"{self._last} ({response.seconds:.1f} s)")
        else:
            self.get_logger().error(f"{self._last} ({response.seconds:.1f} s)")
        self._publish(job)
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.send(response)

    @staticmethod
    def _failure(error: Exception | None) -> int:
        if isinstance(error, (ArtifactError, OSError)):
            return MetaTrain.Response.SAVE_FAILED
        if isinstance(error, InvalidValueError):
            return MetaTrain.Response.INVALID_ARGUMENT
        return MetaTrain.Response.INTERNAL_ERROR

    def _publish(self, job: TrainingJob | None = None) -> None:
        job = job or self._job
        message = MetaTrainProgress(state=self._state, meta_loss=math.nan, rate=0.0, eta=math.nan)
        message.header.stamp = to.to_stamp(self.now())
        if job is not None:
            message.iterations = job.settings["iterations"]
        if job is not None and (progress := job.progress) is not None:
            # One network is trained after the other, some for longer; an iteration counts when all have
            # done their share of it.
            asked = job.settings["iterations"]
            scale = asked / progress.iterations
            done, rate = job.parts_done * asked + progress.iteration * scale, progress.rate * scale
            message.iteration, message.meta_loss = int(done / job.parts), float(progress.loss)
            message.rate = float(rate) / job.parts
            message.eta = (job.parts * asked - done) / rate if rate > 0.0 else math.nan
        self._progress_publisher.publish(message)

    def shutdown(self) -> None:
        """A run that is under way ends without an artifact."""
        if self._job is not None:
            self._job.cancel.set()
            self._job.join(10.0)
            self._look()

    def _report(self) -> Report:
        names = ("IDLE", "RUNNING", "DONE", "CANCELLED", "FAILED")
        failed = self._state == MetaTrainProgress.FAILED
        values = {"state": names[self._state], "seconds": self._job.seconds if self._job else 0.0}
        return Report(ERROR if failed else OK, "under way" if self._job else self._last, values)


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal; returns the exit code."""
    return run(NAME, MetaTrainerNode, args)


if __name__ == "__main__":
    leave(main())
