"""``mppi-maml path-defaults``: settings for following paths, chosen on some robots and judged on others."""

from __future__ import annotations

from pathlib import Path

import click

from .options import folder_option


@click.command("path-defaults", short_help="Choose settings for following paths, and judge them.")
@folder_option("path_defaults_report", "Folder of path_defaults.csv and path_defaults.json.")
def path_defaults(out: Path) -> None:
    """Change one setting at a time; what helps is taken together and judged on other robots and courses.

    A run that is broken off goes on where it was when it is started again with the same folder.
    """
    from rich.console import Console

    from ..experiments.studies import path_defaults as work
    from .progress import shown

    console, study = Console(), work.Study(out)
    settings = [{}, *work.changes()]
    with shown(console) as bars:
        bar = bars.add("one at a time", len(settings))
        for one in settings:
            for line in study.drives("train", one):
                bar.say(line)
            bar.advance()
        bar = bars.add("together", 1)
        for line in study.together():
            bar.say(line)
        bar.advance()
        bar = bars.add("elsewhere", 2)
        for these in ({}, study.chosen):
            for line in study.drives("test", these):
                bar.say(line)
            bar.advance()
    summary = study.write()
    console.print(
        f"{work.label(study.chosen)}: {summary['score']['train']:.3f} of the score of the base where it was "
        f"chosen, {summary['score']['test']:.3f} elsewhere; written to {out}",
        highlight=False,
        soft_wrap=True,
    )
