"""From the newest odometry to the state now, and to the push on the steps that begin now.

The commands given since the odometry's stamp move its state ahead by the serving weights, pushed as
what those weights got wrong over the last steps says.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core.command_history import CommandHistory
from ..core.errors import InvalidValueError
from ..core.types import Array, Odometry
from ..dynamics.buffer import SNAP, BufferConfig, TransitionBuffer
from ..dynamics.compiled import open_loop
from ..dynamics.features import MAX_DELAY_TAPS, MAX_HISTORY
from ..dynamics.identification.error_models import TYPICAL, pushes
from ..dynamics.observer import errors_of, observe
from ..dynamics.residual import ResidualWeights
from ..dynamics.transitions import Transitions

FARTHEST = 8  # steps; older odometry is moved ahead by no more
MEMORY = 60  # transitions that tell of the push
MAX_ERROR = np.array([0.5, 1.0])  # [m/s, rad/s] nothing pushes a robot harder within a step


def advance(
    state: ArrayLike,
    history: ArrayLike,
    duration: float,
    weights: ResidualWeights | None,
    model_dt: float,
    push: ArrayLike | None = None,
) -> Array:
    """Move a state of ``duration`` ago to now, under the commands given meanwhile.

    Args:
        state: (x, y, yaw, v, omega) at its stamp, shape (5,); or (7,), see :func:`dynamics.residual.step`.
        history: mean commands of the steps before now, newest first, shape (D, 2).
        duration: age of the state [s], 0 to 8 model_dt; clipped to that.
        weights: residual snapshot; None for the kinematic prior.
        model_dt: step [s].
        push: on (v, omega) over the step that begins at the state's stamp, shape (2,); None for nothing.

    Returns:
        The predicted state, of the shape of ``state``.

    Raises:
        InvalidValueError: the history is not finite.
    """
    left = min(max(float(duration), 0.0), FARTHEST * model_dt)
    model = weights if weights is not None else ResidualWeights.prior(0, model_dt)
    past = np.asarray(history, dtype=float).reshape(-1, 2)
    if not np.isfinite(past).all():
        raise InvalidValueError("history must be finite")
    missing = FARTHEST + 1 + model.history - len(past)
    if missing > 0:
        oldest = past[-1:] if len(past) else np.zeros((1, 2))
        past = np.concatenate([past, np.repeat(oldest, missing, axis=0)])
    now = np.asarray(state, dtype=float)
    pushed = np.zeros(2) if push is None else np.asarray(push, dtype=float)
    while left > 1e-9:
        # What is left over of a whole number of steps comes first, so that the others end on steps.
        back = int(np.ceil(left / model_dt - 1e-9)) - 1
        piece = left - back * model_dt
        twist = now[3:5]
        now = open_loop(
            model, now[None], past[None, back : back + 1], past[None, back + 1 :], pushed[None], piece
        )[0, 0]
        pushed = pushed * model.error_model[0] ** (piece / model_dt)
        if model.is_prior:
            now[3:5] = twist  # the prior says nothing of the measured twist
        left -= piece
    return now


class ErrorTracker:
    """The push on the next step, from what the serving weights got wrong over the last ones.

    Follows commands and odometry at any rate; not thread-safe.

    Args:
        history: past commands, as many as any weights read.
        model_dt: step [s].
    """

    def __init__(self, history: int, model_dt: float) -> None:
        known = min(history, MAX_DELAY_TAPS)
        config = BufferConfig(delay_taps=known, older=history - known, model_dt=model_dt, size=MEMORY)
        self._buffer = TransitionBuffer(config)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self._buffer.reset()
        self._newest = self._end = -np.inf
        self._follow(None)

    def _follow(self, weights: ResidualWeights | None) -> None:
        self._weights, self._state = weights, np.zeros((2, 2))
        self._observed = np.zeros((2, 2))
        self._segment: int | None = None
        self._used = self._buffer.total - len(self._buffer)

    def add_command(self, stamp: float, command: ArrayLike) -> None:
        """A command (v, omega) in force from ``stamp`` [s]."""
        self._buffer.add_command(stamp, command)

    def add_odometry(self, sample: Odometry) -> None:
        """A checked odometry sample."""
        self._buffer.add_odometry(sample)
        self._newest = sample.stamp

    def since(self, total: int) -> tuple[Transitions, int]:
        """Transitions after the first ``total``, as far as they are kept, and how many there were in all."""
        fresh = min(self._buffer.total - total, len(self._buffer))
        return self._buffer.latest(len(self._buffer))[len(self._buffer) - fresh :], self._buffer.total

    def push(self, weights: ResidualWeights | None, after: float = 0.0) -> Array:
        """On (v, omega) over the step that begins ``after`` [s] the newest odometry, shape (2,) [m/s, rad/s].

        Zero for weights without a model of their errors, and while no transition ends now.
        """
        if weights is None or not (weights.error_model[1].any() and self._caught_up(weights)):
            return np.zeros(2)
        dt = self._buffer.config.model_dt
        fading: Array = weights.error_model[0] ** max((self._newest + after - self._end) / dt, 0.0)
        pushed: Array = self._state[0] * fading
        return pushed

    def twist(self, weights: ResidualWeights) -> tuple[Array, float] | None:
        """Velocity and its change at the end of the last transition, as the observer of weights tells them.

        Returns:
            (v, omega, change of v, change of omega), shape (4,), and how old they are [s], less than two
            steps; None for weights without momentum, and while no transition ends now.
        """
        if not (weights.has_momentum and self._caught_up(weights)):
            return None
        return self._observed.ravel().copy(), max(self._newest - self._end, 0.0)

    def _caught_up(self, weights: ResidualWeights) -> bool:
        """Follow what came since; whether a transition ends about now."""
        if weights is not self._weights:
            self._follow(weights)
        fresh = min(self._buffer.total - self._used, len(self._buffer))
        if fresh:
            data = self._buffer.latest(fresh)
            first = data.first
            first[0] = data.segments[0] != self._segment
            if weights.has_momentum:
                errors, _ = observe(weights, data, first, self._observed)
            else:
                errors = errors_of(weights, data)
            errors = np.clip(errors, -MAX_ERROR, MAX_ERROR)
            pushes(errors, first, weights.error_model, self._state)
            self._segment, self._used = data.segments[-1], self._buffer.total
            self._end = data.stamps[-1] + data.model_dt
        return bool(self._newest - self._end <= (1.0 + SNAP) * self._buffer.config.model_dt)


@attrs.frozen(eq=False)
class Prediction:
    """What a control step begins with.

    Attributes:
        state: (x, y, yaw, v, omega) now, shape (5,); the caller's to change.
        history: mean commands of the steps before now, newest first, shape (D, 2).
        push: on (v, omega) over the step that begins now, shape (2,) [m/s, rad/s].
        change: of (v, omega) over the step before, shape (2,) [m/s, rad/s]; zero without momentum.
        age: by how much the odometry was moved ahead [s].
    """

    state: Array
    history: Array
    push: Array
    change: Array
    age: float


class Predictor:
    """Follows commands and odometry, and tells the state now; not thread-safe.

    Args:
        model_dt: step of the weights [s].
        history: past commands, as many as any weights read.
    """

    def __init__(self, model_dt: float, history: int = MAX_HISTORY) -> None:
        self._model_dt, self._rows = model_dt, history + FARTHEST
        self._commands = CommandHistory()
        self._errors = ErrorTracker(history, model_dt)
        self._odometry: Odometry | None = None

    @property
    def odometry(self) -> Odometry | None:
        """The newest sample; None before the first, and after a reset."""
        return self._odometry

    def record(self, stamp: float, command: ArrayLike) -> None:
        """A command (v, omega) in force from ``stamp`` [s]."""
        command = np.asarray(command, dtype=float)
        self._commands.record(stamp, command)
        self._errors.add_command(stamp, command)

    def add_odometry(self, sample: Odometry) -> None:
        """A checked odometry sample."""
        self._odometry = sample
        self._errors.add_odometry(sample)

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        self._commands.reset()
        self._errors.reset()
        self._odometry = None

    def history(self, now: float) -> Array:
        """Mean commands of the steps before ``now`` [s], newest first, shape (D + 8, 2)."""
        return self._commands.history(now, self._rows, self._model_dt)

    def since(self, total: int) -> tuple[Transitions, int]:
        """See :meth:`ErrorTracker.since`."""
        return self._errors.since(total)

    def now(self, now: float, weights: object) -> Prediction:
        """What is known at ``now`` [s], after the first odometry.

        Args:
            weights: residual snapshot; anything else is predicted for by the kinematic prior.

        Raises:
            InvalidValueError: the state would not be finite, or there is no odometry.
        """
        if self._odometry is None:
            raise InvalidValueError("there is no odometry to predict from")
        residual = weights if isinstance(weights, ResidualWeights) else None
        history = self.history(now)
        age = min(max(now - self._odometry.stamp, 0.0), FARTHEST * self._model_dt)
        push = self._errors.push(residual)
        start = self._odometry.state
        if residual is not None and residual.has_momentum:
            start = self._observed(residual)
        state = advance(start, history, age, residual, self._model_dt, push)
        if not np.isfinite(state).all():
            raise InvalidValueError(f"the predicted state must be five finite numbers, got {state}")
        change = state[5:] if len(state) > 5 else np.zeros(2)
        return Prediction(state[:5], history, self._errors.push(residual, age), change, age)

    def _observed(self, weights: ResidualWeights) -> Array:
        """The newest odometry, with velocity and change as the observer tells them, shape (7,)."""
        assert self._odometry is not None
        pose, known = self._odometry.state, self._errors.twist(weights)
        if known is None:
            return np.concatenate([pose, np.zeros(2)])
        twist, age = known
        stamp = self._odometry.stamp
        then = np.concatenate([pose[:3], twist])
        if age > 0.0:
            then = advance(then, self.history(stamp), age, weights, self._model_dt)
        return np.concatenate([pose[:3], then[3:]])

    def warm_up(self) -> None:
        """Compile what a drive needs, before the first control step waits for it."""
        other, dt = Predictor(self._model_dt, self._rows - FARTHEST), self._model_dt
        weights = attrs.evolve(ResidualWeights.prior(0, dt), error_model=TYPICAL)
        for k in range(4):
            other.add_odometry(Odometry(k * dt, np.full(3, 0.1 * dt * k), np.full(2, 0.1 * (k > 0))))
            other.record(k * dt, (0.1, 0.1))
            for model in (None, weights, attrs.evolve(weights, momentum=np.full(2, 0.5))):
                other.now(k * dt + 0.5 * dt, model)
