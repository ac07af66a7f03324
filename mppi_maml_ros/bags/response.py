"""What the commands of a run explain of its velocities: gain, lag, delay, and whether they came first."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..core.types import Array
from ..dynamics.transitions import Transitions

WINDOW = 60  # steps that a response is simulated over from a measured velocity
EARLIEST, LATEST = 10, 20  # steps that a command is looked for after and before its response
MOST = 200  # windows
TIME_CONSTANTS = np.geomspace(0.02, 20.0, 16)  # [s]
EXCITED = (0.03, 0.06)  # [m/s, rad/s] deviation of a command that says something
UNTOLD = 5.0  # times that deviation of a velocity which commands do not explain
EARLY = 0.6  # share of the squared error that is left when the response may come before the command
LEAST_EARLY = 0.075  # [s]


@attrs.frozen
class Response:
    """Of one axis: ``time_constant x' = gain u(t - delay) - x``.

    Attributes:
        gain, time_constant, delay: best in the least squares of simulated velocities; a delay below 0 [s] is
            one that no causal one comes near to.
        explained: share that commands have in what the velocity did after the start of each window.
    """

    gain: float
    time_constant: float
    delay: float
    explained: float


def responses(data: Transitions) -> tuple[Response | None, Response | None]:
    """The response of v and of omega; None where the data say nothing about it."""
    runs = np.split(np.arange(len(data)), np.flatnonzero(data.first)[1:])
    length = EARLIEST + WINDOW + LATEST
    starts = [start for run in runs for start in run[: max(len(run) - length + 1, 0) : WINDOW // 2]]
    if not starts:
        return None, None
    chosen = np.array(starts)[np.unique(np.linspace(0, len(starts) - 1, MOST).astype(int))]
    rows = chosen[:, None] + np.arange(length)
    v, omega = (
        _response(data.states[rows, 3 + axis], data.commands[rows, axis], data.model_dt, EXCITED[axis])
        for axis in (0, 1)
    )
    return v, omega


def _response(velocity: Array, command: Array, dt: float, excited: float) -> Response | None:
    """From windows with LATEST steps before and EARLIEST after them, shape (W, length)."""
    if command.std() < excited and velocity.std() < UNTOLD * excited:
        return None
    x = velocity[:, LATEST : LATEST + WINDOW]
    # shifted[w, s, k] is the command LATEST - s steps before step k
    shifted = sliding_window_view(command, WINDOW, axis=1)[:, : LATEST + EARLIEST + 1]
    keep = np.exp(-dt / TIME_CONSTANTS)[:, None, None]
    forced = np.zeros((len(keep), *shifted.shape[:2]))
    free = np.ones((len(keep), 1, 1))
    along, square, total = (np.zeros((len(keep), n)) for n in (shifted.shape[1], shifted.shape[1], 1))
    for k in range(1, WINDOW):
        forced = keep * forced + (1.0 - keep) * shifted[:, :, k - 1]
        free = keep * free
        rest = x[:, None, k] - free * x[:, None, 0]
        along += (rest * forced).sum(axis=1)
        square += (forced**2).sum(axis=1)
        total += (rest**2).sum(axis=1)
    told = along**2 / np.maximum(square, 1e-12)
    error = (total - told).min(axis=0)
    delays = (LATEST - np.arange(len(error))) * dt
    causal = delays >= 0.0
    best = int(np.argmin(error))
    if delays[best] > -LEAST_EARLY or error[best] > EARLY * error[causal].min():
        best = int(np.argmin(np.where(causal, error, np.inf)))
    lag = int(np.argmin((total - told)[:, best]))
    gain = float(along[lag, best] / max(square[lag, best], 1e-12))
    explained = float(told[lag, best] / max(total[lag, 0], 1e-12))
    return Response(gain, float(TIME_CONSTANTS[lag]), float(delays[best]), explained)
