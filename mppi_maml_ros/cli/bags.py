"""``mppi-maml record``, ``report`` and ``live``."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from .options import Real, Whole

if TYPE_CHECKING:
    from rich.table import Table

    from ..meta.tasks.recordings import RunReport


def _system(module: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(f"..system.{module}", __package__)
    except ImportError as error:
        raise click.ClickException(f"ROS 2 cannot be imported ({error}): run `make setup`") from error


_NAMESPACE = click.option("--namespace", default="", help="Of the robot, such as robot1.  [default: none]")


def run_table(runs: Iterable[RunReport]) -> Table:
    """What became of each recorded run that a training was given."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("run", "length", "usable", "left out", "what to know, what to do", title="recorded runs")
    for run in runs:
        length = f"{run.duration:.1f} s" if math.isfinite(run.duration) else "-"
        usable = "no" if run.refusal else str(run.usable)
        notes = ". ".join(filter(None, (run.refusal, *run.remarks)))
        table.add_row(*map(escape, (str(run.path), length, usable, run.left_out(), notes)))
    return table


@click.command(short_help="Record a running robot into an mcap bag.")
@click.argument("bag", type=click.Path(path_type=Path), required=False)
@click.option("--topic", "topics", multiple=True, help="Record this topic, and not the usual ones.")
@_NAMESPACE
@click.option("--duration", type=Real(), help="Stop after so many seconds.  [default: at Ctrl-C]")
def record(bag: Path | None, topics: tuple[str, ...], namespace: str, duration: float | None) -> None:
    """Record odometry, commands, plan and what controller and adaptation say, into the folder BAG."""
    recorder = _system("recorder")
    bag = bag or Path(time.strftime("bag_%Y%m%d_%H%M%S"))
    with (
        _asked_to_end() as asked,
        recorder.Recorder(bag, topics or recorder.TOPICS, namespace) as recording,
        _shown(f"recording into {bag}, Ctrl-C ends") as show,
    ):
        recording.run(math.inf if duration is None else duration, show, asked.is_set)
    with _terminal_may_be_gone():
        for topic, remark in sorted(recording.remarks.items()):
            click.echo(f"{topic} was not recorded: {remark}")
        if recording.unheard:
            click.echo(f"nothing came on {', '.join(recording.unheard)}")
        click.echo(f"{sum(recording.counts.values())} messages in {bag}; mppi-maml report {bag}")


_ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGPWR", "SIGALRM", "SIGUSR1", "SIGUSR2")


@contextlib.contextmanager
def _asked_to_end() -> Iterator[threading.Event]:
    """An event that any signal sets that would end the process."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    numbers = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda *_: event.set()) for number in numbers}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _shown(title: str) -> Iterator[Callable[[dict[str, int]], None]]:
    """A table of counts that is kept up to date."""
    from rich.live import Live
    from rich.markup import escape
    from rich.table import Table

    def table(counts: dict[str, int]) -> Table:
        found = Table("topic", "messages", title=title)
        for topic, count in sorted(counts.items()):
            found.add_row(escape(topic), str(count))
        return found

    live, started = Live(table({}), refresh_per_second=2), False
    with _terminal_may_be_gone():
        live.start()
        started = True
    try:
        yield lambda counts: live.update(table(counts))
    finally:
        with _terminal_may_be_gone():
            if started:
                live.stop()
                if not live.console.is_terminal:
                    click.echo()  # which rich leaves out


@contextlib.contextmanager
def _terminal_may_be_gone() -> Iterator[None]:
    """What cannot be shown any more is no failure: a recording outlives the terminal."""
    try:
        yield
    except (OSError, SystemExit):  # the latter is rich's answer to a closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.command(short_help="Make an HTML page with figures of a recorded run.")
@click.argument("bag", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The page.  [default: BAG.html]")
@click.option("--odom-topic", default="", help="Of several odometry topics, this one.  [default: odom]")
@click.option(
    "--cmd-topic", default="", help="Of several topics with commands, this one.  [default: cmd_vel]"
)
@_NAMESPACE
def report(bag: Path, out: Path | None, odom_topic: str, cmd_topic: str, namespace: str) -> None:
    """Make one HTML page with figures of the run in BAG, recorded by `mppi-maml record` or rosbag2."""
    from ..system.bag_report import Choice, write_report

    choice = Choice(namespace, odom_topic, cmd_topic)
    click.echo(f"wrote {write_report(bag, out or bag.with_suffix('.html'), choice, click.echo)}")


@click.command(short_help="Show error, residual and adaptation events of a running robot.")
@click.option("--web", is_flag=True, help="As a page in the browser, with the path and parameters to set.")
@_NAMESPACE
@click.option("--odom-topic", default="odom", show_default=True, help="Odometry of the page.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that the page is served on.")
@click.option("--port", type=Whole(0, 65535), default=8080, show_default=True, help="Its port; 0: any.")
@click.option(
    "--duration", type=Real(), default=math.inf, help="Stop after so many seconds.  [default: never]"
)
def live(web: bool, namespace: str, odom_topic: str, host: str, port: int, duration: float) -> None:
    """Show error, residual and adaptation events of a running robot, in the terminal or the browser.

    Until Ctrl-C. Whoever reaches the page of --web may set parameters: that is this machine alone, unless
    --host says otherwise.
    """
    from rich.console import Console

    if web:
        _system("live_web").run_web(namespace, odom_topic, host, port, Console(), duration)
    else:
        _system("live").run_live(namespace, Console(), duration)
