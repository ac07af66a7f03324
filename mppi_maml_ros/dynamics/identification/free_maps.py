"""Free linear maps with Gaussian priors over the coefficients, which are told by the evidence of the data.

Source: Bishop, Pattern Recognition and Machine Learning, 3.3 and 3.4; several priors as in Kaushik et al.,
FAMLE (IROS 2020): of several meta-learned starts, those that the data are likeliest from.
"""

from __future__ import annotations

import math

import attrs
import numpy as np

from ...core.arrays import read_only
from ...core.kernels.cache import njit
from ...core.types import Array
from . import cholesky
from .servo import MARGIN


@attrs.frozen(eq=False)
class FreeFit:
    """Posterior of C maps of O outputs.

    Attributes:
        mean: shape (C, O, P); noise: variance, shape (C, O); evidence: log marginal likelihood, shape (C, O).
    """

    mean: Array
    noise: Array
    evidence: Array


def fit(joint: Array, count: float, levels: Array, mean: Array, precision: Array, log_det: Array) -> FreeFit:
    """Regress every output under every prior, the noise averaged over its levels.

    Args:
        joint: (weighted) inner products of the features and the target of each output, (O, P + 1, P + 1).
        count: sum of the weights.
        levels: noise variances of each output, shape (G, O).
        mean, precision, log_det: of the priors, shapes (C, O, P), (C, O, P, P); log det of
            the covariance, (C, O).
    """
    found = FreeFit(np.empty(mean.shape), *np.empty((2, *mean.shape[:2])))
    _regressions(joint, count, levels, mean, precision, log_det, found.mean, found.noise, found.evidence)
    return found


@attrs.frozen(eq=False)
class LearnedMaps:
    """Any number of priors for each output, all as likely.

    Attributes:
        priors: for each output (mean, precision, log det of the covariance) as for :func:`fit`.
    """

    priors: tuple[tuple[Array, Array, Array], ...]

    @classmethod
    def of(cls, output: Array, mean: Array, factor: Array) -> LearnedMaps:
        """From S starts.

        Args:
            output: which output each is for, shape (S,), each of 0 ... O - 1 at least once.
            mean: shape (S, P); factor: of the covariance, shape (S, P, P).
        """
        covariance = factor @ factor.swapaxes(1, 2)
        precision, log_det = np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]
        priors = []
        for o in range(int(output.max()) + 1):
            a, b, c = (read_only(part[output == o][:, None]) for part in (mean, precision, log_det))
            priors.append((a, b, c))
        return cls(tuple(priors))

    def fit(self, joint: Array, count: float, levels: Array) -> FreeFit:
        """One map of each output, averaged over its priors; arguments as of :func:`fit`."""
        means, noises, evidences = [], [], []
        for o, prior in enumerate(self.priors):
            found = fit(joint[o : o + 1], count, np.ascontiguousarray(levels[:, o : o + 1]), *prior)
            total = np.logaddexp.reduce(found.evidence[:, 0])
            share = np.exp(found.evidence[:, 0] - total)
            means.append(share @ found.mean[:, 0])
            noises.append(share @ found.noise[:, 0])
            evidences.append(total - math.log(len(share)))
        return FreeFit(np.stack(means)[None], np.array([noises]), np.array([evidences]))


@njit(cache=True)
def _regressions(
    joint: Array,
    count: float,
    noise: Array,
    mean: Array,
    precision: Array,
    log_det: Array,
    out_mean: Array,
    out_noise: Array,
    out_evidence: Array,
) -> None:
    """Gaussian regression of every component c and output o, with the noise levels averaged."""
    components, outputs, size = mean.shape
    levels = len(noise)
    matrix, missed, moment = np.empty((size, size)), np.empty(size), np.empty(size)
    found, values = np.empty((levels, size)), np.empty(levels)
    for c in range(components):
        for o in range(outputs):
            # In e = coefficients - mean, what the mean of the prior leaves is the target.
            left = joint[o, size, size]
            for p in range(size):
                missed[p] = joint[o, p, size]
                for q in range(size):
                    missed[p] -= joint[o, p, q] * mean[c, o, q]
                left -= mean[c, o, p] * (joint[o, p, size] + missed[p])
            best, sharpest, least = -np.inf, 0, 0.0
            for g in range(levels):
                if noise[g, o] < noise[sharpest, o]:
                    sharpest = g
            for visit in range(levels):
                g = sharpest if visit == 0 else visit - 1 if visit <= sharpest else visit
                variance = noise[g, o]
                constant = -0.5 * count * math.log(2.0 * math.pi * variance)
                values[g] = -np.inf
                # The square sum only grows with the noise level.
                if visit > 0 and constant - 0.5 * least / variance < best - MARGIN:
                    continue
                for p in range(size):
                    moment[p] = missed[p] / variance
                    for q in range(p + 1):
                        matrix[p, q] = precision[c, o, p, q] + joint[o, p, q] / variance
                volume, explained = cholesky.solve(matrix, moment, found[g])
                square = left / variance - explained
                if visit == 0:
                    least = square * variance
                values[g] = constant - 0.5 * (log_det[c, o] + volume + square)
                best = max(best, values[g])
            total = 0.0
            for g in range(levels):
                total += math.exp(values[g] - best)
            out_evidence[c, o] = best + math.log(total / levels)
            out_mean[c, o], out_noise[c, o] = mean[c, o], 0.0
            for g in range(levels):
                share = math.exp(values[g] - best) / total
                if share > 0.0:
                    out_noise[c, o] += share * noise[g, o]
                    out_mean[c, o] += share * found[g]
