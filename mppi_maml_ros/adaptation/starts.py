"""The linear part of a network, meta-learned as several starts: restore the likeliest, then descend.

``maml`` says L phi(z) + net(z). A start s of a row of L is a mean and a preconditioner: in u, with
L = mean + factor u, all robots that it stands for are about N(0, I), and the curvature of a typical drive
is diagonal. From u = 0 the inner loop descends on

    |y - phi L|^2 / (2 noise) + |u|^2 / 2

by conjugate gradients on all M transitions, preconditioned by 1 / (1 + curvature M / noise). Which start,
and which noise level, is weighed by the evidence of the data; several that are as likely are averaged, since
the prediction is linear in L.

Sources: Grant et al., ICLR 2018 (theta* and its metric as a learned Gaussian prior); Rajeswaran et al.,
NeurIPS 2019 (iMAML: the proximal inner problem, solved by any descent that gets there); Park and Oliva,
NeurIPS 2019 (a learned preconditioner); Kaushik et al., IROS 2020 (FAMLE: several meta-learned starts, the
likeliest taken).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.arrays import read_only
from ..core.errors import InvalidValueError
from ..core.kernels.cache import njit
from ..core.types import Array
from ..dynamics.features import features
from ..dynamics.identification import cholesky
from ..dynamics.identification.error_models import TYPICAL
from ..dynamics.soundness import OUTPUTS

ENOUGH = 1e-10  # of the squared gradient at the start, at which the descent ends
UNLIKELY = 1e-3  # share below which a start is left out


@attrs.frozen(eq=False)
class LinearFit:
    """What the inner loop came to; as ``PhysicsPosterior``, for :class:`.learning.LearningProblem`.

    Attributes:
        mean: L, shape (3, P).
        noise: variance of each output, shape (3,).
        error_model: of what the linear part leaves, see dynamics.identification.error_models, shape (3, 2).
        momentum, observer: none, see dynamics.observer; shapes (2,) and (2, 2).
    """

    mean: Array
    noise: Array
    error_model: Array
    momentum: Array = attrs.field(factory=lambda: np.zeros(2))
    observer: Array = attrs.field(factory=lambda: np.ones((2, 2)))


@attrs.frozen(eq=False)
class Starts:
    """Starts of all outputs, S in all, for P features.

    Attributes:
        output: which output each is for, shape (S,).
        mean: shape (S, P).
        factor: shape (S, P, P).
        curvature: of a typical transition in the coordinates of ``factor``, shape (S, P), at least 0.
        noise: variances to choose from, for each output, shape (G, 3), above 0.
        steps: of the inner loop, at most.

    Raises:
        InvalidValueError: a value is out of range, or an output has no start.
    """

    output: Array = attrs.field(converter=read_only)
    mean: Array = attrs.field(converter=read_only)
    factor: Array = attrs.field(converter=read_only)
    curvature: Array = attrs.field(converter=read_only)
    noise: Array = attrs.field(converter=read_only)
    steps: int = 40

    def __attrs_post_init__(self) -> None:
        count, size = self.mean.shape
        wanted = {"output": (count,), "factor": (count, size, size), "curvature": (count, size)}
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise InvalidValueError(
                    f"{name} of the starts must have shape {shape}, got {getattr(self, name).shape}"
                )
        if set(self.output) != set(range(OUTPUTS)):
            raise InvalidValueError(f"each of the {OUTPUTS} outputs needs a start, got {set(self.output)}")
        if not (self.curvature >= 0.0).all() or not (self.noise > 0.0).all():
            raise InvalidValueError("curvature of the starts must be at least 0 and noise above 0")
        if not 1 <= self.steps <= 1000:
            raise InvalidValueError(f"steps of the starts must be in [1, 1000], got {self.steps}")

    @property
    def typical(self) -> Array:
        """L before any data: the mean of the starts, shape (3, P)."""
        return np.stack([self.mean[self.output == o].mean(axis=0) for o in range(OUTPUTS)])

    def tensors(self) -> dict[str, Array]:
        """As extras of a network in the artifact; the inverse of :meth:`of`."""
        parts = ("output", "mean", "factor", "curvature", "noise")
        named = {f"start_{part}": getattr(self, part) for part in parts}
        return named | {"start_steps": np.array([self.steps])}

    @classmethod
    def of(cls, extras: Mapping[str, ArrayLike]) -> Starts:
        """From what :meth:`tensors` gave."""
        parts = {part: extras[f"start_{part}"] for part in ("output", "mean", "factor", "curvature", "noise")}
        return cls(**parts, steps=int(np.asarray(extras["start_steps"])[0]))

    def fit(self, inputs: Array, residuals: Array, first: NDArray[np.bool_] | None = None) -> LinearFit:
        """Restore the likeliest starts and descend.

        Args:
            inputs: z, shape (M, Z); residuals: shape (M, 3).
            first: not needed; for whoever fits in the same way.
        """
        phi = features(inputs)
        gram, moment = phi.T @ phi, phi.T @ residuals
        mean, noise = np.empty((OUTPUTS, phi.shape[1])), np.empty(OUTPUTS)
        for o in range(OUTPUTS):
            chosen = self.output == o
            start, factor = self.mean[chosen], self.factor[chosen]
            at_start = start @ gram
            left = residuals[:, o] @ residuals[:, o] + ((at_start - 2.0 * moment[:, o]) * start).sum(axis=1)
            slopes = np.einsum("spq,sp->sq", factor, moment[:, o] - at_start)
            grams = factor.swapaxes(1, 2) @ gram @ factor
            levels = np.ascontiguousarray(self.noise[:, o])
            u, noise[o] = _adapt(grams, slopes, left, len(phi), self.curvature[chosen], levels, self.steps)
            shares = u[:, -1]
            mean[o] = shares @ start + np.einsum("spq,sq->p", factor, u[:, :-1])
        return LinearFit(mean, noise, TYPICAL)


@njit(cache=True)
def _adapt(grams, slopes, left, count, curvature, noise, steps):  # type: ignore[no-untyped-def]  # numba
    """Inner loop of one output from all its starts.

    Args:
        grams, slopes: of the square error in u, (S, P, P) and (S, P); left: that at u = 0, (S,).
        count: transitions; curvature: (S, P); noise: (G,).

    Returns:
        u of each start times its share, and the share, (S, P + 1); the noise variance.
    """
    starts, size = slopes.shape
    evidence = np.empty((starts, len(noise)))
    matrix, solved = np.empty((size, size)), np.empty(size)
    for s in range(starts):
        for g in range(len(noise)):
            for p in range(size):
                for q in range(p + 1):
                    matrix[p, q] = grams[s, p, q] / noise[g]
                matrix[p, p] += 1.0
            volume, explained = cholesky.solve(matrix, slopes[s] / noise[g], solved)
            evidence[s, g] = -0.5 * (
                count * math.log(2.0 * math.pi * noise[g]) + volume + left[s] / noise[g] - explained
            )
    share = np.exp(evidence - evidence.max())
    share = np.where(share < UNLIKELY * share.sum(), 0.0, share)
    share /= share.sum()
    out, variance = np.zeros((starts, size + 1)), 0.0
    for s in range(starts):
        for g in range(len(noise)):
            if share[s, g] > 0.0:
                u = _descend(grams[s], slopes[s], noise[g], count * curvature[s], steps)
                out[s, :size] += share[s, g] * u
                out[s, size] += share[s, g]
                variance += share[s, g] * noise[g]
    return out, variance


@njit(cache=True)
def _descend(gram, slope, noise, curvature, steps):  # type: ignore[no-untyped-def]  # numba
    """Preconditioned conjugate gradients from u = 0; see Nocedal and Wright, algorithm 5.3."""
    size = len(slope)
    rate = 1.0 / (1.0 + curvature / noise)
    u, pull, left = np.zeros(size), np.empty(size), slope / noise
    down = rate * left
    way, square = down.copy(), (left * down).sum()
    enough = ENOUGH * square
    for _ in range(steps):
        if square <= enough:
            break
        _times(gram, way, pull)
        pull = pull / noise + way
        length = square / (way * pull).sum()
        u += length * way
        left -= length * pull
        down = rate * left
        before, square = square, (left * down).sum()
        way = down + (square / before) * way
    return u


@njit(cache=True)
def _times(matrix, vector, out):  # type: ignore[no-untyped-def]  # numba
    for p in range(len(vector)):
        total = 0.0
        for q in range(len(vector)):
            total += matrix[p, q] * vector[q]
        out[p] = total
