"""Trajectories of policies, and from them the samples that a gradient is made of."""

from __future__ import annotations

import numpy as np
import torch

from .environments.base import Environment, Trajectories
from .policy import Batch, Policy


def rollout(
    environment: Environment, policy: Policy, flat: torch.Tensor, tasks: np.ndarray, trajectories: int,
    rng: np.random.Generator,
) -> Trajectories:  # fmt: skip
    """Act until all episodes have ended.

    Args:
        flat: parameters, a row a task, (T, P); one row serves all.
        tasks: (T, D).
        trajectories: N of each task.
    """
    shape, horizon = (len(tasks), trajectories), environment.horizon
    flat = flat.expand(len(tasks), -1)
    width = 1 if policy.discrete else policy.actions
    seen = np.zeros((*shape, horizon, policy.observations), dtype=np.float32)
    done_actions = np.zeros((*shape, horizon, width), dtype=np.float32)
    rewards, alive = np.zeros((*shape, horizon), dtype=np.float32), np.zeros((*shape, horizon), dtype=bool)
    now, running, step = environment.reset(tasks, trajectories, rng), np.ones(shape, dtype=bool), 0
    act = policy.actor(flat)
    for step in range(horizon):
        actions = act(now, policy.head.noise(rng, shape))
        seen[:, :, step], done_actions[:, :, step], alive[:, :, step] = now, actions, running
        now, reward, done = environment.step(actions)
        rewards[:, :, step] = np.where(running, reward, 0.0)
        running = running & ~done
        if not running.any():
            break
    end = step + 1
    return Trajectories(seen[:, :, :end], done_actions[:, :, :end], rewards[:, :, :end], alive[:, :, :end])


def discounted(values: np.ndarray, factor: float) -> np.ndarray:
    """Sum over what follows along the last axis, itself included, each step weighed ``factor`` less."""
    out, total = np.empty_like(values), np.zeros_like(values[..., 0])
    for step in range(values.shape[-1] - 1, -1, -1):
        total = values[..., step] + factor * total
        out[..., step] = total
    return out


def features(observations: np.ndarray) -> np.ndarray:
    """What the baseline is linear in (Duan et al., ICML 2016): o, o^2, t, t^2, t^3, 1; (..., H, 2 O + 4)."""
    o = np.clip(observations, -10.0, 10.0)
    t = np.arange(o.shape[-2], dtype=o.dtype)[:, None] / 100.0
    time = np.broadcast_to(np.concatenate([t, t**2, t**3, np.ones_like(t)], axis=1), (*o.shape[:-1], 4))
    return np.concatenate([o, o * o, time], axis=-1)


def baseline(trajectories: Trajectories, returns: np.ndarray, ridge: float = 1e-5) -> np.ndarray:
    """Returns as a linear function of features, fitted in each task: (T, N, H)."""
    x = features(trajectories.observations)
    tasks, width = len(x), x.shape[-1]
    flat = (x * trajectories.alive[..., None]).reshape(tasks, -1, width)
    left = (flat.transpose(0, 2, 1) @ flat).astype(np.float64)
    right = (flat.transpose(0, 2, 1) @ returns.reshape(tasks, -1, 1)).astype(np.float64)
    weights = np.linalg.solve(left + ridge * np.eye(width), right)
    return (flat @ weights.astype(flat.dtype)).reshape(returns.shape)


def advantages(trajectories: Trajectories, discount: float = 0.99, gae: float = 1.0) -> np.ndarray:
    """Generalised advantages (Schulman et al., ICLR 2016, eq. 16) on the baseline, normalised in each task.

    Returns:
        (T, N, H), mean 0 and variance 1 over the steps taken, 0 elsewhere.
    """
    alive = trajectories.alive
    value = baseline(trajectories, discounted(trajectories.rewards, discount)) * alive
    following = np.concatenate([value[..., 1:], np.zeros_like(value[..., :1])], axis=-1)
    raw = discounted(trajectories.rewards + discount * following - value, discount * gae) * alive
    count = alive.sum(axis=(1, 2), keepdims=True)
    centred = (raw - raw.sum(axis=(1, 2), keepdims=True) / count) * alive
    spread = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True) / count)
    return centred / (spread + 1e-8)


def samples(trajectories: Trajectories, gain: np.ndarray) -> Batch:
    """Steps that were taken, without order; the shorter tasks are filled up with what weighs nothing.

    Args:
        gain: of each step, (T, N, H), such as the advantages.
    """
    tasks = len(gain)
    alive = trajectories.alive.reshape(tasks, -1)
    count = alive.sum(axis=1, keepdims=True)
    longest = int(count.max())
    parts = [trajectories.observations, trajectories.actions, gain[..., None]]
    flat = [part.reshape(tasks, alive.shape[1], -1) for part in parts]
    if longest < alive.shape[1]:
        order = np.argsort(~alive, axis=1, kind="stable")[:, :longest]
        alive = np.take_along_axis(alive, order, axis=1)
        flat = [np.take_along_axis(part, order[..., None], axis=1) for part in flat]
    shares = (alive / count).astype(np.float32)
    arrays = (flat[0], flat[1], flat[2][..., 0] * shares, shares)
    return Batch(*(torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32)) for a in arrays))
