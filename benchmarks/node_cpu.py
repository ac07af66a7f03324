"""What the nodes cost while nobody listens: the installed executables as processes, in percent of a core.

The robot of the demo drives a figure of eight, every other parameter is the default. After it is driven
and the first adaptations are over, the CPU time of each process, all threads and the kernel's share
included, is read from /proc at both ends of the run. This process does not join the ROS domain.

    python benchmarks/node_cpu.py --json node_cpu.json
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from pathlib import Path

import attrs
import click
import yaml
from _machine import machine
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mppi_maml_ros.system.demo import FIGURES, draw_world
from mppi_maml_ros.system.processes import ProcessGroup, config_file, private_domain, ros_environment

FIGURE = "figure8"
NODES = ("mppi_controller", "adaptation", "dynamic_world")
START_TIMEOUT = 120.0  # [s]
SETTLE = 10.0  # [s] of driving before the clock runs: the first adaptations allocate
TICKS = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class Case:
    """Rates [Hz], and whether adaptation runs beside the controller."""

    control: float = 20.0
    odometry: float = 50.0
    adaptation: bool = True


CASES = {
    "20 Hz, odometry at 20 Hz": Case(odometry=20.0),
    "20 Hz, odometry at 50 Hz": Case(),
    "50 Hz, odometry at 50 Hz": Case(control=50.0),
    "20 Hz, odometry at 50 Hz, without adaptation": Case(adaptation=False),
}


def cpu_seconds(pid: int) -> tuple[float, float]:
    """CPU time of a process in user mode and in the kernel [s]."""
    # The name of the program, in brackets, may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def resident_mb(pid: int) -> float:
    """Resident memory of a process [MB]."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024.0


def run_case(case: Case, duration: float, tick) -> dict[str, dict[str, float]]:
    """Drive for ``duration`` [s]; ``tick`` is called every second.

    Returns:
        By node: ``percent`` of a core, of it in the ``kernel``, and resident memory ``memory_mb``.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mppi_maml_cpu_")))
        domain = stack.enter_context(private_domain())
        group = stack.enter_context(ProcessGroup(ros_environment(domain, folder), folder))
        world = {f"world.{k}": v for k, v in attrs.asdict(draw_world(0)).items()}
        parameters = {
            "mppi_controller": {"controller_frequency": case.control, "reference": FIGURE} | FIGURES[FIGURE],
            "adaptation": {},
            "dynamic_world": world | {"randomize_on_start": False, "odom_rate": case.odometry},
        }
        nodes = [name for name in NODES if case.adaptation or name != "adaptation"]
        for name in nodes:
            file = folder / f"{name}.yaml"
            file.write_text(yaml.safe_dump({f"/{name}": {"ros__parameters": parameters[name]}}))
            group.start_node(name, [config_file(f"{name}.yaml"), file])
        deadline = time.monotonic() + START_TIMEOUT
        awaited = {"mppi_controller": "RUNNING"} | ({"adaptation": "ACCEPTED"} if case.adaptation else {})
        while not all(word in group.members[name].tail(50) for name, word in awaited.items()):
            group.check()
            if time.monotonic() > deadline:
                raise click.ClickException(f"not within {START_TIMEOUT:g} s: {awaited}")
            time.sleep(0.2)
        time.sleep(SETTLE)
        pids = {name: group.members[name].pid for name in nodes}
        before, started = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.monotonic()
        for _ in range(int(duration)):
            time.sleep(1.0)
            tick()
        group.check()
        after, wall = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.monotonic() - started
        memory = {name: resident_mb(pid) for name, pid in pids.items()}
    result = {}
    for name in nodes:
        user, kernel = (100.0 * (b - a) / wall for a, b in zip(before[name], after[name], strict=True))
        result[name] = {"percent": user + kernel, "kernel": kernel, "memory_mb": memory[name]}
    return result


@click.command()
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the numbers here"
)
@click.option("--duration", default=60.0, show_default=True, help="of each run [s]")
@click.option("--repeat", default=1, show_default=True, help="runs of each case")
@click.option("--case", "names", multiple=True, type=click.Choice(list(CASES)), help="default: all")
def main(json_file: Path | None, duration: float, repeat: int, names: tuple[str, ...]) -> None:
    """Measure the CPU time of the nodes."""
    chosen = list(names) or list(CASES)
    about, results = machine(), {}
    with Progress() as progress:
        for name in chosen:
            task = progress.add_task(name, total=repeat * int(duration))
            runs = [
                run_case(CASES[name], duration, lambda t=task: progress.advance(t)) for _ in range(repeat)
            ]
            results[name] = runs
    table = Table(title="CPU [% of a core] (in the kernel), memory [MB]")
    for column in ("case", *NODES):
        table.add_column(column, justify="left" if column == "case" else "right")
    for name, runs in results.items():
        for run in runs:
            cells = (
                f"{run[n]['percent']:.1f} ({run[n]['kernel']:.1f}), {run[n]['memory_mb']:.0f}"
                if n in run
                else ""
                for n in NODES
            )
            table.add_row(name, *cells)
    Console().print(table)
    if json_file is not None:
        data = {"machine": about, "duration": duration, "cases": results}
        json_file.write_text(json.dumps(data, indent=2) + "\n")


if __name__ == "__main__":
    main()
