"""What the commands of a run explain of its velocities: gain, lag, delay, and whether they came first."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..core.tunable import declarations
from ..core.types import Array
from ..dynamics.first_order import FirstOrderConfig
from ..dynamics.transitions import Transitions

WINDOW = 60  # steps that a response is simulated over from a measured velocity
EARLIEST, LATEST = 10, 20  # steps that a command is looked for after and before its response
MOST = 200  # windows
TIME_CONSTANTS = np.geomspace(0.02, 10.0, 16)  # [s]
EXCITED = (0.03, 0.06)  # [m/s, rad/s] deviation of a command that says something
UNTOLD = 2.0  # times that, of a velocity: what it does within a window must come from somewhere
RICH, MUCH = 3.0, 8.0  # times that, of both; of a velocity alone: more than wind and slopes do
EARLY = 0.3  # share of the squared error that is left on both axes when the response may come first
LEAST_EARLY = 0.075  # [s]
BETTER = 4.0  # times the squared error that a plausible base may leave of that which any other leaves
NOTHING = 0.9  # share of the squared error without commands that says that they explain nothing

_GAIN = declarations(FirstOrderConfig)["gain_v"]


@attrs.frozen(eq=False)
class Response:
    """Of one axis: ``time_constant x' = gain u(t - delay) - x``, from simulated velocities.

    Attributes:
        gain, time_constant, delay: with the least squares and a delay from 0 on [s].
        errors: mean squares that are left with each delay, shape (S,) [m^2/s^2 or rad^2/s^2].
        delays: from before 0 on, shape (S,) [s].
        plausible: the same of the best base whose gain FirstOrderConfig allows.
        untold: the same without any command.
        told: mean square of the change of commands within a window.
        excited: deviation of a command that says something, on this axis.
    """

    gain: float
    time_constant: float
    delay: float
    errors: Array
    delays: Array
    plausible: float
    untold: float
    told: float
    excited: float

    @property
    def contradiction(self) -> str:
        """Why no base would answer to these commands like this; empty when one may."""
        best = float(self.errors[self.delays >= 0.0].min())
        if self.untold < (UNTOLD * self.excited) ** 2:
            return ""
        if self.plausible > BETTER * best and self.plausible > self.excited**2:
            return f"it answers with a gain of {self.gain:.2g}, plausible is {_GAIN.allowed}"
        told, untold = (np.sqrt(square) / self.excited for square in (self.told, self.untold))
        if (min(told, untold) > RICH or untold > MUCH) and self.plausible > NOTHING * self.untold:
            return f"they explain less than {1.0 - NOTHING:.0%} of what it does"
        return ""


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


def lead(found: tuple[Response | None, Response | None]) -> float:
    """How long before the command the velocities answer [s]; 0 unless that is certain."""
    known = [response for response in found if response is not None]
    if not known:
        return 0.0
    delays = known[0].delays
    errors = np.prod([response.errors for response in known], axis=0)
    best, causal = int(np.argmin(errors)), float(errors[delays >= 0.0].min())
    certain = errors[best] < EARLY ** len(known) * causal
    within = delays[0] > delays[best] > delays[-1]
    return float(-delays[best]) if certain and within and delays[best] < -LEAST_EARLY else 0.0


def _response(velocity: Array, command: Array, dt: float, excited: float) -> Response | None:
    """From windows with LATEST steps before and EARLIEST after them, shape (W, length)."""
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
    count = x[:, 1:].size
    untold = float(total.min()) / count
    if command.std() < excited and untold < (UNTOLD * excited) ** 2:
        return None
    gain = along / np.maximum(square, 1e-12)
    held = np.clip(gain, _GAIN.low, _GAIN.high)
    errors, plausible = ((total - 2.0 * g * along + g**2 * square) / count for g in (gain, held))
    delays = np.arange(LATEST, -EARLIEST - 1, -1, dtype=np.float64) * np.float64(dt)
    causal = delays >= 0.0
    lag, best = np.unravel_index(int(np.argmin(np.where(causal, errors, np.inf))), errors.shape)
    return Response(
        gain=float(gain[lag, best]),
        time_constant=float(TIME_CONSTANTS[lag]),
        delay=float(delays[best]),
        errors=errors.min(axis=0),
        delays=delays,
        plausible=float(plausible[:, causal].min()),
        untold=untold,
        told=float(command.var(axis=1).mean()),
        excited=excited,
    )
