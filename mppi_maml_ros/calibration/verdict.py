"""What a calibration, and adaptation on top of it, will buy: drives of a simulated robot of this kind."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import numpy as np

from ..adaptation.online import OnlineAdaptation, OnlineConfig
from ..dynamics.residual import ResidualWeights
from ..experiments.closed_loop import run
from ..mppi.config import MPPIConfig
from ..references.figures import Figure, figure8
from ..weights.meta_model import PACKAGED, MetaModel
from .fit import AXES, UNITS
from .result import Calibration
from .world import CalibratedWorld

USED = 0.6  # of the speeds that the robot reaches
DURATION, SETTLED = 20.0, 5.0  # [s] of a drive, and from which on errors count
NOTEWORTHY = 0.1  # share of an error
FIT = 0.9  # share of the variance that a first-order robot has to explain


@attrs.frozen
class Verdict:
    """Errors on a figure of eight [m, rms] by model, and what follows from them.

    Attributes:
        kinematic: of a model in which commands are obeyed at once.
        calibrated: of one with the calibration; adapted: of one that learns on top of it.
        speed: largest on the figure [m/s].
        prior: that serves this robot better at the defaults of MPPI.
        sentences: for people.
    """

    kinematic: float
    calibrated: float
    adapted: float
    speed: float
    sentences: tuple[str, ...]

    @property
    def prior(self) -> str:
        return "dynamic" if self.calibrated <= self.kinematic else "typical"


def figure_of(found: Calibration) -> Figure:
    """A figure of eight that the robot can follow."""
    t = np.linspace(0.0, 1.0, 400)
    v, omega = np.abs(figure8(size=1.0, period=1.0).twist_at(t)).max(axis=0)
    reach = [found.v.reach(found.vx_max), found.omega.reach(found.wz_max)]
    period = float(omega / (USED * max(reach[1], 1e-3)))
    return figure8(size=float(np.clip(USED * reach[0] * period / v, 0.05, 100.0)), period=min(period, 1000.0))


def judge(found: Calibration, seed: int = 0, done: Callable[[str], None] = lambda name: None) -> Verdict:
    """Drive it three times; ``done`` is told after each."""
    figure, config, limits = figure_of(found), MPPIConfig(), found.limits
    known = found.known.weights(config.model_dt)

    def error(name: str, model: ResidualWeights | None, adaptation: OnlineAdaptation | None = None) -> float:
        drive = run(
            CalibratedWorld(found, seed),
            figure,
            config,
            seed,
            DURATION,
            limits,
            model=model,
            adaptation=adaptation,
        )
        done(name)
        return drive.rmse(SETTLED)

    kinematic, calibrated = error("kinematic", None), error("calibrated", known)
    adapted = error("adapted", known, OnlineAdaptation(MetaModel.load(PACKAGED), OnlineConfig()))
    speed = float(np.abs(figure.twist_at(np.linspace(0.0, DURATION, 500))[:, 0]).max())
    return Verdict(
        kinematic, calibrated, adapted, speed, tuple(_sentences(found, kinematic, calibrated, adapted, speed))
    )


def _sentences(
    found: Calibration, kinematic: float, calibrated: float, adapted: float, speed: float
) -> list[str]:
    said = [
        f"On a figure of eight at up to {speed:.2f} m/s a simulated robot like this one is off by "
        f"{1e3 * kinematic:.0f} mm when its model obeys at once, by {1e3 * calibrated:.0f} mm with this "
        f"calibration, and by {1e3 * adapted:.0f} mm when it adapts on top."
    ]
    if calibrated > kinematic:
        said.append(
            "At MPPI's defaults this robot is driven no better by knowing its lag, so prior stays typical: "
            "mppi-maml tune finds parameters that use it."
        )
    gained = 1.0 - adapted / max(min(kinematic, calibrated), 1e-9)
    if gained > NOTEWORTHY:
        said.append(f"Adaptation buys another {gained:.0%} on top: leave it on.")
    else:
        said.append(
            "As long as nothing changes there is little left to learn; adaptation is for payload, battery "
            "and floor, which do change."
        )
    for name, unit, axis in zip(AXES, UNITS, (found.v, found.omega), strict=True):
        if axis.explained < FIT:
            said.append(
                f"Gain, lag, delay and dead band explain {axis.explained:.0%} of {name}: the robot does more "
                "than that (noise, slip, a second-order speed loop), which only adaptation can learn."
            )
        if axis.gain_within > 0.1 * axis.gain or axis.time_constant_within > 0.25 * axis.time_constant:
            said.append(f"{name} is not known well: drive faster, or in a larger box, and calibrate again.")
        if math.isfinite(axis.acceleration):
            said.append(
                f"{name} speeds up by {axis.acceleration:.2f} {unit} a second at most: "
                "ax_max and az_max say so."
            )
    return said
