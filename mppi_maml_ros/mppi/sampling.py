"""Noise for the sampled command sequences: antithetic, white or smooth."""

from __future__ import annotations

import numpy as np

from .config import MPPIConfig


class Sampler:
    """Draws zero-mean noise of shape (time_steps, 2, batch_size) into one preallocated array.

    The second half of the batch mirrors the first (antithetic pairs), which removes the
    odd-order sampling error at no cost; the first sample is zero, so that the unperturbed
    sequence always competes.
    """

    def __init__(self, config: MPPIConfig, seed: int):
        self._rng = np.random.Generator(np.random.SFC64(seed))
        self._half = (config.batch_size + 1) // 2
        self.noise = np.zeros((config.time_steps, 2, config.batch_size), dtype=np.float32)
        self._scale = np.array([config.vx_std, config.wz_std], dtype=np.float32)[None, :, None]
        smooth = 0 < config.noise_knots < config.time_steps
        knots = config.noise_knots if smooth else config.time_steps
        self._draw = np.zeros((knots, 2, self._half), dtype=np.float32)
        self._basis = None
        if smooth:
            self._basis = _interpolation(config.time_steps, knots)
            self._smooth = np.zeros((config.time_steps, 2 * self._half), dtype=np.float32)

    def sample(self) -> np.ndarray:
        """The next draw; the array is reused by the next call."""
        self._rng.standard_normal(dtype=np.float32, out=self._draw)
        self._draw *= self._scale
        half = self._draw
        if self._basis is not None:
            np.matmul(self._basis, self._draw.reshape(len(self._draw), -1), out=self._smooth)
            half = self._smooth.reshape(len(self._smooth), 2, self._half)
        self.noise[:, :, : self._half] = half
        mirrored = self.noise.shape[2] - self._half
        np.negative(half[:, :, :mirrored], out=self.noise[:, :, self._half :])
        self.noise[:, :, 0] = 0.0
        return self.noise


def _interpolation(steps: int, knots: int) -> np.ndarray:
    """Linear interpolation from knots to steps, rows scaled to unit variance; (steps, knots)."""
    position = np.linspace(0.0, knots - 1.0, steps)
    left = np.minimum(position.astype(int), knots - 2)
    share = position - left
    basis = np.zeros((steps, knots), dtype=np.float32)
    basis[np.arange(steps), left] = 1.0 - share
    basis[np.arange(steps), left + 1] = share
    return basis / np.linalg.norm(basis, axis=1, keepdims=True)
