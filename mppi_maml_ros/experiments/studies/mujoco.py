"""Adaptation in a world that no model here was written for: MuJoCo, a load picked up, slippery patches.

For each seed a robot and a floor are drawn. The yardstick is the best fixed model: residuals fitted
offline, without noise, to that very robot, on driving before the pick-up, after it and both, each
driven in turn; the one with the smallest error of all counts. No model that stays as it is knows
more about this world, but it cannot change with it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np

from ...adaptation.online import OnlineAdaptation, OnlineConfig
from ...core.errors import InvalidValueError
from ...core.files import write_json, write_rows
from ...core.types import VelocityLimits
from ...dynamics.features import MAX_DELAY_TAPS, feature_size, features, input_size
from ...dynamics.residual import ResidualWeights
from ...dynamics.soundness import OUTPUTS
from ...dynamics.transitions import Transitions
from ...mppi.config import MPPIConfig
from ...references.figures import circle, figure8
from ...simulation.commands import tracking_commands
from ...simulation.disturbances import Payload
from ...simulation.mujoco_world import MuJoCoWorld
from ...simulation.parameters import WorldParameters
from ...weights.meta_model import PACKAGED, MetaModel
from .. import metrics
from ..closed_loop import Run, run

LIMITS = VelocityLimits()
TARGET = 0.6  # of the gap, to be closed
SETTLED = 2.0  # [s] left out of the errors: the start from rest
RIDGE = 1e-4  # of the offline fits, per transition, on features of order one
REFERENCES = {
    "figure8": figure8(size=2.5, period=25.0).eased(2.0),
    "circle": circle(radius=2.0, speed=0.6).eased(2.0),
}
FIXED = ("before", "after", "both")


@attrs.frozen
class StudySettings:
    """What all rows of a study share.

    Attributes:
        duration: of a run [s].
        reference: figure that is driven.
        samples: rollouts a control step.
        artifact: meta-model to adapt from.
    """

    duration: float = 40.0
    reference: str = "figure8"
    samples: int = 512
    artifact: Path = attrs.field(default=PACKAGED, converter=Path)

    def __attrs_post_init__(self) -> None:
        if not 10.0 <= self.duration <= 600.0:
            raise InvalidValueError(f"duration must be in [10, 600] s, got {self.duration}")
        if self.reference not in REFERENCES:
            known = ", ".join(REFERENCES)
            raise InvalidValueError(f"reference must be one of {known}, got {self.reference!r}")


def draw(seed: int, duration: float) -> tuple[WorldParameters, Payload]:
    """A robot, its floor and when it is loaded, from a seed.

    Lags U(.1, .35) s and U(.06, .15) s, gain U(.65, .9) within 3 % for each of the wheels, delay
    U(.02, .08) s, dry friction U(.05, .2) m/s^2, slip U(.01, .1) s, radii 1 to 3 % apart; mass times
    U(1.5, 2.2) and inertia times U(1.3, 1.9) from U(.4, .6) of the run on; a friction coefficient of
    .03 to .08 on patches of 1 m that cover 40 % of the floor; odometry noise (.003 m, .003 m, .002 rad,
    .01 m/s, .01 rad/s).
    """
    rng = np.random.default_rng([seed, 77])
    gain = rng.uniform(0.65, 0.9)
    left, right = gain * rng.uniform(0.97, 1.03, 2)
    parameters = WorldParameters(
        lag_v=rng.uniform(0.1, 0.35),
        lag_omega=rng.uniform(0.06, 0.15),
        motor_gain_left=left,
        motor_gain_right=right,
        command_delay=rng.uniform(0.02, 0.08),
        coulomb=rng.uniform(0.05, 0.2),
        slip=rng.uniform(0.01, 0.1),
        radius_asymmetry=float(rng.uniform(0.01, 0.03) * rng.choice((-1.0, 1.0))),
        patch_grip=rng.uniform(0.03, 0.08),
        patch_size=1.0,
        patch_coverage=0.4,
    ).with_odometry_noise((0.003, 0.003, 0.002, 0.01, 0.01))
    load = Payload(duration * rng.uniform(0.4, 0.6), rng.uniform(1.5, 2.2), rng.uniform(1.3, 1.9))
    return parameters, load


def transitions_of(states: np.ndarray, commands: np.ndarray, dt: float) -> Transitions:
    """What happened in a run as transitions with all past commands.

    Args:
        states: true states, shape (T + 1, 5); commands: shape (T, 2); dt: step [s].
    """
    steps = len(commands)
    padded = np.concatenate([np.zeros((MAX_DELAY_TAPS, 2)), commands])
    history = np.stack(
        [padded[MAX_DELAY_TAPS - j : MAX_DELAY_TAPS - j + steps] for j in range(1, MAX_DELAY_TAPS + 1)],
        axis=1,
    )
    return Transitions(
        stamps=dt * np.arange(steps),
        states=states[:-1],
        commands=commands,
        history=history,
        next_states=states[1:],
        segments=np.zeros(steps, dtype=int),
        model_dt=dt,
    )


def fit_offline(parts: list[Transitions]) -> ResidualWeights:
    """The linear residual with every delay tap that fits all transitions best (ridge regression)."""
    phi = np.concatenate([features(part.inputs) for part in parts])
    target = np.concatenate([part.residuals for part in parts])
    gram = phi.T @ phi + RIDGE * len(phi) * np.eye(feature_size(MAX_DELAY_TAPS))
    return ResidualWeights(
        linear=np.linalg.solve(gram, phi.T @ target).T.reshape(OUTPUTS, -1),
        layers=(),
        input_scale=np.ones(input_size(MAX_DELAY_TAPS)),
        displacement_blend=1.0,
        activation="tanh",
        delay_taps=MAX_DELAY_TAPS,
        model_dt=parts[0].model_dt,
        adapter="offline",
    )


class _Study:
    """One seed."""

    def __init__(self, seed: int, settings: StudySettings) -> None:
        self.seed, self.settings = seed, settings
        self.parameters, self.load = draw(seed, settings.duration)
        self.reference = REFERENCES[settings.reference]
        self.mppi = MPPIConfig(batch_size=settings.samples)

    def drive(self, model: ResidualWeights | None = None, adaptation: OnlineAdaptation | None = None) -> Run:
        world = MuJoCoWorld(self.parameters, self.seed, (self.load,))
        return run(
            world, self.reference, self.mppi, self.seed, self.settings.duration, LIMITS, model, adaptation
        )

    def log(self, result: Run) -> dict[str, Transitions]:
        """A run as transitions before the pick-up and after it."""
        everything = transitions_of(result.states, result.commands, result.dt)
        before = everything.stamps < self.load.at
        return {"before": everything[before], "after": everything[~before]}

    def excite(self) -> dict[str, Transitions]:
        """Two minutes of varied driving, without and with the load; no noise in what is seen."""
        dt, found = self.mppi.model_dt, {}
        for name, disturbances in (("before", ()), ("after", (attrs.evolve(self.load, at=0.0),))):
            rng = np.random.default_rng([self.seed, 78])
            commands = tracking_commands(rng, 1, int(120.0 / dt), dt, LIMITS)[0]
            world = MuJoCoWorld(self.parameters, self.seed, disturbances)
            states = [world.state]
            for command in commands:
                world.step(command, dt)
                states.append(world.state)
            found[name] = transitions_of(np.array(states), commands, dt)
        return found


def study(
    seed: int, settings: StudySettings, note: Callable[[str], None] = lambda text: None
) -> tuple[dict, dict[str, Run]]:
    """Drive one seed's world by every model.

    Returns:
        A row of results (see :data:`COLUMNS`) and the runs by model.
    """
    one = _Study(seed, settings)
    note("kinematic")
    runs = {"kinematic": one.drive()}
    logs = [one.log(runs["kinematic"])]
    note("offline data")
    logs.append(one.excite())
    candidates = {}
    for name in FIXED:
        # What a model is driven to differs from what it was fitted on, so each is fitted once more.
        own = list(logs)
        for _ in range(2):
            note(f"fixed, {name}")
            keys = ("before", "after") if name == "both" else (name,)
            candidates[name] = one.drive(fit_offline([log[key] for log in own for key in keys]))
            own.append(one.log(candidates[name]))
    errors = {name: candidate.rmse(SETTLED) for name, candidate in candidates.items()}
    best = min(errors, key=errors.__getitem__)
    runs["fixed"] = candidates[best]
    note("adaptive")
    adaptation = OnlineAdaptation(MetaModel.load(settings.artifact), OnlineConfig(limits=LIMITS))
    runs["adaptive"] = one.drive(adaptation=adaptation)
    kinematic, adaptive = runs["kinematic"].rmse(SETTLED), runs["adaptive"].rmse(SETTLED)
    row = {
        "seed": seed,
        "kinematic": kinematic,
        "fixed": errors[best],
        "adaptive": adaptive,
        "gap_closed": metrics.gap_closed(kinematic, errors[best], adaptive),
        "best_fixed": best,
        **{f"fixed_{name}": error for name, error in errors.items()},
        "picked_up_at": one.load.at,
        "kinematic_loaded": runs["kinematic"].rmse(one.load.at),
        "fixed_loaded": runs["fixed"].rmse(one.load.at),
        "adaptive_loaded": runs["adaptive"].rmse(one.load.at),
        "swaps": len(runs["adaptive"].swaps),
        "changes": adaptation.changes_detected,
    }
    return row, runs


COLUMNS = (
    *("seed", "kinematic", "fixed", "adaptive", "gap_closed", "best_fixed"),
    *(f"fixed_{name}" for name in FIXED),
    *("picked_up_at", "kinematic_loaded", "fixed_loaded", "adaptive_loaded", "swaps", "changes"),
)


def write(folder: Path, rows: list[dict], settings: StudySettings) -> None:
    """``results.csv`` and ``summary.json``."""
    write_rows(folder / "results.csv", COLUMNS, rows)
    write_json(folder / "summary.json", summary(rows, settings))


def summary(rows: list[dict], settings: StudySettings) -> dict:
    """Means over the seeds; the gap closed is that of the means and, beside it, the seeds' own."""
    means = {name: float(np.mean([row[name] for row in rows])) for name in ("kinematic", "fixed", "adaptive")}
    gaps = np.array([row["gap_closed"] for row in rows])
    return {
        "seeds": [row["seed"] for row in rows],
        "duration": settings.duration,
        "reference": settings.reference,
        "samples": settings.samples,
        **{f"rmse_{name}": round(value, 5) for name, value in means.items()},
        "gap_closed": round(metrics.gap_closed(means["kinematic"], means["fixed"], means["adaptive"]), 3),
        "gap_closed_by_seed": {
            "median": round(float(np.median(gaps)), 3),
            "least": round(float(gaps.min()), 3),
            "most": round(float(gaps.max()), 3),
        },
    }
