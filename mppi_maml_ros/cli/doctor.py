"""``mppi-maml doctor``: what is wrong here, and what to type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .options import Real

if TYPE_CHECKING:
    from ..doctor.finding import Finding

_COLOURS = {"ok": "green", "note": "yellow", "wrong": "red"}


@click.command(short_help="What is wrong with this machine and the robot's topics, and what to type.")
@click.option("--namespace", default="", help="Of the robot, such as robot1.  [default: none]")
@click.option("--odom-topic", default="odom", show_default=True, help="The robot's odometry.")
@click.option("--cmd-topic", default="cmd_vel", show_default=True, help="The commands that it obeys.")
@click.option(
    "--duration",
    type=Real(0.0, 3600.0),
    default=5.0,
    show_default=True,
    help="To listen to the topics [s]; 0: look at the machine alone.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(
    ctx: click.Context, namespace: str, odom_topic: str, cmd_topic: str, duration: float, as_json: bool
) -> None:
    """Look at machine, environment and the robot's topics; say what is wrong and what to type.

    Sends nothing. The exit code is 1 when something is wrong. To have the twist of odometry judged, drive
    the robot about meanwhile.
    """
    from ..doctor.finding import any_wrong
    from ..doctor.machine import judge_machine, this_machine

    machine = this_machine()
    findings = judge_machine(machine)
    if duration > 0.0 and machine.can_listen:
        findings += _topics(duration, namespace, odom_topic, cmd_topic)
    if as_json:
        rows = [{"level": f.level.value, "about": f.about, "says": f.says, "do": f.do} for f in findings]
        click.echo(json.dumps({"wrong": any_wrong(findings), "findings": rows}, indent=2))
    else:
        for finding in findings:
            _show(finding)
    ctx.exit(int(any_wrong(findings)))


def _topics(duration: float, *where: Any) -> list[Finding]:
    from rich.console import Console

    from ..doctor.topics import judge_topics
    from ..system.doctor import listen
    from .progress import shown

    with shown(Console(stderr=True)) as bars:
        return judge_topics(listen(duration, bars.add("listening [s]", duration).to, *where))


def _show(finding: Finding) -> None:
    level = finding.level.value
    click.echo(f"{click.style(f'{level:<6}', fg=_COLOURS[level])} {finding.about:<11} {finding.says}")
    if finding.do:
        click.echo(f"{'':<19}-> {finding.do}")
