"""Noise for the sampled command sequences: antithetic, white or smooth."""

from __future__ import annotations

import numpy as np

from ..dynamics.simd import GROUP
from .config import MPPIConfig


class Sampler:
    """Draws zero-mean noise of unit variance for a batch, into one preallocated array.

    The batch is ``samples`` wide: batch_size, rounded up to whole vectors. Only its first half
    is drawn; the second half is to take the same noise with the other sign (antithetic pairs),
    which removes the odd-order sampling error at no cost. The first sample is zero, so that the
    unperturbed sequence always competes.
    """

    def __init__(self, config: MPPIConfig, seed: int):
        self._rng = np.random.Generator(np.random.SFC64(seed))
        self.samples = -(-config.batch_size // GROUP) * GROUP
        half = self.samples // 2
        smooth = 0 < config.noise_knots < config.time_steps
        knots = config.noise_knots if smooth else config.time_steps
        self._draw = np.zeros((knots, 2, half), dtype=np.float32)
        self._noise = self._draw
        self._basis = None
        if smooth:
            self._basis = _interpolation(config.time_steps, knots)
            self._noise = np.zeros((config.time_steps, 2, half), dtype=np.float32)

    def sample(self) -> np.ndarray:
        """The next draw, (time_steps, 2, samples / 2); the array is reused by the next call."""
        self._rng.standard_normal(dtype=np.float32, out=self._draw)
        self._draw[:, :, 0] = 0.0
        if self._basis is not None:
            flat = self._noise.reshape(len(self._noise), -1)
            np.matmul(self._basis, self._draw.reshape(len(self._draw), -1), out=flat)
        return self._noise


def _interpolation(steps: int, knots: int) -> np.ndarray:
    """Linear interpolation from knots to steps, rows scaled to unit variance; (steps, knots)."""
    position = np.linspace(0.0, knots - 1.0, steps)
    left = np.minimum(position.astype(int), knots - 2)
    share = position - left
    basis = np.zeros((steps, knots), dtype=np.float32)
    basis[np.arange(steps), left] = 1.0 - share
    basis[np.arange(steps), left + 1] = share
    return basis / np.linalg.norm(basis, axis=1, keepdims=True)
