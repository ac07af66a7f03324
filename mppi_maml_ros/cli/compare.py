"""``mppi-maml compare``: options, progress and where the results go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import REFERENCES, Names, Real, Seeds, Whole, artifact_option, duration_option, folder_option

if TYPE_CHECKING:
    from rich.console import Console

    from ..experiments.comparison.runs import ComparisonSettings, Job


@click.command(short_help="Compare models and adapters in simulated worlds.")
@click.option(
    "--world",
    type=Names(),
    default="seed",
    show_default=True,
    help="Worlds, all (but bases with firmware) or firmware_bases; an unknown name lists them.",
)
@click.option(
    "--trajectory",
    type=Names(),
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
    type=Names(),
    default="all",
    show_default=True,
    help="Models and adapters, or all; `adaptive` is the default adapter. An unknown name lists them.",
)
@click.option("--noise", type=Real(), default=1.0, show_default=True, help="Factor on the process noise.")
@click.option(
    "--samples", type=int, default=512, show_default=True, help="Rollouts a control step, for every model."
)
@artifact_option
@folder_option(
    "compare_report", "Folder of results.csv and report.md; runs that it holds are not done again."
)
@click.option("--jobs", type=Whole(1, 512), help="Runs at a time.  [default: the number of cores]")
@click.option("--collect-data", is_flag=True, help="Stage 1: drive each world for the offline models.")
@click.option("--train", is_flag=True, help="Stage 2: train the offline models: neural, residual, gp.")
@click.option(
    "--meta-train", is_flag=True, help="Stage 3: meta-train a meta-model into --out, which is then used."
)
@click.option("--evaluate", is_flag=True, help="Stage 4: do the runs; what they lack is made first.")
@click.option("--report", is_flag=True, help="Stage 5: write the report on what --out holds.")
@click.option("--all", "everything", is_flag=True, help="All of these stages.")
@click.option(
    "--live", is_flag=True, help="Show a run of each model while they drive side by side; needs a display."
)
def compare(
    out: Path, jobs: int | None, artifact: Path | None, live: bool, everything: bool, **options: Any
) -> None:
    """Compare models and adapters in simulated worlds, in parallel, and report.

    Every model drives with the same controller, the same box on commands, and for one seed through
    the same world, noise and samples. Results are kept in --out: an interrupted comparison goes on where it
    stopped, and further worlds, models or seeds can be added to it. Without a stage: --evaluate --report.
    """
    from rich.console import Console

    stages = {name for name in STAGES if options.pop(name)}
    if everything:
        stages = set(STAGES)
    elif not stages and not live:
        stages = {"evaluate", "report"}
    if live:
        from ..experiments.comparison.panels import require_display

        require_display()
    _Comparison(out, jobs, artifact, options, Console()).run(stages, live)


STAGES = ("collect_data", "train", "meta_train", "evaluate", "report")


class _Comparison:
    """The stages of one call."""

    def __init__(
        self,
        out: Path,
        processes: int | None,
        artifact: Path | None,
        options: dict[str, Any],
        console: Console,
    ) -> None:
        from ..experiments.comparison import runs as comparison
        from ..experiments.comparison.contenders import usual_models
        from ..simulation.worlds import WORLD_GROUPS

        self.out, self.options, self.console = out, options, console
        self.processes = processes or comparison.usable_cores()
        groups = {
            "models": {"all": usual_models()},
            "world": WORLD_GROUPS,
            "trajectory": {"all": tuple(comparison.FIGURES)},
        }
        chosen = {
            kind: tuple(name for given in options[kind] for name in known.get(given, (given,)))
            for kind, known in groups.items()
        }
        self.jobs = comparison.jobs_of(
            chosen["models"], chosen["world"], chosen["trajectory"], options["seeds"]
        )
        self.library = comparison.Library(out, options["noise"])
        self._artifact = artifact

    def settings(self) -> ComparisonSettings:
        """Those of the runs; the meta-model is the one given, else that of --out, else the packaged one."""
        from ..experiments.comparison import runs as comparison
        from ..mppi.config import MPPIConfig

        own = self.library.meta_path
        return comparison.ComparisonSettings(
            duration=self.options["duration"],
            noise=self.options["noise"],
            mppi=MPPIConfig(batch_size=self.options["samples"], time_steps=30, noise_knots=8),
            artifact=self._artifact or (own if own.exists() else comparison.PACKAGED),
        )

    def run(self, stages: set[str], live: bool) -> None:
        """Do the stages in their order."""
        if "meta_train" in stages:
            self._meta_train()
        if "collect_data" in stages:
            self._prepare("data")
        if stages & {"train", "evaluate"}:
            self._prepare("models")
        if live:
            from ..experiments.comparison.panels import show

            jobs = [job for job in self.jobs if job.group == self.jobs[0].group]
            path = show(jobs, self.settings(), self.library)
            self._say(f"wrote {path}")
        if "evaluate" in stages:
            self._evaluate()
        if "report" in stages:
            from ..experiments.comparison.report import write_report

            self._say(f"wrote {write_report(self.out)}")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def _meta_train(self) -> None:
        if self.library.meta_path.exists():
            self._say(f"{self.library.meta_path} is there")
            return
        from ..meta.config import TrainingConfig
        from .meta_training import Places, run_meta_train

        path = self.library.meta_path
        places = Places(path, path.with_suffix(".png"), path.with_name("meta_checkpoint"))
        run_meta_train(TrainingConfig(), places, self.console, resume=places.checkpoint.is_dir())

    def _prepare(self, what: str) -> None:
        from ..experiments.comparison import runs as comparison
        from .progress import shown

        settings = self.settings()
        if what == "models":
            comparison.Results(self.out, settings)  # refuses a folder of other settings before any work
        wanted = comparison.preparations(self.jobs, self.library, what)
        if not wanted:
            return
        name = "collecting data" if what == "data" else "training"
        with shown(self.console) as bars:
            bar = bars.add(name, len(wanted))
            comparison.prepare(
                settings, wanted, self.out, self.processes, lambda done: bar.advance(str(done))
            )
            bar.say("")

    def _evaluate(self) -> None:
        from ..experiments.comparison import runs as comparison
        from .progress import shown

        settings = self.settings()
        results = comparison.Results(self.out, settings)
        if results.mixed_code:
            self._say(
                f"[yellow]{self.out} holds runs of other sources of this package; "
                "only the new ones are of these[/]"
            )
        present = sum(job in results.rows for job in self.jobs)
        with shown(self.console) as bars:
            bar = bars.add("comparing", len(self.jobs), present)
            bar.say("starting")

            def show(job: Job, row: dict[str, Any]) -> None:
                where = f"{job.world}, {job.trajectory}, {job.seed}"
                bar.advance(f"{where}: {job.model} {row['rmse_after_2s']:.4f} m")

            done = comparison.compare(settings, self.jobs, results, self.processes, show)
            bar.say("")
        self._say(f"{done} runs, {present} were there; {results.path}")
