"""``mppi-maml property``: what adaptation promises, on random closed loops."""

from __future__ import annotations

from pathlib import Path

import click

from .options import LARGEST_SEED, Whole, artifact_option


@click.command("property", short_help="Hold adaptation to its promise on random robots, faults and paths.")
@click.option(
    "--cases",
    type=Whole(1, 100_000),
    default=1000,
    show_default=True,
    help="Seeds in a row.",
)
@click.option(
    "--seed", type=Whole(0, LARGEST_SEED - 100_000), default=0, show_default=True, help="The first."
)
@click.option("--jobs", type=Whole(1, 512), default=1, show_default=True, help="Cases at a time.")
@artifact_option
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default="promise.json",
    show_default=True,
    help="File of the outcomes; cases that it has of this very state of the package are not driven again.",
)
def promise(cases: int, seed: int, jobs: int, artifact: Path | None, out: Path) -> None:
    """Drive random robots along random paths while something breaks, with every adapter.

    Three seconds after the fault, adaptation may err by 1.25 times what the kinematic model does, and 1 cm.
    Ends with code 1 when a case is above that, and names it.
    """
    from rich.console import Console

    from ..experiments import promise as work
    from ..weights.meta_model import PACKAGED
    from .progress import shown

    console = Console()
    wanted = range(seed, seed + cases)
    made_by = work.tree(artifact or PACKAGED)
    outcomes = work.read(out, made_by)
    if older := len(work.read(out)) - len(outcomes):
        console.print(f"{older} cases of another state of the package are driven again", highlight=False)
    missing = [s for s in wanted if s not in outcomes]
    above = sum(not outcomes[s].kept for s in wanted if s in outcomes)
    with shown(console) as bars:
        bar = bars.add("cases", cases, cases - len(missing))
        for outcome in work.hold_all(missing, artifact or PACKAGED, jobs):
            outcomes[outcome.seed] = outcome
            above += not outcome.kept
            work.write(out, outcomes.values(), made_by)
            bar.advance(f"{above} above the promise")
    for s in wanted:
        if not (outcome := outcomes[s]).kept:
            console.print(str(outcome), highlight=False, soft_wrap=True, markup=False)
    console.print(f"{above} of {cases} cases are above the promise; written to {out}", highlight=False)
    if above:
        raise SystemExit(1)
