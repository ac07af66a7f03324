"""Is this computer fast enough? The control step, an attempt to adapt and their parts, in a minute.

Needs neither torch nor a running ROS. Medians of CPU time of one thread, what share of a control
period that is, and the ratio to the kinematic step; beside them those of docs/results, and how many times as
long this computer takes.

    python3 -m mppi_maml_ros.warm_up && python3 benchmarks/board.py
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import json
import time
from pathlib import Path

import click
from _cases import SEVEN, costmap, reference, step
from _machine import machine
from _timing import measure_in_rounds
from attempt import run
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mppi_maml_ros.adaptation.online import OnlineConfig
from mppi_maml_ros.mppi import MPPIConfig
from mppi_maml_ros.mppi.sampling import Sampler

SHAPE = (1000, 56)
PERIOD = 50.0  # [ms] of control at 20 Hz
BARE = "kinematic"
RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
CRITICS = {  # rows of critics.json: model, critics
    BARE: ("kinematic", "none"),
    "kinematic, 7 critics": ("kinematic", "seven, filled map"),
    "learned": ("default residual", "none"),
    "learned, 7 critics": ("default residual", "seven, filled map"),
}


def steps(rounds: int) -> dict[str, float]:
    """CPU time [ms] of control steps, and of drawing the samples of one."""
    grid = costmap(True, reference(SHAPE[1]))
    cases = {
        name: step(model, SHAPE, () if critics == "none" else SEVEN, grid)
        for name, (model, critics) in CRITICS.items()
    }
    sampler = Sampler(MPPIConfig(batch_size=SHAPE[0], time_steps=SHAPE[1]), 0)
    times = measure_in_rounds(cases | {"draw the samples": sampler.sample}, rounds)
    return {name: time["cpu_ms"] for name, time in times.items()}


def attempts(count: int) -> dict[str, float]:
    """CPU time [ms] of an attempt to adapt, and of taking in a sample of odometry."""
    found = run(OnlineConfig().adapter, count)
    return {"attempt to adapt": found["attempt_ms"], "sample of odometry": found["odometry_ms"]}


def published() -> tuple[str, dict[str, float]]:
    """The processor that docs/results was measured on, and CPU times there [ms]."""
    try:
        critics, tries = (json.loads((RESULTS / f"{n}.json").read_text()) for n in ("critics", "attempt"))
    except OSError:
        return "", {}
    rows = {(r["model"], r["critics"]): r["cpu_ms"] for r in critics["critics"] if (r["K"], r["N"]) == SHAPE}
    found = {name: rows[key] for name, key in CRITICS.items() if key in rows}
    for row in tries["attempts"]:
        if row["adapter"] == OnlineConfig().adapter:
            found |= {"attempt to adapt": row["attempt_ms"], "sample of odometry": row["odometry_ms"]}
    return critics["machine"]["cpu"], found


def table(times: dict[str, float], about: dict, there: tuple[str, dict[str, float]]) -> Table:
    """For people."""
    cpu, others = there
    title = f"{about['cpu']}, {about['cores']} cores; steps of {SHAPE[0]} x {SHAPE[1]}; CPU of one thread"
    result = Table("control step, and others", title=title, caption=f"there: {cpu}" if cpu else None)
    for column in ("ms", f"of {PERIOD:g} ms", "ratio", "there", "to there"):
        result.add_column(column, justify="right")
    for name, ms in times.items():
        beside = (f"{others[name]:.3f}", f"{ms / others[name]:.1f}") if name in others else ("", "")
        result.add_row(name, f"{ms:.3f}", f"{100 * ms / PERIOD:.1f} %", f"{ms / times[BARE]:.2f}", *beside)
    return result


@click.command()
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the numbers here"
)
@click.option("--rounds", default=200, show_default=True, help="of the steps")
@click.option("--attempts", "count", default=40, show_default=True, help="to adapt")
def main(json_file: Path | None, rounds: int, count: int) -> None:
    """Time what runs on a robot."""
    about, started = machine(), time.perf_counter()
    console = Console()
    with Progress(console=console) as progress:
        task = progress.add_task("control steps", total=2)
        times = steps(rounds)
        progress.update(task, completed=1, description="attempts")
        times |= attempts(count)
        progress.update(task, completed=2)
    console.print(table(times, about, published()))
    click.echo(f"{time.perf_counter() - started:.0f} s")
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": about, "cpu_ms": times}, indent=2) + "\n")


if __name__ == "__main__":
    main()
