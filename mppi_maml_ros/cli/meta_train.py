"""``mppi-maml meta-train``: options, and a YAML file under them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import Names, Widths

if TYPE_CHECKING:
    from ..core.tunable import Declaration


class _TrainingCommand(click.Command):
    """Takes its options from the fields of the training's settings, which cost a second to import."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not any(parameter.name == "iterations" for parameter in self.params):
            from ..core.tunable import declarations
            from ..meta.config import TrainingConfig

            own = [_option(name, declared) for name, declared in declarations(TrainingConfig).items()]
            self.params = own + self.params
        return super().get_params(ctx)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        return super().make_context(info_name, _bags_first(args), parent, **extra)


def _bags_first(arguments: list[str]) -> list[str]:
    """``--bags a b`` as ``--bags a --bags b``: the paths up to the next option."""
    out, taking = [], False
    for argument in arguments:
        if argument.startswith("-"):
            taking = argument == "--bags"
            out += [] if taking else [argument]
        else:
            out += ["--bags", argument] if taking else [argument]
    return out


def _option(name: str, declared: Declaration) -> click.Option:
    widths = isinstance(declared.default, tuple)
    allowed = ", ".join(declared.choices) or declared.allowed
    return click.Option(
        [f"--{name.replace('_', '-')}"],
        type=Widths() if widths else type(declared.default),
        default=",".join(map(str, declared.default)) if widths else declared.default,
        show_default=True,
        help=f"{declared.description}; {allowed}.",
    )


def _lay_over_file(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Values of a YAML file become the defaults; what the command line names wins."""
    if path is None:
        return None
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise click.BadParameter(f"{path} cannot be read: {error}") from error
    known = {p.name for p in ctx.command.get_params(ctx)} - {"config", "help"}
    if not isinstance(values, dict):
        raise click.BadParameter(f"{path} must hold names and values")
    unknown = [str(name) for name in values if str(name).replace("-", "_") not in known]
    if unknown:
        raise click.BadParameter(f"{path}: unknown {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    ctx.default_map = {str(name).replace("-", "_"): value for name, value in values.items()}
    return path


@click.command(
    "meta-train", cls=_TrainingCommand, short_help="Meta-train the networks and write the artifact."
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_lay_over_file,
    help="YAML file with values for these options, by name; the command line goes before.",
)
@click.option(
    "--networks",
    type=Names(),
    default="all",
    show_default=True,
    help="Which networks to train, by the adapter that uses them; an unknown name lists them.",
)
@click.option(
    "--bags",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="RUN [RUN]...",
    help="Train on recorded runs (rosbag2, sqlite3 or mcap) instead of simulated worlds.",
)
@click.option(
    "--odom-topic", default="/odom", show_default=True, help="Of the odometry in the recorded runs."
)
@click.option(
    "--cmd-topic", default="/cmd_vel", show_default=True, help="Of the commands in the recorded runs."
)
@click.option(
    "--cmd-type",
    default="",
    help="Message type of the commands: geometry_msgs/msg/Twist or TwistStamped.  [default: as recorded]",
)
@click.option("--device", default="cpu", show_default=True, help="Where to train: cpu, cuda, or cuda:N.")
@click.option(
    "--checkpoint",
    type=click.Path(file_okay=False, path_type=Path),
    default="meta_train_checkpoint",
    show_default=True,
    help="Folder to save the state of the run in; emptied when it is done.",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint, to the bit as if never stopped.")
@click.option(
    "--tensorboard",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write TensorBoard events to.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The artifact to write.  [default: the packaged one in a checkout, else default.safetensors]",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Learning curve, PNG.  [default: docs/images in a checkout, else beside the artifact]",
)
def meta_train(
    networks: tuple[str, ...],
    bags: tuple[Path, ...],
    odom_topic: str,
    cmd_topic: str,
    cmd_type: str,
    device: str,
    checkpoint: Path,
    resume: bool,
    tensorboard: Path | None,
    out: Path | None,
    plot: Path | None,
    **settings: Any,
) -> None:
    """Meta-train the networks on randomised worlds, or on recorded runs, and write the artifact.

    Ctrl-C saves the state of the run; --resume goes on from there. Several processes share the work
    under torchrun: torchrun --nproc-per-node 2 -m mppi_maml_ros.cli meta-train
    """
    from rich.console import Console

    from ..meta.config import TrainingConfig
    from ..meta.recipe import RECIPE
    from .meta_training import Places, default_paths, run_meta_train

    config = TrainingConfig(**settings)
    names = tuple(RECIPE) if networks == ("all",) else networks
    distribution, console = None, Console()
    if bags:
        from ..meta.tasks.recordings import RecordedTasks
        from .bags import run_table

        distribution = RecordedTasks.read(bags, odom_topic, cmd_topic, cmd_type)
        if os.environ.get("RANK", "0") == "0":  # the first of several processes
            console.print(run_table(distribution.runs))
    if out is None and (bags or set(names) != set(RECIPE)):
        out = Path("meta_model.safetensors")  # not the packaged one, which holds all and knows no robot
    places = Places(*default_paths(out, plot), checkpoint, tensorboard)
    run_meta_train(config, places, console, distribution, names, device, resume)
