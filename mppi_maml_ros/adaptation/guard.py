"""The acceptance test: no candidate serves that does not predict better on data it has not seen.

Error of a model: open-loop prediction over HORIZON steps along the recorded commands, from
every start that has as many gap-free transitions after it; mean over starts and steps of
|position error|^2 + (ARM * yaw error)^2  [m^2].
"""

from __future__ import annotations

import attrs
import numpy as np

from ..core.tunable import tunable
from ..core.types import VelocityLimits
from ..dynamics.compiled import correction, held_ends, run_errors
from ..dynamics.features import input_size
from ..dynamics.observer import observe
from ..dynamics.residual import ResidualWeights
from ..dynamics.transitions import Transitions, runs

HORIZON = 10  # steps
ROLLOUT = 30  # steps of the controller's rollouts
LEAD = 20  # transitions before those judged, from which an observer knows the velocity's change
AGAINST = 0.25  # share of a held command; no robot at rest that is told to move gets so far the other way
ANSWER = 0.1  # share of a held command; a robot that gets less far is within a dead band
RUNAWAY = 10.0  # times the fastest velocity; no robot that is told to hold one gets there
SURE = 1.0  # standard errors
UNANSWERED = "told to move from rest, it does not, and was never told so much that it did"
FINE = 1e-4  # [m^2] of error of the prior, with which it drives well
FEW, MOST = 0.1, 0.3  # margin to the prior that one independent prediction has to show, and at most
PROBES = 5  # velocities on each axis at which extrapolation is looked at
_SHARES = np.linspace(0.0, 1.0, PROBES)
GRID = np.array(
    [(v, omega) for omega in _SHARES for v in _SHARES]
)  # of the way from the lowest to the highest
_CORNERS = [(v, omega) for omega in (-1.0, 0.0, 1.0) for v in (-1.0, 0.0, 1.0)]
STARTS, HELD = np.moveaxis(np.array([(start, held) for start in _CORNERS for held in _CORNERS]), 1, 0)
LEAST_PROBED = (0.5, 0.5)  # [m/s, rad/s] when the limits are not known
ARM = 0.5  # [m] turns a yaw error into the position error that it causes half a metre on


@attrs.frozen
class GuardConfig:
    """Settings of the acceptance test.

    Attributes:
        held_out_share: newest part of the data that candidates are judged on.
        min_held_out: fewest held-out starts for a verdict.
        margin: a candidate must be better than the prior by this share of its error.
        tolerance: a candidate may be worse than what serves by this share, since newer data count.
        max_correction: largest |dv| [m/s] or |domega| [rad/s] that a candidate may predict
            anywhere in the data. A robot that lags answers a reversal with up to twice its fastest.
        max_extrapolation: largest share of the velocity limit that a candidate may correct a steady drive
            by, anywhere within the limits: where the data do not reach, nothing else holds it.
    """

    held_out_share: float = tunable(0.25, 0.05, 0.9, "Newest part of the data to judge by")
    min_held_out: int = tunable(2, 1, 10_000, "Fewest predictions to judge by")
    margin: float = tunable(0.02, 0.0, 0.9, "A candidate must beat the prior by this share")
    tolerance: float = tunable(0.02, 0.0, 0.9, "A candidate may be worse than what serves by this share")
    max_correction: float = tunable(
        6.0, 1e-3, 100.0, "Largest correction that a candidate may predict", "m/s, rad/s"
    )
    max_extrapolation: float = tunable(
        1.0,
        1e-3,
        100.0,
        "Share of the fastest velocity that a steady drive may be corrected by, where no data reach",
    )


def prediction_errors(
    weights: ResidualWeights, data: Transitions, horizon: int = HORIZON, lead: int = 0
) -> tuple[np.ndarray, int]:
    """Open-loop error of a model on recorded transitions.

    Args:
        weights: the model; reads no more past commands than the data hold.
        data: time-ordered transitions.
        horizon: steps to predict; at most half the data, and shorter when they hold no such run.
        lead: transitions at the beginning that only tell an observer of what was before.

    Returns:
        Mean squared error of each start [m^2], and the steps predicted; empty when there is no start.
    """
    twists = observe(weights, data)[1] if weights.has_momentum else data.states[:, 3:5]
    starts, steps = runs(data, horizon, lead)
    return (run_errors(weights, data, twists, starts, steps, ARM) if steps else np.zeros(0)), steps


def prediction_error(
    weights: ResidualWeights, data: Transitions, horizon: int = HORIZON, lead: int = 0
) -> tuple[float, int]:
    """Mean of :func:`prediction_errors` [m^2] and the number of starts; (nan, 0) when there is none."""
    errors, _ = prediction_errors(weights, data, horizon, lead)
    return _mean(errors), len(errors)


def _mean(errors: np.ndarray) -> float:
    """NaN when there are none."""
    return float(errors.mean()) if len(errors) else float("nan")


def surely_worse(model: ResidualWeights, other: ResidualWeights, data: Transitions, lead: int = 0) -> bool:
    """Whether ``model`` errs more than ``other`` by more than SURE standard errors of the difference.

    Starts whose predictions overlap count as one: n starts of s steps are n / s observations, and fewer
    than two say nothing.
    """
    errors, steps = prediction_errors(model, data, lead=lead)
    return _surely_above(errors, prediction_errors(other, data, lead=lead)[0], steps)


def _surely_above(errors: np.ndarray, others: np.ndarray, steps: int) -> bool:
    difference = errors - others
    independent = len(errors) / max(steps, 1)
    if independent < 2.0:
        return False
    return bool(difference.mean() > SURE * difference.std() / np.sqrt(independent))


def split(data: Transitions, config: GuardConfig) -> tuple[Transitions, Transitions, int]:
    """Older part to train on, newest to judge by, and by how many transitions the latter begins before."""
    # A run of 2 n - 1 transitions holds n starts of n-step predictions.
    fewest = min(2 * config.min_held_out - 1, len(data) // 2)
    held = max(int(round(config.held_out_share * len(data))), fewest)
    older = len(data) - held
    lead = min(LEAD, older)
    return data[:older], data[older - lead :], lead


def extrapolation(weights: ResidualWeights, data: Transitions, limits: VelocityLimits | None = None) -> float:
    """Largest correction of a steady drive at any velocity, as a share of the fastest.

    A robot that has only driven straight tells nothing about turns, and a network or a regression may say
    anything there. At a steady velocity the prior is wrong by what the gain is off, which is bounded; the
    lateral velocity is not looked at, as slip in a turn at full speed has no such bound.

    Args:
        weights: the model.
        data: when the limits are not known, they stand in: up to twice what was commanded.
        limits: velocities to probe.

    Returns:
        Of dv over the forward limit, or of domega over the yaw limit.
    """
    if limits is None:
        fastest = np.maximum(2.0 * np.abs(data.commands).max(axis=0), LEAST_PROBED)
        low, high = -fastest, fastest
    else:
        low, high = np.array([limits.vx_min, -limits.wz_max]), np.array([limits.vx_max, limits.wz_max])
    steady = low + (high - low) * GRID
    inputs = np.tile(steady, (1, input_size(weights.delay_taps) // 2))
    largest = np.abs(correction(weights, inputs)[:, :2]).max(axis=0)
    return float((largest / np.maximum(high, -low)).max())


def implausible(weights: ResidualWeights, data: Transitions) -> str:
    """What rollouts as long as the controller's do that no robot does; empty when nothing.

    A model may predict HORIZON steps well and still grow from step to step where the controller's own
    samples take it: every rollout cost is infinite then. Or a few data make it drive against its commands:
    the controller commands the reverse. Or commands that never left a dead band make it say that nothing
    comes of any, and the controller gives no others. From each combination of the largest velocities that
    were seen, and none, each such command is held for ROLLOUT steps.

    Args:
        weights: the model.
        data: what velocities there were.
    """
    fastest = np.maximum(np.abs(data.commands).max(axis=0), LEAST_PROBED)
    fastest = np.maximum(fastest, np.abs(data.states[:, 3:5]).max(axis=0))
    start, held = fastest * STARTS, fastest * HELD
    ends = held_ends(weights, start, held, ROLLOUT)
    if not (np.abs(ends) <= RUNAWAY * fastest).all():
        return f"its rollouts run away within {ROLLOUT} steps"
    told = held * ~start.any(axis=1, keepdims=True)
    if (ends * np.sign(told) < -AGAINST * np.abs(told)).any():
        return "told to move from rest, it goes the other way"
    unanswered = np.abs(data.states[:, 3:5]).mean(axis=0) < ANSWER * np.abs(data.commands).mean(axis=0)
    if (unanswered & (ends * np.sign(told) < ANSWER * np.abs(told))).any():
        return UNANSWERED
    return ""


@attrs.frozen
class Verdict:
    """Held-out errors [m^2] and whether the candidate may serve; ``reason`` is one sentence."""

    accepted: bool
    reason: str
    prior: float
    meta: float
    current: float
    candidate: float


def judge(
    candidate: ResidualWeights,
    meta: ResidualWeights,
    current: ResidualWeights | None,
    held_out: Transitions,
    config: GuardConfig,
    lead: int = 0,
    fine: float = 0.0,
) -> Verdict:
    """Compare a candidate with the kinematic prior, theta* and what serves now, on held-out data.

    The first ``lead`` transitions of these only tell what was before. ``fine`` is the margin to a prior that
    errs by less than FINE, if it is larger than that of ``config``.
    """
    prior = ResidualWeights.prior(candidate.delay_taps, candidate.model_dt)
    errors, steps = prediction_errors(candidate, held_out, lead=lead)
    starts, error = len(errors), _mean(errors)
    base, _ = prediction_error(prior, held_out, lead=lead)
    at_meta, _ = prediction_error(meta, held_out, lead=lead)
    others = None if current is None else prediction_errors(current, held_out, lead=lead)[0]
    serving = base if others is None else _mean(others)

    def verdict(accepted: bool, reason: str) -> Verdict:
        return Verdict(accepted, reason, base, at_meta, serving, error)

    if starts < config.min_held_out:
        return verdict(False, f"only {starts} held-out starts, {config.min_held_out} are needed")
    if not np.isfinite(error):
        return verdict(False, "the candidate's held-out prediction is not finite")
    margin = max(config.margin, min(FEW * HORIZON / max(len(held_out) - lead, 1), MOST))
    margin = max(margin, fine * (base < FINE))
    if error > (1.0 - margin) * base:
        return verdict(
            False, f"held-out error {error:.3g} m^2 is not {margin:.0%} below the prior's {base:.3g}"
        )
    if error > (1.0 + config.tolerance) * serving and (
        others is None or _surely_above(errors, others, steps)
    ):
        return verdict(
            False, f"held-out error {error:.3g} m^2 is above that of what serves now, {serving:.3g}"
        )
    return verdict(True, f"held-out error {error:.3g} m^2, prior {base:.3g}, serving {serving:.3g}")
