"""Hours of control in minutes: the whole chain in simulated time, with memory, threads and files watched.

World, checks, watchdog, MPPI, limiter, adaptation and swaps run in one process as fast as it can. The
robot follows a new path every half minute, the world changes every ten minutes, and faults of odometry
and clock come and go. After the warm-up nothing may grow.
"""

from __future__ import annotations

import gc
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
from matplotlib.figure import Figure

from ...adaptation.attempt import Decision
from ...adaptation.online import OnlineAdaptation, OnlineConfig
from ...control.config import ControlConfig
from ...control.loop import ControlLoop
from ...core.errors import InvalidValueError, MppiMamlError
from ...core.files import write_json
from ...core.types import OdometryMessage, VelocityLimits
from ...mppi import MPPIConfig, MPPIController
from ...references.figures import circle
from ...safety.codes import State
from ...simulation.faults import Fault, Injector
from ...simulation.parameters import randomize
from ...simulation.world import DynamicWorld
from ...weights.meta_model import MetaModel
from ...weights.slot import WeightsSlot

PERIOD = 0.05  # [s] of control and odometry
NEW_PATH, NEW_WORLD, NEW_FAULT = 30.0, 600.0, 60.0  # [s, simulated]
FAULTS = (
    ("odom_stop", 1.0),
    ("odom_nan", 1.0),
    ("odom_late", 1.0),
    ("odom_jumping", 1.0),
    ("odom_flood", 0.5),
    ("odom_duplicate", 1.0),
    ("odom_out_of_order", 1.0),
)
WARM = 0.2  # share of the run after which nothing may grow
ALLOWED_GROWTH = 8.0  # [MiB] of resident memory, from the warm-up to the end


class SoakError(MppiMamlError):
    """Something grew, or a command was not allowed; the message says what."""


@attrs.frozen
class SoakSettings:
    """What to soak.

    Attributes:
        hours: of simulated control, in (0, 10000].
        seed: of worlds, noise, faults and sampler.
        out: folder for soak.json and soak.png.
        samples: measurements over the run.
    """

    hours: float = 8.0
    seed: int = 0
    out: Path = Path("soak_report")
    samples: int = 200

    def __attrs_post_init__(self) -> None:
        if not 0.0 < self.hours <= 10_000.0:
            raise InvalidValueError(f"hours must be in (0, 10000], got {self.hours}")
        if not 10 <= self.samples <= 100_000:
            raise InvalidValueError(f"samples must be in [10, 100000], got {self.samples}")


def measure() -> dict[str, float]:
    """Resident memory [MiB], threads and open files of this process, now."""
    gc.collect()
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return {
        "memory_mib": resident,
        "threads": len(os.listdir("/proc/self/task")),
        "python_threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),
        "objects": len(gc.get_objects()),
    }


class Plant:
    """The chain under test in simulated time.

    Args:
        meta: what adaptation starts from.
        seed: of everything that is random.
    """

    def __init__(self, meta: MetaModel, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.limits = VelocityLimits()
        config = MPPIConfig(batch_size=128, time_steps=20)
        self.mppi = MPPIController(config, self.limits, seed)
        self.slot = WeightsSlot(config.model_dt)
        control = ControlConfig(limits=self.limits, reference="plan", time_steps=20)
        self.loop = ControlLoop(control, self.mppi, self.slot)
        self.online = OnlineAdaptation(meta, OnlineConfig(limits=self.limits))
        self.world = DynamicWorld(randomize(self.random), seed=seed)
        self.injector = Injector(())
        self.time = 0.0
        self.fault_began = math.inf
        self.states: Counter[str] = Counter()
        self.decisions: Counter[str] = Counter()
        self._due = {"path": 0.5, "world": NEW_WORLD, "fault": NEW_FAULT}
        self._command = np.zeros(2)

    def _is_due(self, what: str, period: float) -> bool:
        if self.time < self._due[what]:
            return False
        self._due[what] = self.time + period
        return True

    def step(self) -> None:
        """One control period.

        Raises:
            SoakError: the command is not finite or beyond a limit.
        """
        self.time += PERIOD
        now = 1000.0 + self.time
        self.world.step(self._command, PERIOD)
        if self._is_due("world", NEW_WORLD):
            self.world.set_parameters(randomize(self.random))
        if self._is_due("fault", NEW_FAULT):
            kind, duration = FAULTS[int(self.random.integers(len(FAULTS)))]
            self.injector = Injector((Fault.of(kind, 0.0, duration),), int(self.random.integers(2**31)))
            self.fault_began = self.time
        if self._is_due("path", NEW_PATH):
            self._new_path()
        self._hear(now)
        out = self.loop.tick(now, now)
        self.states[f"{out.state.name} {out.code.name}"] += 1
        low, high = self.limits.low, self.limits.high
        if not (
            np.isfinite(out.command).all() and (low <= out.command).all() and (out.command <= high).all()
        ):
            raise SoakError(f"command {out.command} after {self.time:.1f} s")
        self._command = out.command
        self.online.add_command(now, out.command)

    def _new_path(self) -> None:
        self.loop.request_reset()
        x, y, yaw = self.world.state[:3]
        shape = circle(float(self.random.uniform(1.0, 3.0)), 0.5).anchored(np.array([x, y, yaw]))
        self.loop.handle_path("odom", np.asarray(shape.window(0.0, 400, 0.1)))

    def _hear(self, now: float) -> None:
        sent = OdometryMessage.planar(now, self.world.odometry())
        for arrived in self.injector.odometry(sent, self.time - self.fault_began):
            verdict = self.loop.handle_odometry(arrived, now, now)
            if verdict.odometry is not None:
                changed = self.online.add_odometry(verdict.odometry)
                if changed or self.online.due:
                    self._adapt()

    def _adapt(self) -> None:
        attempt = self.online.attempt()
        self.decisions[attempt.decision.name] += 1
        if attempt.weights is not None:
            self.slot.install(attempt.weights)
            self.online.installed()


def run_soak(settings: SoakSettings, meta: MetaModel, on_progress: Callable[[float, str], None]) -> dict:
    """Soak, judge, and write soak.json and soak.png.

    Args:
        settings: of the soak.
        meta: to adapt from.
        on_progress: is told the hours that were simulated, and what the process holds.

    Returns:
        The contents of soak.json.

    Raises:
        SoakError: something grew, or a command was not allowed.
    """
    plant = Plant(meta, settings.seed)
    periods = int(round(settings.hours * 3600.0 / PERIOD))
    every = max(1, periods // settings.samples)
    measurements: list[dict] = []
    begun = time.monotonic()
    for k in range(periods):
        plant.step()
        if (k + 1) % every == 0 or k + 1 == periods:
            newest = {"hours": plant.time / 3600.0, **measure()}
            measurements.append(newest)
            on_progress(newest["hours"], f"{newest['memory_mib']:.0f} MiB")
    report = {
        "hours": settings.hours,
        "seed": settings.seed,
        "wall_seconds": time.monotonic() - begun,
        "periods": periods,
        "states": dict(plant.states),
        "decisions": dict(plant.decisions),
        "weights_version": plant.slot.current.version,
        "transitions": plant.online.samples,
        **judge(measurements),
        "measurements": measurements,
    }
    write_json(settings.out / "soak.json", report)
    from ..plots import save

    save(soak_figure(report), settings.out / "soak.png")
    if report["grown"]:
        raise SoakError(f"after the warm-up grew: {'; '.join(report['grown'])}")
    if not plant.decisions[Decision.ACCEPTED.name] or not any(
        state.startswith(State.RUNNING.name) for state in plant.states
    ):
        raise SoakError("the robot was not driven, or nothing was learned: there was nothing to soak")
    return report


def judge(measurements: list[dict]) -> dict:
    """What grew from the warm-up to the end.

    Memory is compared between the means of the first and of the last third of what follows the warm-up,
    since the allocator breathes; threads and files must not change at all.
    """
    steady = measurements[int(WARM * len(measurements)) :]
    third = max(1, len(steady) // 3)
    first, last = steady[:third], steady[-third:]

    def mean(rows: list[dict], name: str) -> float:
        return float(np.mean([row[name] for row in rows]))

    growth = mean(last, "memory_mib") - mean(first, "memory_mib")
    grown = []
    if not growth <= ALLOWED_GROWTH:
        grown.append(f"memory by {growth:.1f} MiB, {ALLOWED_GROWTH:g} are allowed")
    for name in ("threads", "python_threads", "files"):
        counts = {row[name] for row in steady}
        if len(counts) > 1:
            grown.append(f"{name} between {min(counts)} and {max(counts)}")
    hours = mean(last, "hours") - mean(first, "hours")
    return {
        "memory_growth_mib": growth,
        "memory_growth_mib_per_hour": growth / hours if hours > 0.0 else 0.0,
        "object_growth": mean(last, "objects") - mean(first, "objects"),
        "grown": grown,
    }


def soak_figure(report: dict) -> Figure:
    """Memory, threads and files over simulated hours."""
    from ..plots import ADAPTIVE, KINEMATIC, MUTED, STYLE, SWAP, plt

    rows = report["measurements"]
    hours = [row["hours"] for row in rows]
    with plt.rc_context(STYLE):
        figure, (memory, counts) = plt.subplots(2, 1, figsize=(9.0, 5.6), sharex=True, layout="constrained")
        memory.plot(hours, [row["memory_mib"] for row in rows], color=ADAPTIVE)
        memory.set_ylim(0.0, 1.25 * max(row["memory_mib"] for row in rows))
        memory.set_title(
            f"Resident memory [MiB]: {report['memory_growth_mib']:+.2f} MiB after the warm-up "
            f"({report['memory_growth_mib_per_hour']:+.2f} MiB an hour)"
        )
        memory.axvspan(0.0, hours[int(WARM * len(rows))], color=MUTED, alpha=0.12, linewidth=0.0)
        for name, label, colour in (("threads", "threads", KINEMATIC), ("files", "open files", SWAP)):
            counts.step(hours, [row[name] for row in rows], where="post", label=label, color=colour)
        counts.set_ylim(0.0, None)
        counts.set_title("Threads and open files")
        counts.set_xlabel("simulated time [h]; shaded: warm-up")
        counts.legend(loc="lower right", ncols=2)
    return figure
