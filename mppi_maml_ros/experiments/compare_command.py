"""``mppi-maml compare``: options, progress and where the results go."""

from __future__ import annotations

from pathlib import Path

import click

from .options import REFERENCES, artifact_option, duration_option, folder_option


class _Names(click.ParamType):
    name = "NAME[,NAME]"

    def convert(self, value, param, ctx):
        names = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else tuple(value)
        if not all(names):
            self.fail(f"{value!r} is not a list of names separated by commas", param, ctx)
        return names


class Seeds(click.ParamType):
    name = "N[,N]|N-N"

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return tuple(value)
        seeds: list[int] = []
        try:
            for part in value.split(","):
                first, _, last = part.partition("-")
                seeds.extend(range(int(first), int(last or first) + 1))
        except ValueError:
            seeds = []
        if not seeds:
            self.fail(f"{value!r} is not a list of seeds such as 0,1,2 or 0-9", param, ctx)
        return tuple(seeds)


@click.command(short_help="Compare models and adapters in simulated worlds.")
@click.option(
    "--world",
    type=_Names(),
    default="seed",
    show_default=True,
    help="Worlds, or all; an unknown name lists them.",
)
@click.option(
    "--trajectory",
    type=_Names(),
    default="circle",
    show_default=True,
    help=f"{', '.join(REFERENCES)}, or all.",
)
@duration_option(20.0, 2.0, "Of each run [s].")
@click.option(
    "--seeds", type=Seeds(), default="0,1,2", show_default=True, help="Of worlds, noise and sampler."
)
@click.option(
    "--models",
    type=_Names(),
    default="all",
    show_default=True,
    help="Models and adapters, or all; `adaptive` is the default adapter. An unknown name lists them.",
)
@click.option("--noise", type=float, default=1.0, show_default=True, help="Factor on the process noise.")
@click.option(
    "--samples", type=int, default=512, show_default=True, help="Rollouts a control step, for every model."
)
@artifact_option
@folder_option(
    "compare_report", "Folder of results.csv and report.md; runs that it holds are not done again."
)
@click.option("--jobs", type=click.IntRange(1, 512), help="Runs at a time.  [default: the number of cores]")
@click.option("--evaluate", is_flag=True, help="Do the runs. Without --evaluate and --report both are done.")
@click.option("--report", is_flag=True, help="Write the report on what --out holds.")
def compare(out: Path, jobs: int | None, evaluate: bool, report: bool, **options) -> None:
    """Compare models and adapters in simulated worlds, in parallel, and report.

    Every model drives with the same controller, the same box on commands, and for one seed through
    the same world, noise and samples. Results are kept in --out: an interrupted comparison goes on where it
    stopped, and further worlds, models or seeds can be added to it.
    """
    from rich.console import Console

    console = Console()
    if evaluate or not report:
        _evaluate(out, jobs, options, console)
    if report or not evaluate:
        from .report import write_report

        path = write_report(out)
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _evaluate(out: Path, processes: int | None, options: dict, console) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..mppi.config import MPPIConfig
    from . import comparison

    known = {
        "models": comparison.usual_models(),
        "world": comparison.WORLD_NAMES,
        "trajectory": tuple(comparison.FIGURES),
    }
    chosen = {name: all_ if options[name] == ("all",) else options[name] for name, all_ in known.items()}
    jobs = comparison.jobs_of(chosen["models"], chosen["world"], chosen["trajectory"], options["seeds"])
    settings = comparison.Settings(
        duration=options["duration"],
        noise=options["noise"],
        mppi=MPPIConfig(batch_size=options["samples"], time_steps=30, noise_knots=8),
        artifact=options["artifact"] or comparison.PACKAGED,
    )
    results = comparison.Results(out, settings)
    if results.mixed_code:
        console.print(
            f"[yellow]{out} holds runs of other sources of this package; only the new ones are of these[/]",
            highlight=False,
            soft_wrap=True,
        )
    present = sum(job in results.rows for job in jobs)
    columns = (
        TextColumn("[bold]comparing"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[line]}"),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task("", total=len(jobs), completed=present, line="starting")

        def show(job, row) -> None:
            line = f"{job.world}, {job.trajectory}, {job.seed}: {job.model} {row['rmse_after_2s']:.4f} m"
            progress.update(task, advance=1, line=line)

        done = comparison.compare(settings, jobs, results, processes or comparison.usable_cores(), show)
        progress.update(task, line="")
    console.print(f"{done} runs, {present} were there; {results.path}", highlight=False, soft_wrap=True)
