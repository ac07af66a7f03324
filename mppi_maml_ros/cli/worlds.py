"""``mppi-maml worlds``: the named worlds and a picture of how bases with firmware respond."""

from __future__ import annotations

from pathlib import Path

import click

from .options import seed_option


@click.command(short_help="List the named worlds; draw how bases with firmware respond to a step.")
@seed_option
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to draw the step responses of all bases with firmware, as PNG.",
)
def worlds(seed: int, picture: Path | None) -> None:
    """List the worlds of `compare --world` with what is drawn in them."""
    from ..simulation.firmware_worlds import TRAINING_FAMILIES
    from ..simulation.worlds import WORLD_GROUPS, WORLDS, describe_world

    if picture is not None:
        from ..experiments.studies.step_responses import draw

        click.echo(f"wrote {draw(picture, seed)}")
        return
    added = [name for name in WORLDS if not any(name in names for names in WORLD_GROUPS.values())]
    for group, names in (WORLD_GROUPS | ({"added": tuple(added)} if added else {})).items():
        click.echo(f"{group}:")
        for name in names:
            mark = " [training]" if name in TRAINING_FAMILIES else ""
            click.echo(f"  {name}{mark}: {' '.join(describe_world(name).split())}")
