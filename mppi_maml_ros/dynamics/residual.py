"""The residual on the kinematic prior, as one immutable snapshot.

One step of ``model_dt`` under the command u0 (v in m/s, omega in rad/s, body frame), on each axis that of
``transport_delay`` steps before::

    (dv, domega, s) = L phi(z) + net(z * input_scale) + (m_v c_v, m_omega c_omega, 0)
    v+     = u0_v + dv                        omega+ = u0_omega + domega
    v_bar  = u0_v + b ((v + v+)/2 - u0_v)     likewise omega_bar;  b = displacement_blend
    pose+  = pose moved by the body twist (v_bar, s, omega_bar) for model_dt

m is the momentum of an axis and c the change of its velocity over the step before, which dynamics.observer
estimates. v+ and omega+ stay within the limits of ``acceleration`` (see dynamics.acceleration). What the
model got wrong a moment ago tells of the next steps: their (dv, domega) may be corrected by a push that
``error_model`` predicts from the errors so far (see dynamics.innovations).

With L = 0, a zero output layer and b = 0 this IS the kinematic prior; b = 1 moves the robot
by the mean of the velocities at both ends of the step, which is what a servo does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise

import attrs
import numpy as np
from numpy.typing import ArrayLike

from ..core import se2
from ..core.arrays import read_only_float32
from ..core.errors import InvalidValueError
from ..core.types import Array
from .acceleration import FREE_ACCELERATION, UNLIMITED, bound, changes
from .features import MAX_DELAY_TAPS, feature_size, features, input_size
from .soundness import OUTPUTS, check


def _read_only_pairs(
    layers: Iterable[tuple[ArrayLike, ArrayLike]],
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    return tuple((read_only_float32(w), read_only_float32(b)) for w, b in layers)


def _whole_steps(value: Iterable[float]) -> tuple[int, int]:
    v, omega = (float(steps) for steps in value)
    if not (v.is_integer() and omega.is_integer()):
        raise InvalidValueError(f"transport_delay must be whole numbers of steps, got {(v, omega)}")
    return int(v), int(omega)


@attrs.frozen(eq=False)
class ResidualWeights:
    """Everything needed to predict with the residual; arrays are read-only float32.

    Attributes:
        linear: L, shape (3, feature_size(delay_taps)).
        layers: (W, b) pairs, W of shape (out, in), input side first; one or two hidden
            layers and an output layer of 3 rows, or empty for no network.
        input_scale: shape (input_size(delay_taps),); multiplies z before the network.
        displacement_blend: b in [0, 1].
        activation: hidden activation, ``tanh`` or ``relu``.
        delay_taps: past commands among the inputs, 0 to 8.
        model_dt: step that is predicted [s].
        adapter: name of what made the weights.
        covariance: of the coefficients that dv is linear in, shape (P, P) for P features, positive
            semi-definite [m^2/s^2]; (0, 0) where the adapter does not tell.
        error_model: (pole, push_gain, noise_gain) of the errors of (v, omega), shape (3, 2); zeros for white.
        transport_delay: whole steps, 0 to 12, by which all commands of (v, omega) act later.
        momentum: m of (v, omega), shape (2,), in [-1, 1].
        observer: gains of (velocity, change) by axis, shape (2, 2); ones take what was measured.
        acceleration: limits away from standstill and towards it, of (v, omega), shape (2, 2), in (0, 1000]
            [m/s^2, rad/s^2]; 1000 for none.

    Raises:
        InvalidValueError: a shape, a name or a value is not allowed; the message names the tensor.
    """

    linear: np.ndarray = attrs.field(converter=read_only_float32)
    layers: tuple[tuple[np.ndarray, np.ndarray], ...] = attrs.field(converter=_read_only_pairs)
    input_scale: np.ndarray = attrs.field(converter=read_only_float32)
    displacement_blend: float = attrs.field(converter=float)
    activation: str
    delay_taps: int
    model_dt: float = attrs.field(converter=float)
    adapter: str = "prior"
    covariance: np.ndarray = attrs.field(converter=read_only_float32, factory=lambda: np.zeros((0, 0)))
    error_model: np.ndarray = attrs.field(converter=read_only_float32, factory=lambda: np.zeros((3, 2)))
    transport_delay: tuple[int, int] = attrs.field(default=(0, 0), converter=_whole_steps)
    momentum: np.ndarray = attrs.field(converter=read_only_float32, factory=lambda: np.zeros(2))
    observer: np.ndarray = attrs.field(converter=read_only_float32, factory=lambda: np.ones((2, 2)))
    acceleration: np.ndarray = attrs.field(converter=read_only_float32, factory=lambda: UNLIMITED)

    def __attrs_post_init__(self) -> None:
        check(self)

    @classmethod
    def prior(cls, delay_taps: int = 0, model_dt: float = 0.05) -> ResidualWeights:
        """The kinematic prior: nothing is corrected."""
        return _prior(delay_taps, model_dt)

    @classmethod
    def first_order(
        cls,
        time_constant: tuple[float, float],
        gain: tuple[float, float] = (1.0, 1.0),
        delay: float = 0.0,
        model_dt: float = 0.05,
    ) -> ResidualWeights:
        """Exact discretisation of ``tau x' = gain u(t - delay) - x`` on both axes.

        Args:
            time_constant: of (v, omega) [s], above 0.
            gain: steady-state gain of (v, omega).
            delay: command delay [s]; a fraction of a step is shared between two taps.
            model_dt: step [s].
        """
        steps = delay / model_dt
        late = max(int(np.ceil(steps - 1e-9)) - MAX_DELAY_TAPS, 0)
        steps -= late
        taps = int(np.ceil(steps - 1e-9))
        linear = np.zeros((OUTPUTS, feature_size(taps)))
        for axis in (0, 1):
            tau = time_constant[axis]
            keep = np.exp(-model_dt / tau)
            linear[axis, axis] = keep
            linear[axis, 2 + axis] -= 1.0
            # A command that starts to act `behind` into the step moves the state by less than
            # its share of the step: the rest of the exponential is still ahead of it.
            behind = (steps - np.floor(steps + 1e-9)) * model_dt
            newest = int(np.floor(steps + 1e-9))
            new_share = 1.0 - np.exp(-(model_dt - behind) / tau)
            linear[axis, 2 + 2 * newest + axis] += gain[axis] * new_share
            if newest < taps:
                linear[axis, 2 + 2 * taps + axis] += gain[axis] * (1.0 - keep - new_share)
        return cls(
            linear=linear,
            layers=(),
            input_scale=np.ones(input_size(taps)),
            displacement_blend=1.0,
            activation="tanh",
            delay_taps=taps,
            model_dt=model_dt,
            adapter="dynamic",
            transport_delay=(late, late),
        )

    @property
    def has_momentum(self) -> bool:
        """Whether an axis goes on as it did."""
        return any(self.momentum.tolist())

    @property
    def is_limited(self) -> bool:
        """Whether an axis cannot change its velocity at once."""
        return any(limit < FREE_ACCELERATION for row in self.acceleration.tolist() for limit in row)

    @property
    def history(self) -> int:
        """Past commands that a step reads."""
        return self.delay_taps + max(self.transport_delay)

    @property
    def is_prior(self) -> bool:
        """Whether the weights correct nothing at all."""
        silent = not self.layers or not (self.layers[-1][0].any() or self.layers[-1][1].any())
        more = any(self.transport_delay) or self.has_momentum or self.is_limited
        return silent and not self.linear.any() and self.displacement_blend == 0.0 and not more

    def check_step(self, model_dt: float) -> None:
        """Raise :class:`InvalidValueError` unless ``model_dt`` [s] is the step that is predicted."""
        if abs(self.model_dt - model_dt) > 1e-6:
            raise InvalidValueError(f"model_dt of the weights must be {model_dt} s, got {self.model_dt}")

    def tensors(self) -> dict[str, np.ndarray]:
        """Named float32 tensors; with the scalar attributes they rebuild the snapshot."""
        named = {"linear": self.linear, "input_scale": self.input_scale}
        for i, (weight, bias) in enumerate(self.layers):
            named[f"layer{i}.weight"] = weight
            named[f"layer{i}.bias"] = bias
        named["displacement_blend"] = np.array([self.displacement_blend], dtype=np.float32)
        named["error_model"] = self.error_model
        if self.covariance.size:
            named["covariance"] = self.covariance
        if any(self.transport_delay):
            named["transport_delay"] = np.array(self.transport_delay, dtype=np.float32)
        if self.has_momentum:
            named["momentum"], named["observer"] = self.momentum, self.observer
        if self.is_limited:
            named["acceleration"] = self.acceleration
        return named

    @classmethod
    def from_tensors(
        cls,
        tensors: dict[str, np.ndarray],
        *,
        activation: str,
        delay_taps: int,
        model_dt: float,
        adapter: str,
    ) -> ResidualWeights:
        """Inverse of :meth:`tensors`; what follows ``displacement_blend`` may be left out.

        Raises:
            InvalidValueError: a tensor is missing, unknown, or of the wrong shape or type.
        """
        optional = {
            "error_model": np.zeros((3, 2)),
            "covariance": np.zeros((0, 0)),
            "transport_delay": np.zeros(2),
            "momentum": np.zeros(2),
            "observer": np.ones((2, 2)),
            "acceleration": UNLIMITED,
        }
        tensors = {name: value.astype(np.float32) for name, value in optional.items()} | tensors
        for name, tensor in tensors.items():
            if tensor.dtype != np.float32:
                raise InvalidValueError(f"{name} must be float32, got {tensor.dtype}")
        depth = sum(name.startswith("layer") and name.endswith(".weight") for name in tensors)
        wanted = ["linear", "input_scale", "displacement_blend", *optional]
        wanted += [f"layer{i}.{part}" for i in range(depth) for part in ("weight", "bias")]
        missing, unknown = set(wanted) - set(tensors), set(tensors) - set(wanted)
        if missing or unknown:
            raise InvalidValueError(f"tensors missing: {sorted(missing)}, unknown: {sorted(unknown)}")
        if tensors["displacement_blend"].size != 1:
            raise InvalidValueError("displacement_blend must have 1 value")
        if tensors["transport_delay"].size != 2:
            raise InvalidValueError("transport_delay must have 2 values")
        return cls(
            linear=tensors["linear"],
            layers=tuple((tensors[f"layer{i}.weight"], tensors[f"layer{i}.bias"]) for i in range(depth)),
            input_scale=tensors["input_scale"],
            displacement_blend=float(tensors["displacement_blend"].reshape(())),
            error_model=tensors["error_model"],
            covariance=tensors["covariance"],
            transport_delay=tensors["transport_delay"],
            momentum=tensors["momentum"],
            observer=tensors["observer"],
            acceleration=tensors["acceleration"],
            activation=activation,
            delay_taps=delay_taps,
            model_dt=model_dt,
            adapter=adapter,
        )

    def digest(self) -> str:
        """SHA-256 (hex) of all tensors in order, for logs and bit-exact comparison."""
        h = hashlib.sha256()
        for tensor in self.tensors().values():
            h.update(np.ascontiguousarray(tensor, dtype="<f4").tobytes())
        return h.hexdigest()


def small_weights(delay_taps: int, model_dt: float, hidden: Sequence[int] = ()) -> ResidualWeights:
    """Weights that touch every branch of a rollout, to compile with; ``hidden``: widths of the layers."""
    sizes = [input_size(delay_taps), *hidden, OUTPUTS]
    layers = [(np.full((n, m), 1e-3), np.zeros(n)) for m, n in pairwise(sizes)]
    return ResidualWeights(
        linear=np.full((OUTPUTS, feature_size(delay_taps)), 1e-3),
        layers=tuple(layers) if hidden else (),
        input_scale=np.ones(sizes[0]),
        displacement_blend=1.0,
        activation="tanh",
        delay_taps=delay_taps,
        model_dt=model_dt,
    )


@cache
def _prior(delay_taps: int, model_dt: float) -> ResidualWeights:
    return ResidualWeights(
        linear=np.zeros((OUTPUTS, feature_size(delay_taps))),
        layers=(),
        input_scale=np.ones(input_size(delay_taps)),
        displacement_blend=0.0,
        activation="tanh",
        delay_taps=delay_taps,
        model_dt=model_dt,
    )


def hidden_output(
    layers: Sequence[tuple[np.ndarray, np.ndarray]], inputs: np.ndarray, activation: str
) -> np.ndarray:
    """Output of hidden layers, (W, b) pairs, for scaled inputs of shape (..., Z); returns (..., width)."""
    for weight, bias in layers:
        inputs = inputs @ weight.T + bias
        inputs = np.tanh(inputs) if activation == "tanh" else np.maximum(inputs, 0.0)
    return inputs


def network(weights: ResidualWeights, inputs: np.ndarray) -> np.ndarray:
    """Network part of the correction for inputs z of shape (..., Z); returns (..., 3)."""
    *hidden, (weight, bias) = weights.layers
    scaled = np.asarray(inputs) * weights.input_scale
    return hidden_output(hidden, scaled, weights.activation) @ weight.T + bias


def correction(weights: ResidualWeights, inputs: np.ndarray) -> np.ndarray:
    """(dv [m/s], domega [rad/s], lateral [m/s]) for inputs z of shape (..., Z); returns (..., 3)."""
    out = features(inputs) @ weights.linear.T
    return out + network(weights, inputs) if weights.layers else out


def deviation(weights: ResidualWeights, inputs: np.ndarray) -> np.ndarray:
    """How far the predicted dv may be off for want of data, inputs of shape (..., Z); returns (...) [m/s].

    One standard deviation of the linear part's coefficients; 0 where the weights do not tell.
    """
    if not weights.covariance.size:
        return np.zeros(np.shape(inputs)[:-1])
    phi = features(inputs)
    return np.sqrt(np.maximum(((phi @ weights.covariance) * phi).sum(axis=-1), 0.0))


def delayed(command: Array, history: Array, weights: ResidualWeights) -> tuple[Array, Array]:
    """The command, and ``weights.delay_taps`` before it, that act on each axis.

    Args:
        command: issued for a step, shape (..., 2).
        history: of the steps before, newest first, shape (..., D, 2), D >= weights.history.

    Returns:
        Shapes (..., 2) and (..., delay_taps, 2).
    """
    taps, late = weights.delay_taps, weights.transport_delay
    if not any(late):
        return command, history[..., :taps, :]
    course = np.concatenate([command[..., None, :], history[..., : weights.history, :]], axis=-2)
    acting = np.stack([course[..., d : d + taps + 1, axis] for axis, d in enumerate(late)], axis=-1)
    return acting[..., 0, :], acting[..., 1:, :]


def step(
    weights: ResidualWeights,
    state: ArrayLike,
    command: ArrayLike,
    history: ArrayLike,
    dt: float | None = None,
    push: ArrayLike | None = None,
) -> np.ndarray:
    """Predict one step, or a fraction of it.

    Args:
        weights: the model.
        state: (x, y, yaw, v, omega), shape (..., 5) [m, m, rad, m/s, rad/s]; or (..., 7) with the change of
            (v, omega) over the step before, else zero.
        command: mean command (v, omega) over the step, shape (..., 2).
        history: mean commands of the earlier steps, newest first, shape (..., D, 2), D >= weights.history.
        dt: time to predict [s], at most model_dt; None for model_dt. The twist is interpolated.
        push: added to (v, omega) at the end of a whole step, shape (2,); None for nothing.

    Returns:
        States of the shape of ``state``.
    """
    state, command = np.asarray(state, dtype=float), np.asarray(command, dtype=float)
    command, history = delayed(command, np.asarray(history, dtype=float), weights)
    fraction = 1.0 if dt is None else dt / weights.model_dt
    past = history.reshape(*command.shape[:-1], 2 * weights.delay_taps)
    inputs = np.concatenate([state[..., 3:5], command, past], axis=-1)
    delta = correction(weights, inputs)
    if push is not None:
        delta[..., :2] += push
    whole = state.shape[-1] == 7
    if whole:
        delta[..., :2] += weights.momentum * state[..., 5:]
    end = command + delta[..., :2]
    if weights.is_limited:
        end = bound(state[..., 3:5], end, changes(weights.acceleration, weights.model_dt))
    blend = weights.displacement_blend
    if fraction != 1.0 and blend > 0.0:
        end = state[..., 3:5] + fraction * (end - state[..., 3:5])
    mean = command + blend * (0.5 * (state[..., 3:5] + end) - command)
    change = end - state[..., 3:5]
    if whole and fraction != 1.0:
        change += (1.0 - fraction) * state[..., 5:]
    twist = np.stack([mean[..., 0], delta[..., 2], mean[..., 1]], axis=-1)
    pose = se2.integrate(state[..., :3], twist, fraction * weights.model_dt)
    return np.concatenate([pose, end, change] if whole else [pose, end], axis=-1)


def open_loop(
    weights: ResidualWeights,
    state: ArrayLike,
    commands: ArrayLike,
    history: ArrayLike,
    push: np.ndarray | None = None,
) -> np.ndarray:
    """Predict a whole command sequence.

    Args:
        state: start, shape (..., 5), or (..., 7) as for :func:`step`.
        commands: shape (..., T, 2).
        history: commands before the first, newest first, shape (..., D, 2), D >= weights.history.
        push: added to (v, omega) at the end of each step, shape (T, 2); None for nothing.

    Returns:
        States after each command, shape (..., T, 5).
    """
    commands = np.asarray(commands, dtype=float)
    history = np.asarray(history, dtype=float)[..., : max(weights.history, 1), :]
    state = np.asarray(state, dtype=float)
    if weights.has_momentum and state.shape[-1] == 5:
        state = np.concatenate([state, np.zeros_like(state[..., :2])], axis=-1)
    out = []
    for t in range(commands.shape[-2]):
        command = commands[..., t, :]
        state = step(weights, state, command, history, push=None if push is None else push[t])
        history = np.concatenate([command[..., None, :], history[..., :-1, :]], axis=-2)
        out.append(state[..., :5])
    return np.stack(out, axis=-2)
