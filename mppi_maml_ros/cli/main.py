"""``mppi-maml``: the demo and offline meta-training from a shell.

Modules that take long to import are imported by the command that needs them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .. import __version__
from .bags import live, record, report
from .compare import compare
from .meta_compare import meta_compare
from .meta_train import meta_train
from .mujoco_study import mujoco_study
from .options import REFERENCES, duration_option, folder_option, seed_option
from .path_study import path_study
from .prediction_study import prediction_study
from .sinusoid import sinusoid
from .tuning_study import tuning_study


class _Faults(click.ParamType):
    name = "FAULT"

    def convert(self, value, param, ctx):
        from ..core.errors import InvalidValueError
        from ..simulation.faults import KINDS, parse

        if value == "list":
            for name, kind in KINDS.items():
                click.echo(f"{name:<18} {kind.describe()}")
            ctx.exit()
        try:
            return parse(value) if isinstance(value, str) else value
        except InvalidValueError as error:
            self.fail(str(error), param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="mppi-maml")
def cli() -> None:
    """MPPI for differential-drive robots with a meta-learned residual that adapts online."""


@cli.command(short_help="Drive a robot that is unlike its model, without and with adaptation.")
@seed_option
@duration_option(30.0, 5.0, "Of each of the runs [s].")
@folder_option("demo_report", "Folder of the report: summary.json and demo.png.")
@click.option(
    "--reference", type=click.Choice(REFERENCES), default="circle", show_default=True, help="What to drive."
)
@click.option(
    "--domain", type=click.IntRange(0, 232), help="ROS domain to run in.  [default: one that nobody uses]"
)
@click.option("--keep-logs", is_flag=True, help="Keep the logs of the processes in the report.")
@click.option(
    "--fault",
    "faults",
    type=_Faults(),
    multiple=True,
    help="What breaks: KIND@START[+DURATION][=VALUE], such as odom_stop@10+2; may be repeated. "
    "`--fault list` shows the kinds.",
)
def demo(**options) -> None:
    """Drive a robot that is unlike its model, without and with adaptation, and report.

    Starts the installed nodes as processes, with their configuration files, in a ROS domain of
    their own on this machine, twice in the same world.
    """
    from rich.console import Console

    from ..system.demo import DemoSettings, run_demo

    options["faults"] = tuple(fault for faults in options["faults"] for fault in faults)
    try:
        from ..system.monitor import DemoMonitor
    except ImportError as error:
        raise click.ClickException(f"ROS 2 cannot be imported ({error}): run `make setup`") from error
    run_demo(DemoSettings(**options), DemoMonitor, Console())


@cli.command(short_help="Throw anything at all four nodes and hold what they promise.")
@click.option(
    "--duration",
    type=click.FloatRange(1.0, 86400.0),
    default=600.0,
    show_default=True,
    help="Of the nonsense [s].",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option(
    "--rate", type=click.FloatRange(1.0, 1000.0), default=60.0, show_default=True, help="Actions a second."
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for fuzz.json and logs."
)
def fuzz(**options) -> None:
    """Throw anything at all four nodes, as processes: messages, bytes, requests, parameters.

    Fails when a process ends, a command is not finite or beyond a limit, commands fall silent, a request
    is not answered, or the robot is not driven again afterwards.
    """
    from rich.console import Console

    try:
        from ..system.fuzz import FuzzSettings, run_fuzz
    except ImportError as error:
        raise click.ClickException(f"ROS 2 cannot be imported ({error}): run `make setup`") from error
    report = run_fuzz(FuzzSettings(**options), Console())
    click.echo(
        f"clean: {sum(report['actions'].values())} actions, {report['commands']} commands, "
        f"longest silence {report['longest_silence']:.2f} s, driving again after "
        f"{report['recovered_after']:.1f} s"
    )


@cli.command(short_help="Hours of control in minutes; memory, threads and files must not grow.")
@click.option(
    "--hours",
    type=click.FloatRange(0.0, 10_000.0, min_open=True),
    default=8.0,
    show_default=True,
    help="Of simulated control.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="soak_report",
    show_default=True,
    help="Folder of soak.json and soak.png.",
)
def soak(**options) -> None:
    """Control, adapt and swap in simulated time, through faults, and watch what the process holds."""
    from rich.console import Console

    from ..experiments.studies.soak import SoakSettings, run_soak
    from ..weights.meta_model import PACKAGED, MetaModel

    report = run_soak(SoakSettings(**options), MetaModel.load(PACKAGED), Console())
    click.echo(
        f"flat: {report['memory_growth_mib']:+.2f} MiB after the warm-up, {report['periods']} periods in "
        f"{report['wall_seconds']:.0f} s, {report['weights_version']} swaps"
    )


cli.add_command(compare)
cli.add_command(prediction_study)
cli.add_command(mujoco_study)
cli.add_command(meta_compare)
cli.add_command(meta_train)
cli.add_command(sinusoid)
cli.add_command(path_study)
cli.add_command(tuning_study)
for _command in (record, report, live):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C."""
    from ..core.errors import MppiMamlError

    try:
        return cli.main(args=arguments, prog_name="mppi-maml", standalone_mode=False) or 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MppiMamlError as error:
        click.echo(f"error: {error}", err=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
