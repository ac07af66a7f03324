"""Free linear maps with Gaussian priors over the coefficients, which are told by the evidence of the data.

Source: Bishop, Pattern Recognition and Machine Learning, 3.3 and 3.4; several priors as in Kaushik et al.,
FAMLE (IROS 2020): of several meta-learned starts, those that the data are likeliest from.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from ...core.arrays import read_only
from ...core.kernels.cache import njit
from ...core.types import Array
from . import cholesky
from .servo import MARGIN

RIDGE = 1e-9  # of least squares, in its own units


@attrs.frozen(eq=False)
class FreeFit:
    """Posterior of C maps of O outputs.

    Attributes:
        mean: shape (C, O, P); noise: variance, shape (C, O); evidence: log marginal likelihood, shape (C, O).
    """

    mean: Array
    noise: Array
    evidence: Array


def fit(
    joint: Array,
    count: float,
    levels: Array,
    mean: Array,
    precision: Array,
    log_det: Array,
    floors: Array | None = None,
) -> FreeFit:
    """Regress every output under every prior, the noise averaged over its levels.

    Args:
        joint: (weighted) inner products of the features and the target of each output, (O, P + 1, P + 1).
        count: sum of the weights.
        levels: noise variances of each output, shape (G, O).
        mean, precision, log_det: of the priors, shapes (C, O, P), (C, O, P, P); log det of
            the covariance, (C, O).
        floors: log evidence by output, shape (O,): what is far below need not be told from nothing, which
            has the evidence -inf.
    """
    found = FreeFit(np.empty(mean.shape), *np.empty((2, *mean.shape[:2])))
    floors = np.full(mean.shape[1], -np.inf) if floors is None else floors
    _regressions(
        joint, count, levels, mean, precision, log_det, floors, found.mean, found.noise, found.evidence
    )
    return found


@attrs.frozen(eq=False)
class LearnedMaps:
    """Any number of priors for each output, all as likely.

    Attributes:
        output: of each prior, rising, shape (S,).
        mean, precision, log_det: shapes (S, P) and (S, P, P); log det of the covariance, (S,).
    """

    output: NDArray[np.int64]
    mean: Array
    precision: Array
    log_det: Array

    @classmethod
    def of(cls, output: Array, mean: Array, factor: Array) -> LearnedMaps:
        """From S starts.

        Args:
            output: which output each is for, shape (S,), each of 0 ... O - 1 at least once.
            mean: shape (S, P); factor: of the covariance, shape (S, P, P).
        """
        order = np.argsort(output, kind="stable")
        covariance = (factor @ factor.swapaxes(1, 2))[order]
        precision, log_det = np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]
        parts = (read_only(part) for part in (np.asarray(mean)[order], precision, log_det))
        return cls(np.asarray(output, dtype=np.int64)[order], *parts)

    def fit(self, joint: Array, count: float, levels: Array, floors: Array | None = None) -> FreeFit:
        """One map of each output, averaged over its priors; arguments as of :func:`fit`."""
        outputs, size = len(joint), self.mean.shape[1]
        found = FreeFit(np.zeros((1, outputs, size)), np.zeros((1, outputs)), np.empty((1, outputs)))
        floors = np.full(outputs, -np.inf) if floors is None else floors
        _averaged(
            joint, count, levels, self.output, self.mean, self.precision, self.log_det, floors,
            found.mean[0], found.noise[0], found.evidence[0],
        )  # fmt: skip
        return found


@njit(cache=True)
def _regressions(
    joint: Array,
    count: float,
    noise: Array,
    mean: Array,
    precision: Array,
    log_det: Array,
    floors: Array,
    out_mean: Array,
    out_noise: Array,
    out_evidence: Array,
) -> None:
    """Gaussian regression of every component c and output o, with the noise levels averaged."""
    components, outputs, size = mean.shape
    space = np.empty((size + len(noise) + 1, size))
    for o in range(outputs):
        levels = noise[:, o].copy()
        caps = _caps(joint[o], count, levels, space)
        for c in range(components):
            out_evidence[c, o], out_noise[c, o] = _regression(
                joint[o], count, levels, caps, floors[o], mean[c, o], precision[c, o], log_det[c, o], space,
                out_mean[c, o],
            )  # fmt: skip


@njit(cache=True)
def _averaged(
    joint: Array,
    count: float,
    noise: Array,
    output: NDArray[np.int64],
    mean: Array,
    precision: Array,
    log_det: Array,
    floors: Array,
    out_mean: Array,
    out_noise: Array,
    out_evidence: Array,
) -> None:
    """The same, averaged over the priors s of each output."""
    size, begin = mean.shape[1], 0
    space, found = np.empty((size + len(noise) + 1, size)), np.empty((len(output), size))
    evidence, variance = np.empty(len(output)), np.empty(len(output))
    for o in range(len(joint)):
        levels, best = noise[:, o].copy(), -np.inf
        caps = _caps(joint[o], count, levels, space)
        end = begin
        while end < len(output) and output[end] == o:
            evidence[end], variance[end] = _regression(
                joint[o], count, levels, caps, max(floors[o], best), mean[end], precision[end], log_det[end],
                space, found[end],
            )  # fmt: skip
            best = max(best, evidence[end])
            end += 1
        out_evidence[o] = -np.inf
        if best > -np.inf:
            total = np.exp(evidence[begin:end] - best).sum()
            for s in range(begin, end):
                share = math.exp(evidence[s] - best) / total
                if share > 0.0:
                    out_noise[o] += share * variance[s]
                    out_mean[o] += share * found[s]
            out_evidence[o] = best + math.log(total / (end - begin))
        begin = end


@njit(cache=True)
def _caps(joint: Array, count: float, noise: Array, space: Array) -> Array:
    """What no log evidence at each noise level exceeds: that of least squares, told beforehand, (G,)."""
    size = len(joint) - 1
    matrix, solved = space[:size], space[size]
    for p in range(size):
        for q in range(p):
            matrix[p, q] = joint[p, q]
        matrix[p, p] = joint[p, p] + RIDGE * (1.0 + joint[p, p])
    explained = cholesky.solve(matrix, joint[:size, size].copy(), solved)[1]
    left = max(joint[size, size] - explained, 0.0)
    return -0.5 * (count * np.log(2.0 * math.pi * noise) + left / noise)


@njit(cache=True)
def _regression(
    joint: Array,
    count: float,
    noise: Array,
    caps: Array,
    floor: float,
    mean: Array,
    precision: Array,
    log_det: float,
    space: Array,
    out: Array,
) -> tuple[float, float]:
    """One output under one prior: log evidence and noise, and the coefficients, ``out`` (P,).

    Args:
        caps: of the log evidence at each noise level, (G,).
        floor: what is MARGIN below it counts as nothing.
        space: (P + G + 1, P), scratch.
    """
    size, levels = len(mean), len(noise)
    matrix, found, missed = space[:size], space[size : size + levels], space[size + levels]
    # In e = coefficients - mean, what the mean of the prior leaves is the target.
    left = joint[size, size]
    for p in range(size):
        missed[p] = joint[p, size]
        for q in range(size):
            missed[p] -= joint[p, q] * mean[q]
        left -= mean[p] * (joint[p, size] + missed[p])
    best, values, first, moment = floor, np.full(levels, -np.inf), caps.argmax(), np.empty(size)
    for visit in range(levels):
        g = first if visit == 0 else visit - 1 if visit <= first else visit
        if not caps[g] >= best - MARGIN:
            continue
        inverse = 1.0 / noise[g]
        for p in range(size):
            moment[p] = missed[p] * inverse
            for q in range(p + 1):
                matrix[p, q] = precision[p, q] + joint[p, q] * inverse
        volume, explained = cholesky.solve(matrix, moment, found[g])
        square = left * inverse - explained
        value = -0.5 * (count * math.log(2.0 * math.pi * noise[g]) + log_det + volume + square)
        if value >= best - MARGIN:
            values[g] = value
        best = max(best, value)
    highest, total, variance = values.max(), 0.0, 0.0
    out[:] = mean
    if highest == -np.inf:
        return -np.inf, noise[first]
    for value in values:
        total += math.exp(value - highest)
    for g in range(levels):
        share = math.exp(values[g] - highest) / total
        if share > 0.0:
            variance += share * noise[g]
            out += share * found[g]
    return highest + math.log(total / levels), variance
