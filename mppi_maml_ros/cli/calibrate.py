"""``mppi-maml calibrate``: options, the question before the robot moves, progress, files."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from .options import Real, Whole, folder_option

if TYPE_CHECKING:
    from rich.console import Console

    from ..calibration.guided import DriveConfig, Driver
    from ..calibration.record import Record
    from ..calibration.result import Calibration


@click.command(short_help="Measure a robot in a guided drive, or from a bag; ends in its YAML file.")
@click.option(
    "--bag",
    type=click.Path(exists=True, path_type=Path),
    help="Take a recorded drive; nothing moves. It needs starts, stops and turns at several speeds.",
)
@click.option("--simulate", metavar="WORLD", help="Drive a named world instead of a robot, to try it out.")
@click.option("--drawn", type=Whole(1, 1000), help="Calibrate so many drawn robots, and say how well.")
@click.option(
    "--vx-max",
    type=Real(0.05, 20.0),
    default=0.5,
    show_default=True,
    help="Largest velocity [m/s].",
)
@click.option(
    "--vx-min", type=Real(-20.0, 0.0),
    help="Largest one in reverse, below 0; 0: the robot cannot.  [default: that of --vx-max]",
)  # fmt: skip
@click.option(
    "--wz-max",
    type=Real(0.1, 20.0),
    default=1.5,
    show_default=True,
    help="Largest yaw rate [rad/s].",
)
@click.option(
    "--box", type=(Real(0.8, 1000.0), Real(0.8, 1000.0)), default=(3.0, 3.0),
    show_default=True, metavar="LENGTH WIDTH",
    help="Of the floor that it may use, around where it stands, along its heading and across [m].",
)  # fmt: skip
@click.option(
    "--odom-timeout", type=Real(0.05, 5.0), default=0.5, show_default=True,
    help="It stops when odometry is silent for so long [s].",
)  # fmt: skip
@click.option("--odom-topic", default="odom", show_default=True, help="Odometry of the robot.")
@click.option("--cmd-topic", default="cmd_vel", show_default=True, help="What the base listens to.")
@click.option(
    "--cmd-vel-type", type=click.Choice(("auto", "twist", "twist_stamped")), default="auto",
    show_default=True,    help="Type of the commands; auto: the one that the base takes.",
)  # fmt: skip
@click.option("--namespace", default="", help="Of the robot, such as robot1.  [default: none]")
@click.option("--use-sim-time", is_flag=True, help="Stamps are those of /clock.")
@click.option("--yes", is_flag=True, help="Do not ask before the robot moves.")
@click.option(
    "--no-verdict", is_flag=True, help="Leave out the simulated drives that say what adaptation buys."
)
@folder_option("calibration_report", "Folder of calibration.yaml and calibration.png.")
def calibrate(**options: Any) -> None:
    """Drive a robot for about 80 s, within a box, and write what it is like into a file for its controller.

    Ramps, steps and random steps of each axis: gain, lag, delay, dead band and bounds of the acceleration.
    Any key, Ctrl-C, silent odometry or the edge of the box ends it, with zero commands.
    """
    from rich.console import Console

    from ..calibration.guided import DriveConfig

    console = Console()
    if sum(options[name] is not None for name in ("bag", "simulate", "drawn")) > 1:
        raise click.UsageError("--bag, --simulate and --drawn exclude each other")
    if options["drawn"]:
        _study(options["drawn"], options["out"], console)
        return
    vx_max, vx_min = options["vx_max"], options["vx_min"]
    config = DriveConfig(
        vx_max=vx_max, vx_min=-vx_max if vx_min is None else vx_min, wz_max=options["wz_max"],
        length=options["box"][0], width=options["box"][1], odom_timeout=options["odom_timeout"],
    )  # fmt: skip
    if options["bag"]:
        record, config, remarks = from_bag(options["bag"], options["odom_topic"], options["cmd_topic"])
        for remark in remarks:
            console.print(remark, highlight=False, soft_wrap=True)
    elif options["simulate"] is not None:
        record = _simulated(options["simulate"], config, console)
    else:
        record = _on_the_robot(options, config, console)
    _report(record, config, options, console)


def from_bag(bag: Path, odom_topic: str, cmd_topic: str) -> tuple[Record, DriveConfig, tuple[str, ...]]:
    """A recorded drive, the largest commands in it as limits, and remarks on it."""
    import numpy as np

    from ..bags.run import read_run
    from ..calibration.guided import DriveConfig
    from ..calibration.record import Record

    run = read_run(bag, odom_topic, cmd_topic)
    record = Record.of(run.commands, run.samples)
    high, low = record.commands.max(axis=0), record.commands.min(axis=0)
    config = DriveConfig(
        vx_max=float(np.clip(high[0], 0.05, 20.0)), vx_min=float(np.clip(low[0], -20.0, 0.0)),
        wz_max=float(np.clip(max(high[1], -low[1]), 0.1, 20.0)),
    )  # fmt: skip
    return record, config, run.remarks


def calibrated_bag(bag: Path, odom_topic: str, cmd_topic: str) -> Calibration:
    """What a recorded drive says of its robot."""
    from ..calibration.fit import identify
    from ..calibration.result import Calibration

    record, config, _ = from_bag(bag, odom_topic, cmd_topic)
    return Calibration.of(identify(record), record, config)


def _simulated(name: str, config: DriveConfig, console: Console) -> Record:
    from ..calibration.simulated import SimulatedDriver
    from ..simulation.worlds import make_world

    return _driven(SimulatedDriver(make_world(name, 0, duration=config.duration), 50.0), config, console)


def _on_the_robot(options: dict[str, Any], config: DriveConfig, console: Console) -> Record:
    try:
        from ..system.calibration import RosDriver
    except ImportError as error:
        raise click.ClickException(f"ROS 2 cannot be imported ({error}): run `make setup`") from error
    names = ("namespace", "odom_topic", "cmd_topic", "cmd_vel_type", "use_sim_time")
    with RosDriver(config.limits, **{name: options[name] for name in names}) as driver:
        driver.find()
        limits = config.limits
        console.print(
            f"The robot will drive for about 80 s, at up to {limits.vx_max:.2f} m/s (in reverse "
            f"{-limits.vx_min:.2f}) and {limits.wz_max:.2f} rad/s, within {config.length:g} m along its "
            f"heading and {config.width:g} m across, with itself in the middle.\nAny key stops it. Keep a "
            "hand on the emergency stop.",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        if not options["yes"]:
            if not sys.stdin.isatty():
                raise click.UsageError("nobody can be asked here whether the robot may move: --yes says so")
            click.confirm("Drive?", abort=True)
            driver.find()
        return _driven(driver, config, console)


def _driven(driver: Driver, config: DriveConfig, console: Console) -> Record:
    from ..calibration.guided import DriveStoppedError, GuidedDrive, Progress, driven
    from .progress import shown
    from .stopping import SIGNALS, stop_wanted

    with stop_wanted() as wanted, shown(console) as bars:
        bar = bars.add("driving [s]", round(config.duration))

        def show(progress: Progress) -> None:
            bar.to(round(progress.done * config.duration / progress.total), progress.doing)

        try:
            return driven(GuidedDrive(driver, config, wanted), show)
        except DriveStoppedError as error:
            if wanted() in SIGNALS:
                raise KeyboardInterrupt from error
            raise


def _report(record: Record, config: DriveConfig, options: dict[str, Any], console: Console) -> None:
    from rich.table import Table

    from ..calibration.figure import draw
    from ..calibration.fit import UNITS, identify
    from ..calibration.guided import checked
    from ..calibration.result import Calibration
    from ..calibration.verdict import judge
    from .progress import shown

    with shown(console) as bars:
        bar = bars.add("fit and verdict", 5)
        axes = identify(checked(record, config))
        bar.advance()
        found = Calibration.of(axes, record, config)
        out: Path = options["out"]
        picture = draw(record, axes, out / "calibration.png")
        bar.advance()
        verdict = None if options["no_verdict"] else judge(found, done=bar.advance)
        if verdict is not None:
            found = attrs.evolve(found, prior=verdict.prior)
        written = found.save(out / "calibration.yaml")
    table = Table("", *(f"{axis.name} ({unit})" for axis, unit in zip(axes, UNITS, strict=True)))
    for name, label in (
        ("gain", "gain"), ("time_constant", "lag (s)"), ("delay", "delay (s)"), ("dead", "dead band"),
    ):  # fmt: skip
        values = (getattr(axis, name) for axis in axes)
        table.add_row(label, *(f"{value.value:.3f} ± {value.within:.3f}" for value in values))
    for name, label in (("acceleration", "acceleration, at most"), ("deceleration", "deceleration, at most")):
        bounds = (getattr(axis, name) for axis in axes)
        table.add_row(
            label, *(f"{bound:.2f}" if math.isfinite(bound) else "no bound met" for bound in bounds)
        )
    for name, label in (("explained", "explained"), ("held_out", "of what was left out")):
        shares = (getattr(axis, name) for axis in axes)
        table.add_row(label, *(f"{share:.1%}" if math.isfinite(share) else "-" for share in shares))
    console.print(table)
    for axis in axes:
        if axis.source != "twist":
            console.print(f"{axis.name} was taken from the {axis.source}", highlight=False, soft_wrap=True)
    for sentence in verdict.sentences if verdict else ():
        console.print(sentence, highlight=False, soft_wrap=True)
    console.print(f"wrote {written} and {picture}", highlight=False, soft_wrap=True)
    console.print(
        f"ros2 launch mppi_maml_ros bringup.launch.py params_file:={written.resolve()}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def _study(robots: int, out: Path, console: Console) -> None:
    from ..calibration import study as work
    from ..core.files import write_json
    from .progress import track

    found = [
        outcome for both in track(work.study(range(robots)), "robots", robots, console) for outcome in both
    ]
    report = work.summary(found)
    write_json(out / "drawn.json", report | {"floor": attrs.asdict(work.FLOOR)})
    largest = report["largest"]
    console.print(
        f"{report['within']} of {report['axes']} axes within {work.GAIN:.0%} of the gain, {work.LAG:.0%} of "
        f"the lag and {work.DELAY:g} sample of delay; largest errors {largest['gain_error']:.1%}, "
        f"{largest['time_constant_error']:.1%} and {largest['delay_error']:.2f}, longest drive "
        f"{largest['seconds']:.0f} s; wrote {out / 'drawn.json'}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
