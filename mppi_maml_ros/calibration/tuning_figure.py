"""The picture of a tuning: error against effort, and how the cost fell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..experiments import plots
from .tuning import Candidate, front

FARTHEST = 2.5  # times the defaults' error or effort that is still shown


def draw(tried: Sequence[Candidate], taken: tuple[float, float] | None, path: Path) -> Path:
    """Pareto front beside the course of the search. Returns the path.

    Args:
        tried: the first candidate is the defaults.
        taken: error and effort of what was taken, on other robots; None: the defaults were.
        path: of the picture.
    """
    plt = plots.plt
    finished = [c for c in tried if math.isfinite(c.error)]
    with plt.rc_context(plots.STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(12.0, 4.8), layout="constrained")
        order = np.arange(len(finished))
        points = left.scatter(
            [c.effort for c in finished], [c.error for c in finished], c=order, cmap="Blues", s=16, vmin=-20,
            label="candidates, later ones darker",
        )  # fmt: skip
        points.set_edgecolor("none")
        best_ones = front(finished)
        left.step(
            [c.effort for c in best_ones], [c.error for c in best_ones], where="pre", color=plots.ADAPTIVE,
            lw=1.4, label="no other is better in both",
        )  # fmt: skip
        left.plot(1.0, 1.0, "s", color=plots.KINEMATIC, ms=8, label="defaults")
        if taken is not None:
            left.plot(taken[1], taken[0], "*", color=plots.SWAP, ms=15, label="taken; as on other robots")
        for axis, limits in (
            (left.set_xlim, [c.effort for c in finished]),
            (left.set_ylim, [c.error for c in finished]),
        ):
            axis(0.0, min(max(1.1, *limits) * 1.05, FARTHEST))
        left.set_xlabel("effort, of the defaults'")
        left.set_ylabel("error, of the defaults'")
        left.set_title("error against effort")
        left.legend()
        right.plot([c.cost for c in tried], ".", color=plots.REFERENCE, label="candidate")
        right.plot(np.minimum.accumulate([c.cost for c in tried]), color=plots.ADAPTIVE, label="best so far")
        right.axhline(0.0, color=plots.KINEMATIC, lw=1.0, label="defaults")
        low = min(c.cost for c in tried)
        right.set_ylim(low - 0.1, 1.0)
        right.set_xlabel("candidate")
        right.set_ylabel("cost: log error + weight log effort")
        right.set_title("course of the search")
        right.legend()
        return plots.save(figure, path)
