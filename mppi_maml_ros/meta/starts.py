"""Meta-training of the starts of a network's linear part, in closed form from the fits of many tasks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..adaptation.starts import Starts
from ..core.types import Array
from ..dynamics.features import features
from ..dynamics.soundness import OUTPUTS
from .tasks.worlds import TaskPool

DELAYS_A_STEP = 1  # kinds of robots by command delay, within one step
KINDS = 4  # of each delay, by how quickly an axis follows
FEWEST = 4  # tasks a feature that a kind needs
FLOOR = 1e-3  # share of the variance over all tasks that each kind has at least


def learn_starts(
    pool: TaskPool, coefficients: Array, noise: Array, model_dt: float, interrupt: Callable[[], None]
) -> Starts:
    """One start for each kind of robot: what its tasks' fits are on average, and how they differ.

    Args:
        pool: tasks.
        coefficients: least-squares fits of the features, one a task, shape (W, 3, P).
        noise: variances to choose from, shape (G, 3).
        model_dt: step [s].
        interrupt: called before each kind; may raise.
    """
    size = coefficients.shape[-1]
    steps = np.rint(pool.delays * (DELAYS_A_STEP / model_dt)).astype(int)
    parts: dict[str, list[Array]] = {"mean": [], "factor": [], "curvature": []}
    output: list[int] = []
    for o in range(OUTPUTS):
        overall = np.cov(coefficients[:, o].T)
        # What tells how quickly an axis follows is its own velocity; of the lateral one, slip in a turn.
        key = coefficients[:, o, o if o < 2 else size - 3]
        for step in np.unique(steps) if o < 2 else [None]:
            chosen = np.flatnonzero(steps == step) if step is not None else np.arange(len(key))
            for kind in np.array_split(chosen[np.argsort(key[chosen])], KINDS):
                interrupt()
                if len(kind) < FEWEST * size // KINDS:
                    continue
                covariance = np.cov(coefficients[kind, o].T) + np.diag(FLOOR * np.diag(overall) + 1e-8)
                root = np.linalg.cholesky(covariance)
                phi = features(pool.inputs[kind[:: max(len(kind) // 100, 1)]])
                gram = np.einsum("wtp,wtq->pq", phi, phi) / phi[..., 0].size
                curvature, basis = np.linalg.eigh(root.T @ gram @ root)
                parts["mean"].append(coefficients[kind, o].mean(axis=0))
                parts["factor"].append(root @ basis)
                parts["curvature"].append(np.maximum(curvature, 0.0))
                output.append(o)
    mean, factor, curvature = (np.stack(parts[name]) for name in ("mean", "factor", "curvature"))
    return Starts(np.array(output, dtype=float), mean, factor, curvature, noise)
