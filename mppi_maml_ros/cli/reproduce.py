"""``mppi-maml reproduce``: a table of a paper, ours beside theirs."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Names, Real, Seeds, folder_option


def _listed(context: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    from rich.console import Console

    from ..literature.registry import STUDIES

    for name, study in STUDIES.items():
        line = f"{name:<18} {study.title}: {', '.join(study.methods)}"
        Console().print(line, highlight=False, soft_wrap=True)
    context.exit()


@click.command(short_help="Reproduce a paper's table, ours beside theirs.")
@click.argument("name")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_listed, help="Studies and methods."
)
@click.option("--seeds", type=Seeds(), help="Of the trainings, such as 0,1 or 0-4.  [default: the study's]")
@click.option("--methods", type=Names(), help="Some of the study's, separated by commas.  [default: all]")
@click.option(
    "--scale", type=Real(0.0, 1.0, min_open=True), default=1.0, show_default=True,
    help="Share of the whole effort, the paper's where it can be had; what a small one finds says little.",
)  # fmt: skip
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of Omniglot's zip files, for the study that reads them.")  # fmt: skip
@click.option(
    "--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Also write the JSON there."
)
@folder_option("reproduce_report", "Folder of NAME.json, .csv, .md and .png; what is done is taken up again.")
def reproduce(
    name: str,
    seeds: tuple[int, ...] | None,
    methods: tuple[str, ...] | None,
    scale: float,
    data: Path | None,
    path: Path | None,
    out: Path,
) -> None:
    """Run the protocol of a paper and print its figures beside ours, with 95 % intervals.

    Ctrl-C keeps what is done; the same command goes on from there.
    """
    import torch
    from rich.console import Console
    from rich.table import Table

    from ..literature import report
    from ..literature import study as module
    from ..literature.registry import STUDIES, with_data
    from ..meta.loop import Cancelled, Controls, Progress
    from .meta_training import cancelled_by_interrupt
    from .progress import Bar, shown

    torch.set_num_threads(1)  # the same numbers whatever the machine
    study = with_data(STUDIES[name], data)
    chosen, seeds = methods or study.methods, seeds or study.seeds
    command = " ".join(
        ["mppi-maml reproduce", name, f"--seeds {','.join(map(str, seeds))}", f"--scale {scale:g}"]
        + ([f"--methods {','.join(methods)}"] if methods else [])
    )
    console = Console()
    with cancelled_by_interrupt() as cancel, shown(console) as bars:
        parts: dict[str, Bar] = {}

        def show(progress: Progress) -> None:
            bar = parts.get(progress.phase) or bars.add(progress.phase, progress.iterations)
            parts[progress.phase] = bar
            bar.to(progress.iteration, f"loss {progress.loss:.3f}   {progress.rate:.2f} iterations/s")

        overall = bars.add(name, len(chosen) * len(seeds))
        try:
            result = module.reproduce(
                study, seeds, scale, out / name, chosen, Controls(show, cancel),
                on_part=lambda method, seed: overall.advance(f"{method} {seed}"),
            )  # fmt: skip
        except Cancelled:
            bars.stop()
            console.print(f"what is done is in {out / name}; the same command goes on from there")
            raise KeyboardInterrupt from None
    table = Table(title=f"{study.title}; {study.source}")
    for column in ("method", study.x, study.value, "paper"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for row in result.rows:
        paper = "" if row.paper is None else report.written(row.paper)
        table.add_row(row.method, f"{row.x:g}", report.ours(row), paper)
    console.print(table)
    try:
        page = report.write(study, result, out, command, path)
    except OSError as error:
        raise click.ClickException(f"the report cannot be written: {error.strerror or error}") from error
    console.print(f"wrote {page}", highlight=False, soft_wrap=True)
