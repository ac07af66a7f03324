"""``mppi-maml``: every command under one name.

Modules that take long to import are imported by the command that needs them.
"""

from __future__ import annotations

import click

from .. import __version__
from .bags import live, record, report
from .calibrate import calibrate
from .compare import compare
from .doctor import doctor
from .fallback_study import fallback_study
from .meta_compare import meta_compare
from .meta_train import meta_train
from .mujoco_study import mujoco_study
from .path_defaults import path_defaults
from .path_study import path_study
from .prediction_study import prediction_study
from .promise import promise
from .reproduce import reproduce
from .sinusoid import sinusoid
from .soak import soak
from .system import demo, fuzz
from .train_policy import train_policy
from .tune import tune
from .tuning_study import tuning_study
from .worlds import worlds


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="mppi-maml")
def cli() -> None:
    """MPPI for differential-drive robots with a meta-learned residual that adapts online."""


for _command in (
    demo,
    doctor,
    calibrate,
    compare,
    worlds,
    prediction_study,
    mujoco_study,
    meta_compare,
    meta_train,
    sinusoid,
    reproduce,
    train_policy,
    path_study,
    path_defaults,
    fallback_study,
    tuning_study,
    tune,
    record,
    report,
    live,
    promise,
    soak,
    fuzz,
):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C."""
    from ..core.errors import NEEDS_TORCH, MppiMamlError

    try:
        return cli.main(args=arguments, prog_name="mppi-maml", standalone_mode=False) or 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MppiMamlError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        click.echo(f"error: {NEEDS_TORCH}", err=True)
        return 1
