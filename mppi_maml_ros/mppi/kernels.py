"""Compiled inner loops of the controller: limits, costs. Samples run contiguously."""

from __future__ import annotations

import numpy as np
from numba import njit

TWO_PI = np.float32(2.0 * np.pi)


@njit(cache=True, fastmath=True, error_model="numpy")
def perturb_within_limits(nominal, noise, last, low, high, fall, rise, out):
    """Add noise to the nominal sequence, within velocity and acceleration limits.

    Args:
        nominal: (N, 2); noise: (N, 2, K); last: command in force (2,).
        low, high: smallest and largest command (2,).
        fall, rise: largest change down (negative) and up in one step (2,).
        out: (N, 2, K), filled in place.
    """
    steps, axes, samples = noise.shape
    for axis in range(axes):
        for t in range(steps):
            centre = nominal[t, axis]
            lo, hi, down, up = low[axis], high[axis], fall[axis], rise[axis]
            source = noise[t, axis]
            target = out[t, axis]
            if t == 0:
                before = last[axis]
                for j in range(samples):
                    u = min(max(centre + source[j], before + down), before + up)
                    target[j] = min(max(u, lo), hi)
            else:
                previous = out[t - 1, axis]
                for j in range(samples):
                    u = min(max(centre + source[j], previous[j] + down), previous[j] + up)
                    target[j] = min(max(u, lo), hi)


@njit(cache=True, fastmath=True, error_model="numpy")
def tracking_cost(x, y, yaw, reference, position_weight, heading_weight, terminal_scale, costs):
    """Add the squared distance and heading error to a time-indexed reference.

    Args:
        x, y, yaw: (N, K) after each step; reference: (N, 3), same frame.
        costs: (K,), added to in place.
    """
    steps, samples = x.shape
    for t in range(steps):
        scale = np.float32(terminal_scale) if t == steps - 1 else np.float32(1.0)
        wp = np.float32(position_weight) * scale
        wh = np.float32(heading_weight) * scale
        rx, ry, ryaw = reference[t, 0], reference[t, 1], reference[t, 2]
        px, py, pyaw = x[t], y[t], yaw[t]
        for j in range(samples):
            dx = px[j] - rx
            dy = py[j] - ry
            da = pyaw[j] - ryaw
            da -= TWO_PI * np.rint(da / TWO_PI)
            costs[j] += wp * (dx * dx + dy * dy) + wh * da * da


@njit(cache=True, fastmath=True, error_model="numpy")
def effort_cost(commands, about, weight, costs):
    """Add the squared deviation of the commands (N, 2, K) from ``about`` (N, 2)."""
    steps, axes, samples = commands.shape
    for t in range(steps):
        for axis in range(axes):
            w = weight[axis]
            if w == 0.0:
                continue
            centre = about[t, axis]
            source = commands[t, axis]
            for j in range(samples):
                d = source[j] - centre
                costs[j] += w * d * d


@njit(cache=True, fastmath=True, error_model="numpy")
def rate_cost(commands, last, weight, costs):
    """Add the squared change between consecutive commands (N, 2, K), the first against ``last`` (2,)."""
    steps, axes, samples = commands.shape
    for t in range(steps):
        for axis in range(axes):
            w = weight[axis]
            if w == 0.0:
                continue
            source = commands[t, axis]
            if t == 0:
                before = last[axis]
                for j in range(samples):
                    d = source[j] - before
                    costs[j] += w * d * d
            else:
                previous = commands[t - 1, axis]
                for j in range(samples):
                    d = source[j] - previous[j]
                    costs[j] += w * d * d


@njit(cache=True, error_model="numpy")
def softmax_weights(costs, temperature, out):
    """Path-integral weights exp(-(cost - min) / temperature), normalised; non-finite costs get none.

    Returns:
        The smallest finite cost, or infinity when there is none (``out`` is then zero).
    """
    lowest = np.inf
    for j in range(costs.shape[0]):
        if np.isfinite(costs[j]) and costs[j] < lowest:
            lowest = costs[j]
    total = 0.0
    for j in range(costs.shape[0]):
        out[j] = 0.0
        if np.isfinite(costs[j]):
            out[j] = np.exp((lowest - costs[j]) / temperature)
            total += out[j]
    if total > 0.0:
        for j in range(costs.shape[0]):
            out[j] /= total
    return lowest
