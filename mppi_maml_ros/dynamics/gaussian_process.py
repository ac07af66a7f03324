"""Sparse Gaussian process regression, and a robot model made of it.

A linear mean (ridge regression) and, on what it leaves, a zero-mean process with a squared
exponential kernel whose length scales all outputs share. Hyperparameters maximise the marginal
likelihood of a subset; prediction goes through inducing points, which are data chosen greedily where
those before leave the most variance.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2.2 and 8.3.4 (projected
process); Burt et al., Rates of Convergence for Sparse Variational Gaussian Process Regression (ICML
2019), 4 (greedy choice).
"""

from __future__ import annotations

import attrs
import numpy as np
import torch
from numpy.typing import ArrayLike

from ..core.angles import wrap
from ..core.errors import InvalidValueError
from .robot_model import YAW, RobotModel, body_rates, transitions_of, world_rates

JITTER = 1e-6


@attrs.frozen
class GPConfig:
    """Settings of the fit.

    Attributes:
        inducing: points that carry the posterior, 1 to 2000.
        subset: samples that the hyperparameters are found from, 8 to 5000.
        iterations: of Adam on the marginal likelihood, 0 to 10000.
        ridge: of the linear mean, in normalised units, at least 0.
        seed: of the subset.
    """

    inducing: int = 64
    subset: int = 256
    iterations: int = 60
    ridge: float = 1e-3
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        for name, low, high in (
            ("inducing", 1, 2000),
            ("subset", 8, 5000),
            ("iterations", 0, 10_000),
            ("ridge", 0.0, 1e6),
            ("seed", 0, 2**63 - 1),
        ):
            if not low <= getattr(self, name) <= high:
                raise InvalidValueError(f"{name} must be in [{low:g}, {high:g}], got {getattr(self, name)}")


@attrs.frozen(eq=False)
class SparseGP:
    """A fitted process from inputs of width Z to O outputs.

    Attributes:
        linear: mean function, shape (O, Z + 1); the last column multiplies one.
        length_scale: of each input, shape (Z,), in its unit.
        inducing: points, shape (I, Z).
        alpha: coefficient of each point and output, shape (I, O), in the outputs' units.
        signal, noise: prior and noise variance of each output, shape (O,).
        shrink: (K^-1 - A^-1) of each output in units of its signal, shape (O, I, I).
    """

    linear: np.ndarray
    length_scale: np.ndarray
    inducing: np.ndarray
    alpha: np.ndarray
    signal: np.ndarray
    noise: np.ndarray
    shrink: np.ndarray

    def _kernel(self, inputs: np.ndarray) -> np.ndarray:
        return _correlation(inputs / self.length_scale, self.inducing / self.length_scale)

    def mean(self, inputs: ArrayLike) -> np.ndarray:
        """Posterior mean at inputs (..., Z), shape (..., O)."""
        inputs = np.asarray(inputs, dtype=float)
        flat = inputs.reshape(-1, inputs.shape[-1])
        out = self._kernel(flat) @ self.alpha + flat @ self.linear[:, :-1].T + self.linear[:, -1]
        return out.reshape(*inputs.shape[:-1], -1)

    def variance(self, inputs: ArrayLike) -> np.ndarray:
        """Predictive variance at inputs (..., Z), noise included, shape (..., O)."""
        inputs = np.asarray(inputs, dtype=float)
        k = self._kernel(inputs.reshape(-1, inputs.shape[-1]))
        explained = np.einsum("mi,oij,mj->mo", k, self.shrink, k)
        out = self.signal * np.maximum(1.0 - explained, 0.0) + self.noise
        return out.reshape(*inputs.shape[:-1], -1)


def fit(inputs: np.ndarray, targets: np.ndarray, config: GPConfig | None = None) -> SparseGP:
    """Fit a process to (M, Z) inputs and (M, O) targets.

    Raises:
        InvalidValueError: fewer than 8 samples, shapes that do not fit, or values that are not finite.
    """
    config = config or GPConfig()
    inputs, targets = np.asarray(inputs, dtype=float), np.asarray(targets, dtype=float)
    if inputs.ndim != 2 or targets.ndim != 2 or len(inputs) != len(targets) or len(inputs) < 8:
        raise InvalidValueError(
            f"a fit needs inputs (M, Z) and targets (M, O), M >= 8, got {inputs.shape} and {targets.shape}"
        )
    if not (np.isfinite(inputs).all() and np.isfinite(targets).all()):
        raise InvalidValueError("inputs and targets must be finite")
    scale = np.maximum(inputs.std(axis=0), 1e-6)
    z = inputs / scale
    linear = _ridge(z, targets, config.ridge)
    rest = targets - z @ linear[:, :-1].T - linear[:, -1]
    size = np.maximum(rest.std(axis=0), 1e-9)
    y = rest / size

    chosen = np.random.default_rng(config.seed).permutation(len(z))[: config.subset]
    length, signal, noise = _hyperparameters(z[chosen], y[chosen], config.iterations)
    scaled = z / length
    points = scaled[_greedy(scaled, config.inducing)]
    kmm = _correlation(points, points) + JITTER * np.eye(len(points))
    kmn = _correlation(points, scaled)
    gram, moment = kmn @ kmn.T, kmn @ y
    inverse = np.linalg.inv(kmm)
    alpha, shrink = np.empty((len(points), y.shape[1])), np.empty((y.shape[1], *kmm.shape))
    for o in range(y.shape[1]):
        a = kmm + gram * (signal[o] / noise[o])
        alpha[:, o] = np.linalg.solve(a, moment[:, o]) * (signal[o] / noise[o]) * size[o]
        shrink[o] = inverse - np.linalg.inv(a)
    linear[:, :-1] /= scale
    return SparseGP(
        linear=linear,
        length_scale=length * scale,
        inducing=points * length * scale,
        alpha=alpha,
        signal=signal * size**2,
        noise=noise * size**2,
        shrink=shrink,
    )


def _ridge(z: np.ndarray, targets: np.ndarray, ridge: float) -> np.ndarray:
    phi = np.column_stack([z, np.ones(len(z))])
    gram = phi.T @ phi / len(z) + ridge * np.eye(phi.shape[1])
    return np.linalg.solve(gram, phi.T @ targets / len(z)).T


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared exponential of scaled points (M, Z) and (N, Z), shape (M, N)."""
    square = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2.0 * a @ b.T
    return np.exp(-0.5 * np.maximum(square, 0.0))


def _greedy(scaled: np.ndarray, count: int) -> np.ndarray:
    """Indices of points, each where the ones before leave the most variance (a pivoted Cholesky)."""
    left = np.ones(len(scaled))
    rows, chosen = np.zeros((min(count, len(scaled)), len(scaled))), []
    for i in range(len(rows)):
        pick = int(np.argmax(left))
        if left[pick] < 1e-6:
            break
        column = _correlation(scaled[pick : pick + 1], scaled)[0] - rows[:i].T @ rows[:i, pick]
        rows[i] = column / np.sqrt(left[pick])
        left = left - rows[i] ** 2
        chosen.append(pick)
    return np.array(chosen)


def _hyperparameters(
    inputs: np.ndarray, outputs: np.ndarray, iterations: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Length scales (Z,), signal (O,) and noise variances (O,) that maximise the marginal likelihood."""
    z, y = torch.as_tensor(inputs), torch.as_tensor(outputs)
    start = 0.5 * np.log(z.shape[1]) + 0.7
    length = torch.full((z.shape[1],), start, dtype=torch.float64, requires_grad=True)
    signal = torch.full((y.shape[1],), -0.7, dtype=torch.float64, requires_grad=True)
    noise = torch.full((y.shape[1],), -0.7, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([length, signal, noise], lr=0.1)
    eye = torch.eye(len(z), dtype=torch.float64)
    for _ in range(iterations):
        scaled = z / length.exp()
        square = (scaled**2).sum(1)[:, None] + (scaled**2).sum(1) - 2.0 * scaled @ scaled.T
        kernel = torch.exp(-0.5 * square.clamp_min(0.0))
        loss = torch.zeros((), dtype=torch.float64)
        for o in range(y.shape[1]):
            covariance = signal[o].exp() * kernel + (noise[o].exp() + JITTER) * eye
            factor, failed = torch.linalg.cholesky_ex(covariance)
            if failed:
                break
            white = torch.linalg.solve_triangular(factor, y[:, o : o + 1], upper=False)
            loss = loss + 0.5 * (white**2).sum() + factor.diagonal().log().sum()
        else:
            # Weak priors keep scales that the data say nothing of from running away.
            loss = loss + 0.05 * ((length - start) ** 2).sum() + 0.05 * (signal**2).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                noise.clamp_(min=-9.0)
                length.clamp_(-2.0, 5.0)
            continue
        break
    with torch.no_grad():
        return length.exp().numpy().copy(), signal.exp().numpy().copy(), noise.exp().numpy().copy() + JITTER


class GaussianProcessDynamics(RobotModel):
    """A base model plus a Gaussian process on what it leaves, in the body frame.

    Args:
        base_model: the prior; its state is this model's.
        config: settings of the fit.
    """

    def __init__(self, base_model: RobotModel, config: GPConfig | None = None) -> None:
        self.base_model, self.config = base_model, config or GPConfig()
        self.process: SparseGP | None = None

    @property
    def state_dim(self) -> int:
        return self.base_model.state_dim

    @property
    def model_type(self) -> str:
        return "learned"

    def _inputs(self, state: np.ndarray, control: np.ndarray) -> np.ndarray:
        return np.concatenate([state[..., 3:], control], axis=-1)

    def fit(self, states: ArrayLike, controls: ArrayLike, next_states: ArrayLike, dt: float) -> SparseGP:
        """Learn what the base model leaves on (M, nx), (M, nu), (M, nx) transitions of ``dt`` [s]."""
        states, controls, rates = transitions_of(self, states, controls, next_states, dt)
        rest = rates - self.base_model.forward_dynamics(states, controls)
        self.process = fit(self._inputs(states, controls), body_rates(rest, states[:, YAW]), self.config)
        return self.process

    def forward_dynamics(self, state: ArrayLike, control: ArrayLike) -> np.ndarray:
        state, control = self._checked(state, control)
        base = self.base_model.forward_dynamics(state, control)
        if self.process is None:
            return base
        return base + world_rates(self.process.mean(self._inputs(state, control)), state[..., YAW])

    def step(self, state: ArrayLike, control: ArrayLike, dt: float) -> np.ndarray:
        """One Euler step: the process learns the mean of state_dot over a step."""
        state, control = self._checked(state, control)
        after = state + dt * self.forward_dynamics(state, control)
        after[..., YAW] = wrap(after[..., YAW])
        return after

    def variance(self, state: ArrayLike, control: ArrayLike) -> np.ndarray:
        """Predictive variance of state_dot in the body frame, (..., nx); needs a fit."""
        if self.process is None:
            raise InvalidValueError("the process has not been fitted")
        return self.process.variance(self._inputs(*self._checked(state, control)))
