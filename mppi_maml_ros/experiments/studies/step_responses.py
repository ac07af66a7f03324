"""How bases with firmware respond to a command that jumps, stops and reverses."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from ...simulation.firmware_worlds import FIRMWARE_WORLDS, TRAINING_FAMILIES
from ...simulation.worlds import make_world
from ..plots import ADAPTIVE, KINEMATIC, REFERENCE, STYLE, save

DT = 0.02
SEEDS = 3  # bases of each family
# From [s] on: v [m/s], omega [rad/s].
COMMANDS = np.array([(0.0, 0.0, 0.0), (0.5, 0.6, 0.8), (3.5, 0.0, 0.0), (5.5, -0.4, -0.5)])
DURATION = 8.5  # [s]


def respond(family: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drive a base without process noise before its change.

    Returns:
        time [s], (T,); commands (T, 2); what it did, (T, 4): true v and omega, measured v and omega.
    """
    world = make_world(family, seed, noise_scale=0.0, duration=100.0)
    time = DT * np.arange(int(DURATION / DT))
    commands = COMMANDS[np.searchsorted(COMMANDS[:, 0], time + 1e-9, side="right") - 1, 1:]
    rows = np.empty((len(time), 4))
    for i, command in enumerate(commands):
        rows[i, 2:] = world.step(command, DT)[3:]
        rows[i, :2] = world.state[3:]
    return time, commands, rows


def draw(path: Path, seed: int = 0) -> Path:
    """A panel for each family: what is commanded and what three bases do, v above omega.

    Args:
        path: of the PNG.
        seed: of the first base.
    """
    wide = 4
    rows = -(-len(FIRMWARE_WORLDS) // wide)
    with plt.rc_context({**STYLE, "font.size": 9}):
        figure, axes = plt.subplots(2 * rows, wide, figsize=(13, 4.1 * rows), sharex=True)
        for panel in axes.ravel():
            panel.set_visible(False)
        for i, family in enumerate(FIRMWARE_WORLDS):
            pair = axes[2 * (i // wide) : 2 * (i // wide) + 2, i % wide]
            for s in range(SEEDS):
                time, commands, done = respond(family, seed + s)
                for column, (panel, colour) in enumerate(zip(pair, (ADAPTIVE, KINEMATIC), strict=True)):
                    if s == 0:
                        panel.plot(time, commands[:, column], color=REFERENCE, lw=1.6)
                        if family in ("coarse", "echo"):
                            panel.plot(time, done[:, 2 + column], color="k", lw=0.6, alpha=0.6)
                    panel.plot(time, done[:, column], color=colour, lw=1.1, alpha=1.0 - 0.3 * s)
            kept = "" if family in TRAINING_FAMILIES else "  (test)"
            pair[0].set_title(family + kept)
            for panel, label in zip(pair, ("v [m/s]", "omega [rad/s]"), strict=True):
                panel.set_visible(True)
                if i % wide == 0:
                    panel.set_ylabel(label)
            if i + wide >= len(FIRMWARE_WORLDS):
                pair[1].set_xlabel("time [s]")
                pair[1].tick_params(labelbottom=True)
        figure.tight_layout()
        return save(figure, Path(path))
