"""``mppi-maml meta-compare``: options, progress and where the results go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import Whole, artifact_option, folder_option, seed_option


@click.command("meta-compare", short_help="Compare the meta-trainers on unseen and on changing worlds.")
@seed_option
@click.option("--iterations", type=Whole(10, 1_000_000), default=1000, show_default=True,
              help="Of each trainer.")  # fmt: skip
@click.option("--worlds", type=Whole(10, 10_000), default=1000, show_default=True,
              help="Held-out ones to judge by.")  # fmt: skip
@click.option("--runs", type=Whole(1, 1000), default=10, show_default=True,
              help="In each of the changing worlds.")  # fmt: skip
@artifact_option
@folder_option("meta_report", "Folder of meta_comparison.json and .md.")
def meta_compare(
    seed: int, iterations: int, worlds: int, runs: int, artifact: Path | None, out: Path
) -> None:
    """Train every trainer alike and judge it on held-out worlds, then drive through worlds that change.

    The drives use the networks of the artifact and compare GrBAL and ReBAL with MB+DE and MB.
    """
    import torch
    from rich.console import Console

    from ..experiments.studies import meta_trainers as module
    from ..weights.meta_model import PACKAGED, MetaModel
    from .progress import shown

    torch.set_num_threads(1)
    meta = MetaModel.load(artifact or PACKAGED)
    console = Console()
    with shown(console) as bars:
        trainers = {name: bars.add(name, iterations) for name in module.SETTINGS}
        result: dict[str, Any] = {"seed": seed, "iterations": iterations, "worlds": worlds}
        result["held_out"] = module.held_out(
            seed, iterations, worlds,
            on_progress=lambda report: trainers[report.phase].to(report.iteration),
        )  # fmt: skip
        drives = runs * len(module.CHANGING) * len(module.MODELS)
        bar = bars.add("changing", drives)
        result["changing"] = module.changing_worlds(meta, range(seed, seed + runs), on_progress=bar.advance)
    command = (
        f"mppi-maml meta-compare --seed {seed} --iterations {iterations} --worlds {worlds} --runs {runs}"
    )
    path = module.write(result, out, command)
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)
