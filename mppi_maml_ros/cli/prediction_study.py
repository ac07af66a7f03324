"""``mppi-maml prediction-study``: options, progress and where the results go."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Whole, artifact_option, folder_option, seed_option


@click.command("prediction-study", short_help="How well each adapter predicts from few transitions.")
@click.option("--robots", type=Whole(1, 100_000), default=100, show_default=True, help="In each condition.")
@seed_option
@artifact_option
@folder_option("prediction_report", "Folder of prediction_study.json, .md and .png.")
def prediction_study(robots: int, seed: int, artifact: Path | None, out: Path) -> None:
    """Compare the adapters on predictions from 10, 20, 50 and 200 transitions, without closing a loop.

    Random robots, clean, noisy and delayed, and robots far outside of what was meta-trained on.
    """
    from rich.console import Console

    from ..experiments.studies import prediction as module
    from ..weights.meta_model import PACKAGED, MetaModel
    from .progress import shown

    meta = MetaModel.load(artifact or PACKAGED)
    console = Console()
    with shown(console) as bars:
        bar = bars.add("robots", robots * (len(module.CONDITIONS) + 1))
        result = module.study(meta, robots, seed, on_progress=bar.to)
    command = f"mppi-maml prediction-study --robots {robots} --seed {seed}"
    paths = module.write(result, out, command)
    worst = max(module.ratios(result), key=lambda column: column["ratio"])
    console.print(
        f"{result['default']} / best other row: at most {worst['ratio']:.2f} "
        f"({worst['condition']}, M = {worst['size']}, {worst['row']}); wrote {paths[1]}",
        highlight=False,
        soft_wrap=True,
    )
