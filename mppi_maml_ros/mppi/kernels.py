"""Compiled inner loops of the controller: preparation, limits, costs, weights. Samples run contiguously."""

from __future__ import annotations

import numpy as np

from ..core.angles import TWO_PI
from ..core.kernels.cache import njit
from ..core.kernels.lanes import where_less
from ..core.kernels.simd import LANES, load, maximum, minimum, splat, store

NEGLIGIBLE = 30.0  # temperatures above the lowest cost at which a weight is below 1e-13


@njit(cache=True, error_model="numpy")
def prepare(state, reference, dt, low, high, target, feedforward):  # type: ignore[no-untyped-def]  # numba
    """Express the reference in the robot's frame.

    Args:
        state: the robot's pose leads, (5,); reference: (N + 1, 3), same frame.
        dt: step [s]; low, high: smallest and largest command (2,).
        target: (N, 3), filled with the wanted poses after each step; yaw has no jumps.
        feedforward: (N, 2), filled with the commands that lead along the reference, within limits.

    Returns:
        Whether every argument is finite.
    """
    cos, sin = np.cos(state[2]), np.sin(state[2])
    before_x = before_y = before_yaw = 0.0
    total = state[0] + state[1] + state[2] + state[3] + state[4]
    for t in range(len(reference)):
        dx, dy = reference[t, 0] - state[0], reference[t, 1] - state[1]
        x, y = cos * dx + sin * dy, cos * dy - sin * dx
        turn = reference[t, 2] - state[2] - before_yaw
        turn -= TWO_PI * np.rint(turn / TWO_PI)
        yaw = before_yaw + turn
        total += x + y + yaw
        if t > 0:
            middle = before_yaw + 0.5 * turn
            forward = (np.cos(middle) * (x - before_x) + np.sin(middle) * (y - before_y)) / dt
            feedforward[t - 1, 0] = min(max(forward, low[0]), high[0])
            feedforward[t - 1, 1] = min(max(turn / dt, low[1]), high[1])
            target[t - 1, 0], target[t - 1, 1], target[t - 1, 2] = x, y, yaw
        before_x, before_y, before_yaw = x, y, yaw
    return np.isfinite(total)


@njit(cache=True, error_model="numpy")
def shift(sequence, steps):  # type: ignore[no-untyped-def]  # numba
    """Move a warm start (N, 2) on by a number of steps, not necessarily whole; the last command is repeated.

    Beyond its end nothing is left of it: zero.
    """
    count = len(sequence)
    whole = int(steps)
    if whole >= count:
        sequence[:] = 0.0
        return
    share = np.float32(steps - whole)
    for t in range(count):
        for axis in range(2):
            here = sequence[min(t + whole, count - 1), axis]
            after = sequence[min(t + whole + 1, count - 1), axis]
            sequence[t, axis] = here + share * (after - here)


@njit(cache=True, error_model="numpy")
def perturb_within_limits(  # type: ignore[no-untyped-def]  # numba
    nominal, values, start, sign, first, share, mirrored, scale,
    last, low, high, quicker, slower, about, effort, rate, out, costs,
):  # fmt: skip
    """Add noise to the nominal sequence, within velocity and acceleration limits, and score the commands.

    Args:
        nominal: (N, 2).
        values, start, sign, first, share, mirrored: see :class:`.sampling.Noise`.
        scale: of the noise (2,); last: command in force (2,).
        low, high: smallest and largest command (2,).
        quicker, slower: by how much a speed may rise and fall in one step (2,).
        about: (N, 2); effort: cost of a squared deviation from it (2,).
        rate: cost of a squared change between consecutive commands (2,).
        out: (N, 2, K), filled in place.
        costs: (K,), filled with the costs of effort and rate.
    """
    steps, _, samples = out.shape
    half = samples // 2
    terms = share.shape[1]
    all_but_first = np.ones(LANES, dtype=np.float32)
    all_but_first[0] = 0.0
    for j in range(0, half, LANES):
        cost_a = splat(0.0)
        cost_b = splat(0.0)
        for axis in range(2):
            lo, hi, gain, loss = low[axis], high[axis], quicker[axis], slower[axis]
            a = splat(last[axis])
            b = splat(last[axis])
            for t in range(steps):
                knot = first[t]
                at = start[knot, axis] + j
                weight = share[t, 0] * sign[knot, axis] * scale[axis]
                draw_a = load(values, at) * weight
                draw_b = -draw_a if mirrored else load(values, at + half) * weight
                for i in range(1, terms):
                    at = start[knot + i, axis] + j
                    weight = share[t, i] * sign[knot + i, axis] * scale[axis]
                    more = load(values, at) * weight
                    draw_a += more
                    draw_b += -more if mirrored else load(values, at + half) * weight
                if j == 0:
                    draw_a *= load(all_but_first, 0)
                row = 2 * t + axis
                centre = nominal[t, axis]
                up_a, down_a = where_less(a, 0.0, loss, gain), where_less(0.0, a, loss, gain)
                up_b, down_b = where_less(b, 0.0, loss, gain), where_less(0.0, b, loss, gain)
                next_a = maximum(minimum(centre + draw_a, a + up_a), a - down_a)
                next_b = maximum(minimum(centre + draw_b, b + up_b), b - down_b)
                next_a = maximum(minimum(next_a, splat(hi)), splat(lo))
                next_b = maximum(minimum(next_b, splat(hi)), splat(lo))
                store(out, row * samples + j, next_a)
                store(out, row * samples + half + j, next_b)
                change_a = next_a - a
                change_b = next_b - b
                off_a = next_a - about[t, axis]
                off_b = next_b - about[t, axis]
                cost_a += effort[axis] * (off_a * off_a) + rate[axis] * (change_a * change_a)
                cost_b += effort[axis] * (off_b * off_b) + rate[axis] * (change_b * change_b)
                a = next_a
                b = next_b
        store(costs, j, cost_a)
        store(costs, half + j, cost_b)


@njit(cache=True, error_model="numpy")
def propose(  # type: ignore[no-untyped-def]  # numba
    sequence, last, low, high, quicker, slower, about, effort, rate, out, costs
):
    """Put a sequence (N, 2), within the limits, in the place of the last sample; arguments as above."""
    steps, _, samples = out.shape
    cost = np.float32(0.0)
    for axis in range(2):
        before = last[axis]
        for t in range(steps):
            up = slower[axis] if before < 0.0 else quicker[axis]
            down = slower[axis] if before > 0.0 else quicker[axis]
            command = max(min(sequence[t, axis], before + up), before - down)
            command = max(min(command, high[axis]), low[axis])
            off, change = command - about[t, axis], command - before
            cost += effort[axis] * off * off + rate[axis] * change * change
            out[t, axis, samples - 1] = command
            before = command
    costs[samples - 1] = cost


@njit(cache=True, error_model="numpy")
def tracking_cost(x, y, yaw, target, weight, costs):  # type: ignore[no-untyped-def]  # numba
    """Add the squared distance and heading error to a time-indexed reference.

    Args:
        x, y, yaw: (N, K) after each step; target: (N, 3), same frame.
        weight: of squared distance and squared heading error after each step, (N, 2).
        costs: (K,), added to in place.
    """
    steps, samples = x.shape
    turn = np.float32(TWO_PI)
    for t in range(steps):
        wp, wh = weight[t]
        rx, ry, ryaw = target[t]
        for j in range(samples):
            dx = x[t, j] - rx
            dy = y[t, j] - ry
            da = yaw[t, j] - ryaw
            da -= turn * np.rint(da / turn)
            costs[j] += wp * (dx * dx + dy * dy) + wh * da * da


@njit(cache=True, error_model="numpy")
def softmax_weights(costs, temperature, out):  # type: ignore[no-untyped-def]  # numba
    """Path-integral weights exp(-(cost - min) / temperature), normalised; non-finite costs get none.

    Returns:
        The smallest finite cost, or infinity when there is none (``out`` is then zero).
    """
    lowest = np.inf
    for j in range(costs.shape[0]):
        if np.isfinite(costs[j]) and costs[j] < lowest:
            lowest = costs[j]
    total = 0.0
    limit = lowest + NEGLIGIBLE * temperature
    for j in range(costs.shape[0]):
        out[j] = 0.0
        if costs[j] < limit and np.isfinite(costs[j]):
            out[j] = np.exp((lowest - costs[j]) / temperature)
            total += out[j]
    if total > 0.0:
        share = np.float32(1.0 / total)
        for j in range(costs.shape[0]):
            out[j] *= share
    return lowest
