"""``mppi-maml demo`` and ``mppi-maml fuzz``: the installed nodes, as processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import REFERENCES, Real, Whole, duration_option, folder_option, seed_option

if TYPE_CHECKING:
    from ..simulation.faults import Fault


class _Faults(click.ParamType):
    name = "FAULT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Fault, ...]:
        from ..core.errors import InvalidValueError
        from ..simulation.faults import KINDS, parse

        if value == "list":
            for name, kind in KINDS.items():
                click.echo(f"{name:<18} {kind.describe()}")
            (ctx or click.get_current_context()).exit()
        try:
            return parse(value) if isinstance(value, str) else value
        except InvalidValueError as error:
            self.fail(str(error), param, ctx)


@click.command(short_help="Drive a robot that is unlike its model, without and with adaptation.")
@seed_option
@duration_option(30.0, 5.0, "Of each of the runs [s].")
@folder_option("demo_report", "Folder of the report: summary.json and demo.png.")
@click.option(
    "--reference", type=click.Choice(REFERENCES), default="circle", show_default=True, help="What to drive."
)
@click.option("--domain", type=Whole(0, 232), help="ROS domain to run in.  [default: one that nobody uses]")
@click.option("--keep-logs", is_flag=True, help="Keep the logs of the processes in the report.")
@click.option(
    "--fault",
    "faults",
    type=_Faults(),
    multiple=True,
    help="What breaks: KIND[@START[+DURATION]][=VALUE], such as estop@10+4 or twist_zero; may be repeated. "
    "`--fault list` shows the kinds.",
)
def demo(**options: Any) -> None:
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


@click.command(short_help="Throw anything at all four nodes and hold what they promise.")
@click.option(
    "--duration",
    type=Real(1.0, 86400.0),
    default=600.0,
    show_default=True,
    help="Of the nonsense [s].",
)
@click.option("--seed", type=Whole(0, 2**63 - 1), default=0, show_default=True)
@click.option("--rate", type=Real(1.0, 1000.0), default=60.0, show_default=True, help="Actions a second.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for fuzz.json and logs."
)
def fuzz(**options: Any) -> None:
    """Throw anything at all four nodes, as processes: messages, bytes, requests, parameters.

    Fails when a process ends, a command is not finite or beyond a limit, commands fall silent, a request
    is not answered, or the robot is not driven again afterwards.
    """
    from rich.console import Console

    from .progress import shown

    try:
        from ..system.fuzz import FuzzSettings, run_fuzz
    except ImportError as error:
        raise click.ClickException(f"ROS 2 cannot be imported ({error}): run `make setup`") from error
    settings = FuzzSettings(**options)
    with shown(Console()) as bars:
        report = run_fuzz(settings, bars.add("fuzz [s]", settings.duration).to)
    click.echo(
        f"clean: {sum(report['actions'].values())} actions, {report['commands']} commands, "
        f"longest silence {report['longest_silence']:.2f} s, driving again after "
        f"{report['recovered_after']:.1f} s"
    )
