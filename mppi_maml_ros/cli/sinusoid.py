"""``mppi-maml sinusoid``: the benchmark by which meta-trainers are compared with the papers."""

from __future__ import annotations

import time
from pathlib import Path

import click

from .options import Whole

NAMES = ("maml", "fomaml", "reptile", "anil", "metasgd", "alpaca", "pretrained")


@click.command(short_help="Sinusoid regression, the standard benchmark of meta-learning.")
@click.option(
    "--trainer", type=click.Choice(NAMES), default="maml", show_default=True, help="Which algorithm."
)
@click.option("--shots", type=Whole(1, 1000), default=10, show_default=True, help="Points to adapt on.")
@click.option(
    "--iterations", type=Whole(1, 10_000_000), default=70_000, show_default=True,
    help="Outer iterations.",
)  # fmt: skip
@click.option(
    "--seed", type=Whole(0, 2**31 - 1), default=0, show_default=True,
    help="Of initialisation and training tasks; the test tasks are always the same.",
)  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, or cuda:N.")
@click.option(
    "--json", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the result there."
)
def sinusoid(trainer: str, shots: int, iterations: int, seed: int, device: str, path: Path | None) -> None:
    """Meta-train on sinusoids, then adapt to 600 unseen ones in 0 to 10 steps.

    Tasks, network and learning rates are those of Finn et al. (ICML 2017, section 5.1). The file has
    the mean squared error and the half-width of its 95 % interval over tasks, as lists by the number of
    adaptation steps. ALPaCA adapts in closed form: every step after the first repeats it.
    """
    import torch
    from rich.console import Console
    from rich.table import Table

    from ..experiments.studies import sinusoid as benchmark
    from .meta_training import check_device
    from .progress import shown

    torch.set_num_threads(1)  # the products are small; a second thread only waits
    learner = benchmark.make_trainer(trainer, iterations, seed, check_device(device))
    console = Console()
    started = time.monotonic()
    with shown(console) as bars:
        bar = bars.add(trainer, iterations)

        def show(done: int, loss: float) -> None:
            rate = done / max(time.monotonic() - started, 1e-9)
            bar.to(done, f"loss {loss:.3f}   {rate:.0f} iterations/s")

        benchmark.train(learner, benchmark.SinusoidTasks(shots), show)
    seconds = time.monotonic() - started
    result = benchmark.evaluate(learner, shots)
    table = Table(title=f"{trainer}, {shots}-shot, {iterations} iterations in {seconds:.0f} s, seed {seed}")
    for name in ("steps", "mse", "95 %"):
        table.add_column(name, justify="right")
    for step, (mse, half) in enumerate(zip(result.mse, result.ci95, strict=True)):
        table.add_row(str(step), f"{mse:.3f}", f"± {half:.3f}")
    console.print(table)
    if path is not None:
        from ..core.files import write_json

        content = {
            "benchmark": "sinusoid",
            "trainer": trainer,
            "shots": shots,
            "iterations": iterations,
            "seed": seed,
            "tasks": benchmark.TEST_TASKS,
            "mse": [round(float(value), 6) for value in result.mse],
            "ci95": [round(float(value), 6) for value in result.ci95],
            "seconds": round(seconds, 1),
        }
        try:
            write_json(path, content)
        except OSError as error:
            raise click.ClickException(f"{path} cannot be written: {error.strerror or error}") from error
