"""``mppi-maml tune``: options, progress, what is kept for the next time, and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import Names, Real, Seeds, Whole, duration_option, folder_option, seed_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ..calibration.result import Calibration
    from ..calibration.tuning import Course, Tuning
    from ..calibration.tuning_choice import Validated


@click.command(short_help="Search MPPI's parameters for a robot: a world, a bag or a calibration.")
@click.option("--world", "worlds", type=Names(), help="Named worlds, of which --seeds draws robots.")
@click.option(
    "--calibration", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of `mppi-maml calibrate`; what is tuned is written together with it.",
)  # fmt: skip
@click.option(
    "--bag", type=click.Path(exists=True, path_type=Path), help="A recorded drive, which is calibrated first."
)
@click.option("--odom-topic", default="odom", show_default=True, help="Of the bag.")
@click.option("--cmd-topic", default="cmd_vel", show_default=True, help="Of the bag.")
@click.option("--seeds", type=Seeds(), default="0-7", show_default=True, help="Of the robots to tune on.")
@click.option(
    "--validation-seeds", type=Seeds(), default="50-57", show_default=True,
    help="Of the robots that choose among the best candidates.",
)  # fmt: skip
@click.option(
    "--test-seeds", type=Seeds(), default="100-102", show_default=True,
    help="Of robots that are only tested on.",
)  # fmt: skip
@click.option(
    "--evaluations",
    type=Whole(1, 100_000),
    default=160,
    show_default=True,
    help="Candidates to try.",
)
@click.option(
    "--population",
    type=Whole(4, 1000),
    default=10,
    show_default=True,
    help="Candidates a generation.",
)
@click.option(
    "--effort-weight", type=Real(0.0, 10.0), default=0.3, show_default=True,
    help="What a change of the log of effort costs, where one of the log of the error costs 1.",
)  # fmt: skip
@click.option(
    "--adapt/--no-adapt", default=True, show_default=True, help="Whether the model is adapted meanwhile."
)
@duration_option(16.0, 6.0, "Of each drive [s].")
@seed_option
@click.option("--restart", is_flag=True, help="Forget what an interrupted search in --out has tried.")
@folder_option("tune_report", "Folder of tuned.yaml, tune.json and tune.png.")
def tune(**options: Any) -> None:
    """Search temperature, noise and weights of MPPI by CMA-ES, for least error and little effort.

    Ctrl-C ends it; the same command goes on where it was. Other robots then choose among the best candidates
    and the defaults, and robots of a third kind say what the choice buys.
    """
    from rich.console import Console

    from ..calibration import tuning as work
    from ..calibration.tuning_figure import draw
    from ..core.files import write_json
    from .progress import shown

    console, out = Console(), options["out"]
    found = _calibration(options)
    kinds = ("seeds", "validation_seeds", "test_seeds")
    if len(set().union(*(options[kind] for kind in kinds))) < sum(len(set(options[kind])) for kind in kinds):
        raise click.UsageError("--seeds, --validation-seeds and --test-seeds must have none in common")
    courses = _courses(options, found, options["seeds"])
    names = ("evaluations", "population", "effort_weight", "adapt", "seed")
    config = work.TuningConfig(**{name: options[name] for name in names})
    settings, path = work.settings_of(courses, config), work.path_of(out)
    before = [] if options["restart"] else _kept(path, settings)
    tuning = work.Tuning(courses, config, before)
    try:
        with shown(console) as bars:
            bar = bars.add("candidates", config.evaluations)
            for count, _ in enumerate(tuning.search()):
                if count > len(before):
                    write_json(path, {"settings": settings, "tried": _tried(tuning)})
                best = tuning.best
                bar.to(
                    min(count, config.evaluations),
                    f"error {best.error:.2f}, effort {best.effort:.2f} of the defaults'",
                )
                if count >= config.evaluations:
                    break
    except KeyboardInterrupt:
        console.print(
            f"{len(tuning.tried) - 1} candidates are kept in {path}: the same command goes on from there"
        )
        raise
    taken, decided = _decide(console, tuning, options, found)
    write_json(path, {"settings": settings, "tried": _tried(tuning)} | decided)
    written = _write(out / "tuned.yaml", decided["parameters"], found)
    picture = draw(tuning.tried, None if taken is None else (taken.error, taken.effort), out / "tune.png")
    _tell(console, decided)
    console.print(f"wrote {written}, {path} and {picture}", highlight=False, soft_wrap=True)


def _decide(
    console: Console, tuning: Tuning, options: dict[str, Any], found: Calibration | None
) -> tuple[Validated | None, dict[str, Any]]:
    """Validate the best candidates, choose, and test the choice: what was taken, and the report's part."""
    from ..calibration import tuning_choice as choice
    from .progress import shown

    candidates, adapt = choice.finalists(tuning.tried), tuning.config.adapt
    others, tests = (_courses(options, found, options[f"{kind}_seeds"]) for kind in ("validation", "test"))
    validated, rows = [], []
    with shown(console) as bars:
        bar = bars.add("finalists", len(candidates))
        for done in choice.validated(others, candidates, tuning.config.effort_weight, adapt):
            validated.append(done)
            bar.advance()
        taken = choice.chosen(validated)
        parameters = choice.defaults() if taken is None else taken.parameters
        if taken is not None:
            rows = choice.tested(tests, parameters, adapt, bars.add("unseen robots", len(tests)).advance)
    numbers = ("error", "effort", "cost", "spread")
    return taken, {
        "validation": {
            "robots": [course.name for course in others],
            "finalists": [{name: round(getattr(v, name), 4) for name in numbers} for v in validated],
        },
        "accepted": taken is not None,
        "parameters": parameters,
        "unseen": rows,
    }


def _calibration(options: dict[str, Any]) -> Calibration | None:
    if sum(options[name] is not None for name in ("worlds", "calibration", "bag")) != 1:
        raise click.UsageError("one of --world, --calibration and --bag says which robot")
    if options["calibration"]:
        from ..calibration.result import Calibration

        return Calibration.load(options["calibration"])
    if options["bag"]:
        from .calibrate import calibrated_bag

        return calibrated_bag(options["bag"], options["odom_topic"], options["cmd_topic"])
    return None


def _courses(options: dict[str, Any], found: Calibration | None, seeds: Sequence[int]) -> list[Course]:
    from ..calibration import tuning as work

    if found is not None:
        return work.of_calibration(found, seeds, options["duration"])
    return work.of_worlds(options["worlds"], seeds, options["duration"])


def _tried(tuning: Tuning) -> list[list[float]]:
    """(error, effort, cost) of candidates, without the defaults."""
    return [[round(v, 6) for v in (c.error, c.effort, c.cost)] for c in tuning.tried[1:]]


def _kept(path: Path, settings: dict[str, Any]) -> list[list[float]]:
    """What an equal search has tried."""
    if not path.is_file():
        return []
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        tried = [list(map(float, row)) for row in kept["tried"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise click.ClickException(f"{path} cannot be gone on from ({error}): add --restart") from error
    if kept["settings"] != settings:
        raise click.ClickException(f"{path} is of another search: take another --out, or add --restart")
    return tried


def _write(path: Path, parameters: dict[str, Any], found: Calibration | None) -> Path:
    import yaml

    from ..core.files import write_file

    nodes: dict[str, dict[str, Any]] = found.parameters() if found is not None else {"mppi_controller": {}}
    nodes["mppi_controller"] = nodes["mppi_controller"] | parameters
    text = "# Parameters of MPPI, as `mppi-maml tune` found them: params_file:=THIS_FILE\n"
    content = {f"/**/{node}": {"ros__parameters": values} for node, values in nodes.items()}
    text += yaml.safe_dump(content, sort_keys=False, default_flow_style=False)
    write_file(path, text.encode())
    return path


def _tell(console: Console, decided: dict[str, Any]) -> None:
    from rich.table import Table

    rows, finalists = decided["unseen"], decided["validation"]["finalists"]
    if not decided["accepted"]:
        tried = f"the best of {len(finalists)} candidates has" if finalists else "no candidate has"
        best = f" ({min(f['error'] for f in finalists):.2f} of theirs)" if finalists else ""
        console.print(f"the defaults are kept: on other robots {tried} no smaller error{best}")
        return
    table = Table("robot not seen", "defaults (mm)", "tuned (mm)", "less error", "effort")
    for row in rows:
        errors = (f"{1e3 * row[name]:.1f}" for name in ("default_error", "tuned_error"))
        effort = f"{row['tuned_effort'] / row['default_effort']:.2f}"
        table.add_row(row["robot"], *errors, f"{row['gain']:.0%}", effort)
    console.print(table)
    parameters = decided["parameters"]
    console.print(", ".join(f"{name} {value:g}" for name, value in parameters.items()), highlight=False)
