"""``mppi-maml train-policy``: learn one of the policies that ``mppi-maml compare`` sets beside MPPI."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Real, seed_option

NAMES = ("trpo", "maml_rl", "rl2", "gmps_policy")


@click.command(short_help="Learn a policy that follows references, by reinforcement.")
@click.argument("name", type=click.Choice(NAMES))
@seed_option
@click.option(
    "--scale", type=Real(0.0, 1.0, min_open=True), default=1.0, show_default=True,
    help="Share of the iterations.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The file.  [default: NAME.safetensors]"
)
def train_policy(name: str, seed: int, scale: float, out: Path | None) -> None:
    """Learn a policy on simulated robots with gains, lags and a delay that it is not told.

    trpo is one policy for all robots; maml_rl and gmps_policy take a gradient step on 20 drives of 5 s with a
    new one; rl2 has a memory. Ctrl-C ends it, and nothing is kept.
    """
    import time

    import torch
    from rich.console import Console

    from ..meta.loop import Cancelled, Controls, Progress
    from ..policies.robot_policies import train
    from .meta_training import cancelled_by_interrupt
    from .progress import Bar, shown

    torch.set_num_threads(1)  # the same numbers whatever the machine
    console, path = Console(), out or Path(f"{name}.safetensors")
    began = time.process_time()
    with cancelled_by_interrupt() as cancel, shown(console) as bars:
        parts: dict[str, Bar] = {}

        def show(progress: Progress) -> None:
            bar = parts.get(progress.phase) or bars.add(progress.phase, progress.iterations)
            parts[progress.phase] = bar
            bar.to(progress.iteration, f"return {-progress.loss:.2f}   {progress.rate:.2f} iterations/s")

        try:
            policy = train(name, seed, scale, Controls(show, cancel))
        except Cancelled:
            raise KeyboardInterrupt from None
    spent = time.process_time() - began
    console.print(
        f"wrote {policy.save(path)}: {policy.notes['env_steps']:,} steps of simulated robots, "
        f"{spent:.0f} s of processor time; {policy.robot_steps:,} steps on a robot before it drives",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
