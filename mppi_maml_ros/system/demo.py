"""The demo: one world, twice; first with the kinematic model alone, then with adaptation.

The installed executables run as processes with the configuration that a robot gets; only what
makes the two runs differ, the figure and the world is handed to them as parameters.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import attrs
import numpy as np
import yaml
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from .. import __version__
from ..core.errors import InvalidValueError, MppiMamlError
from ..core.files import write_json
from ..simulation.faults import Fault, Target
from ..simulation.parameters import PARAMETER_UNITS, WorldParameters, randomize
from .demo_watch import Kills, Monitor, Watch
from .processes import ProcessGroup, config_file, listening_in, private_domain, ros_environment
from .recording import DemoRun, Recording, analyse

SETTLED = 5.0  # [s] after which the start from rest no longer counts

WORLD_RANGES: dict[str, tuple[float, float]] = {
    "lag_v": (0.3, 0.5),
    "lag_omega": (0.2, 0.4),
    "motor_gain": (0.6, 0.75),
    "friction_v": (0.1, 0.4),
    "friction_omega": (0.1, 0.5),
    "coulomb": (0.05, 0.15),
    "command_delay": (0.05, 0.12),
    "slip": (0.02, 0.1),
}
"""What the seed draws: a tired robot on a sticky floor, far from the kinematic ideal."""

WORLD_BASE = (
    WorldParameters()
    .with_process_noise((0.0005, 0.0005, 0.0004, 0.002, 0.002))
    .with_odometry_noise((0.003, 0.003, 0.002, 0.01, 0.01))
)

FIGURES: dict[str, dict[str, float]] = {
    "circle": {"circle.radius": 1.5, "circle.speed": 0.4},
    "figure8": {"figure8.size": 1.5, "figure8.period": 20.0},
    "sine": {"sine.speed": 0.3, "sine.amplitude": 0.6, "sine.period": 12.0},
    "straight": {"straight.speed": 0.4},
}
"""References that fit into a room; under the default limits the slowest of the demo's worlds can keep up."""

RAMP_TIME = 2.0
"""Time over which the reference gains speed [s]. A reference that starts at full speed leaves any
robot with lag behind, whatever it knows, and that would hide in both runs what is compared."""

VARIANTS = {
    "kinematic": ({"model": "kinematic"}, {"enabled": False}),
    "adaptive": ({"model": "residual"}, {"enabled": True}),
}
"""Parameters of the controller and of the adaptation node in each run."""

_OF_THE_WORLD = (Target.ODOMETRY, Target.COMMAND, Target.BASE)
"""What dynamic_world breaks; processes are killed from here."""

_STATES = (
    "waiting for odometry",
    "waiting for a plan",
    "running",
    "stopping",
    "stopped",
    "goal reached",
)


@attrs.frozen
class DemoSettings:
    """What the demo is asked for.

    Attributes:
        seed: of the world and of every noise.
        duration: of each run [s], counted from the first tracked control period, in [5, 3600].
        out: folder of the report.
        reference: one of ``FIGURES``.
        domain: ROS domain to use; None for one that nobody uses.
        keep_logs: copy the logs of the processes into the report.
        faults: what breaks, in seconds after the robot is first told to move; on no clock, since the
            runs are compared by their stamps.

    Raises:
        InvalidValueError: a value is out of range.
    """

    seed: int = 0
    duration: float = 30.0
    out: Path = Path("demo_report")
    reference: str = "circle"
    domain: int | None = None
    keep_logs: bool = False
    faults: tuple[Fault, ...] = ()

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.seed < 2**31:
            raise InvalidValueError(f"seed must be in [0, {2**31 - 1}], got {self.seed}")
        if not 5.0 <= self.duration <= 3600.0:
            raise InvalidValueError(f"duration must be in [5, 3600] s, got {self.duration}")
        if self.reference not in FIGURES:
            raise InvalidValueError(f"reference must be one of {', '.join(FIGURES)}, got {self.reference!r}")
        if self.domain is not None and not 0 <= self.domain <= 232:
            raise InvalidValueError(f"domain must be in [0, 232], got {self.domain}")
        for fault in self.faults:
            if fault.target is Target.CLOCK:
                raise InvalidValueError(
                    f"{fault.kind} cannot be shown in the demo, which runs in real time: start dynamic_world "
                    "with publish_clock and faults"
                )
            if not fault.start < self.duration:
                raise InvalidValueError(
                    f"{fault.kind} must start before the end at {self.duration:g} s, got {fault.start:g} s"
                )

    def faults_of(self, *targets: Target) -> tuple[Fault, ...]:
        """Those that happen to ``targets``."""
        return tuple(fault for fault in self.faults if fault.target in targets)


OpenMonitor = Callable[[int], contextlib.AbstractContextManager[Monitor]]


def draw_world(seed: int) -> WorldParameters:
    """The demo's world of a seed."""
    return randomize(np.random.default_rng(seed), WORLD_RANGES, WORLD_BASE)


class _Terminated(SystemExit):
    pass


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, so that a kill still cleans up (main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: FrameType | None) -> None:
        for each in previous:
            signal.signal(each, signal.SIG_IGN)
        raise _Terminated(128 + number)

    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in previous:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_demo(settings: DemoSettings, open_monitor: OpenMonitor, console: Console) -> dict:
    """Both runs, the report's files and the table on the console.

    Args:
        settings: what to run.
        open_monitor: listens in a domain.
        console: for progress and results.

    Returns:
        The contents of summary.json.

    Raises:
        MppiMamlError: a run did not work; nothing is left running.
    """
    world = draw_world(settings.seed)
    settings.out.mkdir(parents=True, exist_ok=True)
    runs: dict[str, DemoRun] = {}
    with ended_by_signals(), contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mppi_maml_demo_")))
        domain = stack.enter_context(private_domain()) if settings.domain is None else settings.domain
        # This process listens with the same settings as its children.
        environment = ros_environment(domain, folder)
        stack.enter_context(listening_in(environment))
        console.print(f"[dim]{describe_world(world)}[/]", highlight=False, soft_wrap=True)
        console.print(
            f"[dim]To watch: export ROS_DOMAIN_ID={domain} ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST[/]",
            highlight=False,
        )
        for variant in VARIANTS:
            logs = folder / variant
            logs.mkdir()
            try:
                runs[variant] = _run_variant(
                    variant, settings, world, domain, environment, logs, open_monitor, console
                )
            finally:
                if settings.keep_logs:
                    shutil.copytree(logs, settings.out / "logs" / variant, dirs_exist_ok=True)

    from ..experiments.plots import save
    from .demo_figure import demo_figure

    summary = summarise(settings, world, runs["kinematic"], runs["adaptive"])
    figure = demo_figure(
        runs["kinematic"], runs["adaptive"], SETTLED, headline(summary), describe_world(world)
    )
    picture = save(figure, settings.out / "demo.png")
    write_json(settings.out / "summary.json", _without_nan(summary))
    console.print(table(runs["kinematic"], runs["adaptive"]))
    console.print(f"[bold]{headline(summary)}[/]", highlight=False)
    console.print(f"wrote {settings.out / 'summary.json'} and {picture}", highlight=False)
    return summary


def node_parameters(variant: str, settings: DemoSettings, world: WorldParameters) -> dict[str, dict]:
    """What each node is told beyond its configuration file."""
    controller, adaptation = VARIANTS[variant]
    return {
        "mppi_controller": {
            **controller,
            "seed": settings.seed,
            "reference": settings.reference,
            "reference_ramp_time": RAMP_TIME,
            "timing": "clock",  # the runs are compared by it
            **FIGURES[settings.reference],
        },
        "adaptation": dict(adaptation),
        "dynamic_world": {
            "seed": settings.seed,
            "randomize_on_start": False,
            "faults": ",".join(fault.spec for fault in settings.faults_of(*_OF_THE_WORLD)),
            **{f"world.{name}": value for name, value in attrs.asdict(world).items()},
        },
    }


def _run_variant(
    variant: str,
    settings: DemoSettings,
    world: WorldParameters,
    domain: int,
    environment: dict[str, str],
    logs: Path,
    open_monitor: OpenMonitor,
    console: Console,
) -> DemoRun:
    with ProcessGroup(environment, logs) as group, open_monitor(domain) as monitor:
        with _progress(console) as progress:

            def start(node: str) -> None:
                group.start_node(node, [config_file(f"{node}.yaml"), logs / f"{node}.yaml"])

            kills = Kills(settings.faults_of(Target.PROCESS), group, start)
            adapts = bool(VARIANTS[variant][1]["enabled"])
            watch = Watch(variant, settings.duration, group, monitor, progress, kills, adapts)
            for node, parameters in node_parameters(variant, settings, world).items():
                if node == "dynamic_world":
                    # The robot comes last: from its first odometry on everything is heard.
                    watch.until_heard()
                file = logs / f"{node}.yaml"
                file.write_text(yaml.safe_dump({f"/{node}": {"ros__parameters": parameters}}))
                start(node)
            watch.until_driven()
        codes = group.stop()
        recording = monitor.recording()
    for name, process in group.members.items():
        if errors := process.errors():
            console.print(
                f"[yellow]{name} logged {len(errors)} errors, the first:[/] {escape(errors[0])}",
                highlight=False,
            )
    for name, code in codes.items():
        if code != 0:
            raise MppiMamlError(f"after SIGINT, {group.members[name].complaint()}")
    try:
        run = analyse(recording, settings.duration)
    except ValueError as error:
        raise MppiMamlError(f"run {variant}: {error}") from error
    if settings.faults:
        console.print(f"[bold]{variant}[/]", highlight=False)
        for at, what in transitions(recording):
            console.print(f"  {at:6.2f} s  {escape(what)}", highlight=False)
    elif run.interruptions:
        what = f"[yellow]the robot was not driven for {len(run.interruptions)} periods:[/]"
        console.print(f"{what} {escape(run.interruptions[0])}", highlight=False)
    return run


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("[bold]{task.description:<9}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[line]}"),
        console=console,
        refresh_per_second=5,
    )


def transitions(recording: Recording) -> list[tuple[float, str]]:
    """When the state of the controller changed [s], from the first tracked period on, and to what."""
    found: list[tuple[float, str]] = []
    start = recording.running[0].stamp if recording.running else 0.0
    before = None
    for step in recording.steps:
        text = _STATES[step.state] + (f": {step.reason}" if step.reason else "")
        if (step.state, bool(step.reason)) != before and step.stamp >= start:
            found.append((step.stamp - start, text))
        before = (step.state, bool(step.reason))
    return found


def summarise(settings: DemoSettings, world: WorldParameters, kinematic: DemoRun, adaptive: DemoRun) -> dict:
    """The contents of summary.json; lengths in metres, times in milliseconds."""
    plain, adapted = kinematic.rmse(), adaptive.rmse()
    return {
        "seed": settings.seed,
        "reference": settings.reference,
        "duration": settings.duration,
        "rmse_kinematic": plain,
        "rmse_adaptive": adapted,
        "improvement": 1.0 - adapted / plain,
        "rmse_kinematic_after_5s": kinematic.rmse(SETTLED),
        "rmse_adaptive_after_5s": adaptive.rmse(SETTLED),
        "improvement_after_5s": 1.0 - adaptive.rmse(SETTLED) / kinematic.rmse(SETTLED),
        "control_ms_p50": adaptive.control_ms(50),
        "control_ms_p99": adaptive.control_ms(99),
        "control_ms_p50_kinematic": kinematic.control_ms(50),
        "control_ms_p99_kinematic": kinematic.control_ms(99),
        "late_fraction": adaptive.late_fraction,
        "late_fraction_kinematic": kinematic.late_fraction,
        "adapt_ms_p50": adaptive.adapt_ms_p50,
        "swaps_accepted": adaptive.swaps_accepted,
        "swaps_rejected": adaptive.swaps_rejected,
        "interrupted_periods": len(adaptive.interruptions),
        "interrupted_periods_kinematic": len(kinematic.interruptions),
        "faults": [fault.spec for fault in settings.faults],
        "world": attrs.asdict(world),
        "machine": {"system": platform.platform(), "python": platform.python_version(), "cores": _cores()},
        "version": __version__,
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_world(world: WorldParameters) -> str:
    """The drawn parameters in one line."""
    names = {
        "lag_v": "lag",
        "lag_omega": "turning lag",
        "motor_gain_left": "motor gain",
        "command_delay": "command delay",
        "friction_v": "friction",
        "coulomb": "dry friction",
        "slip": "slip",
    }
    parts = [
        f"{label} {getattr(world, name):.2f} {PARAMETER_UNITS[name].replace('^2', '²')}".rstrip()
        for name, label in names.items()
    ]
    return "The robot: " + ", ".join(parts)


def headline(summary: dict) -> str:
    """The outcome in one sentence."""
    change = summary["improvement"]
    word = "lower" if change >= 0.0 else "HIGHER"
    return (
        f"Tracking error {abs(change):.0%} {word} with adaptation: "
        f"{summary['rmse_kinematic']:.3f} m → {summary['rmse_adaptive']:.3f} m RMSE"
    )


def table(kinematic: DemoRun, adaptive: DemoRun) -> Table:
    """Both runs side by side."""

    def number(value: float, form: str) -> str:
        return "–" if math.isnan(value) else format(value, form)

    out = Table(title="The same world, twice", title_justify="left", title_style="bold")
    out.add_column("")
    out.add_column("kinematic model", justify="right")
    out.add_column("with adaptation", justify="right")
    rows: list[tuple[str, Callable[[DemoRun], str]]] = [
        ("RMSE, whole run [m]", lambda run: number(run.rmse(), ".4f")),
        (f"RMSE after {SETTLED:g} s [m]", lambda run: number(run.rmse(SETTLED), ".4f")),
        ("largest error [m]", lambda run: number(float(run.error.max()), ".3f")),
        ("control step, median [ms]", lambda run: number(run.control_ms(50), ".2f")),
        ("control step, p99 [ms]", lambda run: number(run.control_ms(99), ".2f")),
        ("periods late by more than 20 %", lambda run: number(run.late_fraction, ".2%")),
        ("adaptation, median [ms]", lambda run: number(run.adapt_ms_p50, ".1f")),
        ("swaps accepted / rejected", lambda run: f"{run.swaps_accepted} / {run.swaps_rejected}"),
    ]
    for label, show in rows:
        out.add_row(escape(label), show(kinematic), show(adaptive))
    return out


def _without_nan(summary: dict) -> dict:
    """JSON has no NaN: null says that there was nothing to measure."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in summary.items()
    }
