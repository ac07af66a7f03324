"""Tables of the drives of :mod:`.fallback`, for people; and what nav2's controller did on some of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

NAV2 = {
    ("b", "eight"): (24.0, 4.1, 11.0),
    ("b", "corners"): (72.0, 15.0, 26.0),
    ("c", "eight"): (24.0, 7.4, 25.0),
    ("c", "corners"): (68.0, 26.0, 48.0),
}
"""Cross-track RMSE [mm] of nav2's MPPI of August 2026 by robot and path: with its defaults, and tuned by hand
at the lower and at the higher of two speeds."""
Row = dict  # of fallback.COLUMNS


def _cell(values: Sequence[float], form: str, factor: float = 1.0) -> str:
    """One number for each speed; a dash where there is none."""
    told = [f"{factor * value:{form}}" if math.isfinite(value) else "–" for value in values]
    return " / ".join(told) if told[1:] != told[:-1] else told[0]


def _line(rows: list[Row], speeds: Sequence[float]) -> list[str]:
    """The columns of a table for drives of one model: means at each speed at which it drove all its paths."""
    paths = len({row["path"] for row in rows})

    def means(column: str) -> list[float]:
        at = [[row[column] for row in rows if row["speed"] == speed] for speed in speeds]
        return [float(np.mean(own)) if len(own) == paths else math.nan for own in at]

    late = [sum(row["speed"] == speed and math.isnan(row["time"]) for row in rows) for speed in speeds]
    times = [math.nan if some else time for some, time in zip(late, means("time"), strict=True)]
    return [
        _cell(means("rmse"), ".1f", 1e3), _cell(means("mean_speed"), ".2f"), _cell(means("change_v"), ".3f"),
        _cell(means("change_omega"), ".3f"), _cell(times, ".0f"),
    ]  # fmt: skip


def _table(head: Iterable[str], body: Iterable[list[str]]) -> str:
    names = list(head)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (names, ["---"] * len(names), *body)) + "\n"


def report(rows: list[Row]) -> str:
    """Markdown: each robot by each model over the paths that it drove, and beside nav2."""
    speeds = sorted({row["speed"] for row in rows})
    columns = [
        "RMSE [mm]", "mean speed [m/s]", "mean change of v a step [m/s]",
        "mean change of the yaw rate a step [rad/s]", "time to the goal [s]",
    ]  # fmt: skip
    robots, models = ({row[key]: None for row in rows} for key in ("robot", "model"))
    every: list[list[str]] = []
    beside: list[list[str]] = []
    for robot in robots:
        for model in models:
            own = [row for row in rows if (row["robot"], row["model"]) == (robot, model)]
            if own:
                paths = len({row["path"] for row in own})
                every.append([robot, model, str(paths), *_line(own, speeds)])
            for path in ("eight", "corners"):
                here = [row for row in own if row["path"] == path]
                if here and (robot, path) in NAV2:
                    usual, slow, fast = NAV2[robot, path]
                    beside.append(
                        [robot, path, model, *_line(here, speeds), f"{usual:g}; {slow:g} / {fast:g}"]
                    )
    told = " / ".join(f"{speed:g}" for speed in speeds)
    text = (
        "# Paths followed while nothing is known of the robot\n\n"
        "By `mppi-maml fallback-study`; one drive a path, seed 0, from 2 s on; "
        f"numbers of a cell at desired speeds of {told} m/s, one where all are alike, – where there is none "
        "or a goal was not reached within 60 s. RMSE is the distance to the path.\n\n"
        "Means over the paths, which compare where there are as many:\n\n"
    )
    text += _table(["robot", "model", "paths", *columns], every)
    if beside:
        text += (
            "\nBeside nav2's MPPI (main of August 2026) on the same simulated robots; its RMSE [mm] with its "
            "defaults; tuned by hand at the lower / the higher of two speeds, mean 0.28 to 0.49 m/s; it "
            "changes its yaw rate by about 0.025 rad/s a step:\n\n"
        )
        text += _table(
            ["robot", "path", "model", *columns, "nav2"], sorted(beside, key=lambda line: line[:2])
        )
    return text
